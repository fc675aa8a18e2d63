"""The legacy transform against its oracle, Keras' own ImageDataGenerator, number by number and pixel by pixel."""

import sys

import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator
from keras.utils import img_to_array, load_img
from PIL import Image

from thawline.data.legacy import LegacyTransform, legacy_matrix, load_image, stretched_image
from thawline.errors import ArgumentError, DataError, MissingDependencyError, UnreadableImageError

# Keras calls SciPy by a name that SciPy is going to drop; ours does not.
KERAS_SCIPY = "ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning"

SHAPES = [(12, 12, 3), (9, 14, 3), (12, 12, 1), (15, 8, 1), (8, 11, 4)]

ALONE = {
    "rotation": {"rotation_range": 40},
    "width shift, fraction": {"width_shift_range": 0.3},
    "width shift, pixels": {"width_shift_range": 2.5},
    "width shift, whole pixels": {"width_shift_range": 4},
    "width shift, list": {"width_shift_range": [1, 3, 5]},
    "width shift, fractions": {"width_shift_range": [0.1, 0.3]},
    "height shift, fraction": {"height_shift_range": 0.3},
    "height shift, pixels": {"height_shift_range": 2.5},
    "height shift, whole pixels": {"height_shift_range": 4},
    "height shift, list": {"height_shift_range": [1, 3, 5]},
    "shear": {"shear_range": 20},
    "zoom": {"zoom_range": 0.4},
    "zoom, pair": {"zoom_range": [0.5, 0.9]},
    "zoom, through zero": {"zoom_range": 1.5},
    "channel shift": {"channel_shift_range": 60},
    "brightness": {"brightness_range": (0.2, 1.9)},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "fill constant": {"rotation_range": 60, "fill_mode": "constant", "cval": 77},
    "fill reflect": {"rotation_range": 60, "fill_mode": "reflect"},
    "fill wrap": {"rotation_range": 60, "fill_mode": "wrap"},
    "order 0": {"rotation_range": 60, "interpolation_order": 0},
    "order 3": {"rotation_range": 60, "interpolation_order": 3},
    "rescale": {"rescale": 1 / 255},
    "function": {"preprocessing_function": lambda image: image[..., ::-1] - 5.0, "rescale": 0.5},
    "samplewise centre": {"samplewise_center": True},
    "samplewise std": {"samplewise_center": True, "samplewise_std_normalization": True},
    "samplewise after everything": {
        "samplewise_center": True,
        "samplewise_std_normalization": True,
        "channel_shift_range": 30,
        "vertical_flip": True,
        "zoom_range": 0.2,
    },
    "brightness after order 3": {"brightness_range": (0.5, 1.5), "rotation_range": 30, "interpolation_order": 3},
}

FITTED = {
    "featurewise centre": {"featurewise_center": True},
    "featurewise std": {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 1 / 255},
    "zca": {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 1e-3, "rescale": 1 / 255},
}


def combination(number):
    """One of ten random combinations of everything that decides where pixels land and what they are."""
    random = np.random.default_rng(number)
    arguments = {
        "rotation_range": float(random.uniform(1, 90)),
        "width_shift_range": [0.2, 3.0, 3, [1, 2], [0.1, 0.2]][random.integers(5)],
        "height_shift_range": [0.2, 3.0, 3, [1, 2], [0.1, 0.2]][random.integers(5)],
        "shear_range": float(random.uniform(0, 40)),
        "zoom_range": float(random.uniform(0, 0.9)),
        "channel_shift_range": float(random.uniform(1, 90)),
        "brightness_range": (0.3, 1.7),
        "horizontal_flip": True,
        "vertical_flip": True,
        "fill_mode": ["nearest", "constant", "reflect", "wrap"][random.integers(4)],
        "cval": float(random.uniform(0, 255)),
        "interpolation_order": int(random.integers(0, 4)),
        "samplewise_center": True,
        "rescale": 1 / 127.5,
    }
    kept = random.random(len(arguments)) < 0.7
    return {name: value for (name, value), keep in zip(arguments.items(), kept, strict=True) if keep}


