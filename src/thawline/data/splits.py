"""Splits: which side an image falls on.

An image's position is a number from 0 to 1 that a hash makes of its content (or of its group) and the seed. The
validation side has the positions from 0 up, the test side those from 1 down, training lies between.

That adding files never moves an image leaves no other choice: the side of an image in any set must be its side in the
set of that image alone, so it cannot depend on the others. The price is that shares are right on average only: of n
images about share * n fall on a side, with a standard deviation of sqrt(n * share * (1 - share)), in every class.
"""

import operator
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.data.class_names import is_empty
from thawline.errors import ArgumentError, DataError

Groups = str | Callable[[Path], Any]

SIDES = ("training", "validation", "test")


def positions(keys: Sequence[bytes], seed: int) -> np.ndarray:
    """A number for each key, float64 (n,), from 0 up to 1, uniform and the same for equal keys.

    Example:
        >>> first, second, third = positions([b"rose", b"tulip", b"rose"], seed=7)
        >>> bool(first == third != second)
        True
    """
    start = operator.index(seed).to_bytes(8, "little")
    digests = (blake3(start + key, derive_key_context="thawline split").digest(length=8) for key in keys)
    words = np.frombuffer(b"".join(digests), "<u8")
    # 53 bits fill a float's mantissa: uniform in [0, 1).
    places: np.ndarray = (words >> np.uint64(11)) * 2.0**-53
    return places


def grouped_positions(digests: Sequence[bytes], keys: Sequence[bytes], paths: Sequence[Path], seed: int) -> np.ndarray:
    """The position of each image's group, float64 (n,); warns of equal images that are in several groups.

    Args:
        digests: the digest of each image.
        keys: what stands for the group of each.
        paths: the images' files.
        seed: decides the positions.
    """
    first: dict[bytes, int] = {}
    torn = [index for index, digest in enumerate(digests) if keys[first.setdefault(digest, index)] != keys[index]]
    if torn:
        other = paths[first[digests[torn[0]]]]
        warnings.warn(
            f"{len(torn)} images equal one of another group and may be on two sides, first {str(paths[torn[0]])!r}, "
            f"which equals {str(other)!r}. Take the copies out.",
            stacklevel=4,
        )
    return positions(keys, seed)


def stable_sides(places: np.ndarray, validation: float, test: float) -> np.ndarray:
    """The side of each position, int64 (n,), as a number in `SIDES`.

    Example:
        >>> stable_sides(np.array([0.1, 0.5, 0.95]), validation=0.2, test=0.1).tolist()
        [1, 0, 2]
    """
    return np.where(places < validation, 1, np.where(places >= 1 - test, 2, 0)).astype(np.int64)


def exact_sides(places: np.ndarray, strata: np.ndarray, validation: float, test: float) -> np.ndarray:
    """The side of each image by its rank within its stratum, int64 (n,): exact shares, at least one on each side.

    Images at the same position are equal and stay together; one that is in two strata stays where the first puts it.

    Example:
        >>> exact_sides(np.array([0.5, 0.6, 0.7, 0.8]), np.zeros(4, int), validation=0.25, test=0.0).tolist()
        [1, 0, 0, 0]
    """
    side_at: dict[float, int] = {}
    for stratum in np.unique(strata):
        members = [place for place in np.unique(places[strata == stratum]).tolist() if place not in side_at]
        held = min(max(round(validation * len(members)), 1), max(len(members) - 1, 0))
        tested = min(max(round(test * len(members)), 1), max(len(members) - 1 - held, 0)) if test else 0
        for rank, place in enumerate(members):
            side_at[place] = 1 if rank < held else 2 if rank >= len(members) - tested else 0
    return np.array([side_at[place] for place in places.tolist()], np.int64)


def group_keys(groups: Groups, paths: Sequence[Path], column: Sequence[Any] | None) -> list[bytes]:
    """What stands for the group of each image.

    Args:
        groups: a regular expression, searched in each path written with slashes, whose first pair of parentheses is the
            group; or a function from path to group.
        paths: the images' files.
        column: the groups, when `groups` names a column of a table.

    Raises:
        ArgumentError: the expression is none, or has no parentheses.
        DataError: an image has no group.

    Example:
        >>> group_keys(r"patient(\\d+)", [Path("a/patient7_1.png"), Path("b/patient7_2.png")], None)
        [b'7', b'7']
    """
    if column is not None:
        found = list(column)
    elif callable(groups):
        found = [groups(path) for path in paths]
    elif isinstance(groups, str):
        pattern = _compiled(groups)
        matches = [pattern.search(path.as_posix()) for path in paths]
        found = [None if match is None else match.group(1) for match in matches]
    else:
        raise ArgumentError(
            f"groups is a column's name, a regular expression or a function from path to group; got {groups!r}."
        )
    lost = [index for index, key in enumerate(found) if is_empty(key)]
    if lost:
        raise DataError(
            f"{len(lost)} of {len(found)} images have no group, first {str(paths[lost[0]])!r}. Every image needs one: "
            "change groups=, or leave those images out."
        )
    return [str(key).encode() for key in found]


def _compiled(expression: str) -> "re.Pattern[str]":
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ArgumentError(f"groups={expression!r} is no regular expression: {error}.") from None
    if not pattern.groups:
        raise ArgumentError(
            f"groups={expression!r} is no column of the table, and has no parentheses as a regular expression. Put "
            r"them around the group, like 'patient(\d+)'."
        )
    return pattern
