"""Names of classes: text, whatever they were given as, in one order for all sources; and which class a label is."""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from thawline.errors import ArgumentError, DataError

# Whole numbers, also as pandas writes a column of them that has gaps.
_WHOLE = re.compile(r"(-?\d+)(?:\.0)?")

# What NumPy and pandas write for nothing.
_WAS_EMPTY = ("nan", "NaN", "NaT", "<NA>")


def is_empty(value: Any) -> bool:
    """Tells whether a cell of a table is empty: None, NaN, pandas.NA or NaT, or blank text.

    Example:
        >>> is_empty(float("nan")), is_empty(" "), is_empty(False), is_empty([])
        (True, True, False, False)
    """
    if value is None or isinstance(value, str):
        return value is None or not value.strip()
    differs = value != value
    if isinstance(differs, bool | np.bool_):
        return bool(differs)
    # pandas.NA answers with itself, an array with another array.
    return differs is value


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


def class_numbers(
    labels: Sequence[Any], rows: Sequence[int], class_names: Any, title: str
) -> tuple[list[str], np.ndarray]:
    """The classes in order, and the number of each label's class.

    Blanks around a label are no part of its class, and accents may be composed either way, unless a name of
    `class_names` is written so.

    Args:
        labels: texts or numbers.
        rows: the row of each label, for errors.
        class_names: the classes in the order of their numbers; None takes those that occur, sorted as text.
        title: what the labels are called in errors.

    Returns:
        The names, and int32 (labels,).

    Raises:
        ArgumentError: class_names are no names.
        DataError: a label is none, is not one of class_names, or two classes look the same.

    Example:
        >>> class_numbers(["tulip", "rose"], [0, 1], None, "column 'class'")
        (['rose', 'tulip'], array([1, 0], dtype=int32))
    """
    nested = [place for place, label in enumerate(labels) if is_list(label)]
    if nested:
        raise DataError(
            f"Row {rows[nested[0]]} has {labels[nested[0]]!r} as a class in {title}; a class is a text or a number. "
            "Give one list of classes for each image."
        )
    texts = class_texts([label.strip() if isinstance(label, str) else label for label in labels])
    names = in_order(texts) if class_names is None else as_class_names(class_names)
    composed = {_composed(name): number for number, name in enumerate(names)}
    if class_names is None and len(composed) < len(names):
        twice = next(name for number, name in enumerate(names) if composed[_composed(name)] != number)
        raise DataError(
            f"{title[:1].upper()}{title[1:]} has the class {twice!r} in two ways, its accents composed differently. "
            "Write it in one, as unicodedata.normalize('NFC', ...) does."
        )
    # A name counts first of all as it is written, with its blanks or as 1.0.
    index = {**composed, **{name: number for number, name in enumerate(names)}}
    found = [
        index.get(str(label), index.get(text, index.get(_composed(text))))
        for label, text in zip(labels, texts, strict=True)
    ]
    if None in found:
        place = found.index(None)
        raise DataError(
            f"Row {rows[place]} has the label {texts[place]!r} in {title}, which is not among class_names "
            f"({', '.join(names)}). Add it there or leave the row out."
        )
    _tell_odd(labels, rows, index, title)
    if class_names is None:
        _tell_fractions(labels, title)
    return names, np.array(found, np.int32)


def is_list(label: Any) -> bool:
    """Tells whether this is a list, an array or the like, and no text."""
    return hasattr(label, "__iter__") and not isinstance(label, str | bytes)


def _tell_odd(labels: Sequence[Any], rows: Sequence[int], names: Mapping[str, int], title: str) -> None:
    """Says once which labels were taken otherwise than they are written, or are hardly meant as classes."""
    texts = [(place, label) for place, label in enumerate(labels) if isinstance(label, str)]
    blank = [place for place, label in texts if label != label.strip() and label not in names]
    if blank:
        place = blank[0]
        warnings.warn(
            f"{len(blank)} labels in {title} have blanks around them, first row {rows[place]}: {labels[place]!r}. They "
            f"are taken as {labels[place].strip()!r} is.",
            stacklevel=7,
        )
    lost = [place for place, label in texts if label.strip() in _WAS_EMPTY]
    if lost:
        warnings.warn(
            f"{len(lost)} labels in {title} are the text {labels[lost[0]]!r}, first row {rows[lost[0]]}, which "
            "astype(str) makes of an empty cell. It is a class now; leave these rows out, or fill them in.",
            stacklevel=7,
        )


def _tell_fractions(labels: Sequence[Any], title: str) -> None:
    """Says once where labels are rather numbers to learn than classes."""
    fraction = next((label for label in labels if not _WHOLE.fullmatch(str(label).strip())), None)
    if fraction is not None and all(_is_number(label) for label in labels):
        warnings.warn(
            f"The labels in {title} are numbers like {fraction}, and each value is a class. To learn the numbers "
            "themselves give label_mode='regression'; for classes give class_names=.",
            stacklevel=7,
        )


def _is_number(label: Any) -> bool:
    try:
        return not isinstance(label, bool | np.bool_) and bool(np.isfinite(float(label)))
    except (TypeError, ValueError):
        return False


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _few(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
