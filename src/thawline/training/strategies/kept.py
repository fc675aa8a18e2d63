"""Features in memory: those that come again are read or computed once, and lie in one dense array per crossing tensor.

`RamBudget` says what may be kept in all, `RamFeatures` keeps the features of one source. An `EpochFeed` holds its
source's; strategies fill them and take from them. What does not fit is read or computed anew in every epoch.
"""

import threading

import numpy as np

from thawline.data.memory import free_memory_bytes

# Of the memory that is free when a phase begins, its features may take a quarter; pixels may take as much.
RAM_SHARE = 0.25


class RamFeatures:
    """The features of one source in memory: per crossing tensor one array (views, images, ...).

    The arrays are filled while the first epochs run, so that no epoch has to wait, and a training that ends early has
    read no more than it used. An image without features, one that went bad, leaves its place empty. Any number of
    threads may ask at once, as long as they give the same image the same features.

    Args:
        images: how many images there are.
        views: how many views of each.

    Example:
        >>> features = RamFeatures(images=3, views=1)
        >>> features.keep(np.array([2, 0]), 0, [np.array([[4.0], [0.0]], np.float32)])
        >>> features.rows(np.array([0, 2]), 0)
        [array([[0.],
               [4.]], dtype=float32)]
        >>> features.lacking(np.array([0, 1, 2]), 0)
        array([1])
    """

    def __init__(self, images: int, views: int) -> None:
        self._is_here = np.zeros((views, images), bool)
        self._arrays: list[np.ndarray] = []
        self._lock = threading.Lock()

    def lacking(self, indices: np.ndarray, view: int) -> np.ndarray:
        """Those of the indices whose features are not here, int64 (k,)."""
        missing: np.ndarray = indices[~self._is_here[view, indices]]
        return missing

    def rows(self, indices: np.ndarray, view: int) -> list[np.ndarray]:
        """Features of one view of these images, one array (n, ...) per crossing tensor, in the order of the indices.

        All of them must be here.
        """
        return [np.take(array[view], indices, axis=0) for array in self._arrays]

    def keep(self, indices: np.ndarray, view: int, tensors: list[np.ndarray]) -> None:
        """Copies the features of one view of these images to their places."""
        with self._lock:
            if not self._arrays:
                # The system gives memory when it is written to, so that views that never come take none.
                self._arrays = [np.empty((*self._is_here.shape, *rows.shape[1:]), rows.dtype) for rows in tensors]
        for array, rows in zip(self._arrays, tensors, strict=True):
            array[view, indices] = rows
        self._is_here[view, indices] = True


class RamBudget:
    """How much memory the features of one phase may take, those of training and validation together.

    Args:
        max_bytes: by default a quarter of the memory that is free now.

    Example:
        >>> budget = RamBudget(max_bytes=1000)
        >>> budget.reserve(images=10, views=2, row_bytes=40) is not None  # leaves 200
        True
        >>> budget.reserve(images=10, views=1, row_bytes=40) is None
        True
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._left = int(RAM_SHARE * free_memory_bytes()) if max_bytes is None else max_bytes

    def reserve(self, images: int, views: int, row_bytes: int) -> RamFeatures | None:
        """Room for all views of all images, or None where there is not enough for all of them.

        Args:
            images: how many images there are.
            views: how many views of each.
            row_bytes: bytes of features per view of an image.
        """
        needed = images * views * row_bytes
        if needed > self._left:
            return None
        self._left -= needed
        return RamFeatures(images, views)
