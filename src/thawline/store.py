"""Rows of bytes on disk, in LMDB: what the caches of features and of pixels stand on.

Writes are transactions: stored whole or not at all, whatever happens to the process. A store may
be deleted at any time.
"""

import contextlib
import mmap
import os
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import platformdirs

from thawline.errors import ArgumentError, CacheDamagedError, CacheError, CacheFullError

_FORMAT_KEY = b"format"
_DATA_NAME = "data.mdb"

# What LMDB says of a file that is not as it left it.
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
)

# LMDB wants room for what it copies on write; below this much free disk nothing is begun.
LEAST_ROOM = 1 << 20

# Pages that were read count as the process's memory until they are unmapped. After so many bytes they are: the system
# keeps them as long as it has room, and takes them when somebody needs it.
_MAPPED_BYTES = 1 << 30

# So much more than a file takes is mapped, where the disk has that; a file that needs more is mapped again. Addresses
# are no memory, but they end: at 128 TiB, which disks of a cluster exceed, or where `ulimit -v` says.
_AHEAD_BYTES = 64 << 30
# Where they are short, other stores and libraries need the most of them: so many times what is taken has to be there.
_SPARED_TIMES = 8
# A file that has grown to this much below the end of its map is mapped again: other processes may write meanwhile.
_MARGIN_BYTES = 1 << 30

# A program that reads everything in the folder that it is given. Asking for a row reads all pages of it.
_READ_ALL = """
import sys, lmdb
with lmdb.open(sys.argv[1], create=False) as environment, environment.begin(buffers=True) as transaction:
    for row in transaction.cursor():
        pass
"""
# So much is written to see whether a file may grow: a block of most file systems.
_TRIED_BYTES = 4096

# A process may open an LMDB folder once only: caches on the same folder share what is open.
_open_stores: "weakref.WeakValueDictionary[Path, Store]" = weakref.WeakValueDictionary()
_open_lock = threading.Lock()


@dataclass(frozen=True)
class Kind:
    """What a store is, for its errors.

    Attributes:
        name: what it is called, like "feature cache".
        argument: the argument by which users name its folder; empty when there is none.
        format: the version of what its rows mean; a store of another version is refused.
    """

    name: str
    argument: str
    format: int

    @property
    def ways(self) -> str:
        """How users name its folder."""
        return f"{self.argument}, THAWLINE_CACHE" if self.argument else "THAWLINE_CACHE"


def open_store(path: Path, kind: Kind, *, max_bytes: int | None = None) -> "Store":
    """The store in a folder, which is made when it is missing; one that is open already is shared.

    Args:
        path: the folder, resolved.
        kind: what the store holds.
        max_bytes: refuse to grow beyond this size; by default the disk is the limit. The newest limit holds for all.

    Raises:
        ArgumentError: the limit is too small for anything.
        CacheError: the folder holds a store of another version, or something else.

    Example:
        >>> import tempfile
        >>> store = open_store(Path(tempfile.mkdtemp()), Kind("feature cache", "cache=", 1))
        >>> with store.writing() as transaction:
        ...     _ = transaction.put(b"key", b"value")
        >>> with store.reading() as transaction:
        ...     bytes(transaction.get(b"key"))
        b'value'
    """
    if max_bytes is not None and max_bytes < LEAST_ROOM:
        raise ArgumentError(f"max_bytes is {LEAST_ROOM:,} or more; got {max_bytes!r}.")
    with _open_lock:
        store = _open_stores.get(path)
        if store is None:
            store = _open_stores[path] = Store(path, kind, max_bytes)
        else:
            store.allow(max_bytes)
    return store


