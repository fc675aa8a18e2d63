"""FeatureCache: features kept on disk, in LMDB.

One file holds many sets of features; a set belongs to one prefix, decoding, augmentation and numeric profile. A row is
the crossing tensors of one view of one image, as raw bytes. Writes are transactions: a batch is stored whole or not at
all, whatever happens to the process. The cache may be deleted at any time.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.errors import CacheError
from thawline.features.fingerprint import digest_description
from thawline.specs import TensorSpec
from thawline.store import Kind, Store, default_cache_path, open_store

# The format is raised whenever the meaning of what is stored changes.
_KIND = Kind("feature cache", "cache=", format=1)
_SET_PREFIX = b"set:"
_ROW_PREFIX = b"row:"

# How LMDB lays out rows: pages, their header, and a key with its bookkeeping (prefix 4, set 16, row 36, node 10).
_PAGE_BYTES = 4096
_PAGE_HEADER_BYTES = 16
_KEY_BYTES = 66
# From about this size a row gets pages of its own: two of them, with their keys, must fit on one page.
_LARGEST_SMALL_ROW = 1900


class FeatureCache:
    """A folder in which features are kept.

    Args:
        path: the folder; by default `THAWLINE_CACHE`, or `thawline` in the user's cache folder.
        max_bytes: refuse to grow beyond this size; by default the disk is the limit. Where a folder is open already,
            the newest limit holds for all.

    Raises:
        CacheError: the folder holds a cache of another version, or something else.

    Example:
        >>> import tempfile
        >>> cache = FeatureCache(tempfile.mkdtemp())
        >>> cache.size_bytes < 100_000
        True
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, max_bytes: int | None = None) -> None:
        self.path = Path(path if path is not None else default_cache_path()).resolve()
        self._store = open_store(self.path, _KIND, max_bytes=max_bytes)

    def __repr__(self) -> str:
        return f"FeatureCache({str(self.path)!r}, {self.size_bytes / 1e6:,.1f} MB)"

    @property
    def size_bytes(self) -> int:
        """Bytes that are in use on disk."""
        return self._store.used_bytes()

    @property
    def free_bytes(self) -> int:
        """Bytes that features may still take: what the disk has free, and what `max_bytes` leaves."""
        return self._store.free_bytes()

    def features(self, description: dict[str, Any], specs: Sequence[TensorSpec]) -> "FeatureSet":
        """The set of features with this description; a new one is empty.

        Args:
            description: what the features depend on, from `describe_features`.
            specs: one TensorSpec per crossing tensor.
        """
        return FeatureSet(self._store, description, tuple(specs))


def stored_bytes(row_bytes: int) -> int:
    """Bytes of disk that a row of features takes at most, with its key and what pages leave empty.

    LMDB keeps small rows in pages that are half full at worst, and gives large ones pages of their own. Beside all rows
    it keeps the pages that its last transactions copied, up to half a megabyte.

    Example:
        >>> stored_bytes(5120)
        8448
    """
    if row_bytes <= _LARGEST_SMALL_ROW:
        return 2 * (row_bytes + _KEY_BYTES) + 64
    return -(-(row_bytes + _PAGE_HEADER_BYTES) // _PAGE_BYTES) * _PAGE_BYTES + 256


class FeatureSet:
    """The features that one prefix gives for one kind of images. Made by `FeatureCache.features`."""

    def __init__(self, store: Store, description: dict[str, Any], specs: tuple[TensorSpec, ...]) -> None:
        self.specs = specs
        self._store = store
        identity = digest_description(description)
        self._prefix = _ROW_PREFIX + identity
        # Stored beside the rows, so that a person can see what they are.
        self._entry = (_SET_PREFIX + identity, json.dumps(description, default=repr).encode())
        self._row_bytes = [spec.row_bytes for spec in specs]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row: all crossing tensors of one view of one image."""
        return sum(self._row_bytes)

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """The positions of the keys that are not stored."""
        with self._store.reading() as transaction, transaction.cursor() as cursor:
            return [index for index, key in enumerate(keys) if not cursor.set_key(self._prefix + key)]

    def write(self, keys: Sequence[bytes], tensors: Sequence[np.ndarray]) -> None:
        """Stores rows in one transaction.

        Args:
            keys: one key per row, from `row_key`.
            tensors: one array (n, ...) per crossing tensor, with the dtypes of the specs.

        Raises:
            CacheFullError: there is no room; what was stored before stays.
            CacheError: the tensors are not what the specs say.
        """
        columns = [np.ascontiguousarray(tensor) for tensor in tensors]
        for column, spec in zip(columns, self.specs, strict=True):
            if (len(keys), *spec.shape[1:]) != column.shape or spec.dtype != column.dtype.name:
                raise CacheError(
                    f"Features are {spec} for {len(keys)} images, but the engine gave {column.dtype} {column.shape}. "
                    "Use another engine, or strategy='joint'."
                )
        with self._store.writing(len(keys) * self.row_bytes) as transaction:
            transaction.put(*self._entry, overwrite=False)
            for index, key in enumerate(keys):
                transaction.put(self._prefix + key, b"".join(column[index].tobytes() for column in columns))

    def read(self, keys: Sequence[bytes]) -> list[np.ndarray]:
        """Rows in the order of the keys, one array (n, ...) per crossing tensor.

        Raises:
            CacheError: a row is not stored, or has another length than it should.
        """
        tensors = [_empty(len(keys), spec) for spec in self.specs]
        with self._store.reading(len(keys) * self.row_bytes) as transaction:
            for index, key in enumerate(keys):
                row = transaction.get(self._prefix + key)
                if row is None or len(row) != self.row_bytes:
                    came = "is missing" if row is None else f"has {len(row)} bytes, not {self.row_bytes}"
                    raise CacheError(
                        f"A row of features in {self._store.path} {came}. Delete the folder; it is a cache."
                    )
                start = 0
                for tensor, size in zip(tensors, self._row_bytes, strict=True):
                    # A slice of one row, because the row itself may be a single number.
                    place = tensor[index : index + 1].reshape(-1).view(np.uint8)
                    place[:] = np.frombuffer(row[start : start + size], np.uint8)
                    start += size
        return tensors


def _empty(count: int, spec: TensorSpec) -> np.ndarray:
    return np.empty((count, *(size or 0 for size in spec.shape[1:])), np.dtype(spec.dtype))
