"""What an image's neighbours, by the base's features, say of it: near duplicates on both sides, likely wrong labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from thawline.check.classes import has_classes
from thawline.check.facts import Survey
from thawline.check.finding import Finding
from thawline.check.naming import fits, named, short
from thawline.check.near import NearPair, across, near_pairs
from thawline.check.nearest import directions, nearest
from thawline.data.sources.source import ImageSource
from thawline.figures import counted

CODES: dict[str, str] = {
    "split-near-duplicate": "warning: validation images that look nearly like a training image, other than by chance",
    "label-near-duplicate": "note: images that look nearly the same and have different labels",
    "label-suspect": "warning: images whose neighbours agree on another class; likely wrong labels",
}

# As many neighbours are asked as half the smallest class has, but no more than this.
_NEIGHBOURS = 10

# Classes with fewer images are not judged: too few neighbours could agree with them.
_LEAST_IMAGES = 8

# Neighbours have to agree on another class to this share, and may speak for the own one to that.
_AGREED, _OWN = 0.8, 0.1

# A class is judged where its images are usually confirmed: half of them get at least so much of the votes. On photos of
# fabric, where one class is like another and reaches 0.69, neighbours outvoted several right labels.
_CONFIRMED = 0.75

# How much nearer an image is to its own class than to any other, by the nearest few of each, is its margin. That of a
# suspect lies so many deviations below what is usual in its class. Among 1,500 photos of fabric in two classes, right
# labels that the neighbours outvoted lay up to 4.5 below, nearly all swapped ones further.
_NEAREST_FEW, _DEVIATIONS = 3, 4.5

# So many images of a class tell what is usual.
_SAMPLE = 200


class Suspect(NamedTuple):
    """A label that the neighbours do not share: place, the label, the class they agree on and to which share."""

    place: int
    label: int
    other: int
    strength: float


def check_neighbours(
    train: ImageSource,
    validation: ImageSource | None,
    train_features: np.ndarray,
    validation_features: np.ndarray | None,
    train_survey: Survey,
    validation_survey: Survey | None,
) -> list[Finding]:
    """Findings by neighbours: near duplicates across sides, or with different labels, and likely wrong labels.

    No label is ever changed by it. Images with a problem, and exact copies (which `check_splits` finds), are left out.
    Labels are looked at where each image shows one class. The cost is that of `near_pairs`, and one more search.

    Args:
        train: the training images.
        validation: the validation images, or None.
        train_features: float32 (len(train), d), pooled, by a base that knows something of images.
        validation_features: float32 (len(validation), d), or None.
        train_survey: what `survey(train)` gave.
        validation_survey: what `survey(validation)` gave, or None.
    """
    images = _pool(
        [(train, train_features, train_survey)]
        + (
            [(validation, validation_features, validation_survey)]
            if validation is not None and validation_features is not None and validation_survey is not None
            else []
        )
    )
    pairs = [
        pair
        for pair in near_pairs(images.features, images.thumbnails, images.labels)
        if images.pixel_digests[pair.first] != images.pixel_digests[pair.second]
    ]
    findings = _near_findings(images, pairs)
    if images.labels is not None:
        findings += _suspect_findings(images, suspect_labels(images.features, images.labels))
    return findings


def suspect_labels(features: np.ndarray, labels: np.ndarray) -> list[Suspect]:
    """Labels that the nearest neighbours agree against, the clearest first.

    Each image is judged by its nearest others, weighted by their cosine. It is suspect when nearly all of them belong
    to one other class and it lies far from its own, although images of both classes are usually confirmed by theirs:
    where neighbours are no judges of a class, nothing is said of it.

    Args:
        features: float32 (n, d).
        labels: int (n,), from 0 up.

    Example:
        >>> random = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1], 20)
        >>> features = np.eye(2)[labels] * 5 + random.normal(size=(40, 2)) * 0.1
        >>> labels[3] = 1
        >>> suspect_labels(features, labels)
        [Suspect(place=3, label=1, other=0, strength=1.0)]
    """
    counts = np.bincount(labels)
    judged = counts >= _LEAST_IMAGES
    if np.count_nonzero(judged) < 2:
        return []
    count = min(_NEIGHBOURS, int(counts[judged].min()) // 2)
    vectors = directions(features)
    indices, cosines = nearest(vectors, count)
    weights = np.maximum(cosines, 1e-6)
    votes = np.zeros((len(labels), len(counts)))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[indices]), weights)
    votes /= votes.sum(axis=1, keepdims=True)
    places = np.arange(len(labels))
    own = votes[places, labels]
    is_confirmed = np.array([ok and np.median(own[labels == label]) >= _CONFIRMED for label, ok in enumerate(judged)])
    votes[places, labels] = 0
    other, strength = votes.argmax(axis=1), votes.max(axis=1)
    found = (strength >= _AGREED) & (own <= _OWN) & is_confirmed[labels] & is_confirmed[other]
    suspects = [
        Suspect(int(place), int(labels[place]), int(other[place]), round(float(strength[place]), 3))
        for label in np.unique(labels[found])
        for place in _outlying(vectors, labels, label, np.flatnonzero(found & (labels == label)))
    ]
    return sorted(suspects, key=lambda suspect: -suspect.strength)


def _outlying(vectors: np.ndarray, labels: np.ndarray, label: int, places: np.ndarray) -> np.ndarray:
    """Those of the places, all of one class, whose margin is far below what is usual in the class."""
    members = np.flatnonzero(labels == label)
    usual = _margins(vectors, labels, members[:: -(-len(members) // _SAMPLE)])
    middle = np.median(usual)
    # The median distance of a normal distribution, made its standard deviation.
    deviation = 1.4826 * np.median(np.abs(usual - middle))
    outlying: np.ndarray = places[_margins(vectors, labels, places) < middle - _DEVIATIONS * deviation]
    return outlying


def _margins(vectors: np.ndarray, labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How much nearer each of these images is to its own class than to any other, float64 (n,)."""
    found = vectors[places] @ vectors.T
    found[np.arange(len(places)), places] = -np.inf
    nearness = np.full((len(places), int(labels.max()) + 1), -np.inf)
    for label, count in enumerate(np.bincount(labels)):
        # An image of the class itself is not one of its neighbours.
        few = min(_NEAREST_FEW, count - 1)
        if few > 0:
            of_class = found[:, labels == label]
            nearness[:, label] = np.partition(of_class, count - few, axis=1)[:, count - few :].mean(axis=1)
    own = nearness[np.arange(len(places)), labels[places]]
    nearness[np.arange(len(places)), labels[places]] = -np.inf
    return np.asarray(own - nearness.max(axis=1), np.float64)


