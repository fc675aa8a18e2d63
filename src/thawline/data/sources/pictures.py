"""Pictures: where a source's pixels and digests come from.

A source is pictures, the rows of them that it shows, and their labels. Rows are numbers in the pictures; `select`,
`split` and `folds` change the rows only, so that all sources made of one share what was read.
"""

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from blake3 import blake3

from thawline.data.decode import ColorMode, Decoding, Interpolation, decode
from thawline.data.file_memory import DIGEST, FileMemory, read_watched
from thawline.data.formats import reason_of
from thawline.data.likely_copies import sample_of, sharing, size_of
from thawline.data.resize import FILE_CHANNELS, INTERPOLATIONS, by_channels
from thawline.errors import ArgumentError, ImageChangedError, UnreadableImageError
from thawline.progress import progress

# What is told of a row whose file cannot be read.
Failed = Callable[[int, UnreadableImageError], None]

# What an array's channels are.
_COLOR_MODES: dict[int, ColorMode] = {1: "grayscale", 3: "rgb", 4: "rgba"}

# Files are small and the disk is the limit: more threads than cores keep it busy.
_SCAN_THREADS = 8


class Pictures(Protocol):
    """What every kind of pictures can do.

    Attributes:
        names: what each row is called in errors and answers: its file, or the place in its array.
    """

    names: tuple[Path, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""

    @property
    def decoding(self) -> Decoding | None:
        """The decoding that gives such pictures from a file; None where no file can give them."""

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the content that a digest stands for, for a fingerprint."""

    def digests(self, rows: np.ndarray, *, show_progress: bool, failed: Failed | None = None) -> list[bytes]:
        """The BLAKE3 digest of the content of each row, 32 bytes each.

        A row whose file cannot be read is an error. With `failed` that is told instead, each time, and a digest of the
        file's name stands in, which no content has.
        """

    def known_contents(self, rows: np.ndarray) -> list[tuple[Hashable, ...]]:
        """Stand-ins for the content of each row that need no reading: its file, and its digest if it is known.

        Two rows that have one of these in common are the same picture.
        """

    def contents(self, rows: np.ndarray) -> list[Hashable]:
        """Something for each row that is equal for two of these rows exactly where their contents are.

        Digests would do; but no more is read for it than is needed to tell the rows apart.
        """

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The pixels of a row, uint8 (height, width, channels), 0 to 255, and its digest."""


class FilePictures:
    """Pictures in files, decoded when they are asked for; each file's digest is taken once.

    Digests are remembered for later runs, see `thawline.data.file_memory`: a file that is the same as then by path,
    size, times of change and inode is not read for it again.

    Args:
        paths: the files.
        decoding: size, colour and interpolation.

    Example:
        >>> FilePictures([Path("roses/1.jpg")], Decoding((4, 6))).shape
        (4, 6, 3)
    """

    def __init__(self, paths: Sequence[Path], decoding: Decoding) -> None:
        self.names = tuple(paths)
        self.decoding = decoding
        self._digests: dict[Path, bytes] = {}
        # Files that could not be read for their digests; who can do without them does not try them again.
        self._lost: dict[Path, UnreadableImageError] = {}
        self._memory = FileMemory()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""
        return self.decoding.shape

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the bytes of the file."""
        return self.decoding.identity()

    def digests(self, rows: np.ndarray, *, show_progress: bool = True, failed: Failed | None = None) -> list[bytes]:
        """The digest of each row's file; files are read the first time only, and not even then where it is remembered.

        Raises:
            UnreadableImageError: a file cannot be read, and nobody is to be told instead.
        """
        paths = [self.names[row] for row in rows]
        given_up = self._lost if failed is not None else {}
        unknown = list(dict.fromkeys(path for path in paths if path not in self._digests and path not in given_up))
        if unknown:
            self._digests |= self._memory.recall(unknown, DIGEST)
            self._read_digests([path for path in unknown if path not in self._digests], show_progress, failed)
        if failed is not None and self._lost:
            for row, path in zip(rows, paths, strict=True):
                if path not in self._digests:
                    failed(int(row), self._lost[path])
        return [self._digests.get(path) or _stand_in(path) for path in paths]

    def known_contents(self, rows: np.ndarray) -> list[tuple[Hashable, ...]]:
        """Each row's file, and its digest where that was taken already."""
        paths = [self.names[row] for row in rows]
        return [(path, self._digests[path]) if path in self._digests else (path,) for path in paths]

    def contents(self, rows: np.ndarray) -> list[Hashable]:
        """Each row's digest where it is known or a copy is likely, else its path.

        Only files of the same size can be copies, of those only the ones with equal samples, and only these are read.
        A file that cannot be read is taken for no copy.
        """
        paths = [self.names[row] for row in rows]
        likely = self._likely_copies(list(dict.fromkeys(paths)))
        places = [row for row, path in zip(rows, paths, strict=True) if path in likely]
        self.digests(np.array(places, np.int64), show_progress=False, failed=lambda *_: None)
        return [self._digests.get(path, path) for path in paths]

    def _likely_copies(self, paths: list[Path]) -> set[Path]:
        """The files that may be copies of others, as far as sizes and samples tell."""
        if all(path in self._digests for path in paths):
            return set()
        alike = sharing(paths, size_of)
        self._digests |= self._memory.recall([path for path in alike if path not in self._digests], DIGEST)
        if all(path in self._digests for path in alike):
            return set()
        return set(sharing(alike, sample_of))

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The pixels of a row, uint8 (height, width, channels), 0 to 255, and the digest of its file.

        Raises:
            UnreadableImageError: the file cannot be read or decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        path = self.names[row]
        data = _read(path)
        pixels = self._decoded(row, data)
        digest = blake3(data).digest()
        if self._digests.setdefault(path, digest) != digest:
            # Or the next run would remember, and fail in the same way: at this file, then at the next one that changed.
            self._memory.forget(dict.fromkeys(self.names), DIGEST)
            raise ImageChangedError(
                f"{path}: the file changed since it was scanned. Start again to use the new one, with another run.name "
                "where a run has begun with the old one."
            )
        return pixels, digest

    def _decoded(self, row: int, data: bytes) -> np.ndarray:
        return decode(data, self.decoding, name=str(self.names[row]))

    def _read_digests(self, paths: list[Path], show_progress: bool, failed: Failed | None) -> None:
        with (
            progress("reading", len(paths), show=show_progress) as advance,
            ThreadPoolExecutor(_SCAN_THREADS) as pool,
        ):
            try:
                for path, (digest, stamp) in zip(paths, pool.map(_digest_file, paths), strict=True):
                    if isinstance(digest, bytes):
                        self._digests[path] = digest
                        self._memory.keep(stamp, DIGEST, digest)
                    elif failed is None:
                        raise digest
                    else:
                        self._lost[path] = digest
                    advance(1)
            finally:
                # What is asked for one by one waits for company: each transaction waits for the disk.
                if len(paths) > 1:
                    self._memory.flush()


class ArrayPictures:
    """Pictures in an array; each one's digest is taken from its pixels and shape when it is asked for first.

    Args:
        array: uint8 (n, height, width, channels), 0 to 255; any memory map will do.
        image_size: height and width to bring every picture to; None leaves them as they are.
        interpolation: "area", "bilinear", "nearest", "bicubic" or "lanczos", used when the size changes.

    Raises:
        ArgumentError: the interpolation is not known.

    Example:
        >>> pictures = ArrayPictures(np.zeros((2, 8, 6, 3), np.uint8), image_size=(4, 3))
        >>> pictures.pixels(1)[0].shape
        (4, 3, 3)
    """

    def __init__(
        self, array: np.ndarray, image_size: tuple[int, int] | None = None, interpolation: str = "area"
    ) -> None:
        if interpolation not in INTERPOLATIONS:
            raise ArgumentError(
                f"interpolation is one of {', '.join(map(repr, INTERPOLATIONS))}; got {interpolation!r}."
            )
        self.names = tuple(Path(f"images[{row}]") for row in range(len(array)))
        self._array = array
        self._size = (array.shape[1], array.shape[2]) if image_size is None else tuple(image_size)
        self._interpolation = interpolation
        self._digests: dict[int, bytes] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""
        return (self._size[0], self._size[1], self._array.shape[3])

    @property
    def decoding(self) -> Decoding | None:
        """The decoding that gives pictures of their size and channels; None where files lack such channels."""
        color_mode = _COLOR_MODES.get(self._array.shape[3])
        if color_mode is None:
            return None
        interpolation: Interpolation = self._interpolation  # type: ignore[assignment]
        return Decoding((self._size[0], self._size[1]), color_mode, interpolation)

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the content of the array."""
        resized = self._size != self._array.shape[1:3]
        return {
            "array": list(self.shape),
            "interpolation": self._interpolation if resized else None,
            "opencv": cv2.__version__ if resized else None,
            # In 0.1 OpenCV got all channels at once, and filled no more than four of them.
            **({} if self._array.shape[3] in FILE_CHANNELS else {"by_channels": True}),
        }

    def digests(self, rows: np.ndarray, *, show_progress: bool = True, failed: Failed | None = None) -> list[bytes]:
        """The digest of each row's pixels as they lie in the array, where nothing can be lost."""
        return [self._digest(int(row)) for row in rows]

    def known_contents(self, rows: np.ndarray) -> list[tuple[Hashable, ...]]:
        """The digest of each row that was taken already."""
        return [(self._digests[row],) if row in self._digests else () for row in rows.tolist()]

    def contents(self, rows: np.ndarray) -> list[Hashable]:
        """Each row's digest where it is known or a copy is likely by some of its lines, else its number."""
        unknown = [row for row in dict.fromkeys(rows.tolist()) if row not in self._digests]
        if unknown:
            for row in sharing(list(dict.fromkeys(rows.tolist())), self._sample):
                self._digest(row)
        return [self._digests.get(row, row) for row in rows.tolist()]

    def _sample(self, row: int) -> bytes:
        lines = len(self._array[row])
        return np.ascontiguousarray(self._array[row][[0, lines // 2, lines - 1]]).tobytes()

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The pixels of a row, uint8 (height, width, channels), 0 to 255, and their digest."""
        pixels = np.array(self._array[row])
        if self._size != pixels.shape[:2]:
            size, interpolation = self._size[::-1], INTERPOLATIONS[self._interpolation]
            pixels = by_channels(pixels, lambda some: cv2.resize(some, size, interpolation=interpolation))
        return pixels.reshape(self.shape), self._digest(int(row))

    def _digest(self, row: int) -> bytes:
        if row not in self._digests:
            content = np.ascontiguousarray(self._array[row])
            hasher = blake3(derive_key_context="thawline picture in an array")
            hasher.update(repr(content.shape).encode())
            self._digests[row] = hasher.update(content.tobytes()).digest()
        return self._digests[row]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read: {reason_of(error)}. Check the file.") from error


def _digest_file(path: Path) -> tuple[bytes | UnreadableImageError, bytes | None]:
    """The digest, or why there is none, and the stamp to keep it under."""

    def digest(path: Path) -> bytes | UnreadableImageError:
        try:
            return blake3(_read(path)).digest()
        except UnreadableImageError as error:
            return error

    return read_watched(path, digest)


def _stand_in(path: Path) -> bytes:
    return blake3(os.fsencode(path), derive_key_context="thawline file that cannot be read").digest()
