"""OpenCV's `resize` as a TensorFlow graph, so that a SavedModel brings images to one size as thawline does.

The way of computing follows OpenCV's for uint8, including where it rounds: averaged areas are added in float32 in the
same order, everything else in whole numbers with weights of 11 bits. "area", "bilinear" and "nearest" give the same
bits; "bicubic" and "lanczos", which OpenCV computes in more than one way, may be off by 1 of 255.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from thawline.data.resize import Interpolation, Resize

# OpenCV's INTER_RESIZE_COEF_BITS.
_ONE = 1 << 11

# The part of a pixel below which OpenCV leaves it out of an area.
_LEAST_PART = 1e-3

# The parameter of OpenCV's cubic.
_CUBIC = -0.75


class _Taps(NamedTuple):
    """Which pixels along one axis go into each pixel of the answer, and how much of each.

    Attributes:
        places: int32 (taps, size).
        weights: float32 (taps, size), or int32 in units of 1 / 2048.
    """

    places: Any
    weights: Any


def resize_pixels(
    pixels: Any, image_size: tuple[int, int], *, resize: Resize, interpolation: Interpolation, fill: tuple[int, ...]
) -> Any:
    """What `thawline.data.resize.resize_pixels` gives, as a tensor.

    Args:
        pixels: uint8 tensor (any height, any width, 1 or 3 channels).
        image_size: height and width in pixels.
        resize, interpolation, fill: as there.

    Returns:
        A uint8 tensor (height, width, channels).
    """
    channels = pixels.shape[-1]
    resized = _MODES[resize](pixels, image_size, interpolation, fill)
    return tf.ensure_shape(resized, (*image_size, channels))


def _stretch(pixels: Any, image_size: Any, interpolation: Interpolation, fill: tuple[int, ...]) -> Any:
    source = tf.shape(pixels)[:2]
    target = tf.stack([tf.cast(size, tf.int32) for size in image_size])
    scale = 1.0 / (tf.cast(target, tf.float64) / tf.cast(source, tf.float64))
    return _WAYS[interpolation](pixels, source, target, scale)


def _crop(pixels: Any, image_size: tuple[int, int], interpolation: Interpolation, fill: tuple[int, ...]) -> Any:
    source = tf.shape(pixels)[:2]
    height, width = source[0], source[1]
    target_height, target_width = image_size
    kept_height = tf.minimum(height, tf.maximum(1, _rounded_ratio(width * target_height, target_width)))
    kept_width = tf.minimum(width, tf.maximum(1, _rounded_ratio(height * target_width, target_height)))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    part = pixels[top : top + kept_height, left : left + kept_width]
    return _stretch(part, image_size, interpolation, fill)


def _pad(pixels: Any, image_size: tuple[int, int], interpolation: Interpolation, fill: tuple[int, ...]) -> Any:
    sizes = tf.cast(tf.shape(pixels)[:2], tf.float64)
    scale = tf.reduce_min(tf.constant(image_size, tf.float64) / sizes)
    fitted = tf.maximum(1, tf.cast(tf.round(sizes * scale), tf.int32))
    stretched = _stretch(pixels, (fitted[0], fitted[1]), interpolation, fill)
    before = (tf.constant(image_size) - fitted) // 2
    around = tf.stack([before, tf.constant(image_size) - fitted - before], axis=1)
    planes = [
        tf.pad(stretched[..., channel], around, constant_values=tf.constant(value, tf.uint8))
        for channel, value in enumerate(fill)
    ]
    return tf.stack(planes, axis=-1)


_MODES: dict[str, Callable[..., Any]] = {"stretch": _stretch, "crop": _crop, "pad": _pad}


def _rounded_ratio(part: Any, whole: int) -> Any:
    """A quotient as Python's `round` rounds it: halves to the even neighbour."""
    return tf.cast(tf.round(tf.cast(part, tf.float64) / whole), tf.int32)


def _nearest(pixels: Any, source: Any, target: Any, scale: Any) -> Any:
    for axis in (0, 1):
        places = tf.cast(
            tf.floor(tf.range(tf.cast(target[axis], tf.float64), dtype=tf.float64) * scale[axis]), tf.int32
        )
        pixels = tf.gather(pixels, tf.minimum(places, source[axis] - 1), axis=axis)
    return pixels


