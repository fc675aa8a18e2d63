"""Which files below a folder are images."""

import os
from collections import Counter
from pathlib import Path

from thawline.data.formats import BEGINNING_BYTES, EXTENSIONS, FORMATS, format_of, install_advice


def find_images(folder: Path, skipped: Counter[str], *, follow_links: bool = False) -> list[Path]:
    """The images below a folder in sorted order; other files are counted by their ending.

    A file without an ending is an image where its content begins as one.

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
            path = Path(parent, name)
            if is_image(path):
                found.append(path)
            else:
                skipped[ending or "no ending"] += 1
    return found


def is_image(path: Path) -> bool:
    """Whether a file counts as an image: by its ending, or, where it has none, by the beginning of its content."""
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


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def known_endings() -> str:
    return ", ".join(EXTENSIONS)


def skipped_note(skipped: dict[str, int]) -> str:
    if not skipped:
        return ""
    listed = ", ".join(f"{count} {ending}" for ending, count in sorted(skipped.items()))
    return f" Other files: {listed}.{install_advice(skipped)}"
