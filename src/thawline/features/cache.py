"""FeatureCache: features kept on disk, a folder for each set of them.

A set belongs to one prefix, decoding, augmentation and numeric profile, and lies in an LMDB folder of its own: it can
be taken away whole, and what damages one leaves the others as they are. The cache may be deleted at any time.
"""

import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from thawline.errors import ArgumentError, CacheDamagedError, CacheError, CacheFullError
from thawline.features.feature_set import (
    CARD_NAME,
    DAMAGED_NAME,
    USERS_NAME,
    FeatureSet,
    read_card,
    touch_card,
)
from thawline.features.identity import digest_description
from thawline.features.rows import Storage
from thawline.features.use import is_in_use, remove_old_marks
from thawline.files import write_text
from thawline.specs import TensorSpec
from thawline.store import LEAST_ROOM, count_rows, default_cache_path, disk_free_bytes, reading_ends_process

# Sets lie here, beside what else is kept in the same folder: pixels, digests of files, choices of engines.
SETS_NAME = "features"
_LOCK_NAME = ".lock"
_TRASH_PREFIX = ".trash-"
_DATA_NAME = "data.mdb"

# Without a limit of its own a cache takes this share of what is free and of what it takes already.
DEFAULT_SHARE = 0.5


@dataclass(frozen=True)
class SetReport:
    """What a set of features is, for people.

    Attributes:
        identity: the digest of what the features depend on, 32 hexadecimal digits: the name of the folder.
        label: where the features come from, in words.
        shapes: the crossing tensors, in words.
        rows: views of images that are stored; None where the file cannot be read.
        size_bytes: bytes on disk.
        last_used: when it was opened last, UTC.
        is_in_use: whether a process holds it now.
    """

    identity: str
    label: str
    shapes: str
    rows: int | None
    size_bytes: int
    last_used: datetime
    is_in_use: bool


@dataclass(frozen=True)
class SetCheck:
    """What `FeatureCache.verify` found in a set.

    Attributes:
        identity: which set.
        label: where its features come from, in words.
        rows: how many rows there were.
        damaged: how many of them were damaged; they are taken out.
        problem: why the whole set could not be read; empty where it could.
        is_deleted: whether it was deleted for that.
    """

    identity: str
    label: str
    rows: int
    damaged: int
    problem: str = ""
    is_deleted: bool = False


