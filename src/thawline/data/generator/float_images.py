"""Images in memory whose values are no pixels of 8 bits: fractions, centred values, more than 256 levels.

They keep their values: what moves is interpolated in the floats themselves, and nothing is rounded. Whole numbers from
0 to 255 are pixels, and take the way of files; zeros and ones in floats are fractions.
"""

import numpy as np

from thawline.data.augment import Augmentation, Draw
from thawline.data.augment.geometry import INTERPOLATIONS, move
from thawline.errors import DataError
from thawline.specs import ValueRange

# Rows that are looked at together: a temporary copy of a large array would not fit beside it.
_ROWS = 256

# Fractions lie at most so far from a whole number of 255ths, in 255ths, when they were pixels of 8 bits.
_NEAR = 1e-3


def are_pixels(images: np.ndarray) -> bool:
    """Tells whether all values are whole numbers from 0 to 255, and not just zeros and ones in floats.

    Args:
        images: of any dtype and shape.

    Example:
        >>> are_pixels(np.array([0.0, 255.0])), are_pixels(np.array([0.5])), are_pixels(np.array([256]))
        (True, False, False)
    """
    if images.dtype == np.uint8:
        return True
    if images.dtype.kind not in "biuf":
        return False
    if images.dtype.kind == "f" and images.size and 0 < images.max() <= 1:
        return False
    parts = (images[start : start + _ROWS] for start in range(0, len(images), _ROWS))
    return all(bool(((part >= 0) & (part <= 255) & (part == np.rint(part))).all()) for part in parts)


def range_of(images: np.ndarray) -> ValueRange:
    """The range that values belong to: 0 to 1 or 0 to 255 where all lie in it, else their own smallest and largest.

    Raises:
        DataError: there are values that are no numbers, or not finite.

    Example:
        >>> range_of(np.array([0.1, 0.5])), range_of(np.array([1.5])), range_of(np.array([-1.0, 3.0]))
        ((0.0, 1.0), (0.0, 255.0), (-1.0, 3.0))
    """
    if images.dtype.kind not in "biuf":
        raise DataError(f"Images are numbers; got an array of {images.dtype}. Convert them to uint8 or float32.")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not np.isfinite([low, high]).all():
        raise DataError("Images hold NaN or infinite values. Replace them, like np.nan_to_num(images).")
    for bound in (1.0, 255.0):
        if 0 <= low <= high <= bound:
            return 0.0, bound
    return low, high


def as_eight_bits(values: np.ndarray) -> np.ndarray | None:
    """Fractions that were pixels of 8 bits, as these pixels, uint8; None where the values are others.

    Example:
        >>> as_eight_bits(np.array([0, 128 / 255])).tolist(), as_eight_bits(np.array([0.1234]))
        ([0, 128], None)
    """
    scaled = np.asarray(values, np.float64) * 255
    pixels = np.rint(scaled)
    if not (((pixels >= 0) & (pixels <= 255)).all() and (np.abs(scaled - pixels) <= _NEAR).all()):
        return None
    return pixels.astype(np.uint8)


def transform_values(
    image: np.ndarray, numbers: Draw, augmentation: Augmentation, value_range: ValueRange
) -> np.ndarray:
    """One image as the numbers say: affine and flips, channel shift, brightness.

    Args:
        image: float (height, width, channels).
        numbers: the draw; a channel shift is in the units of the values.
        augmentation: its fill_mode, cval (in the units of the values) and interpolation_order.
        value_range: results of channel shift, brightness and cubic interpolation are clipped to it; brightness is a
            factor on the distance from its lower end.

    Returns:
        float of the same dtype and shape.
    """
    low, high = value_range
    order = augmentation.interpolation_order
    moved = move(
        image,
        numbers,
        fill_mode=augmentation.fill_mode,
        cval=augmentation.cval,
        interpolation=INTERPOLATIONS[order],
    ).reshape(image.shape)
    if order == 3 and numbers.moves_pixels:
        # A cubic overshoots at edges.
        moved = moved.clip(low, high)
    if numbers.channel_shift:
        moved = (moved + numbers.channel_shift).clip(low, high)
    if numbers.brightness != 1:
        moved = (low + (moved - low) * numbers.brightness).clip(low, high)
    return moved.astype(image.dtype, copy=False)
