"""Class folders: which folders inside a folder are classes, and which images lie in them.

A class without images, or without a folder where classes are named, is a class with 0 images: the numbers of the others
do not depend on what one copy of the data lacks.
"""

import difflib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from thawline.data.sources.scan import files_inside, find_images, is_image, known_endings, skipped_note, subfolders
from thawline.data.sources.sides import refuse_sides, why_no_sides
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

# Names of the folder itself, of which all images are one class then, as Keras' users write it.
_ITSELF = (".", "")

_SPLITS_ADVICE = (
    "Use ImageFolder.splits({root}), which gives a source for each side, or ImageFolder({train}) for one of them; to "
    "take the sides as classes, name them in classes=."
)

# So many names are listed in a message.
_NAMED = 10

# Usual names of the two folders of a data set for segmentation, which are no classes.
_SEGMENTATION = (
    ("images", "image", "imgs", "img"),
    ("masks", "mask", "labels", "label", "annotations", "segmentation", "segmentations"),
)


@dataclass(frozen=True)
class Listing:
    """The images of a folder.

    Attributes:
        paths: the files, class by class, each class in sorted order.
        numbers: int32 (n,), the class of each, or None where the images lie directly inside, without classes.
        class_names: the classes in the order of their numbers.
        skipped: how many other files there are, by ending.
    """

    paths: list[Path]
    numbers: np.ndarray | None
    class_names: tuple[str, ...]
    skipped: dict[str, int]

    def select(self, places: Sequence[int]) -> "Listing":
        """The images at these places."""
        numbers = None if self.numbers is None else self.numbers[np.asarray(places, np.int64)]
        return replace(self, paths=[self.paths[place] for place in places], numbers=numbers)


def list_classes(
    directory: Path,
    classes: Sequence[str] | None,
    *,
    are_needed: bool = True,
    loose: bool = False,
    follow_links: bool = False,
    masks: str | os.PathLike[str] | None = None,
) -> Listing:
    """The images in the class folders of a folder.

    Args:
        directory: the folder.
        classes: the class folders in the order of their numbers; None takes all, sorted.
        are_needed: whether images need a class. Where they do not, images directly inside are taken when no class
            folder holds any.
        loose: whether images directly inside are taken, too, when class folders hold some; no image has a class then.
        follow_links: whether folders that are symbolic links are entered, each folder once.
        masks: the folder of the images' masks, which is no class.

    Raises:
        FolderNotFoundError: there is no such folder.
        ArgumentError: `classes` names one twice, or one inside another.
        DataError: no images, a class of `classes` that is not there where another has nearly its name, a folder that
            is split into sides, or one that cannot be listed.
    """
    check_directory(directory)
    if classes is None:
        refuse_sides(directory, _SPLITS_ADVICE)
        names = [folder.name for folder in subfolders(directory) if masks is None or not _is_same(folder, Path(masks))]
    else:
        names = list(classes)
        _check_names(names)
        _refuse_misspelt(directory, names)
    listing = _in_folders(directory, names, follow_links)
    is_flat = not listing.paths or (loose and _count_inside(directory) > 0)
    if is_flat and classes is None and not are_needed:
        skipped = Counter[str]()
        flat = find_images(directory, skipped, follow_links=follow_links)
        listing = Listing(flat, None, (), dict(skipped))
    if not listing.paths:
        raise _no_images(directory, listing, classes)
    if classes is None:
        _say_what_is_left(directory, listing)
    else:
        _say_what_is_not_there(directory, names)
    return listing


def refuse_one_class(directory: Path, listing: Listing) -> None:
    """Raises DataError where a classifier would have nothing to tell apart."""
    if len(listing.class_names) > 1:
        return
    (name,) = listing.class_names
    inside = [folder.name for folder in subfolders(directory / name)]
    deeper = ""
    if len(inside) > 1:
        deeper = f" {str(directory / name)!r} holds folders itself, {_list(inside)}: give it, if they are the classes."
    raise DataError(
        f"One class in {str(directory)!r}: {name!r}. A classifier needs two or more class folders; "
        f"add one, give the folder above, or use label_mode='none'.{deeper}"
    )


def _is_same(folder: Path, other: Path) -> bool:
    return other.is_dir() and folder.samefile(other)


def check_directory(directory: Path) -> None:
    """Checks that a folder of images is there.

    Raises:
        FolderNotFoundError: it is not, or is a file.
    """
    if not directory.is_dir():
        came = "is a file" if directory.exists() else "does not exist"
        raise FolderNotFoundError(
            f"The folder of images {str(directory)!r} {came}. Expected a folder with one folder per class inside, "
            f"like {directory / 'cats' / '001.jpg'}. Check the path."
        )


def _in_folders(directory: Path, names: Sequence[str], follow_links: bool) -> Listing:
    paths: list[Path] = []
    numbers: list[int] = []
    skipped = Counter[str]()
    for number, name in enumerate(names):
        folder = _folder_of(directory, name)
        if folder is not None:
            found = find_images(folder, skipped, follow_links=follow_links)
            paths += found
            numbers += [number] * len(found)
    return Listing(paths, np.array(numbers, np.int32), tuple(names), dict(skipped))