class Store:
    """One open LMDB environment; made by `open_store`."""

    def __init__(self, path: Path, kind: Kind, max_bytes: int | None) -> None:
        self.path = path
        self._kind = kind
        self._max_bytes = max_bytes
        self._was_full = False
        # Transactions under way; the file may be mapped anew only when there are none.
        self._busy = 0
        self._is_mapping = False
        self._gate = threading.Condition()
        # Bytes that were read since the file was mapped.
        self._read_bytes = 0
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._environment = lmdb.open(str(path), map_size=self._mappable_bytes(0), max_readers=512)
            weakref.finalize(self, self._environment.close)
            self._lengthen_when_cut_off()
            version = self._stored_format()
        except (OSError, lmdb.Error) as error:
            move = f"Name another folder ({kind.ways}), or delete this one; it is a cache."
            if isinstance(error, lmdb.MemoryError):
                move = "The system gives this process no more addresses: raise  ulimit -v."
            raise _kind_of(error)(f"The {kind.name} {str(path)!r} cannot be opened: {error}. {move}") from error
        self._check_format(version)

    def allow(self, max_bytes: int | None) -> None:
        """Sets the quota anew, and makes use of what room there is now; waits for transactions under way."""
        if max_bytes == self._max_bytes and not self._was_full:
            return
        with self._alone():
            self._max_bytes, self._was_full = max_bytes, False
            self._map_again()

    def _most_bytes(self) -> int:
        """The size up to which the file may grow: the quota, or what it takes and what the disk has free."""
        size = max(self._stored_bytes(), LEAST_ROOM) + disk_free_bytes(self.path)
        return min(size, self._max_bytes or size)

    def _map_bytes(self, needed_bytes: int = 0) -> int:
        """The size that the file is mapped with: room for what is needed, and for some time after that."""
        return min(self._most_bytes(), max(self._stored_bytes(), LEAST_ROOM) + needed_bytes + _AHEAD_BYTES)

    def _mappable_bytes(self, mapped: int, needed_bytes: int = 0) -> int:
        """The same, or as much of it as this process has addresses for, beside `mapped` ones that it has already."""
        size, least = self._map_bytes(needed_bytes), max(self._stored_bytes(), LEAST_ROOM, mapped)
        # What is written lies in memory as well, until it is on the disk.
        if _has_addresses(2 * (least + needed_bytes - mapped)):
            least += needed_bytes
        while size > least and not _has_addresses(_SPARED_TIMES * (size - mapped)):
            size = least + (size - least) // 2
        return size

    def _map_again(self, needed_bytes: int = 0) -> None:
        """Maps the file again, with the room there is now; nobody may read or write meanwhile."""
        # A map that fails would leave none, so what cannot be is not tried.
        mapped = int(self._environment.info()["map_size"])
        self._environment.set_mapsize(self._mappable_bytes(mapped, needed_bytes))

    def _stored_bytes(self) -> int:
        """Bytes that LMDB's file takes on disk; the map may never be smaller."""
        data = self.path / _DATA_NAME
        return data.stat().st_size if data.exists() else 0

    def row_count(self) -> int:
        """How many rows are stored."""
        with self._counted():
            return int(self._environment.stat()["entries"]) - 1

    def is_own(self, key: bytes) -> bool:
        """Whether a key is the store's own and no row's."""
        return key == _FORMAT_KEY

    def used_bytes(self) -> int:
        """Bytes of all pages that are in use."""
        return self._used_and_mapped()[0]

    def free_bytes(self) -> int:
        """Bytes that may still be written: what the disk has free, and what the quota leaves."""
        free = disk_free_bytes(self.path)
        return free if self._max_bytes is None else max(min(free, self._max_bytes - self.used_bytes()), 0)

    def _lengthen_when_cut_off(self) -> None:
        """Gives a file that was cut off its length back: LMDB tells of empty pages; missing ones end the process."""
        if self._stored_bytes() < self.used_bytes():
            if self.used_bytes() > self._most_bytes():
                raise lmdb.CorruptedError("the file says of itself that it is larger than the disk")
            # Nobody else writes during a write transaction.
            with self._environment.begin(write=True):
                os.truncate(self.path / _DATA_NAME, max(self._stored_bytes(), self.used_bytes()))

    def _stored_format(self) -> int | None:
        with self._environment.begin() as transaction:
            stored = transaction.get(_FORMAT_KEY)
            return None if stored is None else int.from_bytes(stored, "big")

    def _check_format(self, version: int | None) -> None:
        if version is None:
            with self.writing() as transaction:
                transaction.put(_FORMAT_KEY, self._kind.format.to_bytes(2, "big"))
        elif version != self._kind.format:
            raise CacheError(
                f"The {self._kind.name} {str(self.path)!r} has format {version}; this thawline reads "
                f"{self._kind.format}. Name another folder ({self._kind.ways}), or "
                "delete this one; it is a cache."
            )

    def clear(self) -> None:
        """Deletes all rows; the file keeps its size, and new rows take the old ones' place."""
        everything = self._environment.open_db()
        with self.writing() as transaction:
            transaction.drop(everything, delete=False)
            transaction.put(_FORMAT_KEY, self._kind.format.to_bytes(2, "big"))

    @contextlib.contextmanager
    def reading(self, expected_bytes: int = 0) -> Iterator[Any]:
        """A read transaction, which sees one state and blocks nobody.

        Args:
            expected_bytes: how much will be read, when it is much: the process gives the memory back now and then.

        Raises:
            CacheDamagedError: the file is not as it was left; CacheError: it cannot be read for another reason.
        """
        self._fit_map()
        try:
            with self._counted(), self._environment.begin(buffers=True) as transaction:
                yield transaction
        except lmdb.Error as error:
            raise self._failed(error) from error
        with self._gate:
            self._read_bytes += expected_bytes
            is_much = self._read_bytes > _MAPPED_BYTES
            if is_much:
                self._read_bytes = 0
        if is_much:
            with self._alone():
                # What LMDB does here is unmap and map again, which lets go of the pages.
                self._environment.set_mapsize(self._environment.info()["map_size"])

    @contextlib.contextmanager
    def writing(self, needed_bytes: int = 0) -> Iterator[Any]:
        """A write transaction; when the disk or the quota is full it is undone and CacheFullError tells so."""
        self._fit_map(needed_bytes)
        try:
            with self._counted(), self._environment.begin(write=True) as transaction:
                yield transaction
        except (lmdb.MapFullError, lmdb.MemoryError, lmdb.DiskError, OSError) as error:
            raise self._full(needed_bytes, error) from error
        except lmdb.Error as error:
            # LMDB tells a full disk in several ways, a short write among them; trying tells more.
            if not self._may_grow(needed_bytes):
                raise self._full(needed_bytes, error) from error
            raise self._failed(error) from error

    def _fit_map(self, needed_bytes: int = 0) -> None:
        """Maps the file anew where it, with what is about to be written, no longer fits, and there is room by now.

        Another process may have written more than there was room for when this one opened the file.
        """
        used, mapped = self._used_and_mapped()
        wanted = used + 2 * needed_bytes + LEAST_ROOM
        if wanted <= mapped and used + _MARGIN_BYTES <= mapped:
            return
        # Near the end of the disk every byte more would count; ahead of time only much more does.
        least = mapped + (1 if wanted > mapped else _MARGIN_BYTES)
        if self._mappable_bytes(mapped, 2 * needed_bytes) >= least:
            with self._alone():
                self._map_again(2 * needed_bytes)

    def _used_and_mapped(self) -> tuple[int, int]:
        """Bytes of all pages that are in use, and of the map."""
        # While the file is mapped anew there is nothing to ask.
        with self._counted():
            information, statistics = self._environment.info(), self._environment.stat()
        return int((information["last_pgno"] + 1) * statistics["psize"]), int(information["map_size"])

    def _may_grow(self, needed_bytes: int) -> bool:
        """Whether the disk has room, and the system lets the file grow: users have quotas, processes limits."""
        if disk_free_bytes(self.path) < needed_bytes + LEAST_ROOM:
            return False
        try:
            # What lies behind its last page is nothing to LMDB.
            with (self.path / _DATA_NAME).open("ab", buffering=0) as file:
                file.write(bytes(_TRIED_BYTES))
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts a transaction while it is under way; it begins when nobody is about to map the file anew."""
        with self._gate:
            self._gate.wait_for(lambda: not self._is_mapping)
            self._busy += 1
        try:
            yield
        finally:
            with self._gate:
                self._busy -= 1
                self._gate.notify_all()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits for the transactions under way and keeps new ones waiting."""
        with self._gate:
            self._gate.wait_for(lambda: not self._is_mapping)
            self._is_mapping = True
            self._gate.wait_for(lambda: self._busy == 0)
        try:
            yield
        finally:
            with self._gate:
                self._is_mapping = False
                self._gate.notify_all()

    def _failed(self, error: lmdb.Error) -> CacheError:
        return _kind_of(error)(
            f"The {self._kind.name} {str(self.path)!r} failed: {error}. Run the same again; if that does not help, "
            "delete the folder: it is a cache."
        )

    def _full(self, needed_bytes: int, error: Exception) -> CacheFullError:
        self._was_full = True
        quota = "" if self._max_bytes is None else f", max_bytes allows {self._max_bytes / 1e6:,.1f} MB"
        move = "make room" if self._max_bytes is None else "make room, raise max_bytes"
        free = disk_free_bytes(self.path)
        is_mapped_whole = self._map_bytes(2 * needed_bytes) <= self._used_and_mapped()[1]
        if isinstance(error, lmdb.MemoryError) or (isinstance(error, lmdb.MapFullError) and not is_mapped_whole):
            quota, move = f"{quota}, but this process has no more addresses", "raise  ulimit -v"
        return CacheFullError(
            f"The {self._kind.name} {str(self.path)!r} is full: {needed_bytes / 1e6:,.1f} MB more were needed, the "
            f"disk has {free / 1e6:,.1f} MB free{quota} ({error}). What is stored stays: {move}, or name another "
            f"folder ({self._kind.ways}), and run the same again."
        )


