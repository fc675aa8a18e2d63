"""How findings name files and numbers in a sentence."""

from collections.abc import Sequence
from pathlib import Path

from thawline.printable import printable

# So many files are named; a finding's `paths` has all of them.
_NAMED = 3

# The last parts of a path tell side, class and file; what is before them is the same for all.
_PARTS = 3


def named(paths: Sequence[Path]) -> str:
    """The first three files, shortened, and how many more there are.

    Example:
        >>> named([Path("/home/me/flowers/train/roses/1.jpg"), Path("2.jpg")])
        'train/roses/1.jpg, 2.jpg'
        >>> named([Path(f"{number}.jpg") for number in range(7)])
        '0.jpg, 1.jpg, 2.jpg and 4 more'
    """
    first = ", ".join(short(path) for path in paths[:_NAMED])
    return first if len(paths) <= _NAMED else f"{first} and {len(paths) - _NAMED:,} more"


def short(path: Path) -> str:
    """The end of a path, with slashes, in one line."""
    return printable(Path(*path.parts[-_PARTS:]).as_posix())


def fits(count: int, one: str, many: str) -> str:
    """The verb that fits a number of things.

    Example:
        >>> fits(1, "is", "are"), fits(2, "is", "are")
        ('is', 'are')
    """
    return one if count == 1 else many
