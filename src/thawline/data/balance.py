"""Balance: which images come more than once, so that all classes have equally many."""

import numpy as np

from thawline.data.batches import epoch_order


def repeat_to_balance(labels: np.ndarray, seed: int) -> np.ndarray:
    """Indices in which every class that occurs comes as often as the largest, int64, sorted.

    Every image of a class comes equally often, give or take one; (seed, class) decides which come once more.

    Args:
        labels: int (n,), the class number of each image.
        seed: 0 to 2**32 - 1.

    Example:
        >>> repeat_to_balance(np.array([0, 1, 0, 0, 0]), seed=0).tolist()
        [0, 1, 1, 1, 1, 2, 3, 4]
    """
    counts = np.bincount(labels)
    repeated = []
    for label in np.flatnonzero(counts).tolist():
        members = np.flatnonzero(labels == label)
        times, rest = divmod(int(counts.max()), len(members))
        once_more = members[epoch_order(len(members), seed, label)[:rest]]
        repeated += [np.repeat(members, times), once_more]
    return np.sort(np.concatenate(repeated))
