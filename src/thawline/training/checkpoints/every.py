"""Interval at which the state of a training is kept within an epoch."""

import math
import re
from typing import Any

from thawline.arguments import is_number
from thawline.errors import ArgumentError

_SECONDS = {"s": 1, "sec": 1, "min": 60, "h": 3600}
_WORDS = re.compile(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(_SECONDS)})\s*")


def as_seconds(name: str, given: Any) -> float:
    """A time in seconds, from a number of seconds or from words.

    Args:
        name: what the argument is called.
        given: seconds above 0, or a number with its unit: "30s", "5min", "1.5h".

    Raises:
        ArgumentError: it is neither.

    Example:
        >>> as_seconds("checkpoint_every", "5min"), as_seconds("checkpoint_every", 90)
        (300.0, 90.0)
    """
    if isinstance(given, str) and (found := _WORDS.fullmatch(given)):
        seconds = float(found[1]) * _SECONDS[found[2]]
    else:
        seconds = float(given) if is_number(given) else math.nan
    if not 0 < seconds < math.inf:
        raise ArgumentError(
            f"{name} is a number of seconds above 0, or a time like '30s', '5min' or '1h'; got {given!r}."
        )
    return seconds
