"""What a SavedModel makes of pixels is what OpenCV makes of them in the training."""

import numpy as np
import pytest
import skimage.data

from thawline.data.resize import resize_pixels as by_opencv
from thawline.export.in_graph_resize import resize_pixels as in_graph

TARGET = (32, 24)
# Shrinking by whole and by broken factors, by two, growing, and one axis each.
SIZES = [(96, 72), (64, 48), (101, 83), (20, 15), (100, 15), (15, 100), (1, 1), (1, 70), (32, 24)]


def picture(size, channels=3):
    """A part of a photo; noise, in which every rounding shows, where the sum of the sides is odd."""
    if sum(size) % 2:
        return np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)
    return np.ascontiguousarray(skimage.data.coffee()[: size[0], : size[1], :channels])


def largest_difference(size, resize, interpolation, channels=3):
    options = {"resize": resize, "interpolation": interpolation, "fill": (250, 7, 99)[:channels]}
    expected = by_opencv(picture(size, channels), TARGET, **options)
    given = in_graph(picture(size, channels), TARGET, **options).numpy()
    assert given.shape == expected.shape
    assert given.dtype == np.uint8
    return int(np.abs(given.astype(int) - expected).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["area", "bilinear", "nearest"])
def test_areas_lines_and_nearest_pixels_are_opencvs_to_the_bit(size, resize, interpolation):
    assert largest_difference(size, resize, interpolation) == 0


@pytest.mark.parametrize("size", [(101, 83), (20, 15)])
@pytest.mark.parametrize("interpolation", ["bicubic", "lanczos"])
def test_kernels_of_more_pixels_are_opencvs_to_one_grey_level(size, interpolation):
    assert largest_difference(size, "stretch", interpolation) <= 1


def test_grey_images_keep_their_one_channel():
    assert largest_difference((101, 83), "pad", "area", channels=1) == 0
