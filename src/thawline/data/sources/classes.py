"""Classes of a source: names, numbers, and the number of images of each."""

import copy
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from thawline.data.class_order import numbers_by_name
from thawline.data.labels import Binary, Categorical, Labels, Outputs, Sparse
from thawline.errors import DataError

# Class names, or those of each output by its name.
ClassNames = Sequence[str] | Mapping[str, Sequence[str]]


class HasClasses:
    """Answers to questions about the classes of images; `ImageSource` inherits them."""

    rows: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    _labels: Labels

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known_labels(self) -> np.ndarray:
        """The labels, for work that cannot do without.

        Raises:
            DataError: the images have none.
        """
        if self.labels is None:
            raise DataError("These images have no labels. Use an ImageFolder with one folder per class.")
        return self.labels

    @property
    def class_indices(self) -> dict[str, int]:
        """The number of each class, by its name."""
        return {name: index for index, name in enumerate(self.class_names)}

    @property
    def class_counts(self) -> dict[str, int]:
        """The number of images of each class, by its name."""
        counts = self._labels.members(self.rows).sum(axis=0)
        return {name: int(count) for name, count in zip(self.class_names, counts, strict=True)}

    def class_weights(self) -> dict[int, float]:
        """Weights by class number that give every class the same say, for `fit(class_weight=...)`.

        The weight of a class is images / (classes * images of the class), as scikit-learn's "balanced" has it; classes
        without images are left out, sample weights are not looked at.

        Raises:
            DataError: the images do not show one class each.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> images = ImageArrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 0, 0, 1])
            >>> {number: round(weight, 2) for number, weight in images.class_weights().items()}
            {0: 0.67, 1: 2.0}
        """
        if self.labels is None or not isinstance(self._labels, Categorical | Sparse | Binary):
            raise DataError("class_weights() needs one class per image: label_mode categorical, sparse or binary.")
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        present = int(np.count_nonzero(counts))
        return {number: len(self) / (present * count) for number, count in enumerate(counts.tolist()) if count}

    @property
    def output_class_names(self) -> dict[str, tuple[str, ...]]:
        """The classes of each of several outputs whose targets are classes, in the order of their numbers, by output.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> labels = {"kind": ["rose", "fern"], "height": [0.4, 0.7]}
            >>> modes = {"kind": "sparse", "height": "regression"}
            >>> ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), labels, label_mode=modes).output_class_names
            {'kind': ('fern', 'rose')}
        """
        parts = self._labels.parts if isinstance(self._labels, Outputs) else {}
        return {name: part.class_names for name, part in parts.items() if part.answers_classes}

    @property
    def output_labels(self) -> dict[str, np.ndarray]:
        """The class of each image, int32 (len,), for each of several outputs that shows one class per image.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> labels = {"kind": ["rose", "fern"], "height": [0.4, 0.7]}
            >>> modes = {"kind": "sparse", "height": "regression"}
            >>> ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), labels, label_mode=modes).output_labels["kind"].tolist()
            [1, 0]
        """
        parts = self._labels.parts if isinstance(self._labels, Outputs) else {}
        return {
            name: part.values[self.rows]
            for name, part in parts.items()
            if isinstance(part, Categorical | Sparse | Binary) and part.values is not None
        }

    def label_text(self, index: int) -> str:
        """The label of an image for people: its class, its classes or its numbers; empty where there is none.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), ["cat", "dog"]).label_text(1)
            'dog'
        """
        return self._labels.text(int(self.rows[index]))

    @property
    def answers_classes(self) -> bool:
        """True where targets are made of class numbers, so that their meaning depends on the order of the names."""
        return self._labels.answers_classes

    @property
    def second_mask_value(self) -> int | None:
        """The number in masks that was taken for class 1, as they hold 0 and that one only; None for all others."""
        return self._labels.second_value

    @property
    def has_named_classes(self) -> bool:
        """True where targets are made of classes that were given names; False where they have numbers only."""
        return self._labels.answers_classes and not self._labels.has_numbers_only

    def with_class_names(self, class_names: ClassNames) -> Self:
        """The same images with the classes in this order: each keeps its name, and gets the number it has there.

        A class of `class_names` that the images lack is a class without images, with a warning. Where targets are not
        made of classes, nothing changes. Class numbers without names (`ImageArrays(labels=[0, 1])`) stay as they are.

        Args:
            class_names: the classes in the order of their numbers; for several outputs a dictionary by output, of
                which those that are not there stay as they are.

        Raises:
            DataError: a class with images is not among them; both lists are named.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> images = ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), ["cat", "dog"], label_mode="sparse")
            >>> images.labels.tolist(), images.with_class_names(["dog", "cat"]).labels.tolist()
            ([0, 1], [1, 0])
        """
        labels = _named(self._labels, self.rows, class_names)
        if labels is self._labels:
            return self
        changed = copy.copy(self)
        changed._labels, changed.class_names = labels, labels.class_names
        changed.labels = None if labels.values is None else labels.values[self.rows]
        return changed


def _named(labels: Labels, rows: np.ndarray, class_names: ClassNames) -> Labels:
    """The labels with the classes in this order; the same ones where nothing changes."""
    if isinstance(labels, Outputs):
        names = class_names if isinstance(class_names, Mapping) else {}
        parts = {name: _named(part, rows, names.get(name, ())) for name, part in labels.parts.items()}
        return labels if all(parts[name] is part for name, part in labels.parts.items()) else Outputs(parts)
    if isinstance(class_names, Mapping) or not labels.answers_classes or not class_names:
        return labels
    if labels.class_names == tuple(class_names):
        return labels
    counts = labels.members(rows).sum(axis=0).tolist()
    numbers = numbers_by_name(labels.class_names, class_names, counts, are_numbers=labels.has_numbers_only)
    return labels.renumbered(numbers, class_names)
