"""What values become, against colorsys, Pillow, SciPy, Keras and NumPy."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage

from thawline.backend import keras
from thawline.data.augment import Augmentation, Draw
from thawline.errors import ArgumentError, DataError

RANDOM = np.random.default_rng(11)
COLOURS = RANDOM.integers(0, 256, (9, 13, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (9, 13, 1), dtype=np.uint8)
CHANGES = {
    "channel shift": Draw(channel_shift=40.3),
    "contrast": Draw(contrast=1.6),
    "saturation": Draw(saturation=0.3),
    "hue": Draw(hue=0.2),
    "grey": Draw(grayscale=True),
    "blur": Draw(blur=1.1),
    "noise": Draw(noise=12.0, entropy=5),
    "erasing": Draw(erase_left=0.2, erase_top=0.1, erase_width=0.5, erase_height=0.5, entropy=5),
}


def apply(image, numbers, **arguments):
    return Augmentation(**arguments).apply(image, numbers)


def rounded(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def through_hsv(image, change):
    pixels = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*(pixel / 255.0)))) for pixel in image.reshape(-1, 3)]
    return np.reshape(pixels, image.shape) * 255


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("image", [COLOURS, GREY], ids=["RGB", "grey"])
def test_every_change_takes_and_gives_uint8_of_its_shape_and_leaves_what_it_got(change, image):
    given = image.copy()
    given.setflags(write=False)
    changed = apply(given, CHANGES[change])
    assert changed.dtype == np.uint8 and changed.shape == image.shape
    np.testing.assert_array_equal(given, image)
    np.testing.assert_array_equal(changed, apply(image, CHANGES[change]))
    is_colour_only = change in ("saturation", "hue", "grey")
    assert np.array_equal(changed, image) == (is_colour_only and image is GREY)


@pytest.mark.parametrize("offset", [-300.0, -20.4, 0.3, 70.0])
def test_a_channel_shift_adds_one_offset_clipped_to_0_and_255(offset):
    np.testing.assert_array_equal(apply(COLOURS, Draw(channel_shift=offset)), rounded(COLOURS + offset))


def test_a_flat_image_is_shifted_too():
    """Keras clips to the image's own smallest and largest value, which leaves a flat image as it was."""
    assert (apply(np.full((3, 3, 3), 100, np.uint8), Draw(channel_shift=20.0)) == 120).all()


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.5])
@pytest.mark.parametrize("image", [COLOURS, GREY], ids=["RGB", "grey"])
def test_contrast_is_that_of_keras(image, factor):
    layer = keras.layers.RandomContrast(0.5)
    expected = layer.transform_images(
        keras.ops.convert_to_tensor(image, "float32"), {"contrast_factor": keras.ops.full((1, 1, 1), factor)}
    )
    found = apply(image, Draw(contrast=factor)).astype(float)
    assert np.abs(found - keras.ops.convert_to_numpy(expected)).max() <= 0.502


def test_shift_brightness_and_contrast_together_are_rounded_once():
    numbers = Draw(channel_shift=33.3, brightness=0.51, contrast=1.7)
    values = np.clip(np.clip(COLOURS + 33.3, 0, 255) * 0.51, 0, 255)
    means = values.mean((0, 1))
    np.testing.assert_array_equal(apply(COLOURS, numbers), rounded((values - means) * 1.7 + means))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.5, 50.0])
def test_saturation_is_a_factor_in_hsv(factor):
    expected = through_hsv(COLOURS, lambda h, s, v: (h, min(s * factor, 1), v))
    assert np.abs(apply(COLOURS, Draw(saturation=factor)) - expected).max() <= 0.51
    # By the other way, that a hue takes: a whole turn changes nothing.
    assert np.abs(apply(COLOURS, Draw(saturation=factor, hue=1.0)) - expected).max() <= 0.51


@pytest.mark.parametrize("turn", [-1.0, -0.3, 0.05, 0.5, 0.9])
def test_hue_turns_the_colour_circle(turn):
    expected = through_hsv(COLOURS, lambda h, s, v: ((h + turn) % 1, s, v))
    assert np.abs(apply(COLOURS, Draw(hue=turn)) - expected).max() <= 0.51


def test_a_third_of_a_turn_makes_red_green():
    red = np.zeros((2, 2, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    assert apply(red, Draw(hue=1 / 3))[0, 0].tolist() == [0, 200, 0]


def test_black_white_and_grey_have_neither_hue_nor_saturation():
    flat = np.repeat(np.array([[[0], [128], [255]]], np.uint8), 3, axis=2)
    np.testing.assert_array_equal(apply(flat, Draw(hue=0.3, saturation=3.0)), flat)
    np.testing.assert_array_equal(apply(flat, Draw(saturation=3.0)), flat)


def test_grey_is_the_luma_of_television():
    expected = rounded(COLOURS @ np.array([0.299, 0.587, 0.114]))
    found = apply(COLOURS, Draw(grayscale=True))
    assert (found == found[..., :1]).all()
    assert np.abs(found[..., 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.4])
@pytest.mark.parametrize("image", [COLOURS, GREY], ids=["RGB", "grey"])
def test_blur_is_scipys_gaussian(image, sigma):
    expected = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror")
    assert np.abs(apply(image, Draw(blur=sigma)) - expected).max() <= 0.6


def test_noise_has_the_drawn_deviation_and_is_of_its_own_in_every_value():
    flat = np.full((100, 100, 3), 128, np.uint8)
    noise = apply(flat, Draw(noise=10.0, entropy=3)).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=0.3)
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.05
    assert not np.array_equal(noise + 128, apply(flat, Draw(noise=10.0, entropy=4)))


def test_erasing_fills_the_rectangle_and_nothing_else():
    numbers = Draw(erase_left=0.1, erase_top=0.5, erase_width=0.3, erase_height=0.25)
    erased = apply(np.full((20, 10, 3), 9, np.uint8), numbers, erasing_value=77)
    expected = np.full((20, 10, 3), 9, np.uint8)
    expected[10:15, 1:4] = 77
    np.testing.assert_array_equal(erased, expected)


def test_erased_pixels_are_uniform_noise_by_default():
    erased = apply(np.zeros((80, 80, 3), np.uint8), Draw(erase_width=1.0, erase_height=1.0, entropy=8))
    # Of 19200 values, 75 each expected: standard deviation below 9.
    assert np.abs(np.bincount(erased.ravel(), minlength=256) - 75).max() < 50


# -- users' functions ------------------------------------------------------------------------------------------


def test_functions_run_in_order_on_uint8_after_everything_else():
    seen = []

    def first(image, rng):
        seen.append(image.copy())
        image[...] = 10
        return image

    found = apply(COLOURS, Draw(brightness=0.5), functions=[first, lambda image, rng: image * np.uint8(3)])
    np.testing.assert_array_equal(seen[0], rounded(COLOURS * 0.5))
    assert (found == 30).all()


def test_functions_get_the_same_generator_whatever_else_is_on():
    def fill(image, rng):
        return np.full_like(image, rng.integers(256))

    def value(**arguments):
        augmentation = Augmentation(functions=[fill], **arguments)
        return int(apply(COLOURS, augmentation.draw(7, b"x", 3, image_size=(9, 13)), functions=[fill]).max())

    assert value() == value(noise_range=5, erasing_probability=1.0, rotation_range=20)


def test_numpys_global_generator_is_not_touched():
    before = np.random.get_state()[1].copy()
    augmentation = Augmentation(
        noise_range=9, erasing_probability=1.0, functions=[lambda image, rng: rng.permutation(image)]
    )
    apply(COLOURS, augmentation.draw(7, b"x", 0, image_size=(9, 13)))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("function", "came"),
    [
        (lambda image, rng: image / 2, r"float64 \(9, 13, 3\)"),
        (lambda image, rng: image[:5], r"uint8 \(5, 13, 3\)"),
        (lambda image, rng: None, "NoneType"),
    ],
)
def test_functions_that_give_no_such_image_are_named(function, came):
    with pytest.raises(
        DataError, match=rf"functions: '<lambda>' expects to give uint8 \(9, 13, 3\).*but gave {came}. Round"
    ):
        apply(COLOURS, Draw(), functions=[function])


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel_shift_range": -1}, "channel_shift_range is a number from 0 up; got -1"),
        ({"contrast_range": 1.5}, r"contrast_range is a pair \(low, high\) with low at most high; got \(-0.5, 2.5\)"),
        ({"saturation_range": "x"}, r"saturation_range is a pair \(low, high\) of numbers; got 'x'"),
        ({"hue_range": 18}, r"hue_range .* from -1 to 1; got \(-18, 18\). It is in turns of the colour circle"),
        ({"grayscale_probability": 2}, "grayscale_probability is a probability from 0 to 1; got 2"),
        ({"erasing_probability": True}, "erasing_probability is a probability from 0 to 1; got True"),
        ({"blur_range": -1}, "blur_range is a pair"),
        ({"noise_range": (3, 1)}, "noise_range is a pair"),
        ({"erasing_area_range": (0, 1)}, "erasing_area_range .* from 0.001 to 1; got"),
        ({"erasing_value": 300}, "erasing_value is a pixel value from 0 to 255; got 300"),
        ({"crop_area_range": 0.5}, r"crop_area_range is a pair \(low, high\) of numbers; got 0.5"),
        ({"crop_aspect_range": (0, 1)}, "crop_aspect_range .* from 0.01 to 100; got"),
        ({"functions": len}, r"functions is a list of functions \(image, rng\) -> image; got"),
        ({"horizontal_flip": 1}, "horizontal_flip is True or False; got 1"),
        ({"interpolation_order": 2}, r"interpolation_order is 0 \(nearest\), 1 \(linear\) or 3 \(cubic\); got 2"),
        ({"width_shift_range": []}, r"width_shift_range as a list has one finite number or more; got \[\]"),
        (
            {"data_format": "channels_first"},
            r"data_format is 'channels_last'.*got 'channels_first'. Put keras.layers.Perm",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**arguments)