def _area(pixels: Any, source: Any, target: Any, scale: Any) -> Any:
    """Averaged areas where both axes shrink; where one grows OpenCV takes lines between pixels."""
    whole = tf.cast(tf.round(scale), tf.int32)
    is_whole = tf.reduce_all(tf.abs(scale - tf.round(scale)) < 2.220446049250313e-16)

    def shrunk() -> Any:
        return tf.cond(
            is_whole,
            lambda: _whole_areas(pixels, target, whole),
            lambda: _parts_of_areas(pixels, source, target, scale),
        )

    def grown() -> Any:
        taps = [_linear_taps_of_area(source[axis], target[axis], scale[axis], axis) for axis in (0, 1)]
        return _weighted_linearly(pixels, *taps)

    return tf.cond(tf.reduce_all(scale >= 1), shrunk, grown)


def _whole_areas(pixels: Any, target: Any, whole: Any) -> Any:
    """Areas of so many whole pixels: their sum is exact."""
    channels = pixels.shape[-1]
    used = tf.cast(pixels[: target[0] * whole[0], : target[1] * whole[1]], tf.int32)
    parts = tf.reshape(used, tf.stack([target[0], whole[0], target[1], whole[1], channels]))
    total = tf.reduce_sum(parts, axis=(1, 3))
    is_two = tf.reduce_all(tf.equal(whole, 2))
    share = 1.0 / tf.cast(whole[0] * whole[1], tf.float32)
    # OpenCV rounds halves up where four pixels become one, and to the even neighbour elsewhere.
    return tf.cond(
        is_two,
        lambda: tf.cast((total + 2) // 4, tf.uint8),
        lambda: _as_pixels(tf.cast(total, tf.float32) * share),
    )


def _parts_of_areas(pixels: Any, source: Any, target: Any, scale: Any) -> Any:
    rows, columns = (_area_taps(source[axis], target[axis], scale[axis]) for axis in (0, 1))
    narrow = _added(tf.cast(pixels, tf.float32), columns, axis=1)
    return _as_pixels(_added(narrow, rows, axis=0))


def _area_taps(source: Any, target: Any, scale: Any) -> _Taps:
    """The pixels that an area covers, in part at both ends."""
    first = tf.range(tf.cast(target, tf.float64), dtype=tf.float64) * scale
    last = first + scale
    width = tf.minimum(scale, tf.cast(source, tf.float64) - first)
    end = tf.minimum(tf.floor(last), tf.cast(source - 1, tf.float64))
    begin = tf.minimum(tf.math.ceil(first), end)
    before = begin - first
    after = last - end
    # The pixel that lies in the area by its right part, whole ones, and the one that lies in it by its left part.
    count = tf.cast(tf.math.ceil(scale), tf.int32) + 2
    steps = tf.range(count)[:, None]
    places = tf.cast(begin, tf.int32)[None] - 1 + steps
    is_whole = (steps > 0) & (places < tf.cast(end, tf.int32)[None])
    is_end = (steps > 0) & tf.equal(places, tf.cast(end, tf.int32)[None])
    none = tf.zeros_like(first)
    weights = tf.where(is_whole, (1.0 / width)[None], none[None])
    weights += tf.where(tf.equal(steps, 0), tf.where(before > _LEAST_PART, before / width, none)[None], none[None])
    part = tf.minimum(tf.minimum(after, 1.0), width) / width
    weights += tf.where(is_end, tf.where(after > _LEAST_PART, part, none)[None], none[None])
    return _Taps(tf.clip_by_value(places, 0, source - 1), tf.cast(weights, tf.float32))


def _added(values: Any, taps: _Taps, axis: int) -> Any:
    """The weighted sum of the taps, one after the other, as OpenCV adds them."""
    shape = [-1, 1, 1] if axis == 0 else [1, -1, 1]

    def step(index: Any, total: Any) -> tuple[Any, Any]:
        weighed = tf.gather(values, taps.places[index], axis=axis) * tf.reshape(taps.weights[index], shape)
        return index + 1, total + weighed

    start = tf.zeros_like(tf.gather(values, taps.places[0], axis=axis))
    invariants = (tf.TensorShape([]), tf.TensorShape([None, None, values.shape[-1]]))
    count = tf.shape(taps.places)[0]
    return tf.while_loop(lambda index, _: index < count, step, (0, start), shape_invariants=invariants)[1]


def _as_pixels(values: Any) -> Any:
    """Rounded, halves to the even neighbour, and clipped to 0 to 255."""
    return tf.saturate_cast(tf.round(values), tf.uint8)


def _linear_taps_of_area(source: Any, target: Any, scale: Any, axis: int) -> _Taps:
    numbers = tf.range(tf.cast(target, tf.float64), dtype=tf.float64)
    floor = tf.floor(numbers * scale)
    part = tf.cast((numbers + 1) - (floor + 1) * (1.0 / scale), tf.float32)
    part = tf.where(part <= 0, 0.0, part - tf.floor(part))
    return _linear_taps(tf.cast(floor, tf.int32), part, source, axis)


def _bilinear(pixels: Any, source: Any, target: Any, scale: Any) -> Any:
    # OpenCV averages areas where four pixels become one.
    is_half = tf.reduce_all(tf.abs(scale - 2.0) < 2.220446049250313e-16)

    def between() -> Any:
        taps = []
        for axis in (0, 1):
            floor, part = _positions(target[axis], scale[axis])
            taps.append(_linear_taps(floor, part, source[axis], axis))
        return _weighted_linearly(pixels, *taps)

    return tf.cond(is_half, lambda: _whole_areas(pixels, target, tf.constant([2, 2])), between)


def _positions(target: Any, scale: Any) -> tuple[Any, Any]:
    """Where each pixel's centre lies in the source: the pixel before it, int32, and the way to the next, float32."""
    numbers = tf.range(tf.cast(target, tf.float64), dtype=tf.float64)
    centres = tf.cast((numbers + 0.5) * scale - 0.5, tf.float32)
    floor = tf.floor(centres)
    return tf.cast(floor, tf.int32), centres - floor


def _linear_taps(floor: Any, part: Any, source: Any, axis: int) -> _Taps:
    if axis == 1:
        # Along rows OpenCV moves what lies outside onto the edge; along columns it repeats the edge.
        part = tf.where((floor < 0) | (floor >= source - 1), 0.0, part)
        floor = tf.clip_by_value(floor, 0, source - 1)
    weights = tf.stack([1.0 - part, part])
    places = tf.stack([floor, floor + 1])
    return _Taps(tf.clip_by_value(places, 0, source - 1), _whole_weights(weights))


def _whole_weights(weights: Any) -> Any:
    return tf.cast(tf.round(weights * float(_ONE)), tf.int32)


def _weighted_linearly(pixels: Any, rows: _Taps, columns: _Taps) -> Any:
    values = tf.cast(pixels, tf.int32)
    left, right = (tf.gather(values, columns.places[tap], axis=1) for tap in (0, 1))
    narrow = left * columns.weights[0][None, :, None] + right * columns.weights[1][None, :, None]
    parts = [
        (rows.weights[tap][:, None, None] * (tf.gather(narrow, rows.places[tap]) // 16)) // 65536 for tap in (0, 1)
    ]
    return tf.saturate_cast((parts[0] + parts[1] + 2) // 4, tf.uint8)


def _by_kernel(kernel: Callable[[Any], Any], reach: int) -> Callable[..., Any]:
    """A way that looks at `2 * reach` pixels along each axis, in whole numbers."""

    def resize(pixels: Any, source: Any, target: Any, scale: Any) -> Any:
        values = tf.cast(pixels, tf.int64)
        for axis in (1, 0):
            floor, part = _positions(target[axis], scale[axis])
            weights = tf.cast(_whole_weights(kernel(part)), tf.int64)
            shape = [-1, 1, 1] if axis == 0 else [1, -1, 1]
            values = tf.add_n(
                [
                    tf.gather(values, tf.clip_by_value(floor + tap + 1 - reach, 0, source[axis] - 1), axis=axis)
                    * tf.reshape(weights[tap], shape)
                    for tap in range(2 * reach)
                ]
            )
        return tf.saturate_cast((values + _ONE * _ONE // 2) // (_ONE * _ONE), tf.uint8)

    return resize


def _cubic_weights(x: Any) -> Any:
    a = _CUBIC
    first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    second = ((a + 2) * x - (a + 3)) * x * x + 1
    third = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1
    return tf.stack([first, second, third, 1.0 - first - second - third])


def _lanczos_weights(x: Any) -> Any:
    """sinc(t) sinc(t / 4) at the eight pixels, their sum brought to 1; on a pixel it is that pixel."""
    angles = [-(x + 3 - tap) * math.pi / 4 for tap in range(8)]
    weights = tf.stack([tf.sin(4 * angle) * tf.sin(angle) / tf.square(angle) for angle in angles])
    weights /= tf.reduce_sum(weights, axis=0)
    there = tf.one_hot(3, 8)[:, None]
    return tf.where(x < 1.1920929e-07, there, weights)


_WAYS: dict[str, Callable[..., Any]] = {
    "area": _area,
    "bilinear": _bilinear,
    "nearest": _nearest,
    "bicubic": _by_kernel(_cubic_weights, 2),
    "lanczos": _by_kernel(_lanczos_weights, 4),
}
