"""The order of classes: which number a class has here, and which one elsewhere; names decide, not numbers."""

import difflib
import unicodedata
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from thawline.errors import DataError

# So many names are told of a list.
_TOLD = 8


def tell_names(names: Sequence[str]) -> str:
    """A list of classes for a message: sorted, short, with how many there are.

    Example:
        >>> tell_names(["yak", "cat"]), tell_names([str(number) for number in range(10, 30)])
        ('cat, yak (2)', '10, 11, 12, 13, 14, 15, 16, 17, ... (20)')
    """
    shown = sorted(names)[:_TOLD]
    return f"{', '.join(shown) or 'none'}{', ...' if len(names) > _TOLD else ''} ({len(names):,})"


def spelled_as(names: Sequence[str], others: Iterable[str]) -> list[str]:
    """Names as others have them, where only accents are composed in another way: file systems differ in it.

    Example:
        >>> spelled_as(["cafe\\u0301", "tea"], ["caf\\u00e9"]) == ["caf\\u00e9", "tea"]
        True
    """
    others = list(others)
    spelled = {unicodedata.normalize("NFC", name): name for name in others}
    kept = set(others)
    return [name if name in kept else spelled.get(unicodedata.normalize("NFC", name), name) for name in names]


def numbers_by_name(
    known: Sequence[str], wanted: Sequence[str], counts: Sequence[int], *, are_numbers: bool = False
) -> np.ndarray:
    """The number that each class has among the wanted ones, int64; -1 for one without images that is not wanted.

    Classes are found by their names. Only where one side has no names of its own, as labels 0, 1, 2 of an array have
    none, classes are taken in their order.

    Args:
        known: the classes in the order of their numbers.
        wanted: the classes in the order that is wanted.
        counts: how many images each known class has.
        are_numbers: whether `known` are class numbers that nobody gave names.

    Raises:
        DataError: a class with images is not among the wanted ones, or it cannot be told whether numbers are class
            numbers or names.

    Example:
        >>> numbers_by_name(["0", "1", "10", "2"], ["0", "1", "2", "10"], [5, 5, 5, 5]).tolist()
        [0, 1, 3, 2]
    """
    index = {name: number for number, name in enumerate(wanted)}
    if are_numbers:
        return _by_number(known, wanted, index)
    known = spelled_as(known, wanted)
    present = [name for name, count in zip(known, counts, strict=True) if count]
    unknown = [name for name in present if name not in index]
    if unknown and len(unknown) == len(present) and len(known) == len(wanted) and _are_counted(wanted):
        warnings.warn(
            f"The stack was trained on classes without names, numbered 0 to {len(wanted) - 1}; the images have the "
            f"names {tell_names(known)}, which are taken in their order: 0 is {known[0]!r}. Give the training images "
            "class_names=, and names decide.",
            stacklevel=2,
        )
        return np.arange(len(known))
    if unknown:
        raise unknown_classes(unknown, known, wanted)
    lacking = [name for name in wanted if name not in known]
    if lacking:
        shown = ", ".join(map(repr, sorted(lacking)[:_TOLD])) + (", ..." if len(lacking) > _TOLD else "")
        count = "it counts as a class" if len(lacking) == 1 else "they count as classes"
        warnings.warn(
            f"The images lack {len(lacking):,} of {len(wanted):,} classes ({shown}): {count} without images.",
            stacklevel=2,
        )
    return np.array([index.get(name, -1) for name in known], np.int64)


def _by_number(known: Sequence[str], wanted: Sequence[str], index: dict[str, int]) -> np.ndarray:
    """Class numbers stay what they are, unless they may be the names of other classes."""
    moved = [name for number, name in enumerate(known) if index.get(name, number) != number]
    if moved:
        raise DataError(
            f"The labels are whole numbers, and the wanted classes are called by numbers in another order "
            f"({', '.join(wanted[:_TOLD])}{', ...' if len(wanted) > _TOLD else ''}): {moved[0]!r} may be the class of "
            "that name, or of that number. Give the images class_names= in the order of their numbers."
        )
    if len(known) > len(wanted):
        raise DataError(
            f"The labels are class numbers from 0 to {len(known) - 1}, but there are {len(wanted):,} classes: "
            f"{tell_names(wanted)}. Correct the labels, or train a stack on {len(known):,} classes."
        )
    return np.arange(len(known))


def unknown_classes(unknown: Sequence[str], known: Sequence[str], wanted: Sequence[str]) -> DataError:
    """The error for classes that are not wanted, with the nearest name of one that is."""
    free = {name.casefold(): name for name in wanted if name not in known}
    near = [(name, free[match]) for name in unknown for match in difflib.get_close_matches(name.casefold(), free, 1)]
    hint = f" {near[0][0]!r} may be {near[0][1]!r}." if near else ""
    one = len(unknown) == 1
    return DataError(
        f"{len(unknown):,} {'class' if one else 'classes'} of the images {'is' if one else 'are'} not known: "
        f"{tell_names(unknown)}. The images have {tell_names(known)}; known are {tell_names(wanted)}.{hint} Rename or "
        "leave out what is not known, or train a new stack on these classes."
    )


def _are_counted(names: Sequence[str]) -> bool:
    """Tells whether names are the numbers from 0 up, the names of classes that were given none."""
    return all(name == str(number) for number, name in enumerate(names))
