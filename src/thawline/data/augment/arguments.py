"""What a user may write as an argument: cleaned once, or refused with the argument's name."""

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from thawline.arguments import plain
from thawline.data.augment.draw import Bounds
from thawline.data.augment.geometry import INTERPOLATIONS, FillMode
from thawline.data.augment.standardize import Statistics
from thawline.errors import ArgumentError


def number_from_0(name: str, value: Any) -> float:
    """A finite number from 0 up."""
    if not _is_number(value) or not 0 <= value < math.inf:
        raise ArgumentError(f"{name} is a number from 0 up; got {value!r}.")
    number: float = value
    return number


def finite(name: str, value: Any) -> float:
    """A finite number."""
    if not _is_number(value) or not math.isfinite(value):
        raise ArgumentError(f"{name} is a finite number; got {value!r}.")
    return float(value)


def probability(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ArgumentError(f"{name} is a probability from 0 to 1; got {value!r}.")
    return float(value)


def pixel_value(name: str, value: Any) -> float:
    """A number from 0 to 255."""
    if not _is_number(value) or not 0 <= value <= 255:
        raise ArgumentError(f"{name} is a pixel value from 0 to 255; got {value!r}.")
    number: float = value
    return number


def shift(name: str, value: Any) -> float | tuple[float, ...]:
    """A number from 0 up, or the numbers of a list."""
    if isinstance(value, list | tuple | np.ndarray):
        numbers = tuple(plain(number) for number in value)
        if not numbers or not all(_is_number(number) and math.isfinite(number) for number in numbers):
            raise ArgumentError(f"{name} as a list has one finite number or more; got {value!r}.")
        return numbers
    return number_from_0(name, value)


def bounds(name: str, value: Any, *, least: float = 0.0, most: float = math.inf) -> Bounds:
    """A pair (low, high) of numbers."""
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} is a pair (low, high) of numbers; got {value!r}.") from None
    if not least <= low <= high <= most or math.isinf(high):
        limits = "" if math.isinf(most) else f", from {least:g} to {most:g}"
        raise ArgumentError(f"{name} is a pair (low, high) with low at most high{limits}; got {value!r}.")
    return low, high


def factors(name: str, value: Any) -> Bounds:
    """Factors from a pair, or 1 - c to 1 + c from a number c up to 1; None for no change."""
    if value is None:
        return 1.0, 1.0
    return bounds(name, (1 - value, 1 + value) if _is_number(value) else value)


def spread(name: str, value: Any) -> Bounds:
    """A pair from 0 up, or 0 to s from a number s; None for nothing."""
    return bounds(name, (0, value or 0) if value is None or _is_number(value) else value)


def zoom_bounds(name: str, zoom_range: Any) -> Bounds:
    """Zoom factors, which never reach 0."""
    if _is_number(zoom_range):
        zoom_range = (1 - zoom_range, 1 + zoom_range)
    low, high = bounds(name, zoom_range, least=-math.inf)
    if low <= 0:
        raise ArgumentError(
            f"{name} gives factors from {low:g} to {high:g}; they must stay above 0. "
            "Use a number below 1, or (low, high) with low above 0."
        )
    return low, high


def hue_bounds(name: str, hue_range: Any) -> Bounds:
    """Turns of the colour circle."""
    pair = (-hue_range, hue_range) if _is_number(hue_range) else hue_range
    try:
        return bounds(name, pair, least=-1.0, most=1.0)
    except ArgumentError as error:
        raise ArgumentError(
            f"{error} It is in turns of the colour circle, as in Keras: 0.5 gives the opposite colour, and 18 degrees "
            "are 0.05."
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} is True or False; got {value!r}.")
    return value


def _shear(name: str, value: Any) -> float:
    degrees = number_from_0(name, value)
    if degrees >= 90:
        raise ArgumentError(f"shear_range is in degrees, below 90; got {value!r}.")
    return degrees


def _fill_mode(name: str, value: Any) -> Any:
    if value not in get_args(FillMode):
        allowed = ", ".join(map(repr, get_args(FillMode)))
        raise ArgumentError(f"{name} is one of {allowed}; got {value!r}.")
    return value


def _interpolation_order(name: str, value: Any) -> int:
    if isinstance(value, bool) or value not in INTERPOLATIONS:
        raise ArgumentError(f"{name} is 0 (nearest), 1 (linear) or 3 (cubic); got {value!r}.")
    order: int = value
    return order


def _data_format(name: str, value: Any) -> Any:
    if value not in (None, "channels_last"):
        raise ArgumentError(
            f"{name} is 'channels_last': images are (height, width, channels); got {value!r}. "
            "Put keras.layers.Permute((3, 1, 2)) in front of a model that wants channels first."
        )
    return value


def _rescale(name: str, value: Any) -> float | None:
    # Keras takes 0 for none.
    if value is None or value == 0:
        return None
    return finite(name, value)


def _function(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ArgumentError(f"{name} is a function image -> image; got {value!r}.")
    return value


def _functions(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not all(callable(function) for function in value):
        raise ArgumentError(f"{name} is a list of functions (image, rng) -> image; got {value!r}.")
    return tuple(value)


def _mask_value(name: str, value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ArgumentError(f"{name} is a whole number from 0 up; got {value!r}.")
    return value


def _statistics(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, Statistics):
        raise ArgumentError(f"{name} are what fit(images) measured, a Statistics; got {type(value).__name__}.")
    return value


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


def _parts(name: str, value: Any) -> Bounds:
    return bounds(name, value, least=0.001, most=1.0)


def _aspects(name: str, value: Any) -> Bounds:
    return bounds(name, value, least=0.01, most=100.0)


# The argument's check, which gives it back in the one form that the rest takes; _flag for all others.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "rotation_range": number_from_0,
    "width_shift_range": shift,
    "height_shift_range": shift,
    "shear_range": _shear,
    "zoom_range": zoom_bounds,
    "brightness_range": _optional(bounds),
    "fill_mode": _fill_mode,
    "cval": pixel_value,
    "channel_shift_range": number_from_0,
    "interpolation_order": _interpolation_order,
    "data_format": _data_format,
    "rescale": _rescale,
    "preprocessing_function": _function,
    "zca_epsilon": number_from_0,
    "contrast_range": factors,
    "saturation_range": factors,
    "hue_range": hue_bounds,
    "grayscale_probability": probability,
    "blur_range": spread,
    "noise_range": spread,
    "erasing_probability": probability,
    "erasing_area_range": _parts,
    "erasing_aspect_range": _aspects,
    "erasing_value": _optional(pixel_value),
    "crop_area_range": _optional(_parts),
    "crop_aspect_range": _aspects,
    "functions": _functions,
    "mask_cval": _mask_value,
    "statistics": _statistics,
}


def check(name: str, value: Any) -> Any:
    """The argument in the one form that the rest takes.

    Raises:
        ArgumentError: the value cannot work; it says which could.
    """
    checks: Callable[[str, Any], Any] = _CHECKS.get(name, _flag)
    return checks(name, plain(value))
