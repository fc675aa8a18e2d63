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
