"""Bad images: with `on_error="skip"` they are left out, whenever they turn out to be bad.

`LeftOut` is the list of them, which all sources that are made of the same one share: an image that went bad for one is
not tried by another. `LeavesOut` is what a source can do about them. Images are told apart by their rows in the
pictures; files are listed once.
"""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar

import numpy as np

from thawline.data.check import check_images
from thawline.data.sources.pictures import FilePictures, Pictures
from thawline.data.sources.scan import describe_skipped
from thawline.errors import ArgumentError, DataError, ImageChangedError, UnreadableImageError

# What makes an image bad; whatever else goes wrong ends what is done.
BAD_IMAGE = (UnreadableImageError, ImageChangedError)

Made = TypeVar("Made")


class LeftOut:
    """Rows that are left out and the files behind them, with the reasons; safe to be used by many threads.

    Example:
        >>> left_out = LeftOut()
        >>> left_out.add(7, Path("roses/7.jpg"), "the file is empty.")
        True
        >>> 7 in left_out, 8 in left_out, [reason for _, reason in left_out.listed]
        (True, False, ['the file is empty.'])
    """

    def __init__(self) -> None:
        self._rows: set[int] = set()
        self._reasons: dict[Path, str] = {}
        self._lock = threading.Lock()

    def __contains__(self, row: int) -> bool:
        return row in self._rows

    @property
    def listed(self) -> tuple[tuple[Path, str], ...]:
        """The files in the order in which they were found, each with the reason."""
        with self._lock:
            return tuple(self._reasons.items())

    def add(self, row: int, path: Path, reason: str) -> bool:
        """Leaves a row out from here on; says whether its file was not listed before."""
        with self._lock:
            is_new = path not in self._reasons
            self._reasons.setdefault(path, reason)
            self._rows.add(row)
        return is_new

    def add_with_warning(self, row: int, path: Path, error: Exception) -> None:
        """Leaves a row out from here on, with one warning per file."""
        reason = str(error).removeprefix(f"{path}: ")
        if self.add(row, path, reason):
            warnings.warn(
                f"{path} went bad and is left out from here on: {reason} `unreadable` lists all that are left out.",
                stacklevel=2,
            )


class LeavesOut:
    """Answers about files that a source leaves out; `ImageSource` inherits them.

    Attributes:
        skipped: how many files beside the images were passed over when folders were listed, by ending.
    """

    pictures: Pictures
    rows: np.ndarray
    paths: tuple[Path, ...]
    skipped: Mapping[str, int] = MappingProxyType({})
    _left_out: LeftOut | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The images with these indices, in this order."""
        raise NotImplementedError

    def describe_skipped(self) -> str:
        """The files in `skipped` in one line, like "3 files passed over: 2 .heic, 1 .txt"; "" where there are none."""
        return describe_skipped(self.skipped)

    @property
    def on_error(self) -> Literal["raise", "skip"]:
        """What happens with an image that is bad: an error that names it, or it is left out."""
        return "raise" if self._left_out is None else "skip"

    @property
    def unreadable(self) -> tuple[tuple[Path, str], ...]:
        """The files that are left out with on_error="skip", each with the reason.

        First those that could not be decoded at the beginning, then those that went bad since: deleted, cut off or
        replaced by another file. All sources that are made of the same one share the list.
        """
        return () if self._left_out is None else self._left_out.listed

    def is_left_out(self, index: int) -> bool:
        """Whether an image went bad and is left out of all batches from here on."""
        return self._left_out is not None and int(self.rows[index]) in self._left_out

    def without_unreadable(self) -> Self:
        """The images that are not left out, with indices of their own; this source itself where that is all of them.

        Raises:
            DataError: none is left.
        """
        kept = [index for index in range(len(self)) if not self.is_left_out(index)]
        if not kept:
            raise self.nothing_left()
        return self if len(kept) == len(self) else self.select(kept)

    def nothing_left(self) -> DataError:
        """The error for when every image is bad."""
        known = dict(self.unreadable)
        path = next((path for path in self.paths if path in known), self.paths[0])
        return DataError(f"None of {len(self)} images can be used any more, first {path}: {known.get(path, '')}")

    def attempt(self, make: Callable[..., Made], index: int, *arguments: Any) -> Made | None:
        """What `make(index, *arguments)` gives; with on_error="skip" None where the image is bad.

        An image that is left out is not tried again. One that is bad now is left out from here on, with one warning
        per file.

        Raises:
            UnreadableImageError, ImageChangedError: the image is bad and on_error is "raise".
        """
        if self._left_out is None:
            return make(index, *arguments)
        if self.is_left_out(index):
            return None
        try:
            return make(index, *arguments)
        except BAD_IMAGE as error:
            self._left_out.add_with_warning(int(self.rows[index]), self.paths[index], error)
            return None

    def content_digests(self, *, show_progress: bool = True) -> list[bytes]:
        """The BLAKE3 digest of every file, 32 bytes each, in the order of the indices.

        Files are read the first time only; every source that comes from this one shares what was read. With
        on_error="skip" a file that cannot be read is left out from here on, and a digest of its name stands in.

        Raises:
            UnreadableImageError: a file cannot be read and on_error is "raise".
        """
        left_out = self._left_out
        if left_out is None:
            return self.pictures.digests(self.rows, show_progress=show_progress)

        def leave_out(row: int, error: UnreadableImageError) -> None:
            left_out.add_with_warning(row, self.pictures.names[row], error)

        return self.pictures.digests(self.rows, show_progress=show_progress, failed=leave_out)

    def _leave_out_unreadable(self, on_error: str) -> None:
        """With "skip", takes the files out that cannot be decoded, before anything else is done with them."""
        if on_error not in ("raise", "skip"):
            raise ArgumentError(f"on_error is 'raise' or 'skip'; got {on_error!r}.")
        if on_error == "raise" or not isinstance(self.pictures, FilePictures):
            return
        self._left_out = LeftOut()
        bad = dict(check_images(self.pictures.names, self.pictures.decoding))
        if not bad:
            return
        for row, path in enumerate(self.paths):
            if path in bad:
                self._left_out.add(row, path, bad[path])
        first, reason = next(iter(bad.items()))
        kept = [index for index, path in enumerate(self.paths) if path not in bad]
        if not kept:
            raise DataError(f"None of {len(self)} images can be decoded, first {first}: {reason}")
        warnings.warn(
            f"{len(self) - len(kept)} of {len(self)} images cannot be decoded and are left out, first {first}: "
            f"{reason} `unreadable` lists them all.",
            stacklevel=3,
        )
        vars(self).update(vars(self.select(kept)))
