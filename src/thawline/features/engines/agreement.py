"""How far the features of one engine are from those of another, and how far they may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# In full precision engines differ by the order of their sums only: 1e-5 at most was measured on the usual backbones.
LARGEST_DIFFERENCE = 1e-4
# bfloat16 keeps 8 bits of a number; the usual backbones were measured at 0.98 and more.
SMALLEST_COSINE = 0.95


@dataclass(frozen=True)
class Agreement:
    """How far features are from those they should be.

    Attributes:
        largest_difference: the largest difference of two numbers over the largest number in the same crossing tensor;
            the largest of all crossing tensors.
        cosine: the smallest cosine between two images' features, over images and crossing tensors; from -1 to 1.
        mean_cosine: the mean of those cosines.
        has_same_gaps: whether NaN and infinities, if any, are in the same places; the figures are about the rest.
    """

    largest_difference: float
    cosine: float
    mean_cosine: float
    has_same_gaps: bool = True

    def problem(self, precision: str) -> str:
        """Why this is not good enough for the precision, the end of a sentence about the engine; empty where it is."""
        if not self.has_same_gaps:
            return "disagrees with keras: features are NaN or infinite by one of them only"
        if precision == "float32":
            is_fine, limit = self.largest_difference <= LARGEST_DIFFERENCE, f"{LARGEST_DIFFERENCE:.0e} is allowed"
        else:
            is_fine, limit = self.cosine >= SMALLEST_COSINE, f"{SMALLEST_COSINE} is needed"
        return "" if is_fine else f"disagrees with keras: {self.figures(precision)}, but {limit}"

    def figures(self, precision: str) -> str:
        """What counts for the precision, in words."""
        if precision == "float32":
            return f"features differ by {self.largest_difference:.1e} at most"
        return f"cosines of features are {self.cosine:.3f} at least, {self.mean_cosine:.3f} on average"


def compare(expected: Sequence[np.ndarray], given: Sequence[np.ndarray]) -> Agreement:
    """How far features are from the expected ones.

    Args:
        expected: one array (n, ...) per crossing tensor.
        given: the same of another engine.

    Example:
        >>> compare([np.array([[3.0, 4.0]])], [np.array([[4.0, 3.0]])])
        Agreement(largest_difference=0.25, cosine=0.96, mean_cosine=0.96, has_same_gaps=True)
    """
    differences, cosines, has_same_gaps = [0.0], [np.ones(1)], True
    for left, right in zip(map(_as_rows, expected), map(_as_rows, given), strict=True):
        is_finite = np.isfinite(left)
        has_same_gaps &= np.array_equal(is_finite, np.isfinite(right))
        has_same_gaps &= np.array_equal(left[~is_finite], right[~is_finite], equal_nan=True)
        left, right = (np.where(np.isfinite(rows), rows, 0) for rows in (left, right))
        differences.append(_relative(float(np.abs(left - right).max(initial=0)), float(np.abs(left).max(initial=0))))
        cosines.append(_cosines(left, right))
    each = np.concatenate(cosines[1:] or cosines)
    return Agreement(max(differences), round(float(each.min()), 9), round(float(each.mean()), 9), bool(has_same_gaps))


def _as_rows(features: np.ndarray) -> Any:
    return features.astype(np.float64).reshape(len(features), -1)


def _relative(difference: float, largest: float) -> float:
    if difference == 0:
        return 0.0
    return difference / largest if largest else float("inf")


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows; 1 where both are zero, 0 where one is."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    is_same = ~left.any(axis=1) & ~right.any(axis=1)
    cosines: np.ndarray = np.where(is_same, 1.0, (left * right).sum(axis=1) / np.where(lengths > 0, lengths, 1.0))
    return cosines
