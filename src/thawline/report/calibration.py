"""Calibration: whether answers that are 80 % sure are right 80 % of the time."""

import math
from dataclasses import dataclass

import numpy as np

from thawline.report.scores import confidences, predicted_classes

# As many as a few hundred images fill; the papers have 10 (Naeini) and 15 (Guo) for ten thousand.
BINS = 10

# How far the probabilities of an image may be from 1 together: float32 and bfloat16 round.
_SUM_TOLERANCE = 0.02


@dataclass(frozen=True)
class CalibrationBin:
    """The answers whose confidence lies above `low` and up to `high`.

    Attributes:
        low: where the bin begins, 0 to 1.
        high: where it ends, 0 to 1.
        count: how many answers lie in it.
        confidence: how sure they are on average, 0 to 1; NaN without answers.
        accuracy: the share of them that are right, 0 to 1; NaN without answers.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How far answers may be trusted.

    Attributes:
        bins: equally wide, from 0 to 1.
        error: the expected calibration error, 0 to 1.
    """

    bins: tuple[CalibrationBin, ...]
    error: float


def calibrate(answers: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration | None:
    """Sorts answers by how sure they are, and looks how many are right.

    The expected calibration error is the mean distance of confidence and accuracy, each bin weighted with its count:
    sum over bins of count / n * |accuracy - confidence|. Sources: Naeini, Cooper and Hauskrecht (2015), Obtaining Well
    Calibrated Probabilities Using Bayesian Binning; Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern
    Neural Networks, whose reliability diagram shows the bins.

    Args:
        answers: probabilities, float (n, classes), or of class 1, float (n, 1).
        labels: class numbers, int (n,).
        bins: how many bins.

    Returns:
        The calibration; None without images, or where the answers are no probabilities.

    Example:
        >>> answers = np.array([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
        >>> calibrate(answers, np.array([0, 1, 1, 1])).error  # as sure as they are right
        0.0
        >>> calibrate(answers, np.array([1, 0, 0, 0])).error
        0.5
    """
    if not len(answers) or not are_probabilities(answers):
        return None
    confidence, is_right = confidences(answers), predicted_classes(answers) == labels
    # A bin takes in its upper end, as in both papers.
    numbers = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = numbers == number
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(is_right[inside].mean())) if count else (math.nan, math.nan)
        found.append(CalibrationBin(number / bins, (number + 1) / bins, count, *means))
    error = sum(each.count * abs(each.accuracy - each.confidence) for each in found if each.count) / len(answers)
    return Calibration(tuple(found), error)


def are_probabilities(answers: np.ndarray) -> bool:
    """Whether every row says how likely each class is: from 0 to 1, and 1 together; one column need not.

    Example:
        >>> are_probabilities(np.array([[0.9, 0.1]])), are_probabilities(np.array([[3.2, -1.0]]))
        (True, False)
    """
    if answers.min() < 0 or answers.max() > 1:
        return False
    return answers.shape[-1] == 1 or bool(np.all(np.abs(answers.sum(axis=-1) - 1) < _SUM_TOLERANCE))
