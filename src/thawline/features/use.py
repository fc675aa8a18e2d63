"""Marks of who uses a folder: held as long as a process lives, and gone with it, however it ends."""

import contextlib
import os
import secrets
import weakref
from pathlib import Path

from filelock import FileLock


class InUse:
    """A mark that this process uses a folder, until it is let go or the process ends.

    Args:
        folder: where marks lie; made when it is missing.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> mark = InUse(folder)
        >>> is_in_use(folder)
        True
        >>> mark.let_go()
        >>> is_in_use(folder)
        False
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Two marks of one process are two files: a lock that is held twice would be free after the first release.
        lock = FileLock(folder / f"{os.getpid()}-{secrets.token_hex(4)}", thread_local=False)
        # Nobody else takes it, but who asks whether it is held holds it for a moment.
        lock.acquire()
        self.let_go = weakref.finalize(self, _release, lock, os.getpid())


def is_in_use(folder: Path) -> bool:
    """Whether a process, this one included, has a mark in the folder."""
    try:
        return any(map(_is_held, list(folder.iterdir())))
    except FileNotFoundError:
        # There is no such folder, or no longer.
        return False


def remove_old_marks(folder: Path) -> None:
    """Removes marks of processes that were killed. Nobody may make a mark there meanwhile: it would be lost."""
    for mark in folder.glob("*"):
        if not _is_held(mark):
            mark.unlink(missing_ok=True)


def _is_held(mark: Path) -> bool:
    lock = FileLock(mark)
    try:
        with lock.acquire(timeout=0):
            return False
    except OSError:
        # Held (a Timeout is an OSError), or another user's, which nobody else may touch.
        return True


def _release(lock: FileLock, owner: int) -> None:
    # A process that was forked from the owner holds a copy, and must leave the mark as it is.
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
