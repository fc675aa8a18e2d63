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
    folder. Names in folders and matches are sorted, unless there are more than 10,000. What does not exist is given,
    too: whoever opens it can say so.

    Args:
        words: what was typed.
        lines: the standard input.

    Example:
        >>> [path.name for path in list_files(["no/such/rose.jpg"])]
        ['rose.jpg']
    """
    for word in words:
        if word == FROM_INPUT:
            names = (line.rstrip("\r\n") for line in lines or ())
            yield from (path for name in names if name for path in _expand(Path(name)))
        elif glob.has_magic(word) and not Path(word).exists():
            found = False
            # Path.glob takes no absolute patterns.
            matches = _sorted_if_few(glob.iglob(word, recursive=True), key=str)  # noqa: PTH207
            for path in map(Path, matches):
                found = True
                # "**" gives the folders, too, whose files it also gives.
                if not path.is_dir():
                    yield path
            if not found:
                yield Path(word)
        else:
            yield from _expand(Path(word))


def _expand(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from _images_below(path, set())
    else:
        yield path


def _images_below(folder: Path, entered: set[str]) -> Iterator[Path]:
    """Images first, then those of the folders inside; each folder once, as links may go round in circles."""
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    folders = []
    with os.scandir(folder) as entries:
        for entry in _sorted_if_few(entries, key=lambda entry: entry.name):
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif is_image(Path(entry.path)):
                yield Path(entry.path)
    for inner in folders:
        yield from _images_below(inner, entered)


def _sorted_if_few(things: Iterator[Thing], key: Callable[[Thing], str]) -> Iterator[Thing]:
    """In sorted order, unless there are so many that this would take much memory."""
    first = list(islice(things, SORTED_ENTRIES + 1))
    if len(first) <= SORTED_ENTRIES:
        first.sort(key=key)
    yield from first
    yield from things
