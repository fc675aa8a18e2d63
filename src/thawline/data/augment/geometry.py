"""Where pixels come from: one composed affine with one resampling, flips included.

Images and masks take the same way; masks with the nearest pixel only.
"""

import math
from typing import Literal

import cv2
import numpy as np

from thawline.data.augment.draw import Draw
from thawline.data.resize import by_channels

FillMode = Literal["constant", "nearest", "reflect", "wrap"]

# SciPy's names, as in ImageDataGenerator: its "reflect" repeats the edge pixel (d c b a | a b c d).
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}

# ImageDataGenerator's interpolation_order. SciPy's order 3 is a spline over the whole line, OpenCV's is a cubic over
# 4 pixels.
INTERPOLATIONS = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}


def affine_matrix(numbers: Draw, image_size: tuple[int, int]) -> np.ndarray:
    """The affine from output to input coordinates (x, y), float64 (2, 3).

    M = K C R(rotation) T(shift) S(shear) Z(zoom) C^-1 F, where C moves the origin to the image's centre
    ((width - 1) / 2, (height - 1) / 2), F mirrors, and K spreads the crop over the whole image: the rest moves what the
    crop shows, and takes what comes in at its edges from the image around it. The order and the signs from C to C^-1
    are those of Keras' `apply_affine_transform`.
    """
    height, width = image_size
    theta, shear = math.radians(numbers.rotation), math.radians(numbers.shear)
    cos, sin = math.cos(theta), math.sin(theta)
    # The linear part R S Z, written out: this runs once per view, and products of small arrays take four times as long.
    skew_x, skew_y = -cos * math.sin(shear) - sin * math.cos(shear), cos * math.cos(shear) - sin * math.sin(shear)
    a, b = cos * numbers.zoom_x, skew_x * numbers.zoom_y
    c, d = sin * numbers.zoom_x, skew_y * numbers.zoom_y
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x = centre_x + cos * numbers.shift_x - sin * numbers.shift_y - a * centre_x - b * centre_y
    y = centre_y + sin * numbers.shift_x + cos * numbers.shift_y - c * centre_x - d * centre_y
    if numbers.flip_horizontal:
        a, c, x, y = -a, -c, x + a * (width - 1), y + c * (width - 1)
    if numbers.flip_vertical:
        b, d, x, y = -b, -d, x + b * (height - 1), y + d * (height - 1)
    if numbers.crops:
        # K: a pixel's centre lies half a pixel from its edge.
        scale_x, scale_y = numbers.crop_width, numbers.crop_height
        a, b, x = a * scale_x, b * scale_x, scale_x * (x + 0.5) + numbers.crop_left * width - 0.5
        c, d, y = c * scale_y, d * scale_y, scale_y * (y + 0.5) + numbers.crop_top * height - 0.5
    return np.array([[a, b, x], [c, d, y]])


def move(image: np.ndarray, numbers: Draw, *, fill_mode: FillMode, cval: float, interpolation: int) -> np.ndarray:
    """The image with its pixels moved, (height, width, channels) or (height, width) as OpenCV gives it.

    Args:
        image: uint8, or of another dtype that OpenCV's warp takes.
        numbers: the view's draw.
        fill_mode: what lies beyond the edge.
        cval: the value there with "constant".
        interpolation: one of OpenCV's, from `INTERPOLATIONS`.
    """
    moved: np.ndarray = image
    if numbers.moves_pixels:
        height, width = image.shape[:2]
        matrix = affine_matrix(numbers, (height, width))
        moved = by_channels(
            image,
            lambda some: cv2.warpAffine(
                some,
                matrix,
                (width, height),
                flags=interpolation | cv2.WARP_INVERSE_MAP,
                borderMode=_BORDERS[fill_mode],
                borderValue=(cval,) * 4,
                hint=cv2.ALGO_HINT_ACCURATE,
            ),
        )
    elif numbers.flip_horizontal or numbers.flip_vertical:
        # OpenCV's codes: 1 mirrors left and right, 0 up and down, -1 both.
        both = numbers.flip_horizontal and numbers.flip_vertical
        moved = cv2.flip(image, -1 if both else int(numbers.flip_horizontal))
    return moved