def count_rows(path: Path) -> int | None:
    """How many rows the store in a folder holds, without opening it: nothing is made or changed.

    Returns:
        The number, or None where there is no store, or none that can be read.
    """
    with _open_lock:
        store = _open_stores.get(path)
        if store is not None:
            return store.row_count()
        try:
            with lmdb.open(str(path), readonly=True, create=False, lock=False) as environment:
                return max(int(environment.stat()["entries"]) - 1, 0)
        except lmdb.Error:
            return None


def reading_ends_process(path: Path) -> bool:
    """Tells whether LMDB would take the process down when it reads all that a store holds; tried in another process.

    LMDB trusts the lengths in its pages: one that reaches beyond the file ends the process with a bus error. No code
    of the current folder is run for it, whatever it is called.
    """
    command = [sys.executable, "-P", "-c", _READ_ALL, str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode < 0


def disk_free_bytes(path: Path) -> int:
    """Bytes that the disk has free on which a folder lies, or will lie when it is made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _has_addresses(size: int) -> bool:
    """Tells whether the system would let this process map so many bytes more, by trying; no memory is taken."""
    if size <= 0 or not hasattr(mmap, "MAP_PRIVATE"):
        return True
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, OverflowError):
        return False
    return True


def _kind_of(error: Exception) -> type[CacheError]:
    return CacheDamagedError if isinstance(error, _DAMAGE) else CacheError


def default_cache_path() -> Path:
    """Where caches lie unless said otherwise: `THAWLINE_CACHE`, or the user's cache folder."""
    named = os.environ.get("THAWLINE_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_path("thawline"))
