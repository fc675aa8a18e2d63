"""What earlier runs learnt of files, so that they need not be read again: digests, and which cannot be decoded.

A file is known by its absolute path, size, inode, and the times of its last change: of the content (mtime), which
`cp -p` and `rsync -t` set back, and of the file (ctime), which the system sets at every change and nobody sets back.
So a file whose rights change is read again, too. Where a file still is another than remembered (the clock of the
system was set back), its pixels tell: `ImageChangedError`, which also makes all that is remembered of its source be
forgotten.
Deleting the folder, `files` in `THAWLINE_CACHE`, forgets all.

The memory only saves time. Where it cannot be read or written, work goes on as if there were none.
"""

import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import lmdb
from blake3 import blake3

from thawline.errors import CacheError
from thawline.store import Kind, Store, default_cache_path, open_store

# Under this topic a file's BLAKE3 digest is kept, 32 bytes.
DIGEST = b"digest"

# The format is raised whenever the meaning of what is stored changes.
_KIND = Kind("memory of files", "", format=1)

# Clocks of file systems tick: every 4 ms on Linux's own, every 2 s on FAT. A file that is written again within one tick
# keeps its time, so one that changed just before it was read may already be another (git calls such files racy). One
# that is older gets another time with the next change.
_RACY_NS = 2_000_000_000

# The system's own times, ctime among them, tick with its kernel: every 1 to 10 ms. The FAT family keeps no ctime.
_TICK_NS = 10_000_000

# Rows in one transaction, which waits some milliseconds for the disk.
_WRITE_ROWS = 4096

# A row takes 130 bytes (measured at a million rows, with LMDB's half-filled pages), so the file stays at 260 MB. Beyond
# that the memory starts anew: who has more files than that reads some each time.
_MOST_ROWS = 2_000_000

# The part of a row that tells whether the rest is what was written.
_CHECK_BYTES = 8

# Folders that failed once in this process, so that nothing is tried or said again.
_given_up: set[Path] = set()

Made = TypeVar("Made")


