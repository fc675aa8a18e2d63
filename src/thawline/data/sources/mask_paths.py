"""Pairs of image and mask files: of the same name, or of names that differ in one and the same word."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from thawline.data.formats import EXTENSIONS
from thawline.data.sources.scan import find_images
from thawline.errors import DataError, FolderNotFoundError

# What stands before and behind an image's name in the name of its mask.
_Affix = tuple[str, str]

# From the names of so many images the words are read that might stand in those of masks.
_TRIED_IMAGES = 8

# Formats that do not keep numbers: of two files of one name the other one is the mask.
_PHOTO = "JPEG"


def find_masks(images: Sequence[Path], root: Path, folder: Path, *, follow_links: bool = False) -> list[Path]:
    """The mask of each image in a folder of masks, whatever its ending.

    It has the image's name: at the same place below the folder, or, where no image has one there, anywhere below it.
    Where none has the image's name, it has that name with something before or behind it, the same for all
    (`0001_mask.png` of `0001.jpg`), which is said. Only images count as masks.

    Args:
        images: the images.
        root: the folder that their places are taken from.
        folder: the folder of masks.
        follow_links: whether folders that are symbolic links are entered.

    Raises:
        FolderNotFoundError: there is no such folder.
        DataError: a mask is missing, or there are two.
    """
    if not folder.is_dir():
        raise FolderNotFoundError(f"No folder of masks {str(folder)!r}. Check the path.")
    found = find_images(folder, Counter(), follow_links=follow_links)
    wanted = [image.relative_to(root).with_suffix("") for image in images]
    by_place = _grouped({path: path.relative_to(folder).with_suffix("") for path in found})
    by_name = _grouped({path: PurePath(path.stem) for path in found})
    bare = [PurePath(place.name) for place in wanted]
    for known, names in ((by_place, wanted), (by_name, bare)):
        if any(name in known for name in names) and (known is by_place or _is_whole(known, names)):
            return _one_each(known, names, folder)
    for known, names in ((by_place, wanted), (by_name, bare)):
        affix, count = _common_affix(known, names)
        if count:
            masks = _one_each(known, [_with_affix(name, affix) for name in names], folder)
            _say_affix(affix, masks[0], images[0])
            return masks
    return _one_each(by_place, wanted, folder)


def pair_up(paths: Sequence[Path], root: Path) -> tuple[list[int], list[Path]]:
    """Images and masks that lie in one folder: `0001.png` beside `0001_mask.png`, or `0001.jpg` beside `0001.png`.

    Args:
        paths: all image files.
        root: the folder that their places are taken from.

    Returns:
        Which of the files are the images, as places in `paths`, and the mask of each.

    Raises:
        DataError: no such word is common to all, or a file has no partner.
    """
    places = {path: path.relative_to(root).with_suffix("") for path in paths}
    known = _grouped(places)
    if known and all(len(files) == 2 and sum(map(_is_photo, files)) == 1 for files in known.values()):
        photos = [index for index, path in enumerate(paths) if _is_photo(path)]
        return photos, [next(file for file in known[places[paths[index]]] if not _is_photo(file)) for index in photos]
    affix, count = _common_affix(known, list(places.values()), whole=False)
    pairs = {path: _with_affix(place, affix) for path, place in places.items()} if count else {}
    chosen = [index for index, path in enumerate(paths) if pairs.get(path) in known]
    masked = {pairs[paths[index]] for index in chosen}
    lone = [path for path in paths if pairs.get(path) not in known and places[path] not in masked]
    if not chosen or lone:
        some = f" {len(lone)} files have no partner, first {str(lone[0])!r}." if chosen and lone else ""
        raise DataError(
            f"masks= names the folder of the images, {str(root)!r}, but the files there are no pairs like '0001.png' "
            f"and '0001_mask.png'.{some} Name all masks like their images with one word more, or give them a folder."
        )
    masks_of = _one_each(known, [pairs[paths[index]] for index in chosen], root)
    _say_affix(affix, masks_of[0], paths[chosen[0]])
    return chosen, masks_of


def match_masks(
    paths: Sequence[Path], root: Path, folder: Path, *, follow_links: bool = False
) -> tuple[list[int], list[Path]]:
    """The files that are images, as places in `paths`, and the mask of each; see `find_masks` and `pair_up`."""
    if folder.is_dir() and folder.samefile(root):
        return pair_up(paths, root)
    return list(range(len(paths))), find_masks(paths, root, folder, follow_links=follow_links)


def _is_photo(path: Path) -> bool:
    return EXTENSIONS.get(path.suffix.lower()) == _PHOTO


def _grouped(names: Mapping[Path, PurePath]) -> dict[PurePath, list[Path]]:
    """The files of each name."""
    grouped: defaultdict[PurePath, list[Path]] = defaultdict(list)
    for path, name in names.items():
        grouped[name].append(path)
    return dict(grouped)


def _is_whole(known: Mapping[PurePath, list[Path]], names: Sequence[PurePath]) -> bool:
    """Tells whether every name is there, and no two images would share a mask."""
    return len(set(names)) == len(names) and all(name in known for name in names)


def _one_each(known: Mapping[PurePath, list[Path]], names: Sequence[PurePath], folder: Path) -> list[Path]:
    """The file of each name."""
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(names)} masks are missing, first {str(folder / missing[0])!r} with any ending. "
            "Give every image a mask of the same name."
        )
    twice = next((known[name] for name in names if len(known[name]) > 1), None)
    if twice is not None:
        raise DataError(f"{str(twice[0])!r} and {str(twice[1])!r} are masks of the same image. Keep one.")
    return [known[name][0] for name in names]


def _common_affix(
    known: Mapping[PurePath, list[Path]], names: Sequence[PurePath], *, whole: bool = True
) -> tuple[_Affix, int]:
    """The text around the names of images in those of their masks, and the number of masks that have it.

    Args:
        known: the files by name.
        names: of the images.
        whole: whether each name is one of an image; else half of them are those of masks.

    Raises:
        DataError: there are several that fit all images.
    """
    siblings: defaultdict[PurePath, list[str]] = defaultdict(list)
    for name in known:
        siblings[name.parent].append(name.name)
    tried: set[_Affix] = set()
    for name in names[:_TRIED_IMAGES]:
        for other in siblings.get(name.parent, ()):
            before, found, behind = other.partition(name.name)
            if found and (before or behind):
                tried.add((before, behind))
    counts = {affix: sum(_with_affix(name, affix) in known for name in names) for affix in tried}
    most = max(counts.values(), default=0)
    best = sorted(affix for affix, count in counts.items() if count == most)
    # A word that fits a few names only fits them by chance.
    is_common = most * (2 if whole else 4) >= len(names)
    if not best or not is_common:
        return ("", ""), 0
    if len(best) > 1:
        several = " and ".join(repr(f"{before}0001{behind}") for before, behind in best)
        raise DataError(f"Masks are named in several ways, like {several}. Keep one kind in the folder.")
    return best[0], most


def _with_affix(name: PurePath, affix: _Affix) -> PurePath:
    return name.with_name(f"{affix[0]}{name.name}{affix[1]}")


def _say_affix(affix: _Affix, mask: Path, image: Path) -> None:
    word = " and ".join(repr(part) for part in affix if part)
    warnings.warn(f"Masks are taken by {word} in their names, like {mask.name!r} of {image.name!r}.", stacklevel=4)
