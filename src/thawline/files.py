"""Files and folders written whole or not at all: under a temporary name beside the target, then renamed."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

# How text with names of files is encoded and decoded: not every name is UTF-8.
NAMES = "surrogateescape"

# What temporary names have in them, and others do not.
_MARK = "-writing-"

# In a folder of work in progress: the file that its process holds, and where the work lies.
_HELD = ".lock"
_WORK = "work"

# Behind the name of a folder, hidden, while another takes its place.
_REPLACED = "-replaced"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to, which becomes `path` when the block ends without an error.

    What was written is on the disk before it gets its name, and the name before this returns: a power cut leaves a
    whole file, too, and after that the new one. The temporary name keeps the suffix of `path`, because Keras and
    Matplotlib choose the format by it.

    Example:
        >>> import pathlib, tempfile
        >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}{_MARK}", suffix="".join(path.suffixes), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all; names of files that are no UTF-8 keep their bytes."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=NAMES)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes plain values as JSON for people and programs, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def linking(source: Path, path: Path) -> None:
    """Gives a file a second name, which takes no room; where the disk knows no such thing, the file is copied."""
    with replacing(path) as temporary:
        try:
            temporary.unlink()
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def remove_left_over(folder: Path) -> None:
    """Removes temporary files of `replacing` that a killed process left. Nobody may write into the folder meanwhile."""
    for path in folder.glob(f".*{_MARK}*"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def working_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Gives a new folder to work in, which is deleted in the end, with those of processes that were killed meanwhile.

    Args:
        parent: where it lies; made when it is missing.
        prefix: what its hidden name begins with, like ".exporting-".

    Example:
        >>> import tempfile
        >>> parent = Path(tempfile.mkdtemp())
        >>> with working_folder(parent, ".making-") as folder:
        ...     folder.is_dir()
        True
        >>> list(parent.iterdir())
        []
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{prefix}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    # Nobody looks at the folder before its lock is held.
    new = Path(tempfile.mkdtemp(prefix=f".new{prefix}", dir=parent))
    lock = FileLock(new / _HELD, thread_local=False)
    held = new.with_name(new.name.removeprefix(".new"))
    try:
        lock.acquire()
        new.rename(held)
        (held / _WORK).mkdir()
        yield held / _WORK
    finally:
        shutil.rmtree(held, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)
        with contextlib.suppress(OSError):
            lock.release()


def put_folder_in_place(made: Path, target: Path) -> None:
    """Gives a folder its name; one that has it already is deleted once the new one is there, not before.

    An interruption at any moment leaves the old or the new one, the old one under a hidden name at worst; the next call
    gives it its name back.

    Args:
        made: a folder on the same disk, whose files may still be on their way there.
        target: the name that it gets; what lies there is replaced.
    """
    aside = target.with_name(f".{target.name}{_REPLACED}")
    if aside.exists() and not target.exists():
        aside.rename(target)
    shutil.rmtree(aside, ignore_errors=True)
    for path in (*made.rglob("*"), made):
        _sync(path)
    try:
        if target.exists():
            target.rename(aside)
        made.rename(target)
        _sync(target.parent)
    except BaseException:
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Tells whether the process that worked in a folder is gone."""
    # One of an earlier thawline has no lock, and one of a process on another machine may not be tried.
    if not (folder / _HELD).exists():
        return False
    try:
        with FileLock(folder / _HELD).acquire(timeout=0):
            return True
    except OSError:
        # Held: a Timeout is an OSError.
        return False


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk; where folders cannot be waited for, goes on."""
    if path.is_dir():
        with contextlib.suppress(OSError):
            _sync_opened(path, os.O_RDONLY)
    else:
        _sync_opened(path, os.O_RDWR)


def _sync_opened(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's file mode mask; the operating system only tells it by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
