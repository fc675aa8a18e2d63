"""Files by the names that tables have for them, which are not always those on the disk to the letter."""

import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
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


class Folders:
    """Folders below one, each listed once, and only when a file in it is not found by its name.

    Args:
        root: the folder that relative names start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[tuple[str, ...], list[Path]] = {}
        self._names: dict[Path, dict[str, list[str]]] = {}
        self._stems: dict[Path, dict[str, list[str]]] = {}

    def fitting(self, name: str) -> list[Path]:
        """The files that a name may stand for: of that name, else, where it has no ending of images, of that stem."""
        *parents, last = _parts(name)
        folders = self._fitting_folders(tuple(parents))
        exact = [folder / last for folder in folders if (folder / last).is_file()]
        if exact:
            return exact
        found = [folder / entry for folder in folders for entry in self._listed(folder).get(_key(last), [])]
        files = [path for path in found if path.is_file()]
        if files or _ending(last) in EXTENSIONS:
            return files
        stems = [folder / entry for folder in folders for entry in self._by_stem(folder).get(_key(last), [])]
        return [path for path in stems if path.is_file()]

    def near(self, name: str) -> Path | None:
        """A file that may have been meant: with another ending, or with zeros in front."""
        *parents, last = _parts(name)
        ending = _ending(last)
        wanted = _bare(_key(last.strip()[: -len(ending)] if ending in EXTENSIONS else last))
        for folder in self._fitting_folders(tuple(parents)):
            for stem, entries in self._by_stem(folder).items():
                if _bare(stem) == wanted:
                    return folder / entries[0]
        return None

    def _fitting_folders(self, parts: tuple[str, ...]) -> list[Path]:
        """The folders that the parts of a name before its last one may stand for."""
        if not parts:
            return [self._root]
        if parts not in self._folders:
            *parents, last = parts
            outers = self._fitting_folders(tuple(parents))
            found = [folder / last for folder in outers if (folder / last).is_dir()]
            if not found:
                listed = [folder / entry for folder in outers for entry in self._listed(folder).get(_key(last), [])]
                found = [path for path in listed if path.is_dir()]
            self._folders[parts] = found
        return self._folders[parts]

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder, by their key."""
        if folder not in self._names:
            found = defaultdict(list)
            try:
                entries = sorted(entry.name for entry in folder.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                entries = []
            except OSError as error:
                raise DataError(f"{folder}: cannot be listed: {error.strerror}. Check the folder.") from error
            for name in entries:
                found[_key(name)].append(name)
            self._names[folder] = dict(found)
        return self._names[folder]

    def _by_stem(self, folder: Path) -> dict[str, list[str]]:
        """The names of images in a folder, by the key of what stands before their ending."""
        if folder not in self._stems:
            found = defaultdict(list)
            for name in chain.from_iterable(self._listed(folder).values()):
                ending = _ending(name)
                if ending in EXTENSIONS:
                    found[_key(name.strip()[: -len(ending)])].append(name)
            self._stems[folder] = dict(found)
        return self._stems[folder]


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a name, whichever slashes it has; that of an absolute one begins with its root."""
    return PurePath(name.replace("\\", "/")).parts or (name,)


def _ending(name: str) -> str:
    return Path(name.strip()).suffix.lower()


def _key(name: str) -> str:
    """Equal for names that differ by case, blanks around them, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _bare(stem: str) -> str:
    """A stem without zeros in front, where it is a number."""
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem
