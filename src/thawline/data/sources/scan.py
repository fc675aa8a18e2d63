"""Which files below a folder are images."""

import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from thawline.data.formats import BEGINNING_BYTES, EXTENSIONS, FORMATS, format_of, install_advice
from thawline.errors import DataError

# What macOS and Windows put beside images.
_SYSTEM_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini")

# Under this name files without an ending are counted.
_NO_ENDING = "no ending"


def find_images(folder: Path, skipped: Counter[str], *, follow_links: bool = False) -> list[Path]:
    """The images below a folder in sorted order; other files are counted by their ending.

    A file without an ending is an image where its content begins as one.

    With `follow_links`, folders that are symbolic links are entered, too, but every folder once only: links may go
    round in circles.

    Raises:
        DataError: a folder cannot be listed, or went away meanwhile.
    """
    found: list[Path] = []
    entered: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=follow_links, onerror=_refuse_unlisted):
        real = os.path.realpath(parent)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            path = Path(parent, name)
            if is_hidden(name):
                continue
            if is_image(path):
                found.append(path)
            else:
                skipped[path.suffix.lower() or _NO_ENDING] += 1
    return found


def is_image(path: Path) -> bool:
    """Tells whether a file counts as an image: by its ending, or, without one, by the beginning of its content."""
    ending = path.suffix.lower()
    if ending:
        return ending in EXTENSIONS
    try:
        # Nothing but files: opening a pipe would wait for its writer.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return format_of(file.read(BEGINNING_BYTES)) in FORMATS
    except OSError:
        return False


def subfolders(folder: Path) -> list[Path]:
    """The folders directly inside a folder that are not hidden, in sorted order.

    Raises:
        DataError: the folder cannot be listed.
    """
    return [folder / entry.name for entry in _listed(folder) if _is_folder(entry)]


def files_inside(folder: Path) -> list[str]:
    """The names of the files directly inside a folder that are not hidden, in sorted order.

    Raises:
        DataError: the folder cannot be listed.
    """
    return [entry.name for entry in _listed(folder) if not entry.is_dir()]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Tells whether this is a folder or a link to one; a link that leads nowhere may have been one."""
    try:
        if entry.is_symlink() and not Path(entry.name).suffix:
            return stat.S_ISDIR(entry.stat().st_mode)
        return entry.is_dir()
    except OSError as error:
        raise cannot_list(error, entry.path) from error


def _listed(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise cannot_list(error, folder) from error


def cannot_list(error: OSError, folder: str | os.PathLike[str]) -> DataError:
    """The error for a folder that cannot be listed: images that it may hold would be missing without a word."""
    return DataError(
        f"The folder {os.fsdecode(folder)!r} cannot be listed: {error.strerror or error}. Images inside would be left "
        "out without a word: allow it to be read, or move it away."
    )


def _refuse_unlisted(error: OSError) -> None:
    # `os.walk` passes over what it cannot list unless it is told not to.
    raise cannot_list(error, error.filename) from error


def is_hidden(name: str) -> bool:
    """Tells whether a file or folder is passed over without a word: the system's, or hidden by its name."""
    return name.startswith(".") or name in _SYSTEM_NAMES


def known_endings() -> str:
    return ", ".join(EXTENSIONS)


def skipped_note(skipped: Mapping[str, int]) -> str:
    """A sentence for an error; nothing where no file was skipped."""
    return f" Other files: {list_skipped(skipped)}.{install_advice(skipped)}" if skipped else ""


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """Describes in one line how many files were passed over, by ending; nothing where there are none.

    Example:
        >>> describe_skipped({".pdf": 10, ".txt": 12})
        '22 files passed over: 12 .txt, 10 .pdf'
    """
    count = sum(skipped.values())
    advice = install_advice(skipped)
    listed = f"{count:,} file{'' if count == 1 else 's'} passed over: {list_skipped(skipped)}{'.' if advice else ''}"
    return f"{listed}{advice}" if count else ""


def list_skipped(skipped: Mapping[str, int]) -> str:
    """Each ending with its number of files, the most frequent first."""
    by_count = sorted(skipped.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count:,} {ending}" for ending, count in by_count)
