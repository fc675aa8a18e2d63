"""Which images are worth looking at, by their answers."""

import numpy as np

from thawline.report.scores import confidences, margins, predicted_classes

# Answers whose likeliest class is so far ahead of the next one are no longer called uncertain.
UNCERTAIN_MARGIN = 0.3


def worst_mistakes(answers: np.ndarray, labels: np.ndarray, count: int) -> list[int]:
    """Images that were answered wrong, the surest first.

    Args:
        answers: probabilities, float (n, classes), or of class 1, float (n, 1).
        labels: class numbers, int (n,).
        count: how many at most.

    Example:
        >>> worst_mistakes(np.array([[0.6, 0.4], [0.9, 0.1], [0.1, 0.9]]), np.array([1, 1, 1]), 5)
        [1, 0]
    """
    wrong = np.flatnonzero(predicted_classes(answers) != labels)
    return _first(wrong[np.argsort(-confidences(answers)[wrong], kind="stable")], count)


def most_uncertain(answers: np.ndarray, count: int) -> list[int]:
    """Images for which the two likeliest classes are nearly as likely, the nearest first.

    Those that are `UNCERTAIN_MARGIN` or further apart are left out: they are not uncertain.

    Example:
        >>> most_uncertain(np.array([[0.6, 0.4], [0.9, 0.1], [0.51, 0.49]]), 3)
        [2, 0]
    """
    apart = margins(answers)
    ordered = np.argsort(apart, kind="stable")
    return _first(ordered[apart[ordered] < UNCERTAIN_MARGIN], count)


def surest_right(answers: np.ndarray, labels: np.ndarray, count: int) -> list[int]:
    """Images that were answered right: the surest of each class, then the second of each class, and so on.

    Example:
        >>> answers = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
        >>> surest_right(answers, np.array([0, 0, 1, 1]), 2)
        [0, 2]
    """
    sure = confidences(answers)
    right = np.flatnonzero(predicted_classes(answers) == labels)
    ordered = right[np.argsort(-sure[right], kind="stable")]
    rank = np.zeros(len(ordered), np.int64)
    for label in np.unique(labels[ordered]):
        of_class = labels[ordered] == label
        rank[of_class] = np.arange(of_class.sum())
    return _first(ordered[np.argsort(rank, kind="stable")], count)


def _first(indices: np.ndarray, count: int) -> list[int]:
    return [int(index) for index in indices[:count]]
