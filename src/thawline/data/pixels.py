"""Pixels kept: decoding and resizing happen once, later epochs start from uint8 pixels.

A cache keeps pixels by key, in memory (`RamPixels`) or on disk (`DiskPixels`); `CachedPictures` stands before any
pictures and asks the cache first. A key holds the digest of the file's content and what decoding depends on, so pixels
of a file that has changed, or of another size, are never found. What is given out is read-only, because it may be the
cache's own.
"""

import json
import math
import shutil
import threading
import warnings
import weakref
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from blake3 import blake3

from thawline.arguments import whole_number
from thawline.data.decode import Decoding
from thawline.data.memory import free_memory_bytes
from thawline.data.sources.pictures import Failed, Pictures
from thawline.errors import ArgumentError, CacheFullError
from thawline.store import Kind, Store, default_cache_path, open_store

PixelMode = Literal["off", "ram", "disk", "auto"]

# The format is raised whenever the meaning of what is stored changes.
_KIND = Kind("pixel cache", "path=", format=1)

# So many bytes are written in one transaction: one alone waits milliseconds for the disk, longer than decoding takes.
_WRITE_BYTES = 16 << 20

# Of what is free, pixels take a quarter of the memory and at most half of the disk.
_RAM_SHARE = 4
_DISK_SHARE = 2


class PixelCache(Protocol):
    """What keeps pixels; safe to be used by many threads.

    Attributes:
        is_lasting: whether pixels are still there in the next process.
    """

    is_lasting: bool

    def get(self, key: bytes, shape: tuple[int, int, int]) -> np.ndarray | None:
        """The pixels that were kept under this key, uint8 of this shape, read-only; None when there are none."""

    def put(self, key: bytes, pixels: np.ndarray) -> None:
        """Keeps pixels, if there is room for them; nobody changes them afterwards."""


class RamPixels:
    """Pixels in memory, up to a budget.

    When the budget is used up, what is kept stays and the rest is not kept: epochs read every image once, so whatever
    is thrown out for a newcomer would be missing sooner than the newcomer is asked for again.

    Args:
        budget_bytes: bytes of pixels to keep at most; by default a quarter of the memory that is free now.

    Raises:
        ArgumentError: the budget is negative or not a whole number.

    Example:
        >>> cache = RamPixels(budget_bytes=100)
        >>> cache.put(b"small", np.zeros((4, 4, 3), np.uint8))
        >>> cache.put(b"too much", np.zeros((5, 5, 3), np.uint8))
        >>> cache.get(b"small", (4, 4, 3)).shape, cache.get(b"too much", (5, 5, 3)), cache.size_bytes
        ((4, 4, 3), None, 48)
    """

    is_lasting = False

    def __init__(self, budget_bytes: int | None = None) -> None:
        self.budget_bytes = (
            ram_budget_bytes() if budget_bytes is None else whole_number("budget_bytes", budget_bytes, 0)
        )
        self.size_bytes = 0
        self._kept: dict[bytes, np.ndarray] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"RamPixels({len(self):,} images, {self.size_bytes / 1e6:,.1f} of {self.budget_bytes / 1e6:,.1f} MB)"

    def get(self, key: bytes, shape: tuple[int, int, int]) -> np.ndarray | None:
        """The pixels that were kept under this key, uint8 of this shape, read-only; None when there are none."""
        pixels = self._kept.get(key)
        return pixels if pixels is not None and pixels.shape == shape else None

    def put(self, key: bytes, pixels: np.ndarray) -> None:
        """Keeps uint8 pixels, which become read-only, if the budget allows."""
        with self._lock:
            if key in self._kept or self.size_bytes + pixels.nbytes > self.budget_bytes:
                return
            if pixels.base is not None and getattr(pixels.base, "nbytes", 0) != pixels.nbytes:
                # A copy: a part of a larger array would keep all of it alive uncounted.
                pixels = np.array(pixels)
            self._kept[key] = _read_only(pixels)
            self.size_bytes += pixels.nbytes