def _check_names(classes: Sequence[str]) -> None:
    """Every class is named once, as a folder below the directory, and none lies inside another."""
    for name, count in Counter(classes).items():
        if count > 1:
            raise ArgumentError(f"classes names {name!r} {count} times. Name every folder once.")
        parts = PurePosixPath(name).parts
        if name not in _ITSELF and (not parts or ".." in parts or name != "/".join(parts) or name.startswith("/")):
            raise ArgumentError(f"classes names folders below the directory, like 'roses'; got {name!r}.")
    for outer in classes:
        for inner in classes:
            if inner != outer and (outer in _ITSELF or inner.startswith(f"{outer}/")):
                raise ArgumentError(
                    f"classes names {outer!r} and, inside it, {inner!r}: images would belong to two classes. "
                    "Name the folders apart."
                )


def _missing(directory: Path, classes: Sequence[str]) -> list[str]:
    return [name for name in classes if _folder_of(directory, name) is None]


def _folder_of(directory: Path, name: str) -> Path | None:
    """The folder of a class, also where its accents are composed in another way, as they are on a Mac."""
    if (directory / name).is_dir():
        return directory / name
    wanted = unicodedata.normalize("NFC", name)
    if wanted.isascii():
        return None
    folders = _nested_folders(directory, len(PurePosixPath(name).parts))
    return next((directory / folder for folder in folders if unicodedata.normalize("NFC", folder) == wanted), None)


def _refuse_misspelt(directory: Path, classes: Sequence[str]) -> None:
    """A class that has no folder has no images, unless another folder has nearly its name and is no class."""
    for name in _missing(directory, classes):
        folders = _nested_folders(directory, len(PurePosixPath(name).parts))
        known = [folder for folder in folders if folder not in classes]
        near = _nearest(name, known)
        if near is not None:
            raise DataError(
                f"classes names {name!r}, but {str(directory)!r} has no such folder. Did you mean {near!r}? A class "
                f"without images needs an empty folder {name!r} beside a folder of nearly the same name."
            )


def _say_what_is_not_there(directory: Path, classes: Sequence[str]) -> None:
    missing = _missing(directory, classes)
    if missing:
        warnings.warn(
            f"{str(directory)!r} has no folder {_list(map(repr, missing))}: "
            f"{'a class' if len(missing) == 1 else 'classes'} with 0 images. The other classes keep their numbers.",
            stacklevel=4,
        )


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """The name that was meant, as far as spelling and case tell."""
    by_case = {other.casefold(): other for other in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), by_case, 1)
    return by_case[near[0]] if near else None


def _nested_folders(directory: Path, depth: int) -> list[str]:
    """The folders so many levels below a directory, as `classes` names them."""
    level = [directory]
    for _ in range(depth):
        level = [inner for folder in level for inner in subfolders(folder)]
    return [folder.relative_to(directory).as_posix() for folder in level]


def _no_images(directory: Path, listing: Listing, classes: Sequence[str] | None) -> DataError:
    inside = _count_inside(directory)
    flat = f"{inside:,} image{'' if inside == 1 else 's'} directly inside"
    if not listing.class_names:
        return DataError(
            f"No class folders in {str(directory)!r}, but {flat}.{skipped_note(listing.skipped)} Expected one folder "
            f"per class, like {directory / 'cats' / '001.jpg'}. Sort the images into folders, or, where they have no "
            f"classes, use label_mode='none' or ImageFiles([{str(directory)!r}])."
        )
    if classes is not None and len(_missing(directory, classes)) == len(classes):
        present = _list(folder.name for folder in subfolders(directory))
        return DataError(
            f"classes names {_list(map(repr, classes))}, but {str(directory)!r} has no such folder. It has "
            f"{present or 'no folders'}."
        )
    count = len(listing.class_names)
    beside = f", and there {'is' if inside == 1 else 'are'} {flat}" if inside else ""
    return DataError(
        f"No images in {str(directory)!r}: its {count:,} class folder{' holds' if count == 1 else 's hold'} none "
        f"({known_endings()}){beside}.{skipped_note(listing.skipped)} Put images into them, or convert those."
    )


def _count_inside(directory: Path) -> int:
    return sum(is_image(directory / name) for name in files_inside(directory))


def _say_what_is_left(directory: Path, listing: Listing) -> None:
    """Says once which classes have no images, and how many images have no class."""
    if listing.numbers is None:
        return
    counts = np.bincount(listing.numbers, minlength=len(listing.class_names))
    empty = [name for name, count in zip(listing.class_names, counts.tolist(), strict=True) if not count]
    if empty:
        warnings.warn(
            f"Class folders without images: {_list(empty)}. They are classes with 0 images, so that the other classes "
            "keep their numbers; to leave them out, delete them or name the others in classes=.",
            stacklevel=4,
        )
    pair = [next((name for name in listing.class_names if name.casefold() in words), "") for words in _SEGMENTATION]
    if all(pair):
        images, masks = (str(directory / name) for name in pair)
        warnings.warn(
            f"{' and '.join(pair)} in {str(directory)!r} are read as two classes. If these are images and their masks, "
            f"use ImageFolder({images!r}, masks={masks!r}).",
            stacklevel=4,
        )
    reason = why_no_sides(directory)
    if reason:
        warnings.warn(
            f"{str(directory)!r} looks split into sides ({_list(listing.class_names)}), but is read as a class for "
            f"each folder, because {reason}. If they are sides, use ImageFolder.splits({str(directory)!r}).",
            stacklevel=4,
        )
    outside = _count_inside(directory)
    if outside:
        warnings.warn(
            f"{outside:,} image{'' if outside == 1 else 's'} directly inside {str(directory)!r} "
            f"{'is' if outside == 1 else 'are'} left out: {'it lies' if outside == 1 else 'they lie'} in no class "
            "folder.",
            stacklevel=4,
        )


def _list(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_NAMED]) + (f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else "")