class FileMemory:
    """What is known of files, by topic; safe to be used by many threads and processes.

    What is to be kept waits until there is enough for one transaction. It is written at the latest by `flush`, when
    the memory is let go, or when the process ends.

    Args:
        path: the folder; by default `files` in `THAWLINE_CACHE`, or in thawline's folder in the user's cache folder.

    Example:
        >>> import os, tempfile
        >>> memory = FileMemory(tempfile.mkdtemp())
        >>> file = Path(tempfile.mkdtemp(), "rose.jpg")
        >>> _ = file.write_bytes(b"pixels")
        >>> os.utime(file, (0, 0))
        >>> size, stamp = read_watched(file, lambda path: len(path.read_bytes()))
        >>> memory.keep(stamp, b"length", b"%d" % size)
        >>> memory.flush()
        >>> memory.recall([file], b"length")[file]
        b'6'
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_memory_path() if path is None else Path(path).resolve()
        self._store: Store | None = None
        self._waiting: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FileMemory({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the folder for itself.
        return FileMemory, (self.path,)

    def recall(self, paths: Iterable[Path], topic: bytes) -> dict[Path, bytes]:
        """What is known of the files that are still the same; the others are not in the answer.

        A file costs one `stat` and one look into the store, together 10 microseconds on a local disk; threads would not
        make it faster there (measured).
        """
        if not self._is_there():
            return {}
        known: dict[Path, bytes] = {}
        try:
            with self._opened().reading() as transaction:
                for path in paths:
                    stamp = _stamp(path)
                    key = _key(stamp, topic) if stamp is not None else b""
                    row = transaction.get(key) if key else None
                    content = None if row is None else _checked(key, bytes(row))
                    if content is not None:
                        known[path] = content
        except (CacheError, lmdb.Error, OSError) as error:
            self._give_up(error)
        return known

    def keep(self, stamp: bytes | None, topic: bytes, content: bytes) -> None:
        """Keeps what was learnt of a file.

        Args:
            stamp: from `read_watched`; with None nothing is kept.
            topic: what it is about, with all that it depends on besides the file.
            content: what is to be known.
        """
        if stamp is None or self._opened_for_writing() is None:
            return
        key = _key(stamp, topic)
        with self._lock:
            self._waiting[key] = content + _check(key, content)
            is_much = len(self._waiting) >= _WRITE_ROWS
        if is_much:
            self.flush()

    def flush(self) -> None:
        """Writes what waits, in one transaction."""
        with self._lock:
            rows = dict(self._waiting)
            self._waiting.clear()
        if not rows:
            return
        self._write(lambda store: _put(store, rows))

    def forget(self, paths: Iterable[Path], topic: bytes) -> None:
        """Forgets what is known of files as they are now."""
        if not self._is_there():
            return
        keys = [_key(stamp, topic) for path in paths if (stamp := _stamp(path)) is not None]
        with self._lock:
            for key in keys:
                self._waiting.pop(key, None)
        self._write(lambda store: _delete(store, keys))

    def _is_there(self) -> bool:
        """Whether anything was ever kept, so that asking alone makes no folder."""
        return os.access(self.path / "data.mdb", os.F_OK)

    def _write(self, change: Callable[[Store], None]) -> None:
        store = self._opened_for_writing()
        if store is None:
            return
        try:
            change(store)
        except (CacheError, lmdb.Error, OSError) as error:
            self._give_up(error)

    def _opened_for_writing(self) -> Store | None:
        """The store; None where nothing can be kept."""
        if self._store is None and not _is_writable(self.path):
            # Nothing to complain of: whoever made the folder read-only knows.
            _given_up.add(self.path)
        if self.path in _given_up:
            return None
        try:
            return self._opened()
        except (CacheError, lmdb.Error, OSError) as error:
            self._give_up(error)
            return None

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                if self.path in _given_up:
                    raise CacheError(f"{self.path} failed before.")
                self._store = open_store(self.path, _KIND)
                # Finalizers run last come, first served: the store is still open then.
                weakref.finalize(self, _write_rest, self._store, self._waiting)
            return self._store

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            is_first = self.path not in _given_up
            _given_up.add(self.path)
            self._waiting.clear()
        if is_first and _is_writable(self.path):
            told = str(error) if isinstance(error, CacheError) else f"{error}. Delete {self.path}; it is a cache."
            warnings.warn(f"Files are read anew, because what was known of them is of no use: {told}", stacklevel=3)


def read_watched(path: Path, read: Callable[[Path], Made]) -> tuple[Made, bytes | None]:
    """What reading a file gives, and the stamp under which that may be kept.

    Args:
        path: the file.
        read: reads it.

    Returns:
        What `read` gives, and the stamp; None where the file changed meanwhile, or so shortly before that its next
        change might not show.
    """
    before = _status(path)
    if before is not None and 0 <= time.time_ns() - before.ctime_ns < _TICK_NS:
        # What changes from now on gets another ctime.
        time.sleep(_TICK_NS / 1e9)
        before = _status(path)
    now_ns = time.time_ns()
    made = read(path)
    if before is None or before != _status(path):
        return made, None
    is_racy = now_ns - before.mtime_ns < _RACY_NS or now_ns - before.ctime_ns < _TICK_NS
    return made, None if is_racy else _stamp_of(path, before)


def default_memory_path() -> Path:
    """Where files are remembered unless said otherwise: `files` in the folder of the feature cache."""
    return (default_cache_path() / "files").resolve()


class _Status(NamedTuple):
    """The status that a file is known by, beside its path: bytes, times of its last change in ns, and inode."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def _status(path: Path) -> _Status | None:
    """The status of a file; None where there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return _Status(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _stamp(path: Path) -> bytes | None:
    status = _status(path)
    return None if status is None else _stamp_of(path, status)


def _stamp_of(path: Path, status: _Status) -> bytes:
    return b"%d %d %d %d " % status + os.fsencode(path.absolute())


def _key(stamp: bytes, topic: bytes) -> bytes:
    # 128 bits tell apart more files than there will ever be, and are half of what a key takes.
    return blake3(b"%d " % len(topic) + topic + stamp).digest(length=16)


def _check(key: bytes, content: bytes) -> bytes:
    return blake3(key + content).digest(length=_CHECK_BYTES)


def _checked(key: bytes, row: bytes) -> bytes | None:
    """The content of a row; None when it is damaged."""
    content, check = row[:-_CHECK_BYTES], row[-_CHECK_BYTES:]
    return content if check == _check(key, content) else None


def _put(store: Store, rows: dict[bytes, bytes]) -> None:
    if store.row_count() + len(rows) > _MOST_ROWS:
        store.clear()
    with store.writing(sum(map(len, rows.values()))) as transaction:
        for key, row in rows.items():
            transaction.put(key, row)


def _delete(store: Store, keys: Iterable[bytes]) -> None:
    with store.writing() as transaction:
        for key in keys:
            transaction.delete(key)


def _write_rest(store: Store, waiting: dict[bytes, bytes]) -> None:
    """Writes what waits when a memory is let go; what cannot be written is read anew the next time."""
    try:
        if waiting:
            _put(store, waiting)
    except (CacheError, lmdb.Error, OSError):
        return


def _is_writable(path: Path) -> bool:
    present = next(folder for folder in (path, *path.parents) if os.access(folder, os.F_OK))
    return os.access(present, os.W_OK)