def pictures(shape, count=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.float32)


def assert_same_looks(arguments, shape, *, data_format="channels_last", seeds=range(4)):
    """Draws and pixels of ours and of Keras' for a few seeds, bit by bit, with NumPy's generator left alone."""
    keras, ours = KerasGenerator(**arguments, data_format=data_format), LegacyTransform(**arguments)
    ours.data_format = data_format
    image = pictures(shape)[0]
    if data_format == "channels_first":
        image = np.ascontiguousarray(image.transpose(2, 0, 1))
    for seed in seeds:
        theirs = keras.get_random_transform(image.shape, seed=seed)
        expected = keras.standardize(keras.random_transform(image.copy(), seed=seed))
        before = np.random.get_state()
        numbers = ours.draw(image.shape, np.random.RandomState(seed))
        pixels = ours.standardize(ours.apply(image.copy(), numbers))
        after = np.random.get_state()
        assert numbers == theirs
        assert list(numbers) == list(theirs)
        np.testing.assert_array_equal(pixels, expected)
        assert pixels.dtype == expected.dtype
        assert before[2:] == after[2:]
        np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.filterwarnings(KERAS_SCIPY)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("arguments", ALONE.values(), ids=ALONE.keys())
def test_each_argument_alone_gives_the_bits_of_keras(arguments, shape):
    assert_same_looks(arguments, shape)


@pytest.mark.filterwarnings(KERAS_SCIPY)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("number", range(10))
def test_ten_random_combinations_give_the_bits_of_keras(number, shape):
    assert_same_looks(combination(number), shape)


@pytest.mark.filterwarnings(KERAS_SCIPY)
@pytest.mark.parametrize("name", ["rotation", "height shift, fraction", "channel shift", "horizontal flip"])
def test_channels_first_gives_the_bits_of_keras(name):
    assert_same_looks(ALONE[name], (9, 14, 3), data_format="channels_first")


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.filterwarnings(KERAS_SCIPY)
def test_images_of_other_dtypes_give_the_bits_of_keras(dtype):
    arguments = {"rotation_range": 30, "channel_shift_range": 20}
    image = pictures((9, 14, 3))[0].astype(dtype)
    expected = KerasGenerator(**arguments).random_transform(image, seed=3)
    ours = LegacyTransform(**arguments)
    pixels = ours.apply(image, ours.draw(image.shape, np.random.RandomState(3)))
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == expected.dtype


