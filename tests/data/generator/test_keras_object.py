"""The object that scripts know from Keras: its attributes, arguments set later, methods and words."""

import numpy as np
import pandas as pd
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator
from PIL import Image

from thawline.backend import keras

pytestmark = [
    pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning"),
    # Keras calls SciPy by a name that SciPy is going to drop, and its iterators forget to call super().__init__.
    pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
    pytest.mark.filterwarnings("ignore:steps_per_epoch is smaller:UserWarning"),
]

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 256, (6, 32, 32, 3)).astype(np.uint8)
MOVES = {"rotation_range": 40, "width_shift_range": 0.1, "zoom_range": 0.2, "horizontal_flip": True}


# -- statistics, subclasses, words ---------------------------------------------------------------------------


def test_the_mean_of_imagenet_is_set_by_hand(generator, image_folder):
    folder = image_folder(2)
    mean = [123.68, 116.779, 103.939]
    datagen = generator(featurewise_center=True)
    datagen.mean = mean
    batches = datagen.flow_from_directory(str(folder), target_size=(8, 8), shuffle=False, batch_size=20)
    pixels = np.stack([np.asarray(Image.open(path)) for path in batches.filepaths])
    np.testing.assert_allclose(next(batches)[0], pixels - np.float32(mean), atol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_statistics_are_read_in_the_shapes_of_keras(generator, data_format):
    images = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    datagen = generator(featurewise_center=True, featurewise_std_normalization=True, data_format=data_format)
    assert datagen.mean is None
    datagen.fit(images)
    axes = (0, 1, 2) if data_format == "channels_last" else (0, 2, 3)
    assert datagen.mean.shape == ((1, 1, 3) if data_format == "channels_last" else (3, 1, 1))
    np.testing.assert_allclose(datagen.mean.ravel(), images.mean(axes), rtol=1e-4)
    np.testing.assert_allclose(datagen.std.ravel(), images.std(axes), rtol=1e-4)
    shown = next(datagen.flow(images, batch_size=6, shuffle=False))
    np.testing.assert_allclose(shown, (images - datagen.mean) / (datagen.std + 1e-6), atol=1e-3)


@pytest.mark.parametrize("of_each_value", [False, True])
def test_images_are_standardized_by_what_was_set(generator, of_each_value):
    datagen = generator(featurewise_center=True, featurewise_std_normalization=True)
    datagen.mean, datagen.std = (IMAGES.mean(0), IMAGES.std(0)) if of_each_value else (100.0, 50.0)
    shown = next(datagen.flow(IMAGES, batch_size=6, shuffle=False))
    np.testing.assert_allclose(shown, (IMAGES - datagen.mean) / (datagen.std + 1e-6), rtol=1e-4, atol=1e-4)


def test_fit_may_come_after_flow(generator):
    datagen = generator(featurewise_center=True)
    batches = datagen.flow(IMAGES, batch_size=6, shuffle=False)
    datagen.fit(IMAGES)
    np.testing.assert_allclose(next(batches).mean(axis=(0, 1, 2)), 0, atol=1e-3)


def test_arguments_may_be_set_later(generator):
    datagen = generator()
    batches = datagen.flow(IMAGES, batch_size=6, shuffle=False)
    datagen.rescale = 1 / 255
    np.testing.assert_allclose(next(batches), IMAGES / 255, rtol=1e-5)
    datagen.preprocessing_function = lambda image: 255 - image
    np.testing.assert_allclose(next(batches), (255.0 - IMAGES) / 255, atol=1e-6)


@pytest.mark.parametrize("method", ["apply_transform", "standardize", "get_random_transform"])
def test_methods_of_a_subclass_are_called(generator, method):
    class Mine(generator):
        def apply_transform(self, x, transform_parameters):
            moved = super().apply_transform(x, transform_parameters)
            return moved * 0 + 7 if method == "apply_transform" else moved

        def standardize(self, x):
            return super().standardize(x) * (2 if method == "standardize" else 1)

        def get_random_transform(self, img_shape, seed=None):
            numbers = super().get_random_transform(img_shape, seed)
            return {**numbers, "flip_vertical": True} if method == "get_random_transform" else numbers

    shown = next(Mine().flow(IMAGES, batch_size=6, shuffle=False))
    expected = {"apply_transform": np.full(IMAGES.shape, 7), "standardize": IMAGES * 2.0}
    np.testing.assert_allclose(shown, expected.get(method, IMAGES[:, ::-1]), rtol=1e-6)


def test_a_centred_array_keeps_its_values(generator):
    centred = IMAGES / 255.0
    centred -= centred.mean(0)
    shown = next(generator(horizontal_flip=True).flow(centred, batch_size=6, shuffle=False))
    for image, given in zip(shown, centred.astype(np.float32), strict=True):
        assert any(np.array_equal(image, other) for other in (given, given[:, ::-1]))


@pytest.mark.parametrize("levels", [4096, 65536])
def test_more_than_256_levels_keep_their_values(generator, levels):
    pixels = np.arange(levels - 4096, levels).reshape(1, 64, 64, 1)
    for given in (pixels.astype(np.float32) / (levels - 1), pixels.astype(np.int32)):
        np.testing.assert_allclose(next(generator().flow(given)), given, rtol=1e-6)


def test_one_seed_for_all_repeats_a_generator_without_one(generator):
    def look():
        keras.utils.set_random_seed(5)
        return next(generator(rotation_range=40).flow(IMAGES))

    np.testing.assert_array_equal(look(), look())
    assert not np.array_equal(*(next(generator(rotation_range=40).flow(IMAGES)) for _ in range(2)))


@pytest.mark.parametrize("word", ["has_ext", "sort", "drop_duplicates"])
def test_words_of_older_scripts_are_passed_over(generator, image_folder, word):
    folder = image_folder(2)
    table = pd.DataFrame({"filename": ["class0/000.png", "class1/001.png"], "class": ["a", "b"]})
    with pytest.warns(DeprecationWarning, match=word):
        batches = generator().flow_from_dataframe(table, str(folder), target_size=(8, 8), **{word: True})
    assert batches.n == 2


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "gif", "webp", "ppm"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_are_written_in_every_format(generator, tmp_path, ending):
    if generator is KerasGenerator and ending == "jpg":
        pytest.skip("Keras says jpg where Pillow wants JPEG only with newer Pillows")
    next(generator().flow(IMAGES, batch_size=2, save_to_dir=str(tmp_path), save_format=ending, seed=1))
    paths = list(tmp_path.iterdir())
    assert len(paths) == 2
    assert Image.open(paths[0]).size == (32, 32)


def test_whole_numbers_of_numpy_are_numbers(generator):
    batches = generator().flow(IMAGES, batch_size=np.int64(4), seed=np.int64(3))
    assert [len(next(batches)) for _ in range(2)] == [4, 2]
    assert len(batches[np.int64(1)]) == 2


def test_a_table_without_answers_needs_no_column_of_them(generator, image_folder):
    folder = image_folder(1, count=5)
    table = pd.DataFrame({"filename": [f"class0/{number:03d}.png" for number in range(5)]})
    options = {"y_col": None, "target_size": (8, 8), "batch_size": 3, "shuffle": False}
    test = generator().flow_from_dataframe(table, str(folder), class_mode=None, **options)
    assert next(test).shape == (3, 8, 8, 3)
    same = generator().flow_from_dataframe(table, str(folder), class_mode="input", **options)
    np.testing.assert_array_equal(*next(same))


def test_what_was_found_is_printed(generator, image_folder, capsys):
    folder = image_folder(2, count=9)
    generator().flow_from_directory(str(folder))
    table = pd.DataFrame({"filename": ["class0/000.png", "class1/001.png"], "class": ["a", "b"]})
    generator().flow_from_dataframe(table, str(folder))
    generator().flow_from_dataframe(table, str(folder), class_mode=None, validate_filenames=False)
    assert capsys.readouterr().out.splitlines() == [
        "Found 18 images belonging to 2 classes.",
        "Found 2 validated image filenames belonging to 2 classes.",
        "Found 2 non-validated image filenames.",
    ]


@pytest.mark.filterwarnings("ignore:One class in:UserWarning")
def test_a_folder_of_test_images_is_one_class(generator, image_folder):
    folder = image_folder({"unknown": 4})
    batches = generator().flow_from_directory(str(folder), target_size=(8, 8), shuffle=False)
    assert (batches.samples, batches.class_indices) == (4, {"unknown": 0})
    assert next(batches)[1].tolist() == [[1.0]] * 4
    flat = generator().flow_from_directory(str(folder / "unknown"), classes=["."], class_mode=None, target_size=(8, 8))
    assert flat.samples == 4


@pytest.mark.filterwarnings("ignore:Class folders without images:UserWarning")
def test_empty_class_folders_keep_their_number(generator, image_folder):
    folder = image_folder({"a": 2, "b": 0, "c": 2})
    batches = generator().flow_from_directory(str(folder), target_size=(8, 8), shuffle=False)
    assert batches.class_indices == {"a": 0, "b": 1, "c": 2}
    assert next(batches)[1].argmax(1).tolist() == [0, 0, 2, 2]


# -- attributes of iterators ---------------------------------------------------------------------------------


def test_a_loop_that_resets_before_a_pass_is_over_sees_all_images_in_time(generator):
    batches, seen = generator().flow(IMAGES, np.arange(6), batch_size=2, seed=3), set()
    for _ in range(12):
        batches.reset()
        for _ in range(2):
            seen |= set(next(batches)[1].tolist())
    assert seen == set(range(6))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_size_set_later_counts_for_loops(generator, shuffle):
    batches = generator().flow(IMAGES, np.arange(6), batch_size=6, seed=3, shuffle=shuffle)
    batches.batch_size = 4
    passes = [np.concatenate([next(batches)[1] for _ in range(2)]).tolist() for _ in range(3)]
    assert [sorted(answers) for answers in passes] == [list(range(6))] * 3
    assert (passes[0] == list(range(6))) is not shuffle


def test_shuffling_can_be_switched_off_later(generator):
    batches = generator().flow(IMAGES, np.arange(6), batch_size=6, seed=3)
    next(batches)
    batches.shuffle = False
    batches.reset()
    assert next(batches)[1].tolist() == list(range(6))


@pytest.mark.parametrize("subset", ["training", "validation"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_arrays_of_an_iterator_are_those_of_its_subset(generator, subset, kind):
    images = IMAGES.astype(kind) / kind(1 if kind is np.uint8 else 255)
    extra = np.arange(6) + 10
    given = generator(validation_split=0.34).flow(
        (images, extra), np.arange(6) / 2, subset=subset, shuffle=False, ignore_class_split=True, batch_size=6
    )
    (shown, also), answers = given[0]
    assert len(given.x) == len(given.y) == len(given.x_misc[0]) == given.n
    np.testing.assert_array_equal(given.y, answers)
    np.testing.assert_array_equal(given.x_misc[0], also)
    np.testing.assert_allclose(given.x, shown, atol=1e-6)


# -- functions of users --------------------------------------------------------------------------------------


def test_a_function_that_draws_from_numpy_is_repeated_by_its_seed(generator):
    """Cutout and noise are written so; threads would draw in any order."""

    def cut_out(image):
        top, left = np.random.randint(0, 24, 2)
        image[top : top + 8, left : left + 8] = np.random.uniform(0, 255)
        return image

    def look():
        keras.utils.set_random_seed(5)
        batches = generator(preprocessing_function=cut_out).flow(IMAGES, batch_size=6, seed=3)
        return np.stack([next(batches) for _ in range(4)])

    first = look()
    for _ in range(3):
        np.testing.assert_array_equal(look(), first)


def test_a_function_is_called_with_one_image_after_the_other(generator):
    inside, most = [], []

    def count(image):
        inside.append(1)
        most.append(len(inside))
        np.linalg.svd(image[..., 0])
        inside.pop()
        return image

    generator(preprocessing_function=count).flow(np.repeat(IMAGES, 8, 0), batch_size=48)[0]
    assert len(most) == 48
    assert max(most) == 1


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_a_look_at_one_picture_keeps_its_dtype_so_that_it_can_be_shown(generator, dtype):
    """Plotters take uint8 as 0 to 255, and floats as 0 to 1: pixels as floats would all be white."""
    moved = generator(rotation_range=40).random_transform(IMAGES[0].astype(dtype), seed=1)
    assert moved.dtype == dtype
    assert moved.max() > 1
    assert generator(rotation_range=40).random_transform(IMAGES[0] / 255, seed=1).dtype == np.float64
