"""Files written whole or not at all: under a temporary name beside the target, then renamed."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# How text with names of files is encoded and decoded: not every name is UTF-8.
NAMES = "surrogateescape"

# What temporary names have in them, and others do not.
_MARK = "-writing-"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to, which becomes `path` when the block ends without an error.

    What was written is on the disk before it gets its name, so that a power cut leaves a whole file, too. The temporary
    name keeps the suffix of `path`, because Keras and Matplotlib choose the format by it.

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
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
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


def _umask() -> int:
    """The process's file mode mask; the operating system only tells it by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
