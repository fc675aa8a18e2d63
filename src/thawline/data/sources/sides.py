"""Sides: a folder that is split already, with `train` beside `val` and `test`, is no folder of classes.

`find_sides` tells the two apart by the names and by what lies inside; `refuse_sides` says it where classes are wanted.
"""

import os
import re
import unicodedata
from pathlib import Path

from thawline.data.sources.scan import subfolders
from thawline.errors import DataError

# What a side's folder is called. Case, blanks, hyphens and underscores do not matter, and one of _ENDINGS may follow.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "holdout"),
}
_ENDINGS = ("", "set", "data", "dataset", "images", "split")
_SIDE_OF = {word + ending: side for side, words in _WORDS.items() for word in words for ending in _ENDINGS}

# So many classes are named in an error.
_NAMED = 4


def side_of(name: str) -> str | None:
    """The side that a folder of this name is for: "train", "validation" or "test"; None for another name.

    Example:
        >>> side_of("Training_Set"), side_of("valid"), side_of("roses")
        ('train', 'validation', None)
    """
    return _SIDE_OF.get(re.sub(r"[\s_-]", "", name.casefold()))


def find_sides(directory: str | os.PathLike[str]) -> dict[str, Path] | None:
    """The sides of a folder that is split already, by name; None for any other folder.

    A folder is split where every folder inside has a side's name, one is for training and holds class folders, and each
    of the others shares a class folder with it or holds no folders at all. A class may be called `train`: beside
    another class, or with images directly inside, it is one.

    Args:
        directory: the folder.

    Returns:
        "train" first, then "validation" and "test" where they are there, each with its folder.

    Raises:
        DataError: two folders are for the same side, or a folder cannot be listed.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("train/cat", "train/dog", "val/cat"):
        ...     (root / name).mkdir(parents=True)
        >>> {side: folder.name for side, folder in find_sides(root).items()}
        {'train': 'train', 'validation': 'val'}
        >>> find_sides(root / "train") is None
        True
    """
    folders = subfolders(Path(directory))
    named = [(side_of(folder.name), folder) for folder in folders]
    if len(folders) < 2 or any(side is None for side, _ in named) or "train" not in dict(named):
        return None
    inside = {folder: _names_inside(folder) for folder in folders}
    trained = set().union(*(inside[folder] for side, folder in named if side == "train"))
    if not trained or any(names and not names & trained for names in inside.values()):
        return None
    return sides_by_name(folders)


def why_no_sides(directory: Path) -> str:
    """The reason why a folder that looks split is read as a folder of classes; "" where it does not look so.

    It looks split where a training and another side lie side by side with folders in each: with equal ones, or with
    several in the training side, like `train/cat`, `train/dog` and `test/unknown`.
    """
    folders = subfolders(directory)
    named = [folder for folder in folders if side_of(folder.name)]
    if len(named) < 2 or not any(side_of(folder.name) == "train" for folder in named):
        return ""
    inside = {folder: _names_inside(folder) for folder in named}
    if set.intersection(*inside.values()):
        return "there are other folders beside them" if len(named) < len(folders) else ""
    most = max(len(names) for folder, names in inside.items() if side_of(folder.name) == "train")
    return "no class folder is in all of them" if most > 1 and all(inside.values()) else ""


def _names_inside(folder: Path) -> set[str]:
    """The names of the folders in one, with accents composed in one way: file systems differ in it."""
    return {unicodedata.normalize("NFC", entry.name) for entry in subfolders(folder)}


def sides_by_name(folders: list[Path]) -> dict[str, Path]:
    """The folders that have a side's name, by side, training first.

    Raises:
        DataError: two are for the same side.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        side = side_of(folder.name)
        if side in found:
            raise DataError(
                f"{found[side].name!r} and {folder.name!r} in {str(folder.parent)!r} are both for {side}. Keep one."
            )
        if side is not None:
            found[side] = folder
    return {side: found[side] for side in _WORDS if side in found}


def refuse_sides(directory: str | os.PathLike[str], advice: str) -> None:
    """Raises DataError for a folder that is split already, where each side would be taken for a class.

    Args:
        directory: a folder of which the folders inside are wanted as classes.
        advice: the next move; {root} and {train} in it become the quoted paths of the folder and of its training side.

    Example:
        >>> refuse_sides("pets", "Give the sides one by one: flow_from_directory({train}).")  # doctest: +SKIP
    """
    sides = find_sides(directory)
    if sides is None:
        return
    train = sides["train"]
    classes = [folder.name for folder in subfolders(train)]
    shown = ", ".join(classes[:_NAMED]) + (", ..." if len(classes) > _NAMED else "")
    names = [folder.name for folder in sides.values()]
    raise DataError(
        f"{str(directory)!r} is split already: {', '.join(names[:-1])} and {names[-1]} are sides, with the class "
        f"folders {shown} inside, and each side would be taken for a class. "
        f"{advice.format(root=repr(str(directory)), train=repr(str(train)))}"
    )