class _Images(NamedTuple):
    """The usable images of all sides together."""

    features: np.ndarray
    thumbnails: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    is_validation: np.ndarray
    paths: tuple[Path, ...]
    pixel_digests: tuple[bytes, ...]

    def label(self, place: int) -> str:
        return "" if self.labels is None else self.class_names[self.labels[place]]


def _pool(sides: list[tuple[ImageSource, np.ndarray, Survey]]) -> _Images:
    """The sides together, with class numbers that mean the same on both."""
    names = tuple(dict.fromkeys(name for source, _, _ in sides for name in source.class_names))
    labels: list[np.ndarray] | None = []
    kept, features, thumbnails, is_validation = [], [], [], []
    for number, (source, rows, looked) in enumerate(sides):
        usable = np.flatnonzero(looked.are_usable & np.isfinite(rows).all(axis=1))
        kept += [looked.facts[place] for place in usable]
        features.append(rows[usable].astype(np.float32))
        thumbnails.append(looked.thumbnails[usable])
        is_validation.append(np.full(len(usable), number == 1))
        if labels is not None and has_classes(source):
            same = np.array([names.index(name) for name in source.class_names])
            labels.append(same[source.known_labels[usable]])
        else:
            labels = None
    return _Images(
        np.concatenate(features),
        np.concatenate(thumbnails),
        None if labels is None else np.concatenate(labels),
        names,
        np.concatenate(is_validation),
        tuple(each.path for each in kept),
        tuple(each.pixel_digest for each in kept),
    )


def _near_findings(images: _Images, pairs: list[NearPair]) -> list[Finding]:
    findings = []
    split = across(pairs, images.is_validation)
    if split:
        first = split[0]
        held = tuple(dict.fromkeys(images.paths[pair.second] for pair in split))
        findings.append(
            Finding(
                "split-near-duplicate",
                "warning",
                f"{counted(len(held), 'validation image')} of {np.count_nonzero(images.is_validation):,} "
                f"{fits(len(held), 'looks', 'look')} nearly like a training image, first "
                f"{short(images.paths[first.second])}, like "
                f"{short(images.paths[first.first])}: validation figures come out too good.",
                "Keep images of one origin on one side, with split(groups=...), or take the copies out.",
                held,
                (("pairs", _listed(images, split)),),
            )
        )
    torn = [
        pair for pair in pairs if images.labels is not None and images.labels[pair.first] != images.labels[pair.second]
    ]
    if torn:
        one, other, _ = torn[0]
        findings.append(
            Finding(
                "label-near-duplicate",
                "note",
                f"{counted(len(torn), 'pair')} of images that look nearly the same, but have different labels, first "
                f"{short(images.paths[one])} ({images.label(one)!r}) and {short(images.paths[other])} "
                f"({images.label(other)!r}).",
                "Look at them: where the difference is not in the picture, one label is wrong.",
                tuple(dict.fromkeys(images.paths[place] for pair in torn for place in pair[:2])),
                (("pairs", _listed(images, torn)),),
            )
        )
    return findings


def _listed(images: _Images, pairs: list[NearPair]) -> list[list[str | float]]:
    return [[str(images.paths[one]), str(images.paths[other]), agreement] for one, other, agreement in pairs]


def _suspect_findings(images: _Images, suspects: list[Suspect]) -> list[Finding]:
    if not suspects:
        return []
    first = suspects[0]
    paths = tuple(images.paths[suspect.place] for suspect in suspects)
    return [
        Finding(
            "label-suspect",
            "warning",
            f"{counted(len(suspects), 'label')} of {len(images.paths):,} may be wrong, because the nearest images by "
            f"features agree on another class: {named(paths)}. The first is labelled "
            f"{images.class_names[first.label]!r}, those near it are {images.class_names[first.other]!r} "
            f"({first.strength:.0%}).",
            "Look at them and move those that are wrong to their class; nothing was changed.",
            paths,
            (
                (
                    "suspects",
                    [
                        [str(path), images.class_names[label], images.class_names[other], strength]
                        for path, (_, label, other, strength) in zip(paths, suspects, strict=True)
                    ],
                ),
            ),
        )
    ]
