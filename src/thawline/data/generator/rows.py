"""Rows: what a generator's iterator goes through, files or arrays with their answers under one index each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from thawline.data.splits import exact_sides, positions
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
        is_named: whether the answers of "multi_output" go into a dictionary by the names of `columns`.
        class_indices: the number of each class by its name.
        filenames: each file as it is listed; empty for arrays.
        filepaths: each file as it is opened.
        images: (n, height, width, channels), or channels first; None for files.
        extras: more inputs of the model, n rows each.
        weights: float (n,), how much each row counts, or None.
        columns: what the columns of "raw" and "multi_output" answers are called; empty for arrays.
    """

    class_mode: str | None
    labels: Any = None
    class_indices: dict[str, int] = field(default_factory=dict)
    filenames: tuple[str, ...] = ()
    filepaths: tuple[str, ...] = ()
    images: np.ndarray | None = None
    extras: tuple[np.ndarray, ...] = ()
    weights: np.ndarray | None = None
    columns: tuple[str, ...] = ()
    is_named: bool = False

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
            "multi_output": lambda: self._outputs(indices),
        }
        if self.class_mode is None:
            return (inputs,) if self.extras else inputs
        targets = makers[self.class_mode]()
        return (inputs, targets) if self.weights is None else (inputs, targets, self.weights[indices])

    def check_for_keras(self) -> None:
        """Refuses answers that no loss of Keras takes, before Keras says so in words of its own.

        Raises:
            DataError: answers are text, or objects; or weights are not finite.
        """
        weights = self.weights
        if weights is not None and not (weights.dtype.kind in "biuf" and np.isfinite(weights).all()):
            raise DataError("Some weights are no finite numbers, which makes the loss NaN. Fill them in, with 1, say.")
        outputs = (
            self.labels if self.class_mode == "multi_output" else [self.labels] if self.class_mode == "raw" else []
        )
        for place, output in enumerate(outputs):
            given = np.asarray(output)
            if given.dtype.kind in "biuf":
                continue
            where = f"Column {self.columns[place]!r}" if place < len(self.columns) else "y"
            raise DataError(
                f"{where} holds {given.reshape(-1).tolist()[0]!r}; Keras learns numbers. For classes by name use "
                "flow_from_dataframe(class_mode='categorical'), or give their numbers."
            )

    def _outputs(self, indices: np.ndarray) -> Any:
        # A tuple: Keras takes a list for one answer with an axis more.
        chosen = tuple(output[indices] for output in self.labels)
        return dict(zip(self.columns, chosen, strict=True)) if self.is_named else chosen

    def _one_hot(self, indices: np.ndarray, dtype: str) -> np.ndarray:
        """Ones for the classes of each row, which may have several: (n, classes)."""
        hot = np.zeros((len(indices), len(self.class_indices)), dtype)
        for row, index in enumerate(indices):
            hot[row, self.labels[index]] = 1
        return hot


def split(rows: Rows, share: float, digests: Sequence[bytes] | None) -> tuple[np.ndarray, np.ndarray]:
    """The indices of a training and a validation side, in order, by the places of rows, with equal shares of a class.

    An image and its mask, or the left and the right picture of a pair, have the same place, though not the same
    content. Neither a seed nor the class mode of a folder changes a side, so that iterators agree whatever theirs are.

    Args:
        rows: the rows; those of a class, or of a set of classes, are alike; so are those with equal whole numbers or
            text as raw answers, when each comes twice or more.
        digests: 32 bytes for each row: rows of equal content stay together, where the first is. None: every row for
            itself, as masks need it, of which many are equal.
        share: of the validation side, above 0 and below 1.

    Raises:
        DataError: one side would be empty.
    """
    kinds = _strata(rows)
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    strata = np.array([numbers[kind] for kind in kinds], np.int64)
    first: dict[bytes, int] = {}
    places = range(len(rows)) if digests is None else [first.setdefault(one, row) for row, one in enumerate(digests)]
    keys = [place.to_bytes(8, "little") for place in places]
    return _both_sides(exact_sides(positions(keys, 0), strata, share, 0.0))


def _both_sides(sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not sides.any():
        raise DataError(f"{len(sides)} images are too few to split: every class needs two. Add images.")
    return np.flatnonzero(sides == 0), np.flatnonzero(sides)


def _strata(rows: Rows) -> list[Any]:
    """What each row must have in common with others to be alike."""
    if rows.class_indices and rows.labels is not None:
        return [tuple(sorted(label)) if isinstance(label, list) else label for label in rows.labels]
    if rows.class_mode == "raw" and np.asarray(rows.labels).dtype.kind in "biuU":
        answers = [np.asarray(answer).tobytes() for answer in rows.labels]
        # An answer that comes once is a measurement, not a class.
        if min(Counter(answers).values(), default=0) > 1:
            return answers
    return [0] * len(rows)
