"""Names of classes: text, whatever they were given as, in one order for all sources."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from thawline.errors import ArgumentError

# Whole numbers, also as pandas writes a column of them that has gaps.
_WHOLE = re.compile(r"(-?\d+)(?:\.0)?")


def is_empty(value: Any) -> bool:
    """Whether a cell of a table holds nothing: None, NaN, pandas.NA or NaT, or blank text.

    Example:
        >>> is_empty(float("nan")), is_empty(" "), is_empty(0), is_empty([])
        (True, True, False, False)
    """
    if value is None or isinstance(value, str):
        return value is None or not value.strip()
    differs = value != value
    # pandas.NA answers with itself; arrays answer with an array.
    return differs is value or (isinstance(differs, bool | np.bool_) and bool(differs))


def class_texts(labels: Iterable[Any]) -> list[str]:
    """Labels as text; where all are whole numbers, without the ".0" that a float has.

    Example:
        >>> class_texts([2.0, 10.0]), class_texts([0.5, 1.0]), class_texts(["rose", 3])
        (['2', '10'], ['0.5', '1.0'], ['rose', '3'])
    """
    texts = [label.decode(errors="replace") if isinstance(label, bytes) else str(label) for label in labels]
    found = [_WHOLE.fullmatch(text) for text in texts]
    whole = [match.group(1) for match in found if match is not None]
    return whole if len(whole) == len(texts) else texts


def as_class_names(names: Any, argument: str = "class_names") -> list[str]:
    """Names of classes in the order of their numbers, as a user gave them: a list, tuple, array, range or pandas Index.

    Args:
        names: text, or numbers, which are taken as text.
        argument: what they were given as, for errors.

    Raises:
        ArgumentError: it is a single text or has no order, a name is empty, or there twice.

    Example:
        >>> as_class_names(range(3)), as_class_names(("rose", "tulip"))
        (['0', '1', '2'], ['rose', 'tulip'])
    """
    if isinstance(names, str | bytes | Mapping | Set) or not hasattr(names, "__iter__"):
        example = f"Write [{names!r}]." if isinstance(names, str) else "Write ['rose', 'tulip']."
        raise ArgumentError(f"{argument} is a list of names in the order of their numbers; got {names!r}. {example}")
    given = list(names)
    empty = [place for place, name in enumerate(given) if is_empty(name)]
    if empty:
        raise ArgumentError(f"{argument} has no name in place {empty[0]}: {given[empty[0]]!r}. Name every class.")
    # What is written as text stays as it is written.
    texts = list(map(str, given)) if any(isinstance(name, str) for name in given) else class_texts(given)
    name, count = Counter(texts).most_common(1)[0] if texts else ("", 0)
    if count > 1:
        raise ArgumentError(f"{argument} has {name!r} {count} times. Name every class once.")
    return texts


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes in the order that all sources have: as text, which is that of class folders and of Keras.

    It says so where the names are numbers and this order is not that of their values, which `ImageFrame` had in 0.1.

    Example:
        >>> in_order({"tulip", "rose"})
        ['rose', 'tulip']
    """
    ordered = sorted(set(names))
    if all(_WHOLE.fullmatch(name) for name in ordered):
        by_value = sorted(ordered, key=lambda name: int(name.removesuffix(".0")))
        if by_value != ordered:
            warnings.warn(
                f"Classes are in the order of their names as text, as in folders and in Keras: {_few(ordered)}. In "
                f"thawline 0.1 a table's numbers were in the order of their values, {_few(by_value)}. For that give "
                "class_names=.",
                stacklevel=7,
            )
    return ordered


def _few(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