class DiskPixels:
    """Pixels on disk, in LMDB; the next run starts from them, too.

    Pixels are written many at a time, in transactions; what waits for being written is found as well, and written at
    the latest when the cache is let go or the process ends. When the disk or the quota is full, a warning says so once
    and nothing more is kept; what is kept stays. The folder may be deleted at any time.

    Args:
        path: the folder; by default `pixels` in `THAWLINE_CACHE`, or in thawline's folder in the user's cache folder.
        max_bytes: do not grow beyond this size; by default the disk is the limit.

    Raises:
        ArgumentError: the limit is too small for anything.
        CacheError: the folder holds a cache of another version, or something else.

    Example:
        >>> import tempfile
        >>> cache = DiskPixels(tempfile.mkdtemp())
        >>> cache.put(b"key", np.full((2, 2, 3), 7, np.uint8))
        >>> cache.flush()
        >>> int(cache.get(b"key", (2, 2, 3)).max())
        7
    """

    is_lasting = True

    def __init__(self, path: str | Path | None = None, *, max_bytes: int | None = None) -> None:
        self.path = default_pixel_path() if path is None else Path(path).resolve()
        self._store = open_store(self.path, _KIND, max_bytes=max_bytes)
        self._waiting: dict[bytes, np.ndarray] = {}
        self._waiting_bytes = 0
        self._is_full = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        # Finalizers run last come, first served: the store is still open then.
        weakref.finalize(self, _write_rest, self._store, self._waiting)

    def __repr__(self) -> str:
        return f"DiskPixels({str(self.path)!r}, {self.size_bytes / 1e6:,.1f} MB)"

    @property
    def size_bytes(self) -> int:
        """Bytes that are in use on disk."""
        return self._store.used_bytes()

    def get(self, key: bytes, shape: tuple[int, int, int]) -> np.ndarray | None:
        """The pixels that were kept under this key, uint8 of this shape, read-only; None when there are none."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting if waiting.shape == shape else None
        with self._store.reading(math.prod(shape)) as transaction:
            row = transaction.get(key)
            # A row of another length is not what was asked for: it is written anew.
            content = None if row is None or len(row) != math.prod(shape) else bytes(row)
        return None if content is None else np.frombuffer(content, np.uint8).reshape(shape)

    def put(self, key: bytes, pixels: np.ndarray) -> None:
        """Keeps a copy of uint8 pixels; they are written when there are enough of them."""
        with self._lock:
            if self._is_full or key in self._waiting:
                return
            self._waiting[key] = _read_only(np.array(pixels, np.uint8, order="C"))
            self._waiting_bytes += pixels.nbytes
            if self._waiting_bytes < _WRITE_BYTES:
                return
        self.flush()

    def flush(self) -> None:
        """Writes what waits, in one transaction.

        Raises:
            CacheError: the disk failed otherwise than by being full.
        """
        with self._writing:
            with self._lock:
                rows = dict(self._waiting)
            if not rows:
                return
            try:
                _write(self._store, rows)
            except CacheFullError as error:
                self._is_full = True
                warnings.warn(
                    f"Pixels are decoded anew from here on, because no more can be kept. {error}", stacklevel=2
                )
            with self._lock:
                for key, pixels in rows.items():
                    del self._waiting[key]
                    self._waiting_bytes -= pixels.nbytes


class CachedPictures:
    """Pictures that are decoded once: the same interface, pixels from the cache where it has them.

    The first time a row is asked for, its file is read, for its digest; a cache on disk may then have the pixels from
    an earlier run. From the second time on neither the file is read nor decoded: a training goes on with the images it
    began with. Pixels that the cache had no room for are read and decoded each time.

    Args:
        pictures: the pictures to stand before.
        cache: where pixels are kept; several pictures may share one.

    Example:
        >>> from thawline.data.pixels import CachedPictures, RamPixels
        >>> cached = CachedPictures(pictures, RamPixels())  # doctest: +SKIP
        >>> pixels, digest = cached.pixels(0)  # doctest: +SKIP
    """

    def __init__(self, pictures: Pictures, cache: PixelCache) -> None:
        self.names = pictures.names
        self._pictures = pictures
        self._cache = cache
        self._prefix = blake3(json.dumps(pictures.identity(), sort_keys=True).encode()).digest(length=16)
        # Digests of the rows that were asked for. Threads may set one twice, to the same.
        self._known: dict[int, bytes] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""
        return self._pictures.shape

    @property
    def decoding(self) -> Decoding | None:
        """The decoding that gives such pictures from a file; None where no file can give them."""
        return self._pictures.decoding

    @property
    def originals(self) -> Pictures:
        """The pictures behind the cache."""
        return self._pictures

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the content; a cache changes nothing."""
        return self._pictures.identity()

    def digests(self, rows: np.ndarray, *, show_progress: bool = True, failed: Failed | None = None) -> list[bytes]:
        """The digest of the content of each row, 32 bytes each, as the pictures give them."""
        return self._pictures.digests(rows, show_progress=show_progress, failed=failed)

    def known_contents(self, rows: np.ndarray) -> list[tuple[Hashable, ...]]:
        """Stand-ins for the content of each row, as the pictures give them."""
        return self._pictures.known_contents(rows)

    def contents(self, rows: np.ndarray) -> list[Hashable]:
        """Something for each row that is equal exactly where the contents are, as the pictures give it."""
        return self._pictures.contents(rows)

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The pixels of a row, uint8 (height, width, channels), 0 to 255, read-only, and its digest.

        Raises:
            UnreadableImageError: the file cannot be read or decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        row = int(row)
        digest = self._known.get(row)
        if digest is None and self._cache.is_lasting:
            (digest,) = self._pictures.digests(np.array([row]), show_progress=False)
        if digest is not None:
            kept = self._cache.get(self._prefix + digest, self.shape)
            if kept is not None:
                self._known[row] = digest
                return kept, digest
        pixels, digest = self._pictures.pixels(row)
        self._cache.put(self._prefix + digest, pixels)
        self._known[row] = digest
        return _read_only(pixels), digest


