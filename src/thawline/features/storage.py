"""Storage: what keeping features in float32, float16 or bfloat16 costs, measured on a sample, and which one to take.

The sample is rounded as it would be stored and read back. Then three things are compared with what the engine gave: the
values, the nearest neighbour of each image, and how well a simple classifier tells the classes apart.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from thawline.errors import ArgumentError
from thawline.features.feature_set import stored_bytes
from thawline.features.rows import HEADER_BYTES, STORAGES, Storage, round_rows
from thawline.figures import format_bytes

# A narrower storage is taken when at least this share of nearest neighbours stays the same, ...
LEAST_AGREEMENT = 0.99
# ... and the classifier gets at most this share of the images wrong that it got right before.
MOST_ACCURACY_LOST = 0.005

# Two neighbours are equally near when their cosines differ by less: sums in float64 are exact to about 1e-15.
_SAME_COSINE = 1e-12

# The ridge, as a share of the mean squared distance from the mean feature. Of 300 drawings in 10 classes, through
# EfficientNet-Lite0, 0.3 to 3 name 72 to 73 % rightly, 0.001 to 0.1 name 67 to 70 %.
_RIDGE_SHARE = 0.3

# Columns that are taken to float64 at once: 10 MB for 300 images.
_COLUMNS = 4096


@dataclass(frozen=True)
class StorageCost:
    """What one storage costs.

    Attributes:
        storage: "float32", "float16" or "bfloat16".
        bytes_total: bytes of disk that all rows take at most, with what LMDB's pages leave empty.
        largest_difference: the largest change of a value, as a share of the largest value of its tensor; the worst
            tensor counts. Rows that overflow are kept in float32 and do not change.
        overflowed: values of the sample that are finite and would become infinite.
        agreement: share of the sample's images whose nearest neighbour (by the cosine of all features) stays the same,
            0 to 1; None for fewer than three images.
        probe_accuracy: share of the sample's images that a ridge classifier trained on all others names rightly, 0 to
            1; None without labels, and where fewer than two classes have two images.

    Example:
        >>> print(StorageCost("float16", 4_352_000, 0.0002, 0, 0.998, 0.915))
        float16: 4.4 MB, largest difference 2.0e-04, 0 values overflow, 99.8% same neighbours, 91.5% accuracy
    """

    storage: Storage
    bytes_total: int
    largest_difference: float
    overflowed: int
    agreement: float | None
    probe_accuracy: float | None

    def __str__(self) -> str:
        return (
            f"{self.storage}: {format_bytes(self.bytes_total)}, largest difference {self.largest_difference:.1e}, "
            f"{_count(self.overflowed, 'value')} overflow{'s' if self.overflowed == 1 else ''}, "
            f"{_percent(self.agreement)} same neighbours, {_percent(self.probe_accuracy)} accuracy"
        )


@dataclass(frozen=True)
class StorageChoice:
    """The storage that was chosen, why, and what each would cost; printed, it is a small table.

    Attributes:
        storage: "float32", "float16" or "bfloat16".
        reason: why, in plain words.
        costs: one StorageCost per storage.
    """

    storage: Storage
    reason: str
    costs: tuple[StorageCost, ...]

    def __str__(self) -> str:
        lines = [("", "disk", "largest difference", "overflows", "same neighbours", "accuracy")]
        for cost in self.costs:
            lines.append(
                (
                    cost.storage,
                    format_bytes(cost.bytes_total),
                    f"{cost.largest_difference:.1e}",
                    f"{cost.overflowed:,}",
                    _percent(cost.agreement),
                    _percent(cost.probe_accuracy),
                )
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(
                [name.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            )
            for name, *cells in lines
        ]
        return "\n".join([*table, f"{self.storage}: {self.reason}"])


def measure_storages(tensors: Sequence[np.ndarray], rows: int, labels: np.ndarray | None) -> list[StorageCost]:
    """What each storage costs, measured on a sample of features.

    The classifier is a linear one, trained in closed form on all images but one, for each image in turn: one against
    the rest, with an intercept, its ridge 0.3 of the mean squared distance from the mean feature. Of maps it sees
    the mean of each channel over height and width, as most heads do: a sample of some hundred images says nothing about
    classifiers with a hundred thousand weights. Nearest neighbours are found with all values of the maps.

    Takes memory of one and a half times the sample, and on two cores ten seconds or more for 300 images of 700,000
    features. NaN and infinity that the engine gave count as 0.

    Args:
        tensors: features of n images, one array (n, ...) per crossing tensor; a few hundred images of all classes, best
            as they will be seen in training.
        rows: how many rows will be stored in all.
        labels: the class of each image, int (n,); None where there are no classes.

    Returns:
        One StorageCost per storage, float32 first.

    Raises:
        ArgumentError: the sample is empty, or labels are not one per image.

    Example:
        >>> features = np.random.default_rng(0).standard_normal((20, 64)).astype(np.float32)
        >>> [cost.agreement for cost in measure_storages([features], 1000, None)]
        [1.0, 1.0, 1.0]
    """
    count = len(tensors[0]) if len(tensors) else 0
    if count == 0:
        raise ArgumentError("The sample of features is empty. Give at least one image.")
    if labels is not None and np.shape(labels) != (count,):
        raise ArgumentError(f"labels are one class per image, ({count},) here; got {np.shape(labels)}.")
    exact = _products(tensors)
    has_maps = any(tensor.ndim > 2 for tensor in tensors)
    costs = []
    for storage in STORAGES:
        kept, overflows, bytes_per_row = _read_back(tensors, storage)
        products = exact if storage == "float32" else _products(kept)
        pooled = products if labels is None or not has_maps else _products([_pooled(tensor) for tensor in kept])
        costs.append(
            StorageCost(
                storage=storage,
                bytes_total=round(rows * bytes_per_row),
                largest_difference=max(map(_largest_difference, tensors, kept)),
                overflowed=overflows,
                agreement=_agreement(exact, products),
                probe_accuracy=None if labels is None else _probe_accuracy(pooled, labels),
            )
        )
    return costs


def choose_storage(costs: Sequence[StorageCost]) -> StorageChoice:
    """The smallest storage in which nothing overflows and which costs no accuracy on the sample.

    That is: the nearest neighbour stays the same for 99 % of the images, and where there are classes, the classifier
    loses at most half a point against float32. float16 is asked before bfloat16, which is coarser; float32 is what
    remains.

    Args:
        costs: what `measure_storages` gave.

    Raises:
        ArgumentError: float32 is not among the costs.

    Example:
        >>> exact = StorageCost("float32", 8_704_000, 0.0, 0, 1.0, 0.915)
        >>> print(choose_storage([exact, StorageCost("float16", 4_352_000, 0.0002, 0, 0.998, 0.915)]))
                   disk  largest difference  overflows  same neighbours  accuracy
        float32  8.7 MB             0.0e+00          0           100.0%     91.5%
        float16  4.4 MB             2.0e-04          0            99.8%     91.5%
        float16: 50% fewer bytes than float32, and no accuracy lost on the sample
    """
    exact = next((cost for cost in costs if cost.storage == "float32"), None)
    if exact is None:
        raise ArgumentError("float32 is not among the costs, and the others are compared with it.")
    refusals: list[str] = []
    # Sorting keeps the order of storages that take equally many bytes.
    for cost in sorted(costs, key=lambda cost: (cost.bytes_total, STORAGES.index(cost.storage))):
        if cost is exact:
            continue
        problem = _problem(cost, exact)
        if problem is None:
            saved = 1 - cost.bytes_total / exact.bytes_total
            reason = "; ".join([f"{saved:.0%} fewer bytes than float32, and no accuracy lost on the sample", *refusals])
            return StorageChoice(cost.storage, reason, tuple(costs))
        refusals.append(f"{cost.storage} {problem}")
    return StorageChoice("float32", "; ".join(refusals) or "nothing else was measured", tuple(costs))


def _problem(cost: StorageCost, exact: StorageCost) -> str | None:
    """Why a storage is not taken instead of float32, or None."""
    if cost.bytes_total >= exact.bytes_total:
        return "takes no fewer bytes"
    if cost.overflowed:
        return f"cannot hold {_count(cost.overflowed, 'value')} of the sample"
    if cost.agreement is None:
        return "cannot be judged by so small a sample"
    if cost.agreement < LEAST_AGREEMENT:
        return f"changes the nearest neighbour of {1 - cost.agreement:.1%} of the images"
    if cost.probe_accuracy is not None and exact.probe_accuracy is not None:
        lost = exact.probe_accuracy - cost.probe_accuracy
        # Half a point is allowed, whatever the last bits of the two shares say.
        if lost > MOST_ACCURACY_LOST + 1e-9:
            return f"costs {100 * lost:.1f} points of accuracy"
    return None


def _read_back(tensors: Sequence[np.ndarray], storage: Storage) -> tuple[list[np.ndarray], int, float]:
    """The tensors as they come back, how many values overflow, and bytes of disk per row."""
    rounded, overflows = round_rows(tensors, storage)
    is_kept = overflows > 0
    exact_bytes, rounded_bytes = (
        stored_bytes(HEADER_BYTES + sum(tensor[0].nbytes for tensor in kept)) for kept in (tensors, rounded)
    )
    share_kept = float(is_kept.mean())
    for index, tensor in enumerate(tensors):
        if rounded[index] is not tensor:
            rounded[index] = rounded[index].astype(tensor.dtype)
            rounded[index][is_kept] = tensor[is_kept]
    return rounded, int(overflows.sum()), share_kept * exact_bytes + (1 - share_kept) * rounded_bytes


def _largest_difference(exact: np.ndarray, kept: np.ndarray) -> float:
    """The largest |a - b|, as a share of the largest |a|; values that are not finite are left out."""
    if kept is exact:
        return 0.0
    largest, difference = 0.0, 0.0
    for a, b in zip(_blocks(exact), _blocks(kept), strict=True):
        largest = max(largest, np.abs(a).max(initial=0))
        difference = max(difference, np.abs(a - b).max(initial=0))
    return float(difference / largest) if largest else 0.0


def _agreement(exact: np.ndarray, kept: np.ndarray) -> float | None:
    """The share of images whose nearest neighbour stays the same, from the products of their features."""
    if len(exact) < 3:
        return None
    cosines = _cosines(exact)
    # The neighbour may be another one that was just as near: of two equal images, either is right.
    chosen = np.take_along_axis(cosines, _cosines(kept).argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((chosen >= cosines.max(axis=1) - _SAME_COSINE).mean())


def _cosines(products: np.ndarray) -> np.ndarray:
    """The cosine of each image's features with each other image's, float64 (n, n); with itself it is -infinity."""
    lengths = np.sqrt(products.diagonal())
    # An image whose features are all 0 is equally far from all others.
    lengths[lengths == 0] = 1
    cosines = products / np.outer(lengths, lengths)
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def _probe_accuracy(products: np.ndarray, labels: np.ndarray) -> float | None:
    """The share of images that a ridge classifier names rightly when it has learned from all others."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Of a class with one image nothing is left to learn from.
    is_used = counts[classes] > 1
    names, classes = np.unique(classes[is_used], return_inverse=True)
    if len(names) < 2:
        return None
    return float((_left_out_scores(products[is_used][:, is_used], classes).argmax(axis=1) == classes).mean())


