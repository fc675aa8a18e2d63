"""What is wrong between training and validation: images on both sides, torn groups, classes in another order.

And what is wrong among all images of both: one picture with two labels, or twice on one side.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.check.facts import Survey
from thawline.check.finding import Finding
from thawline.check.naming import fits, named, short
from thawline.data.sources.source import ImageSource
from thawline.data.splits import Groups, group_keys
from thawline.figures import counted

CODES: dict[str, str] = {
    "split-same-image": "error: images that are in training and in validation, as the same file or encoded anew",
    "split-group-torn": "error: groups (patients, parts, sites) with images on both sides",
    "split-label-order": "note: the sides number their classes differently",
    "split-classes-differ": "error: validation has images of classes that training does not know",
    "split-class-missing": "warning: classes of which a side has no image",
    "label-conflict": "error: the same picture with different labels",
    "image-twice": "note: the same picture more than once on one side",
}


def check_splits(
    train: ImageSource,
    validation: ImageSource | None,
    train_survey: Survey,
    validation_survey: Survey | None,
    *,
    groups: Groups | None = None,
) -> list[Finding]:
    """Findings about two sides and their labels, by exact copies; `check_neighbours` finds copies that are not exact.

    Copies are told by the content of their files, and by their pixels at the model's size, which are the same for a PNG
    and its BMP.

    Args:
        train: the training images.
        validation: the validation images, or None: then only what concerns one side is looked at.
        train_survey: what `survey(train)` gave.
        validation_survey: what `survey(validation)` gave, or None.
        groups: what must be on one side, as `ImageSource.split` takes it, or None.

    Raises:
        ArgumentError, DataError: groups cannot be told, as with `ImageSource.split`.
    """
    sides = [(train, train_survey, "training")]
    findings = []
    if validation is not None and validation_survey is not None:
        sides.append((validation, validation_survey, "validation"))
        if train.has_named_classes and validation.has_named_classes:
            findings += find_classes_apart(train.class_names, validation.class_counts)
        if not any(finding.severity == "error" for finding in findings):
            findings += find_missing_classes(train.class_counts, validation.class_counts)
        findings += find_same_images(train_survey, validation_survey)
        if groups is not None:
            findings += find_torn_groups(group_names(train, groups), group_names(validation, groups), validation.paths)
    copies = [
        (each.path, each.pixel_digest, _label(source, place))
        for source, looked, _ in sides
        for place, each in enumerate(looked.facts)
        if each.problem is None
    ]
    findings += find_conflicts(*map(list, zip(*copies, strict=True))) if copies else []
    for _, looked, name in sides:
        findings += find_twice(looked, name)
    return findings


def find_classes_apart(train: Sequence[str], validation: Mapping[str, int]) -> list[Finding]:
    """Classes with validation images that training does not know, or classes that have other numbers there.

    Args:
        train: the classes of training in the order of their numbers.
        validation: those of validation, each with its number of images.

    Example:
        >>> [finding.code for finding in find_classes_apart(["cat", "dog"], {"dog": 1, "cat": 1})]
        ['split-label-order']
        >>> [finding.code for finding in find_classes_apart(["cat"], {"cat": 1, "dog": 1})]
        ['split-classes-differ']
    """
    names = list(validation)
    evidence = (("training", list(train)), ("validation", names))
    new = [name for name, count in validation.items() if count and name not in set(train)]
    if new:
        lost = [name for name in train if name not in set(names)]
        parts = [
            f"{counted(len(some), 'class', 'classes')} only in {side} ({', '.join(map(repr, some[:3]))}"
            f"{f' and {len(some) - 3:,} more' if len(some) > 3 else ''})"
            for some, side in ((lost, "training"), (new, "validation"))
            if some
        ]
        what = (
            f"Training and validation have different classes: {', '.join(parts)}. What is not learned cannot be right."
        )
        fix = "Call the classes alike on both sides, or leave images of other classes out of validation."
        return [Finding("split-classes-differ", "error", what, fix, evidence=evidence)]
    if sorted(train) == sorted(names) and list(train) != names:
        number = next(place for place, name in enumerate(train) if names[place] != name)
        what = (
            f"Training and validation number their classes differently: class {number} is {train[number]!r} in "
            f"training and {names[number]!r} in validation. A Stack finds classes by name; keras.Model.fit would count "
            "right answers as wrong."
        )
        fix = "For Keras, give both sides the same order, with classes= or class_names=."
        return [Finding("split-label-order", "note", what, fix, evidence=evidence)]
    return []


def find_missing_classes(train: dict[str, int], validation: dict[str, int]) -> list[Finding]:
    """Classes that one side has images of and the other has not.

    Example:
        >>> print(find_missing_classes({"cat": 5, "dog": 5}, {"cat": 2, "dog": 0})[0].what)
        1 class of 2 has images in training but none in validation: 'dog'.
    """
    findings = []
    for counts, others, side, other_side, fix in (
        (train, validation, "training", "validation", "Its figures say nothing of them: add images, or split exactly."),
        (validation, train, "validation", "training", "The model cannot learn them: add images, or split exactly."),
    ):
        lacking = [name for name, count in counts.items() if count and not others.get(name)]
        if lacking:
            findings.append(
                Finding(
                    "split-class-missing",
                    "warning",
                    f"{counted(len(lacking), 'class', 'classes')} of {len(counts):,} "
                    f"{fits(len(lacking), 'has', 'have')} images in {side} but none in {other_side}: "
                    f"{', '.join(map(repr, lacking[:3]))}{f' and {len(lacking) - 3:,} more' if lacking[3:] else ''}.",
                    fix,
                    evidence=(("classes", lacking),),
                )
            )
    return findings


def find_same_images(train: Survey, validation: Survey) -> list[Finding]:
    """Validation images that are in training as well."""
    known = {each.pixel_digest: each for each in train.facts if each.problem is None}
    pairs = [
        (known[each.pixel_digest], each)
        for each in validation.facts
        if each.problem is None and each.pixel_digest in known
    ]
    if not pairs:
        return []
    files = sum(one.digest == other.digest for one, other in pairs)
    one, other = pairs[0]
    return [
        Finding(
            "split-same-image",
            "error",
            f"{counted(len(pairs), 'validation image')} of {len(validation):,} {fits(len(pairs), 'is', 'are')} in "
            f"training, too "
            f"({files:,} by the same file, {len(pairs) - files:,} encoded anew), first {short(other.path)}, which is "
            f"{short(one.path)}: validation figures come out too good.",
            "Take them out of one side, or let split() make the sides: it keeps copies of a file together.",
            tuple(pair[1].path for pair in pairs),
            (("pairs", [[str(one.path), str(other.path)] for one, other in pairs]),),
        )
    ]


def find_torn_groups(
    train: Sequence[str], validation: Sequence[str], validation_paths: Sequence[Path]
) -> list[Finding]:
    """Groups with images on both sides.

    Args:
        train: the group of each training image.
        validation: the group of each validation image.
        validation_paths: their files.

    Example:
        >>> print(find_torn_groups(["ann", "bob"], ["bob", "eve"], [Path("3.jpg"), Path("4.jpg")])[0].what)
        1 group of 3 has images in training and in validation, first 'bob': 1 validation image is not independent.
    """
    torn = sorted(set(train) & set(validation))
    if not torn:
        return []
    on_both = set(torn)
    paths = tuple(path for path, group in zip(validation_paths, validation, strict=True) if group in on_both)
    return [
        Finding(
            "split-group-torn",
            "error",
            f"{counted(len(torn), 'group')} of {len(set(train) | set(validation)):,} "
            f"{fits(len(torn), 'has', 'have')} images in training and in validation, first {torn[0]!r}: "
            f"{counted(len(paths), 'validation image')} {fits(len(paths), 'is', 'are')} not independent.",
            "Make the sides with split(groups=...), which keeps groups whole.",
            paths,
            (("groups", torn),),
        )
    ]


def find_conflicts(paths: Sequence[Path], pixel_digests: Sequence[bytes], labels: Sequence[Any]) -> list[Finding]:
    """The same picture with different labels; images without a label (None) are passed over.

    Example:
        >>> found = find_conflicts([Path("a/1.png"), Path("b/1.png")], [b"same", b"same"], ["cat", "dog"])
        >>> print(found[0].what)
        1 picture is there with different labels: a/1.png is 'cat', b/1.png is 'dog'.
    """
    places: dict[bytes, list[int]] = {}
    for place, (digest, label) in enumerate(zip(pixel_digests, labels, strict=True)):
        if label is not None:
            places.setdefault(digest, []).append(place)
    torn = [copies for copies in places.values() if any(labels[place] != labels[copies[0]] for place in copies)]
    if not torn:
        return []
    one = torn[0][0]
    other = next(place for place in torn[0] if labels[place] != labels[one])
    return [
        Finding(
            "label-conflict",
            "error",
            f"{counted(len(torn), 'picture')} {fits(len(torn), 'is', 'are')} there with different labels: "
            f"{short(paths[one])} is "
            f"{labels[one]!r}, {short(paths[other])} is {labels[other]!r}.",
            "At most one label is right: take the wrong copies out.",
            tuple(paths[place] for copies in torn for place in copies),
            (("copies", [[[str(paths[place]), labels[place]] for place in copies] for copies in torn]),),
        )
    ]


def find_twice(survey: Survey, side: str) -> list[Finding]:
    """The same picture more than once on one side."""
    seen: dict[bytes, Path] = {}
    copies = []
    for each in survey.facts:
        if each.problem is None and seen.setdefault(each.pixel_digest, each.path) is not each.path:
            copies.append(each)
    if not copies:
        return []
    paths = tuple(each.path for each in copies)
    first = seen[copies[0].pixel_digest]
    return [
        Finding(
            "image-twice",
            "note",
            f"{counted(len(copies), 'image')} of {len(survey):,} in {side} {fits(len(copies), 'is', 'are')} there "
            f"already: "
            f"{named(paths)}; the first is {short(first)} once more.",
            "Take the copies out, unless they should count more.",
            paths,
            (("pairs", [[str(seen[each.pixel_digest]), str(each.path)] for each in copies]),),
        )
    ]


def group_names(source: ImageSource, groups: Groups) -> list[str]:
    """The group of each image, as `ImageSource.split` finds it."""
    column = source.column(groups) if isinstance(groups, str) else None
    return [key.decode() for key in group_keys(groups, source.paths, column)]


def _label(source: ImageSource, place: int) -> Any:
    """What is known of an image, to be compared and shown: the names of its classes, or its numbers; or None."""
    if source.labels is None:
        return None
    values = source.labels[place]
    if source.class_names and source.labels.ndim == 1:
        return source.class_names[int(values)]
    if source.class_names:
        return [name for name, shown in zip(source.class_names, values, strict=True) if shown]
    return np.asarray(values).tolist()