def cache_pictures(
    pictures: Pictures,
    mode: PixelMode = "auto",
    *,
    budget_bytes: int | None = None,
    path: str | Path | None = None,
) -> Pictures:
    """The pictures behind the cache that fits them, or the pictures as they are where none does.

    Args:
        pictures: what to stand before.
        mode: "off" keeps nothing; "ram" keeps in memory what the budget allows; "disk" keeps on disk, for later runs
            as well; "auto" takes memory when all pictures fit the budget, else the disk when they fit half of what is
            free there, else nothing.
        budget_bytes: bytes of pixels in memory at most; by default a quarter of what is free.
        path: the folder of the cache on disk, see `DiskPixels`.

    Raises:
        ArgumentError: the mode is not known, or the budget is no whole number from 0 up.
        CacheError: the folder holds a cache of another version, or something else.
    """
    if mode not in get_args(PixelMode):
        raise ArgumentError(f"mode is one of {', '.join(map(repr, get_args(PixelMode)))}; got {mode!r}.")
    budget_bytes = ram_budget_bytes() if budget_bytes is None else whole_number("budget_bytes", budget_bytes, 0)
    folder = default_pixel_path() if path is None else Path(path).resolve()
    if mode == "auto":
        needed_bytes = len(pictures.names) * math.prod(pictures.shape)
        mode = choose_mode(needed_bytes, ram_bytes=budget_bytes, disk_bytes=disk_room_bytes(folder))
    if mode == "ram":
        return CachedPictures(pictures, RamPixels(budget_bytes))
    if mode == "disk":
        return CachedPictures(pictures, DiskPixels(folder))
    return pictures


def choose_mode(needed_bytes: int, *, ram_bytes: int, disk_bytes: int) -> Literal["ram", "disk", "off"]:
    """Where pixels should be kept: in memory when all fit, else on disk when all fit, else nowhere.

    A part is worth little: in memory it would be the same part each epoch, beside all that must be decoded anyway.

    Args:
        needed_bytes: the bytes of all pixels.
        ram_bytes: the budget in memory.
        disk_bytes: what may be taken on disk.

    Example:
        >>> choose_mode(100, ram_bytes=100, disk_bytes=1000), choose_mode(101, ram_bytes=100, disk_bytes=1000)
        ('ram', 'disk')
        >>> choose_mode(1001, ram_bytes=100, disk_bytes=1000)
        'off'
    """
    if needed_bytes <= ram_bytes:
        return "ram"
    return "disk" if needed_bytes <= disk_bytes else "off"


def ram_budget_bytes() -> int:
    """A quarter of the memory that is free now, in bytes."""
    return free_memory_bytes() // _RAM_SHARE


def disk_room_bytes(path: Path) -> int:
    """What pixels may take in this folder: half of what is free on its disk and what they take already, in bytes."""
    present = next(folder for folder in (path, *path.parents) if folder.exists())
    data = path / "data.mdb"
    taken = data.stat().st_size if data.exists() else 0
    return (shutil.disk_usage(present).free + taken) // _DISK_SHARE


def default_pixel_path() -> Path:
    """Where pixels are kept unless said otherwise: `pixels` in the folder of the feature cache."""
    return (default_cache_path() / "pixels").resolve()


def _write(store: Store, rows: dict[bytes, np.ndarray]) -> None:
    with store.writing(sum(pixels.nbytes for pixels in rows.values())) as transaction:
        for key, pixels in rows.items():
            transaction.put(key, pixels.tobytes())


def _write_rest(store: Store, waiting: dict[bytes, np.ndarray]) -> None:
    """Writes what waits when a cache is let go; a full disk then only means that it is decoded anew."""
    try:
        if waiting:
            _write(store, waiting)
    except CacheFullError:
        return


def _read_only(pixels: np.ndarray) -> np.ndarray:
    pixels.setflags(write=False)
    return pixels
