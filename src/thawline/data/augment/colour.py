"""What the values of pixels become: tables while channels stay apart, float32 when they mix, one rounding at the end.

Order: channel shift, brightness, contrast, saturation, hue, grey, blur, noise; then values are rounded and a
rectangle is erased. What is off costs nothing.
"""

import cv2
import numpy as np

from thawline.data.augment.draw import Draw, generator

_LEVELS = np.arange(256.0)


def colour(image: np.ndarray, numbers: Draw) -> np.ndarray:
    """The image with the drawn changes of its values: uint8 (height, width, channels) in, the same out."""
    shape = image.shape
    image = image.reshape(shape[0], shape[1], -1)
    has_colour = image.shape[2] == 3
    mixes = has_colour and (numbers.saturation != 1.0 or numbers.hue != 0.0 or numbers.grayscale)
    table = _table(image, numbers)
    if not (mixes or numbers.blur or numbers.noise):
        return image.reshape(shape) if table is None else _look_up(image, _rounded(table)).reshape(shape)
    values = image.astype(np.float32) if table is None else _look_up(image, table.astype(np.float32))
    if mixes:
        values = _mix(values, numbers)
    if numbers.blur:
        values = cv2.GaussianBlur(values, (0, 0), numbers.blur, borderType=cv2.BORDER_REFLECT_101)
    values = values.reshape(shape)
    if numbers.noise:
        noise = generator(numbers, 0).standard_normal(shape, np.float32)
        values = values + np.float32(numbers.noise) * noise
    return _rounded(values)


def erase(image: np.ndarray, numbers: Draw, value: float | None) -> np.ndarray:
    """The image with the drawn rectangle filled, uint8 in and out.

    Args:
        image: uint8 (height, width, channels); it is not changed.
        numbers: the view's draw.
        value: the value there, or None for random ones, each of its own.
    """
    height, width = image.shape[:2]
    top, left = round(numbers.erase_top * height), round(numbers.erase_left * width)
    bottom = round((numbers.erase_top + numbers.erase_height) * height)
    right = round((numbers.erase_left + numbers.erase_width) * width)
    if bottom <= top or right <= left:
        return image
    erased = image.copy()
    hole = erased[top:bottom, left:right]
    hole[...] = generator(numbers, 1).integers(0, 256, hole.shape, np.uint8) if value is None else round(value)
    return erased


def _table(image: np.ndarray, numbers: Draw) -> np.ndarray | None:
    """What each of the 256 values becomes, float64 (256, 1 or channels) from 0 to 255; None for no change."""
    if numbers.channel_shift == 0 and numbers.brightness == 1 and numbers.contrast == 1:
        return None
    table = _LEVELS
    if numbers.channel_shift:
        table = _clipped(table + numbers.channel_shift)
    if numbers.brightness != 1.0:
        table = _clipped(table * numbers.brightness)
    if numbers.contrast == 1.0:
        return table[:, None]
    # The mean after shift and brightness, from how often each value occurs.
    counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in cv2.split(image)], axis=1)
    means = table @ counts / counts.sum(0)
    return _clipped((table[:, None] - means) * numbers.contrast + means)


def _look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Each value replaced by its row of the table, (height, width, channels) of the table's dtype."""
    looked_up: np.ndarray = cv2.LUT(image, table[:, 0] if table.shape[1] == 1 else table[None])
    return looked_up.reshape(image.shape)


def _mix(values: np.ndarray, numbers: Draw) -> np.ndarray:
    """Saturation, hue and grey of float32 (height, width, 3) from 0 to 255."""
    if numbers.hue:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2HSV)
        hues = values[..., 0]
        np.mod(hues + np.float32(360 * numbers.hue), np.float32(360), out=hues)
        if numbers.saturation != 1.0:
            np.minimum(values[..., 1] * np.float32(numbers.saturation), np.float32(1), out=values[..., 1])
        values = cv2.cvtColor(values, cv2.COLOR_HSV2RGB)
    elif numbers.saturation != 1.0:
        # In HSV a channel is v - s v d, with v the largest: a factor on s is one on the distance from v, up to s = 1.
        most = values.max(axis=2, keepdims=True)
        spread = most - values.min(axis=2, keepdims=True)
        factor = np.minimum(np.float32(numbers.saturation), most / np.maximum(spread, np.float32(1e-6)))
        values = most - (most - values) * factor
    if numbers.grayscale:
        values = cv2.cvtColor(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return values


def _rounded(values: np.ndarray) -> np.ndarray:
    return _clipped(np.rint(values)).astype(np.uint8)


def _clipped(values: np.ndarray) -> np.ndarray:
    # np.clip costs a small table three times as much.
    clipped: np.ndarray = np.minimum(np.maximum(values, 0), 255)
    return clipped
