"""Rows: what a generator's iterator goes through, files or arrays with their answers under one index each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from blake3 import blake3

from thawline.errors import DataError

# A batch as Keras takes it: images, (images, targets) or (images, targets, weights).
KerasBatch = Any

# The class modes in which every row has a class, or several.
CLASS_MODES = ("categorical", "binary", "sparse")


@dataclass(frozen=True)
class Rows:
    """Images with what belongs to them.

    Attributes:
        class_mode: "categorical", "binary", "sparse", "input", "raw", "multi_output" or None, as in Keras.
        labels: what is known of each row. Class numbers, or lists of them, in the class modes; an array of n answers
            for "raw"; a list of such arrays for "multi_output"; None otherwise.
        class_indices: the number of each class by its name.
        filenames: each file as it is listed; empty for arrays.
        filepaths: each file as it is opened.
        images: (n, height, width, channels), or channels first; None for files.
        extras: more inputs of the model, n rows each.
        weights: float (n,), how much each row counts, or None.
    """

    class_mode: str | None
    labels: Any = None
    class_indices: dict[str, int] = field(default_factory=dict)
    filenames: tuple[str, ...] = ()
    filepaths: tuple[str, ...] = ()
    images: np.ndarray | None = None
    extras: tuple[np.ndarray, ...] = ()
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.filepaths) if self.images is None else len(self.images)

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The rows with these indices, in this order."""
        chosen = np.asarray(indices, np.int64)
        labels: Any
        if self.class_mode == "multi_output":
            labels = [output[chosen] for output in self.labels]
        elif isinstance(self.labels, list):
            labels = [self.labels[index] for index in chosen]
        else:
            labels = None if self.labels is None else self.labels[chosen]
        return replace(
            self,
            labels=labels,
            filenames=tuple(self.filenames[index] for index in chosen) if self.filenames else (),
            filepaths=tuple(self.filepaths[index] for index in chosen) if self.filepaths else (),
            images=None if self.images is None else self.images[chosen],
            extras=tuple(extra[chosen] for extra in self.extras),
            weights=None if self.weights is None else self.weights[chosen],
        )

    def batch(self, indices: np.ndarray, images: np.ndarray, dtype: str) -> KerasBatch:
        """Images with the answers and weights of these rows, as `keras.Model.fit` takes them.

        Args:
            indices: int64 (n,), the rows.
            images: their pixels.
            dtype: of one-hot answers and class numbers.
        """
        inputs = (images, *(extra[indices] for extra in self.extras)) if self.extras else images
        makers: dict[str | None, Callable[[], Any]] = {
            "input": images.copy,
            "categorical": lambda: self._one_hot(indices, dtype),
            "binary": lambda: np.asarray(self.labels)[indices].astype(dtype),
            "sparse": lambda: np.asarray(self.labels)[indices].astype(dtype),
            "raw": lambda: self.labels[indices],
            # A tuple: Keras takes a list for one answer with an axis more.
            "multi_output": lambda: tuple(output[indices] for output in self.labels),
        }
        if self.class_mode is None:
            return (inputs,) if self.extras else inputs
        targets = makers[self.class_mode]()
        return (inputs, targets) if self.weights is None else (inputs, targets, self.weights[indices])

    def _one_hot(self, indices: np.ndarray, dtype: str) -> np.ndarray:
        """Ones for the classes of each row, which may have several: (n, classes)."""
        hot = np.zeros((len(indices), len(self.class_indices)), dtype)
        for row, index in enumerate(indices):
            hot[row, self.labels[index]] = 1
        return hot


def split_by_content(rows: Rows, digests: Sequence[bytes], share: float) -> tuple[np.ndarray, np.ndarray]:
    """The indices of a training and a validation side, in order, with the same share of every class.

    Which side a row falls on depends on its content only, so that the iterators of both sides agree whatever their
    seeds are. It is the split of `ImageSource.split` with seed 0.

    Args:
        rows: the rows; those of a class, or of a set of classes, are alike. Other answers are not looked at.
        digests: 32 bytes for each row.
        share: of the validation side, above 0 and below 1.

    Raises:
        DataError: one side would be empty.
    """
    key = (0).to_bytes(8, "little")
    scores = [blake3(key + digest, derive_key_context="thawline split").digest() for digest in digests]
    strata: dict[Any, list[int]] = {}
    for index in range(len(rows)):
        strata.setdefault(_stratum(rows, index), []).append(index)
    held_out: set[int] = set()
    for members in strata.values():
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held_out.update(sorted(members, key=scores.__getitem__)[:count])
    if not held_out:
        raise DataError(f"{len(rows)} images are too few to split: every class needs two. Add images.")
    everything = np.arange(len(rows))
    is_held = np.isin(everything, list(held_out))
    return everything[~is_held], everything[is_held]


def _stratum(rows: Rows, index: int) -> Any:
    """What rows must have in common to be alike."""
    label = rows.labels[index] if rows.class_mode in CLASS_MODES else 0
    if rows.class_mode == "raw" and np.ndim(rows.labels) and np.asarray(rows.labels).dtype.kind in "biuU":
        label = np.asarray(rows.labels[index]).tobytes()
    return tuple(sorted(label)) if isinstance(label, list) else label
