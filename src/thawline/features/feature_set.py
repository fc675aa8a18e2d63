"""FeatureSet: the features that one prefix gives for one kind of images, in an LMDB folder of their own.

A row is one view of one image; what its bytes are says `rows`. Writes are transactions: a batch is stored whole or not
at all, whatever happens to the process.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from thawline.errors import CacheDamagedError, CacheError
from thawline.features.rows import (
    HEADER_BYTES,
    Storage,
    is_whole,
    pack_rows,
    row_bytes,
    serves,
    stored_as,
    unpack_row,
)
from thawline.features.use import InUse
from thawline.files import write_text
from thawline.specs import TensorSpec
from thawline.store import Kind, open_store

# The format is raised whenever the meaning of what is stored changes.
KIND = Kind("feature cache", "cache=", format=2)

# Where a set says what it is, and since when it was not used: the time at which the file was last touched.
CARD_NAME = "set.json"
USERS_NAME = "users"

# This file says that the set was found damaged beyond its rows: whoever opens it next puts it aside.
DAMAGED_NAME = "damaged"

# How LMDB lays out rows: pages, their header, and a key (32 + 4) with its bookkeeping.
_PAGE_BYTES = 4096
_PAGE_HEADER_BYTES = 16
_KEY_BYTES = 46
# From about this size a row gets pages of its own: two of them, with their keys, must fit on one page.
_LARGEST_SMALL_ROW = 1900

# How often who waits for another process looks again.
_LOOK_AGAIN_S = 0.5

# How often `verify` says how far it is.
_TELL_AFTER_ROWS = 500

# Makes rows that were lost, at these positions of the keys, and stores them.
Heal = Callable[[list[int]], None]


def stored_bytes(feature_bytes: int) -> int:
    """Bytes of disk that a row of features takes at most, with its header, its key and what pages leave empty.

    LMDB keeps small rows in pages that are half full at worst, and gives large ones pages of their own. Beside all rows
    it keeps the pages that its last transactions copied, up to half a megabyte.

    Example:
        >>> stored_bytes(5120)
        8448
    """
    size = feature_bytes + HEADER_BYTES
    if size <= _LARGEST_SMALL_ROW:
        return 2 * (size + _KEY_BYTES) + 64
    return -(-(size + _PAGE_HEADER_BYTES) // _PAGE_BYTES) * _PAGE_BYTES + 256


class FeatureSet:
    """The features of one kind. Made by `FeatureCache.features`, which holds it as in use as long as it lives.

    Args:
        path: the folder of the set; it must be there.
        specs: one TensorSpec per crossing tensor.
        storage: as which numbers new rows are kept, and as which all rows are read.
        make_room: is told how many bytes are about to be written, and raises CacheFullError where they may not be.
    """

    def __init__(
        self, path: Path, specs: tuple[TensorSpec, ...], storage: Storage, make_room: Callable[[int], None]
    ) -> None:
        self.path = path
        self.specs = specs
        self.storage = storage
        self._make_room = make_room
        self._mark = InUse(path / USERS_NAME)
        self._store = open_store(path, KIND)
        self._is_writer = FileLock(path / "writer.lock", thread_local=False)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row as it is stored: all crossing tensors of one view of one image."""
        return row_bytes(self.specs, self.storage)

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """The positions of the keys that are not stored, or stored with fewer digits than wanted."""
        with self._noting_damage(), self._store.reading() as transaction, transaction.cursor() as cursor:
            return [
                index
                for index, key in enumerate(keys)
                if not (cursor.set_key(key) and serves(stored_as(cursor.value()), self.storage))
            ]

    def write(self, keys: Sequence[bytes], tensors: Sequence[np.ndarray]) -> int:
        """Stores rows in one transaction.

        Args:
            keys: one key per row, from `row_key`.
            tensors: one array (n, ...) per crossing tensor, with the dtypes of the specs.

        Returns:
            How many rows were kept in float32 because a value of them is too large for float16.

        Raises:
            CacheFullError: there is no room; what was stored before stays.
            CacheDamagedError: the file is damaged beyond its rows.
            CacheError: the tensors are not what the specs say.
        """
        columns = [np.ascontiguousarray(tensor) for tensor in tensors]
        for column, spec in zip(columns, self.specs, strict=True):
            if (len(keys), *spec.shape[1:]) != column.shape or spec.dtype != column.dtype.name:
                raise CacheError(
                    f"Features are {spec} for {len(keys)} images, but the engine gave {column.dtype} {column.shape}. "
                    "Use another engine, or strategy='joint'."
                )
        rows, too_large = pack_rows(keys, columns, self.storage)
        needed_bytes = sum(stored_bytes(len(row) - HEADER_BYTES) for row in rows)
        self._make_room(needed_bytes)
        with self._noting_damage(), self._store.writing(needed_bytes) as transaction:
            for key, row in zip(keys, rows, strict=True):
                transaction.put(key, row)
        return too_large

    def read(self, keys: Sequence[bytes], heal: Heal | None = None) -> list[np.ndarray]:
        """Rows in the order of the keys, one array (n, ...) per crossing tensor.

        Args:
            keys: from `row_key`.
            heal: makes rows that are missing or damaged, and stores them; they are read again then. Without it they
                are an error.

        Raises:
            CacheDamagedError: the file is damaged beyond its rows.
            CacheError: a row is missing or damaged, and was not healed.
        """
        tensors = [_empty(len(keys), spec) for spec in self.specs]
        lost = self._read_into(tensors, keys, range(len(keys)))
        if lost and heal is not None:
            heal(lost)
            lost = self._read_into(tensors, keys, lost)
        if lost:
            raise CacheError(
                f"{len(lost)} of {len(keys)} rows of features in {self.path} are missing or damaged. Run the training "
                "again: what is lost is computed anew."
            )
        return tensors

    @contextlib.contextmanager
    def sole_writer(self, is_wanted: Callable[[], bool], waits: Callable[[], None]) -> Iterator[bool]:
        """Waits until no other process computes rows of this set.

        Args:
            is_wanted: asked again and again while waiting: False when there is nothing left to wait for.
            waits: told once that there is somebody to wait for.

        Yields:
            Whether this process is the one that computes now.
        """
        has_waited = False
        while not self._try_to_write(_LOOK_AGAIN_S if has_waited else 0):
            if not has_waited:
                waits()
                has_waited = True
            if not is_wanted():
                yield False
                return
        try:
            yield True
        finally:
            self._is_writer.release()

    def _try_to_write(self, timeout_s: float) -> bool:
        try:
            self._is_writer.acquire(timeout=timeout_s)
        except Timeout:
            return False
        return True

    def verify(self, advance: Callable[[int], None] = lambda rows: None) -> tuple[int, int]:
        """Reads every row and takes the damaged ones out, so that they are computed anew when they are wanted.

        Args:
            advance: is told now and then how many rows more were read.

        Returns:
            How many rows there were, and how many of them were damaged.

        Raises:
            CacheDamagedError: the file is damaged beyond its rows.
        """
        count, told, damaged = 0, 0, []
        with self._noting_damage(), self._store.reading() as transaction, transaction.cursor() as cursor:
            for key, row in cursor:
                name = bytes(key)
                if self._store.is_own(name):
                    continue
                count += 1
                if not is_whole(name, row):
                    damaged.append(name)
                if count - told == _TELL_AFTER_ROWS:
                    advance(count - told)
                    told = count
        advance(count - told)
        if damaged:
            with self._noting_damage(), self._store.writing() as transaction:
                # Another process may have mended some meanwhile.
                damaged = [name for name in damaged if not is_whole(name, transaction.get(name, b""))]
                for name in damaged:
                    transaction.delete(name)
        return count, len(damaged)

    @property
    def row_count(self) -> int:
        """How many rows are stored."""
        return self._store.row_count()

    def remember(self, **facts: Any) -> None:
        """Writes plain values beside what the set says about itself."""
        card = read_card(self.path)
        write_text(self.path / CARD_NAME, json.dumps({**card, **facts}, indent=2, default=repr) + "\n")

    def recall(self, name: str) -> Any:
        """A value that was remembered, or None."""
        return read_card(self.path).get(name)

    def _read_into(self, tensors: list[np.ndarray], keys: Sequence[bytes], positions: Sequence[int]) -> list[int]:
        """Reads rows to their positions; gives the positions of those that are missing or damaged."""
        lost = []
        with self._noting_damage(), self._store.reading(len(positions) * self.row_bytes) as transaction:
            for position in positions:
                row = transaction.get(keys[position])
                is_there = row is not None and serves(stored_as(row), self.storage)
                if not (is_there and unpack_row(keys[position], row, tensors, position, self.storage)):
                    lost.append(position)
        return lost

    @contextlib.contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Leaves a note where the file turns out to be damaged, for whoever opens the set next."""
        try:
            yield
        except CacheDamagedError as error:
            with contextlib.suppress(OSError):
                (self.path / DAMAGED_NAME).touch()
            raise CacheDamagedError(
                f"The features in {self.path} are damaged ({error.__cause__}). Run the same again: they are put aside "
                "then, and computed anew."
            ) from error


def read_card(path: Path) -> dict[str, Any]:
    """What a set says about itself; nothing where that is not there or damaged."""
    try:
        card = json.loads((path / CARD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def touch_card(path: Path) -> None:
    """Notes that a set is used now."""
    with contextlib.suppress(OSError):
        os.utime(path / CARD_NAME)


def _empty(count: int, spec: TensorSpec) -> np.ndarray:
    return np.empty((count, *(size or 0 for size in spec.shape[1:])), np.dtype(spec.dtype))
