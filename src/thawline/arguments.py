"""Numbers as users give them, Python's or NumPy's: cleaned once at the public door, or refused with their name."""

import math
import operator
from typing import Any, SupportsFloat

import numpy as np

from thawline.errors import ArgumentError


def whole_number(name: str, value: object, least: int = 1, most: int | None = None, *, of: str = "") -> int:
    """A whole number as Python's, in its limits.

    Args:
        name: what the argument is called.
        value: what a user gave: an int, or whatever stands for one (`operator.index`), like np.int64. True and False
            are no numbers here.
        least: the smallest that will do.
        most: the largest that will do, or None.
        of: what is counted, for the error, like "folds".

    Raises:
        ArgumentError: it is none, or outside its limits.

    Example:
        >>> whole_number("batch_size", np.int64(32))
        32
        >>> whole_number("k", 2.0, least=2, of="folds")
        Traceback (most recent call last):
        thawline.errors.ArgumentError: k is a whole number of folds from 2 up; got 2.0.
    """
    number = as_whole(value)
    if number is None or number < least or (most is not None and number > most):
        limits = f"from {least} up" if most is None else f"from {least} to {most}"
        raise ArgumentError(f"{name} is a whole number{of and f' of {of}'} {limits}; got {value!r}.")
    return number


def as_whole(value: object) -> int | None:
    """A whole number as Python's; None for whatever is none, True and False included.

    Example:
        >>> as_whole(np.uint8(3)), as_whole(3.0), as_whole(True)
        (3, None, None)
    """
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # whatever is no whole number is a TypeError
    except TypeError:
        return None


def is_number(value: object) -> bool:
    """Tells whether this is a number of Python's or NumPy's; True and False are none.

    Example:
        >>> is_number(np.float32(0.5)), is_number(True), is_number("1")
        (True, False, False)
    """
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """NumPy's scalars as Python's numbers, so that equal arguments are equal in a fingerprint; all else as it is.

    Example:
        >>> plain(np.float64(0.5)), plain("half")
        (0.5, 'half')
    """
    return value.item() if isinstance(value, np.generic) else value


def share(name: str, value: object) -> float:
    """A share above 0 and below 1 as Python's float.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> share("validation", np.float64(0.2))
        0.2
    """
    number = float(value) if isinstance(value, SupportsFloat) and is_number(value) else math.nan
    if not 0 < number < 1:
        raise ArgumentError(f"{name} is a share between 0 and 1, like 0.2; got {value!r}.")
    return number


def height_and_width(value: Any) -> tuple[int, int]:
    """Height and width in pixels as a pair of Python's whole numbers; a single number stands for a square.

    Raises:
        ArgumentError: it is neither.

    Example:
        >>> height_and_width((np.int64(160), 120)), height_and_width(224)
        ((160, 120), (224, 224))
    """
    side = as_whole(value)
    numbers = [side, side] if side is not None else whole_numbers(value, 2)
    if numbers is None or min(numbers) < 1:
        raise ArgumentError(
            "image_size is (height, width) in whole pixels, like (160, 160), or one number for a square; "
            f"got {value!r}."
        )
    return numbers[0], numbers[1]


def whole_numbers(value: Any, count: int) -> list[int] | None:
    """`count` whole numbers of a tuple, list or array as Python's; None for all other values.

    Example:
        >>> whole_numbers(np.array([255, 0, 0], np.uint8), 3), whole_numbers((1, 2.5), 2)
        ([255, 0, 0], None)
    """
    given = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(given, tuple | list) or len(given) != count:
        return None
    numbers = [as_whole(number) for number in given]
    return None if None in numbers else [number for number in numbers if number is not None]