def _left_out_scores(products: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """What a ridge regression says about each image when it was fitted to all others, float64 (n, classes).

    With the centred products K, the fit is H y, H = 1/n + K (K + ridge)^-1; without image i, its error (y - H y)_i is
    1 / (1 - H_ii) times as large. (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10.)
    """
    count = len(products)
    means = products.mean(axis=0)
    centred = products - means - means[:, None] + means.mean()
    # Where all features are equal there is nothing to scale the ridge with, and every ridge gives the same.
    ridge = _RIDGE_SHARE * centred.trace() / count or 1.0
    fit = 1 / count + np.linalg.solve(centred + ridge * np.eye(count), centred)
    targets = np.where(classes[:, None] == np.arange(classes.max() + 1), 1.0, -1.0)
    return np.asarray(targets - (targets - fit @ targets) / (1 - fit.diagonal())[:, None])


def _pooled(tensor: np.ndarray) -> np.ndarray:
    """Maps averaged over what lies between the image and its channels: height and width, or the steps of a sequence."""
    if tensor.ndim < 3:
        return tensor
    with np.errstate(invalid="ignore"):
        return np.asarray(tensor.mean(axis=tuple(range(1, tensor.ndim - 1)), dtype=np.float64))


def _products(tensors: Sequence[np.ndarray]) -> np.ndarray:
    """The inner products of the images' features, float64 (n, n)."""
    count = len(tensors[0])
    products = np.zeros((count, count))
    for tensor in tensors:
        for block in _blocks(tensor):
            products += block @ block.T
    return products


def _blocks(tensor: np.ndarray) -> Iterator[np.ndarray]:
    """The features some columns at a time, float64 (n, columns), with 0 for what is not finite."""
    matrix = tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))
    for start in range(0, matrix.shape[1], _COLUMNS):
        block = matrix[:, start : start + _COLUMNS].astype(np.float64)
        block[~np.isfinite(block)] = 0
        yield block


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"
