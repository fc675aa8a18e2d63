"""Captions of images: the path below the folder of the images, or the label."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# So many numbers of a label are shown.
_SHOWN = 4


def short_path(path: Path, folder: Path | None) -> str:
    """The path below the folder of the images; elsewhere the file with the folder that it lies in.

    Example:
        >>> short_path(Path("data/pets/cat/1.jpg"), Path("data/pets")), short_path(Path("/new/a/1.jpg"), None)
        ('cat/1.jpg', 'a/1.jpg')
    """
    if folder is not None and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def caption(source: Any, index: int) -> str:
    """The path of an image of a source below the source's folder, where it has one."""
    return short_path(source.paths[index], getattr(source, "directory", None))


def tell_numbers(values: Sequence[float]) -> str:
    """The first numbers of a label.

    Example:
        >>> tell_numbers([0.5, 12.0]), tell_numbers(range(9))
        ('0.5, 12', '0, 1, 2, 3, ...')
    """
    shown = ", ".join(f"{value:.4g}" for value in values[:_SHOWN])
    return f"{shown}, ..." if len(values) > _SHOWN else shown
