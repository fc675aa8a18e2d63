"""What a user names -> files, one after the other, however many there are."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO, TypeVar

from thawline.data.sources.scan import is_hidden, is_image

# The word for the standard input.
FROM_INPUT = "-"

# More entries of a folder, or matches of a pattern, come in the file system's order, so that they need no memory.
SORTED_ENTRIES = 10_000

Thing = TypeVar("Thing")


def list_files(words: Iterable[str], lines: TextIO | None = None) -> Iterator[Path]:
    """The files that words stand for, found while they are asked for.

    A word is a file, which is taken whatever its name; a folder, of which every image below is taken, hidden ones left
    out; a pattern like "photos/**/*.jpg"; or "-" for the lines of the standard input, each the name of a file or a
    folder. Names in folders and matches are sorted, unless there are more than 10,000. What does not exist, cannot be
    a name, or is a folder that cannot be listed is given, too: whoever opens it can say so.

    Args:
        words: what was typed.
        lines: the standard input.

    Example:
        >>> [path.name for path in list_files(["no/such/rose.jpg"])]
        ['rose.jpg']
    """
    for word in words:
        if word == FROM_INPUT:
            names = (_name_in(line) for line in lines or ())
            yield from (path for name in names if name for path in _expand(Path(name)))
        elif glob.has_magic(word) and not os.path.lexists(word):
            found = False
            # Path.glob takes no absolute patterns.
            matches = _sorted_if_few(glob.iglob(word, recursive=True), key=str)  # noqa: PTH207
            for path in map(Path, matches):
                found = True
                # "**" gives the folders, too, whose files it also gives.
                if not _is_folder(path):
                    yield path
            if not found:
                yield Path(word)
        else:
            yield from _expand(Path(word))


def _expand(path: Path) -> Iterator[Path]:
    if _is_folder(path):
        yield from _images_below(path, set())
    else:
        yield path


def _images_below(folder: Path, entered: set[str]) -> Iterator[Path]:
    """Images first, then those of the folders inside; each folder once, as links may go round in circles.

    A folder that cannot be listed, or not to its end, is given itself.
    """
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    folders = []
    try:
        with os.scandir(folder) as entries:
            for entry in _sorted_if_few(entries, key=lambda entry: entry.name):
                path = Path(entry.path)
                if is_hidden(entry.name):
                    continue
                if _is_folder(path):
                    folders.append(path)
                elif is_image(path):
                    yield path
    except OSError:
        yield folder
    for inner in folders:
        yield from _images_below(inner, entered)


def _is_folder(path: Path) -> bool:
    """Tells whether there is a folder of this name; names that are too long or hold a NUL are of none."""
    return os.path.isdir(path)  # noqa: PTH112


def _name_in(line: str) -> str:
    """The name in a line, which may end as on Windows; where there is a file whose name ends so, the name is whole."""
    name = line.removesuffix("\n")
    return name.removesuffix("\r") if not _is_there(name) else name


def _is_there(name: str) -> bool:
    try:
        return os.path.lexists(name)
    except ValueError:
        return False


def _sorted_if_few(things: Iterator[Thing], key: Callable[[Thing], str]) -> Iterator[Thing]:
    """In sorted order, unless there are so many that this would take much memory."""
    first = list(islice(things, SORTED_ENTRIES + 1))
    if len(first) <= SORTED_ENTRIES:
        first.sort(key=key)
    yield from first
    yield from things
