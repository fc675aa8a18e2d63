"""What is odd about classes: without images, with nearly the same name, far larger than others."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import combinations

from thawline.check.finding import Finding, Severity
from thawline.check.naming import fits
from thawline.data.sources.source import ImageSource
from thawline.figures import counted

CODES: dict[str, str] = {
    "class-empty": "error: a class without images, of which a model cannot learn anything",
    "class-names-alike": "warning or note: classes whose names differ only in case, separators or plural; a note for "
    "long names that differ in one letter",
    "class-balance": "warning or note: the largest class has more than 3 times as many images as the smallest; a "
    "warning from 10",
}

_BALANCE_NOTE, _BALANCE_WARNING = 3.0, 10.0

# Words that are shorter have honest neighbours one letter away, like cat and car.
_LONG_WORD = 7

# What separates the words of a name.
_SEPARATORS = re.compile(r"[\s_\-.]+")


def check_classes(source: ImageSource) -> list[Finding]:
    """Findings about the classes of the training images; what the validation side lacks, `check_splits` finds."""
    findings = find_empty(source.class_counts) + find_alike(source.class_names)
    if has_classes(source):
        findings += find_imbalance(source.class_counts)
    return findings


def has_classes(source: ImageSource) -> bool:
    """Whether each image shows one class, and its number is known."""
    labels = source.labels
    return labels is not None and labels.ndim == 1 and labels.dtype.kind == "i" and bool(source.class_names)


def find_empty(counts: Mapping[str, int]) -> list[Finding]:
    """Classes without images.

    Args:
        counts: images by class.

    Example:
        >>> print(find_empty({"rose": 3, "tulip": 0})[0].what)
        1 class of 2 has no images: 'tulip'.
    """
    empty = [name for name, count in counts.items() if count == 0]
    if not empty:
        return []
    return [
        Finding(
            "class-empty",
            "error",
            f"{counted(len(empty), 'class', 'classes')} of {len(counts):,} {fits(len(empty), 'has', 'have')} no "
            f"images: {_list(empty)}.",
            "Add images of them, or take their folders out of the classes.",
            evidence=(("classes", empty),),
        )
    ]


def find_alike(names: Sequence[str]) -> list[Finding]:
    """Classes that may be one class under two names.

    Example:
        >>> [finding.severity for finding in find_alike(["roses", "Rose", "cat", "car", "dandelion", "dandelion_"])]
        ['warning']
        >>> find_alike(["cat", "car", "type_a", "type_b", "class10", "class11"])
        []
    """
    same: list[list[str]] = []
    close: list[list[str]] = []
    for one, other in combinations(names, 2):
        words, other_words = _words(one), _words(other)
        if "".join(map(_singular, words)) == "".join(map(_singular, other_words)):
            same.append([one, other])
        elif _differ_by_a_letter(words, other_words):
            close.append([one, other])
    return _alike("warning", same, "in case, separators or plural") + _alike("note", close, "in one letter")


def _alike(severity: Severity, pairs: list[list[str]], how: str) -> list[Finding]:
    if not pairs:
        return []
    listed = ", ".join(f"{one!r} and {other!r}" for one, other in pairs[:3])
    more = f" and {len(pairs) - 3:,} more" if len(pairs) > 3 else ""
    what = (
        f"{counted(len(pairs), 'pair')} of classes {fits(len(pairs), 'differs', 'differ')} only {how}: {listed}{more}."
    )
    fix = "Put their images into one class if they are one."
    return [Finding("class-names-alike", severity, what, fix, evidence=(("pairs", pairs),))]


def find_imbalance(counts: Mapping[str, int]) -> list[Finding]:
    """How much larger the largest class is than the smallest that has images.

    Example:
        >>> print(find_imbalance({"rose": 90, "tulip": 3})[0].what)
        The largest class has 30 times as many images as the smallest: 'rose' 90, 'tulip' 3.
    """
    present = {name: count for name, count in counts.items() if count}
    if len(present) < 2:
        return []
    largest, smallest = max(present, key=lambda name: present[name]), min(present, key=lambda name: present[name])
    ratio = present[largest] / present[smallest]
    if ratio <= _BALANCE_NOTE:
        return []
    return [
        Finding(
            "class-balance",
            "warning" if ratio > _BALANCE_WARNING else "note",
            f"The largest class has {ratio:.3g} times as many images as the smallest: {largest!r} "
            f"{present[largest]:,}, {smallest!r} {present[smallest]:,}.",
            "Give fit(class_weight='balanced') or train on source.balanced(), add images to the small classes, and "
            "look at the figures of each class.",
            evidence=(("counts", dict(counts)),),
        )
    ]


def _words(name: str) -> list[str]:
    """The words of a name, without case, accents' spelling and separators."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return [word for word in _SEPARATORS.split(plain) if word]


def _singular(word: str) -> str:
    """An English word without its plural; wrong for some words, but the same way for both numbers of one."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _differ_by_a_letter(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two names are equal but for one letter of a long word; numbers and short words tell things apart."""
    if len(words) != len(others):
        return False
    different = [(one, other) for one, other in zip(words, others, strict=True) if one != other]
    if len(different) != 1:
        return False
    one, other = different[0]
    return min(len(one), len(other)) >= _LONG_WORD and one.isalpha() and other.isalpha() and _one_edit(one, other)


def _one_edit(one: str, other: str) -> bool:
    """Whether one letter more, less or other, or two neighbours swapped, makes one word of the other."""
    start = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    rest, other_rest = one[start:], other[start:]
    return (
        rest[1:] == other_rest[1:]
        or rest[1:] == other_rest
        or rest == other_rest[1:]
        or (rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:])
    )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