@pytest.mark.filterwarnings(KERAS_SCIPY)
@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("shape", [(6, 6, 3), (5, 7, 1)], ids=str)
@pytest.mark.parametrize("arguments", FITTED.values(), ids=FITTED.keys())
def test_fitted_statistics_and_what_they_do_are_those_of_keras(arguments, shape, augment):
    images = pictures(shape, count=9)
    keras, ours = KerasGenerator(**arguments, rotation_range=20), LegacyTransform(**arguments, rotation_range=20)
    keras.fit(images, augment=augment, rounds=2, seed=5)
    ours.fit(images, np.random.RandomState(5), augment=augment, rounds=2)
    for name in ("mean", "std", "zca_whitening_matrix"):
        expected = getattr(keras, name)
        assert (getattr(ours, name) is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(getattr(ours, name), expected)
    np.testing.assert_array_equal(ours.standardize(images[0].copy()), keras.standardize(images[0].copy()))
    np.testing.assert_array_equal(ours.standardize(images.copy()), keras.standardize(images.copy()))


def test_height_shifts_move_sideways_as_in_keras():
    image = np.zeros((5, 9, 1), np.float32)
    image[2, 4] = 255
    moved = LegacyTransform().apply(image, {"tx": 2})
    assert np.argwhere(moved).tolist() == [[2, 2, 0]]


def test_nothing_drawn_gives_the_image_itself():
    image = pictures((4, 4, 3))[0]
    assert LegacyTransform().apply(image, {}) is image
    assert legacy_matrix({}, (4, 4)) is None


@pytest.fixture
def files(tmp_path):
    """Files of every kind that Keras' loading treats in its own way."""
    random = np.random.default_rng(3)
    grey = random.integers(0, 256, (13, 10)).astype(np.uint8)
    colours = random.integers(0, 256, (11, 16, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(colours).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(colours).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack([colours, colours[..., 0]])).save(tmp_path / "alpha.png")
    return sorted(tmp_path.iterdir())


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("keep", [False, True])
def test_files_load_as_with_keras(files, color_mode, keep):
    for path in files:
        for interpolation in ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"):
            if path.stem == "deep" and color_mode == "grayscale" and interpolation not in ("nearest", "bilinear"):
                continue
            options = {"color_mode": color_mode, "interpolation": interpolation, "keep_aspect_ratio": keep}
            for size in (None, (8, 8), (7, 12), (20, 6)):
                expected = img_to_array(load_img(path, target_size=size, **options))
                np.testing.assert_array_equal(load_image(path, target_size=size, **options), expected)


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(UnreadableImageError, match=r"notes\.jpg: cannot be read: cannot identify image file"):
        load_image(tmp_path / "notes.jpg")
    with pytest.raises(UnreadableImageError, match=r"gone\.jpg: cannot be read: .*No such file"):
        load_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_format": "middle"}, "data_format is 'channels_last' or 'channels_first'; got 'middle'"),
        ({"zoom_range": [1, 2, 3]}, r"zoom_range is a number or a pair \(low, high\) of numbers; got \[1, 2, 3\]"),
        ({"brightness_range": 2.0}, r"brightness_range is a pair \(low, high\) of numbers; got 2.0"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        LegacyTransform(**arguments)


def test_words_and_shapes_that_cannot_work_are_refused(tmp_path):
    image = pictures((4, 4, 3))[0]
    with pytest.raises(ArgumentError, match="color_mode is one of 'grayscale', 'rgb', 'rgba'; got 'bgr'"):
        load_image("x.png", color_mode="bgr")
    with pytest.raises(ArgumentError, match=r"interpolation is one of 'nearest', .*; got 'cubic'"):
        load_image("x.png", interpolation="cubic")
    with pytest.raises(ArgumentError, match=r"fill_mode='edge' with interpolation_order=1: SciPy says .*'nearest'"):
        LegacyTransform(fill_mode="edge").apply(image, {"theta": 5})
    with pytest.raises(ArgumentError, match="A picture has 1, 3 or 4 channels on its last axis; got 5"):
        stretched_image(np.zeros((4, 4, 5)))
    with pytest.raises(DataError, match=r"four axes, \(n, height, width, channels\); got \(4, 4, 3\)"):
        LegacyTransform().fit(image, np.random.RandomState(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"zca_whitening": True}, "zca_whitening switches featurewise_center on"),
        ({"featurewise_std_normalization": True}, "featurewise_std_normalization switches featurewise_center on"),
        ({"samplewise_std_normalization": True}, "samplewise_std_normalization switches samplewise_center on"),
    ],
)
def test_implied_arguments_are_said(arguments, message):
    with pytest.warns(UserWarning, match=message):
        transform = LegacyTransform(**arguments)
    assert transform.featurewise_center or transform.samplewise_center


def test_zca_takes_the_place_of_the_standard_deviation():
    with pytest.warns(UserWarning, match="zca_whitening switches featurewise_std_normalization off"):
        transform = LegacyTransform(featurewise_center=True, featurewise_std_normalization=True, zca_whitening=True)
    assert not transform.featurewise_std_normalization


def test_statistics_that_were_never_taken_are_warned_about():
    image = pictures((4, 4, 3))[0]
    with pytest.warns(UserWarning, match=r"featurewise_center does nothing before fit\(images\) was called"):
        assert LegacyTransform(featurewise_center=True).standardize(image) is image


def test_without_scipy_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'thawline\[legacy\]'"):
        LegacyTransform().apply(pictures((4, 4, 3))[0], {"theta": 5})
