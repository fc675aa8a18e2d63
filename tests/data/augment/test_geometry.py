"""Crops, interpolation orders and masks, against NumPy, Pillow and hand calculations."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from thawline.data.augment import Augmentation, Draw, affine_matrix
from thawline.errors import ArgumentError, DataError

RANDOM = np.random.default_rng(5)
NOISE = RANDOM.integers(0, 256, (12, 20, 3), dtype=np.uint8)
# The left upper quarter but one column and row, as parts of 20 x 12.
CROP = {"crop_left": 0.05, "crop_top": 1 / 12, "crop_width": 0.5, "crop_height": 0.5}


def test_a_crop_is_pillows_resize_of_the_box():
    cropped = Augmentation().apply(NOISE, Draw(**CROP))
    expected = np.asarray(Image.fromarray(NOISE).resize((20, 12), Image.Resampling.BILINEAR, box=(1, 1, 11, 7)))
    # Pillow repeats pixels at the box's edge; the affine takes what lies beyond.
    np.testing.assert_allclose(cropped[1:-1, 1:-1].astype(int), expected[1:-1, 1:-1], atol=1)
    assert cropped.shape == NOISE.shape and cropped.dtype == np.uint8


def test_a_crop_comes_before_the_other_moves_in_the_one_matrix():
    moved = affine_matrix(Draw(**CROP, shift_x=2.0), (12, 20))
    # Output x shows x + 2 of the crop, and a pixel of the crop is half a pixel wide and begins at 1.
    x, y = moved @ [4, 6, 1]
    assert (x, y) == pytest.approx((1 + (4 + 2 + 0.5) / 2 - 0.5, 1 + (6 + 0.5) / 2 - 0.5))


def test_a_crop_with_a_shift_brings_in_the_image_around_it():
    column = np.arange(20, dtype=np.uint8)[None, :, None] * np.ones((12, 1, 1), np.uint8)
    shifted = Augmentation(fill_mode="constant", cval=255).apply(
        column, Draw(crop_width=0.5, crop_left=0.25, shift_x=6.0)
    )
    # The crop ends at column 15; 6 output pixels further lie 3 columns more.
    assert shifted[0, -1, 0] == round(5 + (19 + 6 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("numbers", [Draw(rotation=31.0), Draw(zoom_x=1.3, zoom_y=0.8, shift_y=1.3)])
def test_order_0_takes_the_nearest_pixel(numbers):
    x, y = affine_matrix(numbers, (12, 20)) @ np.stack(
        [*(grid.ravel() for grid in np.mgrid[0:12, 0:20][::-1]), np.ones(240)]
    )
    expected = ndimage.map_coordinates(NOISE[..., 0], [y, x], order=0, mode="nearest").reshape(12, 20)
    found = Augmentation(interpolation_order=0).apply(NOISE, numbers)[..., 0]
    # Points half way between two pixels may fall to either.
    assert (found != expected).mean() < 0.01


def test_order_3_is_a_cubic_over_four_pixels():
    row = np.array([[[10], [200], [90], [40], [250], [30]]], np.uint8)
    found = Augmentation(interpolation_order=3).apply(row, Draw(shift_x=0.5))[0, :, 0]
    # Keys' kernel with a = -0.75, which OpenCV uses, half way: (-3, 19, 19, -3) / 32.
    weights = np.array([-3, 19, 19, -3]) / 32
    values = row[0, :, 0].astype(float)
    assert found[1:4].tolist() == [round(float(weights @ values[at : at + 4])) for at in range(3)]


def test_order_3_stays_within_0_and_255():
    steps = np.repeat(np.array([0, 0, 0, 255, 255, 255], np.uint8), 2)[None, :, None]
    found = Augmentation(interpolation_order=3).apply(steps, Draw(shift_x=0.5))
    # Without a limit the cubic goes beyond both ends beside the step.
    assert found.min() == 0 and found.max() == 255 and (np.diff(found[0, :, 0].astype(int)) >= 0).all()


# -- masks -----------------------------------------------------------------------------------------------------

MOVE = Draw(rotation=25.0, shift_x=2.0, zoom_x=1.4, flip_horizontal=True, **CROP)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int16, np.int32, np.int64, np.uint32])
def test_masks_keep_dtype_shape_and_ids(dtype):
    mask = RANDOM.integers(0, 2 if dtype is bool else 100, (12, 20)).astype(dtype)
    moved = Augmentation().apply_mask(mask, MOVE)
    assert moved.dtype == dtype and moved.shape == mask.shape
    assert set(np.unique(moved)) <= set(np.unique(mask))
    np.testing.assert_array_equal(Augmentation().apply_mask(mask[..., None], MOVE), moved[..., None])


def test_large_ids_come_through():
    mask = np.full((4, 4), 2**31 - 7, np.int32)
    assert (Augmentation().apply_mask(mask, Draw(rotation=10.0)) == 2**31 - 7).all()


def test_a_mask_moves_as_its_image_does():
    mask = RANDOM.integers(0, 256, (12, 20), dtype=np.uint8)
    nearest = Augmentation(interpolation_order=0)
    np.testing.assert_array_equal(Augmentation().apply_mask(mask, MOVE), nearest.apply(mask[..., None], MOVE)[..., 0])


def test_colours_noise_and_erasing_leave_a_mask_alone():
    mask = RANDOM.integers(0, 9, (12, 20), dtype=np.uint8)
    numbers = Draw(brightness=2.0, contrast=3.0, noise=20.0, blur=2.0, erase_width=1.0, erase_height=1.0, entropy=3)
    augmentation = Augmentation(functions=[lambda image, rng: 255 - image], rescale=0.5)
    np.testing.assert_array_equal(augmentation.apply_mask(mask, numbers), mask)


def test_beyond_the_edge_a_mask_has_mask_cval_or_what_the_image_shows():
    mask = np.array([[1, 2, 3, 4]], np.uint8)
    right = Draw(shift_x=-2.0)
    found = {
        mode: Augmentation(fill_mode=mode, cval=200).apply_mask(mask, right)[0].tolist()
        for mode in ("constant", "nearest", "reflect", "wrap")
    }
    assert found == {"constant": [0, 0, 1, 2], "nearest": [1, 1, 1, 2], "reflect": [2, 1, 1, 2], "wrap": [3, 4, 1, 2]}
    assert Augmentation(fill_mode="constant", mask_cval=255).apply_mask(mask, right)[0].tolist() == [255, 255, 1, 2]


@pytest.mark.parametrize("mask", [np.zeros((3, 3)), np.zeros(3, int), np.zeros((1, 3, 3, 1), int)])
def test_masks_that_are_no_ids_of_pixels_are_refused(mask):
    with pytest.raises(
        DataError, match=r"A mask is integers or booleans of shape \(height, width\).*got (float|int)64 \("
    ):
        Augmentation().apply_mask(mask, Draw())


def test_a_negative_mask_cval_is_refused():
    with pytest.raises(ArgumentError, match="mask_cval is a whole number from 0 up; got -1"):
        Augmentation(mask_cval=-1)
