"""Pixels of any size -> pixels of one size: stretched, cropped or padded."""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

Resize = Literal["stretch", "crop", "pad"]
Interpolation = Literal["nearest", "bilinear", "area", "bicubic", "lanczos"]

# How many channels images in files have: grey, RGB, RGBA.
FILE_CHANNELS = (1, 3, 4)

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def resize_pixels(
    pixels: np.ndarray,
    image_size: tuple[int, int],
    *,
    resize: Resize = "stretch",
    interpolation: Interpolation = "area",
    fill: tuple[int, ...] = (255, 255, 255),
) -> np.ndarray:
    """Pixels of `image_size`: uint8 (height, width, channels), 0 to 255; uint16 stays uint16.

    Args:
        pixels: uint8 (any height, any width, 1, 3 or 4 channels). The fourth is alpha: colours are then weighted with
            it, so that what lies hidden under transparent pixels does not show at their edges.
        image_size: height and width in pixels.
        resize: "stretch" changes the aspect, "crop" takes the largest centred part of the right aspect, "pad" fits the
            whole image inside, centred, on `fill`.
        interpolation: see `Decoding`.
        fill: the colour around a padded image, one number per channel, 0 to 255.

    Example:
        >>> row = np.array([[10, 20, 30, 40]], np.uint8)[..., None]
        >>> resize_pixels(row, (1, 2))[..., 0].tolist()
        [[15, 35]]
        >>> resize_pixels(row, (1, 1), resize="crop", interpolation="nearest")[..., 0].tolist()
        [[20]]
        >>> resize_pixels(row, (3, 4), resize="pad", fill=(0,))[..., 0].tolist()
        [[0, 0, 0, 0], [10, 20, 30, 40], [0, 0, 0, 0]]
    """
    if pixels.shape[:2] == image_size:
        return pixels
    return _MODES[resize](pixels, image_size, interpolation, fill)


def _stretch(
    pixels: np.ndarray, image_size: tuple[int, int], interpolation: Interpolation, fill: tuple[int, ...]
) -> np.ndarray:
    height, width = image_size
    if pixels.shape[:2] == image_size:
        return pixels
    if pixels.shape[2] == 4 and interpolation != "nearest":
        return _stretch_weighted(pixels, image_size, interpolation)
    stretched: np.ndarray = cv2.resize(pixels, (width, height), interpolation=INTERPOLATIONS[interpolation])
    return stretched.reshape(height, width, pixels.shape[2])


def _crop(
    pixels: np.ndarray, image_size: tuple[int, int], interpolation: Interpolation, fill: tuple[int, ...]
) -> np.ndarray:
    height, width = pixels.shape[:2]
    target_height, target_width = image_size
    # The larger side is cut to the aspect of the target; the smaller one stays whole.
    kept_height = min(height, max(1, round(width * target_height / target_width)))
    kept_width = min(width, max(1, round(height * target_width / target_height)))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    part = pixels[top : top + kept_height, left : left + kept_width]
    return np.ascontiguousarray(_stretch(part, image_size, interpolation, fill))


def _pad(
    pixels: np.ndarray, image_size: tuple[int, int], interpolation: Interpolation, fill: tuple[int, ...]
) -> np.ndarray:
    height, width = pixels.shape[:2]
    target_height, target_width = image_size
    scale = min(target_height / height, target_width / width)
    fitted = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (target_height - fitted[0]) // 2, (target_width - fitted[1]) // 2
    padded = np.empty((*image_size, pixels.shape[2]), pixels.dtype)
    padded[:] = fill
    padded[top : top + fitted[0], left : left + fitted[1]] = _stretch(pixels, fitted, interpolation, fill)
    return padded


_MODES: dict[str, Callable[[np.ndarray, tuple[int, int], Interpolation, tuple[int, ...]], np.ndarray]] = {
    "stretch": _stretch,
    "crop": _crop,
    "pad": _pad,
}


def by_channels(pixels: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Pixels changed by an OpenCV function, at most four channels at a time, so that each comes out as it would alone.

    OpenCV resizes no more than four channels, fills no more than four, and rounds two of them otherwise.

    Args:
        pixels: (height, width) or (height, width, channels), any number of channels.
        change: gives (height, width, channels), or (height, width) for one channel.

    Example:
        >>> by_channels(np.zeros((2, 2, 6), np.uint8), lambda some: cv2.resize(some, (3, 3))).shape
        (3, 3, 6)
    """
    channels = 1 if pixels.ndim < 3 else pixels.shape[2]
    if channels in FILE_CHANNELS:
        return change(pixels)
    whole = channels // 4 * 4
    bounds = [*range(0, whole, 4), *(range(whole, channels + 1) if channels - whole < 3 else (whole, channels))]
    pairs = zip(bounds, [*bounds[1:], channels], strict=True)
    return np.dstack([change(np.ascontiguousarray(pixels[..., low:high])) for low, high in pairs if low < high])


def _stretch_weighted(pixels: np.ndarray, image_size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    """Stretches RGBA with its colours multiplied by alpha, and divides them again."""
    height, width = image_size
    # 16 bits hold a colour times its alpha (65,025) and alpha times 257 (65,535).
    weighted = np.empty(pixels.shape, np.uint16)
    np.multiply(pixels[..., :3], pixels[..., 3:], out=weighted[..., :3], dtype=np.uint16)
    np.multiply(pixels[..., 3], np.uint16(257), out=weighted[..., 3], dtype=np.uint16)
    weighted = cv2.resize(weighted, (width, height), interpolation=INTERPOLATIONS[interpolation]).astype(np.float32)
    alpha = weighted[..., 3:] / 257
    # Where nothing is seen there is no colour: black.
    colours = np.divide(weighted[..., :3], alpha, out=np.zeros_like(weighted[..., :3]), where=alpha >= 0.5)
    stretched: np.ndarray = np.concatenate([colours, alpha], axis=-1).round().clip(0, 255).astype(np.uint8)
    return stretched
