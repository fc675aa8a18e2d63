"""Sizes against Pillow, NumPy and hand calculations."""

import numpy as np
import pytest
from PIL import Image

from thawline.data.resize import resize_pixels

RANDOM = np.random.default_rng(0)


def square(height, width, channels=3):
    return RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_crop_takes_the_largest_centred_part_of_the_right_aspect():
    wide, tall = square(6, 20), square(20, 6)
    np.testing.assert_array_equal(resize_pixels(wide, (6, 6), resize="crop"), wide[:, 7:13])
    np.testing.assert_array_equal(resize_pixels(tall, (6, 6), resize="crop"), tall[7:13])
    # 6 rows at 1:2 are 12 columns, from column 4; then halved.
    expected = wide[:, 4:16].reshape(3, 2, 6, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_pixels(wide, (3, 6), resize="crop"), expected, atol=0.51)


def test_pad_fits_the_whole_image_inside_and_fills_the_rest():
    wide = square(4, 8)
    padded = resize_pixels(wide, (8, 8), resize="pad", fill=(1, 2, 3))
    np.testing.assert_array_equal(padded[2:6], wide)
    assert (padded[[0, 1, 6, 7]] == (1, 2, 3)).all()
    tall = resize_pixels(wide.transpose(1, 0, 2), (8, 8), resize="pad", fill=(1, 2, 3))
    np.testing.assert_array_equal(tall, padded.transpose(1, 0, 2))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "area", "bicubic", "lanczos"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 500), (500, 1), (1, 1), (7, 5)])
def test_every_way_gives_the_size_that_was_asked_for(resize, interpolation, channels, size):
    fill = (0,) * channels
    pixels = resize_pixels(square(*size, channels), (6, 9), resize=resize, interpolation=interpolation, fill=fill)
    assert (pixels.shape, pixels.dtype) == ((6, 9, channels), np.uint8)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_images_of_the_right_size_stay_as_they_are(resize):
    pixels = square(6, 9)
    np.testing.assert_array_equal(resize_pixels(pixels, (6, 9), resize=resize, interpolation="lanczos"), pixels)


@pytest.mark.parametrize(
    # Pillow's bicubic has the parameter -0.5 and OpenCV's -0.75; Lanczos has 6 and 8 taps.
    ("interpolation", "resample", "tolerance"),
    [
        ("nearest", Image.Resampling.NEAREST, 0),
        ("bilinear", Image.Resampling.BILINEAR, 1),
        ("bicubic", Image.Resampling.BICUBIC, 4),
        ("lanczos", Image.Resampling.LANCZOS, 4),
    ],
)
def test_enlarging_gives_nearly_what_pillow_gives(interpolation, resample, tolerance):
    y, x = np.mgrid[0:16, 0:16]
    smooth = (128 + 100 * np.sin(x / 4) * np.cos(y / 5)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(smooth).resize((48, 32), resample)).astype(int)
    pixels = resize_pixels(smooth[..., None], (32, 48), interpolation=interpolation)[..., 0]
    assert np.abs(pixels - expected).max() <= tolerance


def test_area_gives_what_pillows_box_gives_when_shrinking():
    pixels = square(60, 90)
    expected = np.asarray(Image.fromarray(pixels).resize((30, 20), Image.Resampling.BOX)).astype(int)
    assert np.abs(resize_pixels(pixels, (20, 30), interpolation="area") - expected).max() <= 1


# OpenCV's nearest takes the first pixel of the five, the others the middle one.
@pytest.mark.parametrize(
    ("interpolation", "seen"), [("nearest", 0), ("bilinear", 255), ("bicubic", 255), ("lanczos", 255)]
)
def test_all_but_area_alias_when_shrinking(interpolation, seen):
    # One white column in five is 51 of 255 from afar; a sample of every five sees all of it or nothing.
    stripes = np.tile(np.array([0, 0, 255, 0, 0], np.uint8), (25, 10))[..., None]
    assert (resize_pixels(stripes, (5, 10), interpolation="area") == 51).all()
    assert (resize_pixels(stripes, (5, 10), interpolation=interpolation) == seen).all()


def test_hidden_colours_do_not_show_at_the_edges_of_what_is_seen():
    # Seen red beside hidden green: the mean of both is half-transparent red.
    pair = np.array([[[200, 0, 0, 255], [0, 255, 0, 0]]], np.uint8)
    assert resize_pixels(pair, (1, 1)).tolist() == [[[200, 0, 0, 128]]]


def test_alpha_is_weighed_as_pillow_does():
    pixels = square(40, 40, 4)
    expected = np.asarray(Image.fromarray(pixels).resize((10, 10), Image.Resampling.BOX)).astype(int)
    assert np.abs(resize_pixels(pixels, (10, 10)) - expected).max() <= 2


def test_what_is_fully_transparent_has_no_colour():
    assert resize_pixels(np.full((4, 4, 4), (9, 9, 9, 0), np.uint8), (2, 2)).max() == 0