class FeatureCache:
    """A folder in which features are kept.

    Args:
        path: the folder; by default `THAWLINE_CACHE`, or `thawline` in the user's cache folder.
        max_bytes: the size up to which it may grow; by default half of what is free on the disk and of what it takes
            already. Where more is needed, the sets that were not used for the longest time are deleted, but never one
            that a running process uses.

    Raises:
        ArgumentError: the limit is too small for anything.
        CacheError: the folder holds a cache of another version, or something else.

    Example:
        >>> import tempfile
        >>> cache = FeatureCache(tempfile.mkdtemp())
        >>> cache.size_bytes
        0
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < LEAST_ROOM:
            raise ArgumentError(f"max_bytes is {LEAST_ROOM:,} or more; got {max_bytes!r}.")
        self.path = Path(path if path is not None else default_cache_path()).resolve()
        self._max_bytes = max_bytes
        self._sets = self.path / SETS_NAME
        if (self.path / _DATA_NAME).exists():
            raise CacheError(
                f"The feature cache {str(self.path)!r} is one of an earlier thawline, or something else: it has a "
                f"{_DATA_NAME}. Name another folder (cache=, THAWLINE_CACHE), or delete this one; it is a cache."
            )
        try:
            self._sets.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(
                f"The feature cache {str(self.path)!r} cannot be opened: {error}. Name another folder (cache=, "
                "THAWLINE_CACHE)."
            ) from error

    def __repr__(self) -> str:
        return f"FeatureCache({str(self.path)!r}, {self.size_bytes / 1e6:,.1f} MB)"

    @property
    def size_bytes(self) -> int:
        """Bytes that all sets take on disk."""
        return sum(map(_size_bytes, self._folders()))

    @property
    def max_bytes(self) -> int:
        """The size up to which the cache may grow."""
        if self._max_bytes is not None:
            return self._max_bytes
        return int(DEFAULT_SHARE * (self.size_bytes + self._disk_free_bytes()))

    @property
    def free_bytes(self) -> int:
        """Bytes that features may still take: what the disk has free, and what `max_bytes` leaves.

        Sets that no process uses count as free: they are deleted when their room is needed.
        """
        used = sum(_size_bytes(folder) for folder in self._folders() if self._is_in_use(folder))
        unused = self.size_bytes - used
        return max(min(self._disk_free_bytes() + unused, self.max_bytes - used), 0)

    def features(
        self,
        description: dict[str, Any],
        specs: Sequence[TensorSpec],
        *,
        storage: Storage = "float32",
        label: str = "",
    ) -> FeatureSet:
        """The set of features with this description; a new one is empty.

        It is in use as long as the answer lives. A set that is damaged beyond its rows is deleted, with a warning, and
        begun anew.

        Args:
            description: what the features depend on, from `describe_features`.
            specs: one TensorSpec per crossing tensor.
            storage: as which numbers new rows are kept. Rows in float32 serve whatever is asked for.
            label: where the features come from, for people.

        Raises:
            CacheError: the set was written by another version.
            CacheDamagedError: the set is damaged, and a process uses it.
        """
        folder = self._sets / digest_description(description).hex()
        card = {
            "label": label,
            "specs": list(map(str, specs)),
            "description": description,
        }
        # Nobody may take the folder away between its making and its mark.
        with self._lock():
            if (folder / DAMAGED_NAME).exists():
                self._put_aside(folder)
            features = self._opened(folder, card, specs, storage)
            if features is None:
                self._put_aside(folder)
                features = self._opened(folder, card, specs, storage)
        self._empty_trash()
        if features is None:
            raise CacheDamagedError(f"The features in {folder} cannot be kept: a new file is damaged. Check the disk.")
        return features

    def check_usable(self) -> None:
        """Checks that features can be kept here, by taking the lock of all changes for a moment.

        Raises:
            CacheError: the folder cannot be written to, or its file system has no locks.
        """
        with self._lock():
            pass

    def holds(self, description: dict[str, Any]) -> bool:
        """Whether there is a set of features with this description; looking makes none."""
        return (self._sets / digest_description(description).hex() / CARD_NAME).exists()

    def sets(self) -> list[SetReport]:
        """What is kept, the set that was used last first."""
        reports = []
        for folder in self._folders():
            card = read_card(folder)
            reports.append(
                SetReport(
                    identity=folder.name,
                    label=str(card.get("label", "")),
                    shapes=", ".join(map(str, card.get("specs", ()))),
                    rows=count_rows(folder),
                    size_bytes=_size_bytes(folder),
                    last_used=datetime.fromtimestamp(_last_used(folder), UTC),
                    is_in_use=self._is_in_use(folder),
                )
            )
        return sorted(reports, key=lambda report: report.last_used, reverse=True)

    def verify(self, advance: Callable[[int], None] = lambda rows: None) -> list[SetCheck]:
        """Reads every row and takes out those that are damaged; they are computed anew when they are wanted.

        A set that is damaged beyond its rows is deleted, unless a process uses it.

        Args:
            advance: is told now and then how many rows more were read.
        """
        checks = [self._verify_set(folder, advance) for folder in sorted(self._folders())]
        self._empty_trash()
        return [check for check in checks if check is not None]

    def prune(self, max_bytes: int) -> list[SetReport]:
        """Deletes the sets that were not used for the longest time, until the rest takes no more than `max_bytes`.

        A set that a running process uses, this one included, stays, and may leave the cache larger than wanted.

        Returns:
            The sets that were deleted.

        Raises:
            ArgumentError: max_bytes is negative.
        """
        if max_bytes < 0:
            raise ArgumentError(f"max_bytes is a number of bytes from 0 up; got {max_bytes!r}.")
        self._empty_trash()
        deleted = []
        for report in reversed(self.sets()):
            if self.size_bytes <= max_bytes:
                break
            if self._take_away(self._sets / report.identity):
                deleted.append(report)
        self._empty_trash()
        return deleted

    def clear(self) -> list[SetReport]:
        """Deletes all sets that no process uses; gives what was deleted."""
        return self.prune(0)

    def _make_room(self, needed_bytes: int) -> None:
        """Deletes unused sets where so many bytes more would be too much.

        Raises:
            CacheFullError: there are not enough of them.
        """
        most = min(self.max_bytes, self.size_bytes + self._disk_free_bytes() - LEAST_ROOM) - needed_bytes
        if self.size_bytes <= most:
            return
        self.prune(max(most, 0))
        if self.size_bytes > most:
            if self._max_bytes is None:
                quota, move = f", of which it takes {DEFAULT_SHARE:.0%} at most", "make room, give max_bytes"
            else:
                quota, move = f", max_bytes allows {self._max_bytes / 1e6:,.1f} MB", "make room, raise max_bytes"
            raise CacheFullError(
                f"The feature cache {str(self.path)!r} is full: {needed_bytes / 1e6:,.1f} MB more were needed, it has "
                f"{self.size_bytes / 1e6:,.1f} MB in use, the disk has {self._disk_free_bytes() / 1e6:,.1f} MB free"
                f"{quota}. What is stored stays: {move}, or name another folder (cache=, THAWLINE_CACHE), and run the "
                "same again."
            )

    def _opened(
        self, folder: Path, card: dict[str, Any], specs: Sequence[TensorSpec], storage: Storage
    ) -> FeatureSet | None:
        """The set in a folder, which is made where it is missing; None where it is damaged."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / CARD_NAME).exists():
            write_text(folder / CARD_NAME, json.dumps(card, indent=2, default=repr) + "\n")
        touch_card(folder)
        remove_old_marks(folder / USERS_NAME)
        try:
            return FeatureSet(folder, tuple(specs), storage, self._make_room)
        except CacheDamagedError:
            return None

    def _put_aside(self, folder: Path) -> None:
        """Puts a damaged set into the trash, under the lock.

        Raises:
            CacheDamagedError: a process uses it.
        """
        if is_in_use(folder / USERS_NAME):
            raise CacheDamagedError(
                f"The features in {folder} are damaged, and a process uses them. End it (a notebook: restart it), and "
                "run the same again: they are computed anew."
            )
        warnings.warn(f"The features in {folder} are damaged: they are deleted, and computed anew.", stacklevel=3)
        self._to_trash(folder)

    def _verify_set(self, folder: Path, advance: Callable[[int], None]) -> SetCheck | None:
        """Verifies a set; None where it is gone."""
        label = str(read_card(folder).get("label", ""))
        try:
            # Nothing holds the set beyond these lines: a damaged one is to be taken away.
            if reading_ends_process(folder):
                raise CacheDamagedError(f"The features in {folder} are damaged: reading them would end the process.")
            rows, damaged = self._held(folder).verify(advance)
        except FileNotFoundError:
            return None
        except CacheDamagedError as error:
            problem = str(error)
        except CacheError as error:
            return SetCheck(folder.name, label, 0, 0, str(error), is_deleted=False)
        else:
            return SetCheck(folder.name, label, rows, damaged)
        return SetCheck(folder.name, label, 0, 0, problem, is_deleted=self._take_away(folder))

    def _held(self, folder: Path) -> FeatureSet:
        with self._lock():
            if not folder.exists():
                raise FileNotFoundError(folder)
            return FeatureSet(folder, (), "float32", self._make_room)

    def _take_away(self, folder: Path) -> bool:
        """Puts a set into the trash unless it is in use; says whether it did."""
        with self._lock():
            if is_in_use(folder / USERS_NAME) or not folder.exists():
                return False
            self._to_trash(folder)
            return True

    def _to_trash(self, folder: Path) -> None:
        folder.rename(self._sets / f"{_TRASH_PREFIX}{secrets.token_hex(8)}")

    def _is_in_use(self, folder: Path) -> bool:
        # Under the lock, because looking takes a mark for a moment, and nobody may make one meanwhile.
        with self._lock():
            return is_in_use(folder / USERS_NAME)

    def _empty_trash(self) -> None:
        for folder in self._sets.glob(f"{_TRASH_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        # Somebody may have deleted the cache by hand.
        folders = list(self._sets.iterdir()) if self._sets.is_dir() else []
        return (folder for folder in folders if folder.is_dir() and not folder.name.startswith("."))

    def _disk_free_bytes(self) -> int:
        return disk_free_bytes(self.path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock = FileLock(self._sets / _LOCK_NAME)
        try:
            self._sets.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise CacheError(
                f"The feature cache {str(self.path)!r} cannot be changed: {error}. Name another folder (cache=, "
                "THAWLINE_CACHE), or make this one writable."
            ) from error
        try:
            yield
        finally:
            lock.release()


def _size_bytes(folder: Path) -> int:
    """Bytes that a set takes; 0 when it was deleted meanwhile."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return 0


def _last_used(folder: Path) -> float:
    try:
        return (folder / CARD_NAME).stat().st_mtime
    except OSError:
        return 0.0
