"""Where pixels come from: one composed affine with one resampling, then flips.

Images and masks take the same way; masks with the nearest pixel only.
"""

import math
from typing import Literal

import cv2
import numpy as np

from thawline.data.augment.draw import Draw

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

    M = K C R(rotation) T(shift) S(shear) Z(zoom) C^-1, where C moves the origin to the image's centre
    ((width - 1) / 2, (height - 1) / 2) and K spreads the crop over the whole image: the rest moves what the crop
    shows, and takes what comes in at its edges from the image around it. The order and the signs from C on are
    those of Keras' `apply_affine_transform`.
    """
    height, width = image_size
    theta, shear = math.radians(numbers.rotation), math.radians(numbers.shear)
    centre = _translation((width - 1) / 2, (height - 1) / 2)
    back = _translation(-(width - 1) / 2, -(height - 1) / 2)
    rotation = np.array([[math.cos(theta), -math.sin(theta), 0], [math.sin(theta), math.cos(theta), 0], [0, 0, 1]])
    shearing = np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([numbers.zoom_x, numbers.zoom_y, 1.0])
    matrix: np.ndarray = centre @ rotation @ _translation(numbers.shift_x, numbers.shift_y) @ shearing @ zoom @ back
    if numbers.crops:
        matrix = _crop(numbers, image_size) @ matrix
    return matrix[:2]


def move(image: np.ndarray, numbers: Draw, *, fill_mode: FillMode, cval: float, interpolation: int) -> np.ndarray:
    """The image with its pixels moved, (height, width, channels) or (height, width) as OpenCV gives it.

    Args:
        image: uint8, or of another dtype that OpenCV's warp takes.
        numbers: the view's draw.
        fill_mode: what lies beyond the edge.
        cval: the value there with "constant".
        interpolation: one of OpenCV's, from `INTERPOLATIONS`.
    """
    if numbers.moves_pixels:
        height, width = image.shape[:2]
        image = cv2.warpAffine(
            image,
            affine_matrix(numbers, (height, width)),
            (width, height),
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=_BORDERS[fill_mode],
            borderValue=(cval,) * 4,
            hint=cv2.ALGO_HINT_ACCURATE,
        )
    # OpenCV's codes: 1 mirrors left and right, 0 up and down, -1 both.
    if numbers.flip_horizontal or numbers.flip_vertical:
        image = cv2.flip(
            image,
            -1 if numbers.flip_horizontal and numbers.flip_vertical else int(numbers.flip_horizontal),
        )
    return image


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _crop(numbers: Draw, image_size: tuple[int, int]) -> np.ndarray:
    """From pixels of the whole to pixels of the crop. A pixel's centre lies half a pixel from its edge."""
    height, width = image_size
    x = numbers.crop_left * width + 0.5 * numbers.crop_width - 0.5
    y = numbers.crop_top * height + 0.5 * numbers.crop_height - 0.5
    return np.array([[numbers.crop_width, 0.0, x], [0.0, numbers.crop_height, y], [0.0, 0.0, 1.0]])
