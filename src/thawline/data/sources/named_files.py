"""Files by the names that tables have for them, which are not always those on the disk to the letter."""

import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from thawline.data.class_names import class_texts, is_empty
from thawline.data.formats import EXTENSIONS
from thawline.errors import DataError


def named_files(names: Sequence[Any], directory: Path, column: str) -> list[Path]:
    """The files of all rows.

    A name that is no file is looked up in its folder: without its ending, in another case, with blanks around it, with
    backslashes, or with accents composed otherwise. It is taken where a single file fits; that is told once.

    Args:
        names: the cells with the files' names.
        directory: the folder that relative names start from.
        column: what the column is called, for errors.

    Raises:
        DataError: a cell is empty, files are missing (they are counted and the first is named), or two fit a name.
    """
    empty = [row for row, name in enumerate(names) if is_empty(name)]
    if empty:
        raise DataError(
            f"{len(empty)} of {len(names)} rows have no file in column {column!r}, first row {empty[0]}. "
            "Fill it in or leave the row out."
        )
    is_text = any(isinstance(name, str | os.PathLike) for name in names)
    texts = [str(name) for name in names] if is_text else class_texts(names)
    paths = [directory / text for text in texts]
    lost = [row for row, path in enumerate(paths) if not path.is_file()]
    if lost:
        _look_up(lost, texts, paths, directory, column)
    return paths


def _look_up(lost: Sequence[int], texts: Sequence[str], paths: list[Path], directory: Path, column: str) -> None:
    """Puts the files that fit in the place of the paths that are none."""
    folders = Folders(directory)
    fitting = {row: folders.fitting(texts[row]) for row in lost}
    missing = [row for row in lost if not fitting[row]]
    if missing:
        near = folders.near(texts[missing[0]])
        hint = f" {str(near)!r} lies there." if near else ""
        raise DataError(
            f"{len(missing)} of {len(paths)} files of column {column!r} are missing, first "
            f"{str(paths[missing[0]])!r}.{hint} Give the folder that they lie in as directory=, or leave the rows out."
        )
    for row in lost:
        if len(fitting[row]) > 1:
            first, second = fitting[row][:2]
            raise DataError(
                f"Row {row} has {texts[row]!r} in column {column!r}, which both {str(first)!r} and {str(second)!r} "
                "fit. Write the whole name of the file."
            )
        paths[row] = fitting[row][0]
    warnings.warn(
        f"{len(lost)} of {len(paths)} names in column {column!r} are not written as their files are (ending, case, "
        f"blanks, slashes or accents), and the only file that fits is taken: for {texts[lost[0]]!r} "
        f"{str(paths[lost[0]])!r}.",
        stacklevel=4,
    )


class _Listing:
    """The names in a folder, exactly and by what stays of them when case, blanks and accents do not count."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, list[str]] = defaultdict(list)
        self.folders: dict[str, list[str]] = defaultdict(list)
        self.stems: dict[str, list[str]] = defaultdict(list)
        self.exact: set[str] = set()
        for name, is_file in _entries(folder):
            (self.files if is_file else self.folders)[_key(name)].append(name)
            stem, ending = _split_ending(name)
            if is_file and ending:
                self.stems[_key(stem)].append(name)
            if is_file:
                self.exact.add(name)

    def fitting(self, name: str) -> list[str]:
        """The files that a name may stand for: of that name, else, where it has no ending of images, of that stem."""
        if name in self.exact:
            return [name]
        files = self.files.get(_key(name), [])
        return files if files or _split_ending(name)[1] else self.stems.get(_key(name), [])

    def near(self, name: str) -> str | None:
        """A file that may have been meant: with another ending, or with zeros in front."""
        wanted = _bare(_key(_split_ending(name)[0]))
        return next((names[0] for stem, names in self.stems.items() if _bare(stem) == wanted), None)


class Folders:
    """Folders below one, each listed once.

    Args:
        root: the folder that relative names start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[Path, _Listing] = {}
        self._known: dict[str, list[Path]] = {}

    def fitting(self, name: str) -> list[Path]:
        """The files that a name may stand for."""
        parent, last = _parted(name)
        return [folder / file for folder in self._folders(parent) for file in self._listing(folder).fitting(last)]

    def near(self, name: str) -> Path | None:
        """A file that may have been meant."""
        parent, last = _parted(name)
        near = ((folder, self._listing(folder).near(last)) for folder in self._folders(parent))
        return next((folder / file for folder, file in near if file), None)

    def _listing(self, folder: Path) -> _Listing:
        if folder not in self._listings:
            self._listings[folder] = _Listing(folder)
        return self._listings[folder]

    def _folders(self, parent: str) -> list[Path]:
        """The folders that a name's part up to its last slash may stand for."""
        if parent not in self._known:
            folders = [self._root]
            for part in PurePath(parent).parts:
                exact = [folder / part for folder in folders if (folder / part).is_dir()]
                folders = exact or [
                    folder / name for folder in folders for name in self._listing(folder).folders.get(_key(part), [])
                ]
            self._known[parent] = folders
        return self._known[parent]


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """The names in a folder, sorted, and whether each is a file."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_file()) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}. Check the folder.") from error


def _parted(name: str) -> tuple[str, str]:
    """A name up to its last slash, whichever slashes it has, and the rest."""
    parent, slash, last = name.replace("\\", "/").rpartition("/")
    return parent + slash, last


def _split_ending(name: str) -> tuple[str, str]:
    """Splits the name of an image before its ending, in lower case; for other names the ending is ""."""
    stem, dot, ending = name.strip().rpartition(".")
    ending = f"{dot}{ending}".lower()
    return (stem, ending) if ending in EXTENSIONS else (name.strip(), "")


def _key(name: str) -> str:
    """Equal for names that differ by case, blanks around them, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _bare(stem: str) -> str:
    """A stem without zeros in front, where it is a number."""
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem
