"""FeatureCache: features kept on disk, in LMDB.

One file holds many sets of features; a set belongs to one prefix, decoding, augmentation and numeric profile. A row is
the crossing tensors of one view of one image, as raw bytes. Writes are transactions: a batch is stored whole or not at
all, whatever happens to the process. The cache may be deleted at any time.
"""

import contextlib
import json
import os
import shutil
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import platformdirs

from thawline.errors import ArgumentError, CacheError, CacheFullError
from thawline.features.fingerprint import digest_description
from thawline.specs import TensorSpec

# Raised whenever the meaning of what is stored changes.
_FORMAT = 1
_FORMAT_KEY = b"format"
_SET_PREFIX = b"set:"
_ROW_PREFIX = b"row:"

# LMDB wants room for what it copies on write; below this much free disk nothing is begun.
_LEAST_ROOM = 1 << 20

# A process may open an LMDB folder once only: caches on the same folder share what is open.
_open_stores: "weakref.WeakValueDictionary[Path, _Store]" = weakref.WeakValueDictionary()
_open_lock = threading.Lock()


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
        if max_bytes is not None and max_bytes < _LEAST_ROOM:
            raise ArgumentError(f"max_bytes is {_LEAST_ROOM:,} or more; got {max_bytes!r}.")
        self.path = Path(path if path is not None else default_cache_path()).resolve()
        with _open_lock:
            store = _open_stores.get(self.path)
            if store is None:
                store = _open_stores[self.path] = _Store(self.path, max_bytes)
            else:
                store.allow(max_bytes)
        self._store = store

    def __repr__(self) -> str:
        return f"FeatureCache({str(self.path)!r}, {self.size_bytes / 1e6:,.1f} MB)"

    @property
    def size_bytes(self) -> int:
        """Bytes that are in use on disk."""
        return self._store.used_bytes()

    def features(self, description: dict[str, Any], specs: Sequence[TensorSpec]) -> "FeatureSet":
        """The set of features with this description; a new one is empty.

        Args:
            description: what the features depend on, from `describe_features`.
            specs: one TensorSpec per crossing tensor.
        """
        return FeatureSet(self._store, description, tuple(specs))


class FeatureSet:
    """The features that one prefix gives for one kind of images. Made by `FeatureCache.features`."""

    def __init__(self, store: "_Store", description: dict[str, Any], specs: tuple[TensorSpec, ...]) -> None:
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
        with self._store.reading() as transaction:
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


class _Store:
    """One open LMDB environment."""

    def __init__(self, path: Path, max_bytes: int | None) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._was_full = False
        # Transactions under way; the map may be resized only when there are none.
        self._busy = 0
        self._gate = threading.Condition()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._environment = lmdb.open(str(path), map_size=self._map_bytes(), max_readers=512)
        except (OSError, lmdb.Error) as error:
            raise CacheError(
                f"The feature cache {str(path)!r} cannot be opened: {error}. Name another folder (cache=, "
                "THAWLINE_CACHE), or delete this one; it is a cache."
            ) from error
        weakref.finalize(self, self._environment.close)
        self._check_format()

    def allow(self, max_bytes: int | None) -> None:
        """Sets the quota anew, and makes use of what room there is now; waits for transactions under way."""
        if max_bytes == self._max_bytes and not self._was_full:
            return
        with self._gate:
            self._gate.wait_for(lambda: self._busy == 0)
            self._max_bytes, self._was_full = max_bytes, False
            self._environment.set_mapsize(self._map_bytes())

    def _map_bytes(self) -> int:
        """The size up to which the file may grow: the quota, or what it takes and what the disk has free."""
        size = max(self._stored_bytes(), _LEAST_ROOM) + shutil.disk_usage(self.path).free
        return min(size, self._max_bytes or size)

    def _stored_bytes(self) -> int:
        """Bytes that LMDB's file takes on disk; the map may never be smaller."""
        data = self.path / "data.mdb"
        return data.stat().st_size if data.exists() else 0

    def used_bytes(self) -> int:
        """Bytes of all pages that are in use."""
        information, statistics = self._environment.info(), self._environment.stat()
        return int((information["last_pgno"] + 1) * statistics["psize"])

    def _check_format(self) -> None:
        with self.reading() as transaction:
            stored = transaction.get(_FORMAT_KEY)
            version = None if stored is None else int.from_bytes(bytes(stored), "big")
        if version is None:
            with self.writing() as transaction:
                transaction.put(_FORMAT_KEY, _FORMAT.to_bytes(2, "big"))
        elif version != _FORMAT:
            raise CacheError(
                f"The feature cache {str(self.path)!r} has format {version}; this thawline reads {_FORMAT}. "
                "Name another folder (cache=, THAWLINE_CACHE), or delete this one; it is a cache."
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """A read transaction, which sees one state and blocks nobody."""
        with self._counted(), self._environment.begin(buffers=True) as transaction:
            yield transaction

    @contextlib.contextmanager
    def writing(self, needed_bytes: int = 0) -> Iterator[Any]:
        """A write transaction; when the disk or the quota is full it is undone and CacheFullError tells so."""
        try:
            with self._counted(), self._environment.begin(write=True) as transaction:
                yield transaction
        except (lmdb.MapFullError, lmdb.DiskError, OSError) as error:
            raise self._full(needed_bytes, error) from error
        except lmdb.Error as error:
            # LMDB tells a full disk in several ways, a short write among them; what it would have written tells more.
            if shutil.disk_usage(self.path).free < needed_bytes + _LEAST_ROOM:
                raise self._full(needed_bytes, error) from error
            raise CacheError(f"The feature cache {str(self.path)!r} failed: {error}.") from error

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts a transaction while it is under way."""
        with self._gate:
            self._busy += 1
        try:
            yield
        finally:
            with self._gate:
                self._busy -= 1
                self._gate.notify_all()

    def _full(self, needed_bytes: int, error: Exception) -> CacheFullError:
        self._was_full = True
        quota = "" if self._max_bytes is None else f", max_bytes allows {self._max_bytes / 1e6:,.1f} MB"
        move = "make room" if self._max_bytes is None else "make room, raise max_bytes"
        free = shutil.disk_usage(self.path).free
        return CacheFullError(
            f"The feature cache {str(self.path)!r} is full: {needed_bytes / 1e6:,.1f} MB more were needed, the disk "
            f"has {free / 1e6:,.1f} MB free{quota} ({error}). What is stored stays: {move}, or name another "
            "folder (cache=, THAWLINE_CACHE), and run the same again."
        )


def default_cache_path() -> Path:
    """Where features are kept unless said otherwise: `THAWLINE_CACHE`, or the user's cache folder."""
    named = os.environ.get("THAWLINE_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_path("thawline"))


def _empty(count: int, spec: TensorSpec) -> np.ndarray:
    return np.empty((count, *(size or 0 for size in spec.shape[1:])), np.dtype(spec.dtype))
