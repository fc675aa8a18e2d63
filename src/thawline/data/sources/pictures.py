"""Pictures: where a source's pixels and digests come from.

A source is pictures, the rows of them that it shows, and their labels. Rows are numbers in the pictures; `select`,
`split` and `folds` change the rows only, so that all sources made of one share what was read.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from blake3 import blake3

from thawline.data.decode import Decoding, decode
from thawline.errors import ImageChangedError, UnreadableImageError
from thawline.progress import progress

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

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the content that a digest stands for, for a fingerprint."""

    def digests(self, rows: np.ndarray, *, show_progress: bool) -> list[bytes]:
        """The BLAKE3 digest of the content of each row, 32 bytes each."""

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The pixels of a row, uint8 (height, width, channels), 0 to 255, and its digest."""


class FilePictures:
    """Pictures in files, decoded when they are asked for; each file's digest is taken once.

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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""
        return self.decoding.shape

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the bytes of the file."""
        return self.decoding.identity()

    def digests(self, rows: np.ndarray, *, show_progress: bool = True) -> list[bytes]:
        """The digest of each row's file; files are read the first time only.

        Raises:
            UnreadableImageError: a file cannot be read.
        """
        paths = [self.names[row] for row in rows]
        unknown = list(dict.fromkeys(path for path in paths if path not in self._digests))
        with (
            progress("reading", len(unknown), show=show_progress) as advance,
            ThreadPoolExecutor(_SCAN_THREADS) as pool,
        ):
            for path, digest in zip(unknown, pool.map(_digest_file, unknown), strict=True):
                self._digests[path] = digest
                advance(1)
        return [self._digests[path] for path in paths]

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The pixels of a row, uint8 (height, width, channels), 0 to 255, and the digest of its file.

        Raises:
            UnreadableImageError: the file cannot be read or decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        path = self.names[row]
        data = _read(path)
        pixels = decode(data, self.decoding, name=str(path))
        digest = blake3(data).digest()
        if self._digests.setdefault(path, digest) != digest:
            raise ImageChangedError(f"{path}: the file changed since it was scanned. Start again to use the new one.")
        return pixels, digest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read: {error.strerror}. Check the file.") from error


def _digest_file(path: Path) -> bytes:
    return blake3(_read(path)).digest()
