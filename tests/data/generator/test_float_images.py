"""Images in memory that are no pixels of 8 bits: they keep their values."""

import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.errors import ArgumentError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")

RANDOM = np.random.default_rng(3)


def centred(shape=(5, 12, 16, 3)):
    return RANDOM.normal(0, 40, shape).astype(np.float32)


def shown(images, **arguments):
    return tl.ImageDataGenerator(**arguments).flow(images, batch_size=len(images), shuffle=False, seed=1)[0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_flips_move_values_of_any_number_of_channels(channels):
    images = centred((8, 5, 6, channels))
    found = shown(images, horizontal_flip=True)
    flipped = [np.array_equal(image, given[:, ::-1]) for image, given in zip(found, images, strict=True)]
    same = [np.array_equal(image, given) for image, given in zip(found, images, strict=True)]
    assert all(one != other for one, other in zip(flipped, same, strict=True))
    assert any(flipped)
    assert any(same)


def test_shifts_of_whole_pixels_move_values_to_the_bit():
    images = centred((1, 6, 9, 3))
    generator = tl.ImageDataGenerator()
    np.testing.assert_array_equal(generator.apply_transform(images[0], {"tx": 2})[:, :-2], images[0][:, 2:])


def test_half_a_pixel_is_the_mean_of_two():
    image = centred((1, 4, 8, 1))[0]
    moved = tl.ImageDataGenerator().apply_transform(image, {"tx": 0.5})
    np.testing.assert_allclose(moved[:, :-1], (image[:, :-1] + image[:, 1:]) / 2, atol=1e-4)


def test_sixteen_bits_turn_like_the_same_picture_in_eight():
    pixels = np.kron(RANDOM.integers(0, 256, (1, 4, 4, 1)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    deep = pixels.astype(np.uint16) * 257
    found = shown(deep, rotation_range=30)
    assert found.max() > 255
    np.testing.assert_allclose(found / 257, shown(pixels, rotation_range=30), atol=0.51)


def test_channel_shift_and_brightness_are_in_the_units_of_the_values():
    fractions = RANDOM.random((4, 3, 3, 3)).astype(np.float32)
    generator = tl.ImageDataGenerator(channel_shift_range=0.1)
    offset = generator.get_random_transform((3, 3, 3), seed=2)["channel_shift_intensity"]
    np.testing.assert_allclose(
        generator.random_transform(fractions[0], seed=2), (fractions[0] + offset).clip(0, 1), atol=1e-6
    )
    darker = shown(fractions, brightness_range=(0.5, 0.5))
    np.testing.assert_allclose(darker, fractions / 2, atol=1e-6)


def test_cubic_interpolation_stays_in_the_range_of_the_values():
    steps = np.zeros((1, 16, 16, 1), np.float32)
    steps[:, :, 8:] = 0.999
    assert shown(steps, rotation_range=45, interpolation_order=3).min() >= 0
    assert shown(steps, rotation_range=45, interpolation_order=3).max() <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(DataError, match=r"Images hold NaN or infinite values\. Replace them, like np\.nan_to_num"):
        tl.ImageDataGenerator().flow(np.full((1, 2, 2, 1), bad))


def test_text_is_refused():
    with pytest.raises(DataError, match=r"Images are numbers; got an array of <U1"):
        tl.ImageDataGenerator().flow(np.full((1, 2, 2, 1), "a"))


def test_zeros_and_ones_in_floats_are_fractions():
    masks = (RANDOM.random((3, 6, 6, 1)) > 0.5).astype(np.float32)
    np.testing.assert_allclose(shown(masks, brightness_range=(0.25, 0.25)), masks / 4)


def test_a_stack_takes_fractions_of_eight_bits_only():
    pixels = RANDOM.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
    source = tl.ImageDataGenerator(channel_shift_range=0.1).flow(pixels / 255.0, seed=1).source
    assert source.augmentation.channel_shift_range == pytest.approx(25.5)
    np.testing.assert_array_equal(source.pictures.pixels(2)[0], pixels[2])
    with pytest.raises(
        ArgumentError, match=r"takes pixels of 8 bits, but flow\(\) got other values, from 0 to 1\. Round"
    ):
        _ = tl.ImageDataGenerator().flow(RANDOM.random((2, 3, 3, 3))).source


def test_copies_of_values_span_the_range(tmp_path):

    images = np.linspace(-10, 30, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    next(tl.ImageDataGenerator().flow(images, save_to_dir=tmp_path))
    saved = np.asarray(Image.open(next(tmp_path.iterdir())))
    assert (saved.min(), saved.max()) == (0, 255)
