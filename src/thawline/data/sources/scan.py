"""Which files below a folder are images."""

import os
from collections import Counter
from pathlib import Path

from thawline.data.decode import EXTENSIONS
from thawline.errors import DataError


def find_images(folder: Path, skipped: Counter[str], *, follow_links: bool = False) -> list[Path]:
    """The images below a folder in sorted order; other files are counted by their ending.

    With `follow_links`, folders that are symbolic links are entered, too, but every folder once only: links may go
    round in circles.
    """
    found: list[Path] = []
    entered: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=follow_links):
        real = os.path.realpath(parent)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            ending = Path(name).suffix.lower()
            if is_hidden(name):
                continue
            if ending in EXTENSIONS:
                found.append(Path(parent, name))
            else:
                skipped[ending or "no ending"] += 1
    return found


def subfolders(folder: Path) -> list[Path]:
    """The folders directly inside a folder that are not hidden, in sorted order.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir()]
    except OSError as error:
        raise cannot_list(error, folder) from error
    return [folder / name for name in sorted(names)]


def cannot_list(error: OSError, folder: Path | None = None) -> DataError:
    """The error for a folder that cannot be listed: images that it may hold would be missing without a word."""
    name = str(folder if error.filename is None else os.fsdecode(error.filename))
    return DataError(
        f"The folder {name!r} cannot be listed: {error.strerror or error}. Images inside would be left out without a "
        "word: allow it to be read, or move it away."
    )


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def known_endings() -> str:
    return ", ".join(EXTENSIONS)


def skipped_note(skipped: dict[str, int]) -> str:
    if not skipped:
        return ""
    return " Other files: " + ", ".join(f"{count} {ending}" for ending, count in sorted(skipped.items())) + "."
