"""Figures that compare answers with labels: confusion matrix, accuracy, and recall and precision per class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassResult:
    """How well one class was recognised.

    Attributes:
        name: the class.
        support: images of the class.
        recall: share of the class's images that were recognised; NaN without images.
        precision: share of right answers among those that named the class; NaN when none did.
    """

    name: str
    support: int
    recall: float
    precision: float


def predicted_classes(answers: np.ndarray) -> np.ndarray:
    """Class numbers, int64 (n,), from probabilities (n, classes), or from one probability (n, 1) of class 1."""
    if answers.shape[-1] == 1:
        return (answers[:, 0] >= 0.5).astype(np.int64)
    best: np.ndarray = np.argmax(answers, axis=-1)
    return best


def per_class(answers: np.ndarray) -> np.ndarray:
    """One column for each class, (n, classes): of one probability of class 1, (n, 1), two columns are made.

    Example:
        >>> per_class(np.array([[0.25]])).tolist()
        [[0.75, 0.25]]
    """
    return np.concatenate([1 - answers, answers], axis=-1) if answers.shape[-1] == 1 else answers


def confidences(answers: np.ndarray) -> np.ndarray:
    """How sure each answer is: the probability of the class that it names, float64 (n,).

    Example:
        >>> confidences(np.array([[0.2, 0.8]])).tolist(), confidences(np.array([[0.25]])).tolist()
        ([0.8], [0.75])
    """
    return np.asarray(per_class(answers).max(axis=-1), np.float64)


def margins(answers: np.ndarray) -> np.ndarray:
    """How far the answer is from the next likeliest one, float64 (n,): near 0 a coin would do as well.

    Example:
        >>> margins(np.array([[0.5, 0.25, 0.25]])).tolist(), margins(np.array([[0.25]])).tolist()
        ([0.25], [0.5])
    """
    ordered = np.sort(per_class(answers).astype(np.float64), axis=-1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, class_count: int) -> np.ndarray:
    """Counts, int64 (classes, classes): rows are true classes, columns the answers.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        array([[1, 1],
               [0, 1]])
    """
    counts = np.zeros((class_count, class_count), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def accuracy(confusion: np.ndarray) -> float:
    """Share of right answers, 0 to 1; NaN without images."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def class_results(confusion: np.ndarray, class_names: Sequence[str]) -> list[ClassResult]:
    """Support, recall and precision of each class."""
    right, support, named = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        ClassResult(
            name,
            int(support[index]),
            float(right[index] / support[index]) if support[index] else float("nan"),
            float(right[index] / named[index]) if named[index] else float("nan"),
        )
        for index, name in enumerate(class_names)
    ]
