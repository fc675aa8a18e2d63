"""A look at all masks of a source: which numbers they hold, and how each lies on its image.

What a number means is decided for the whole source, and so is whether masks are turned as their images are: no single
file says it. Every mask is decoded once for it, by all cores, and what was found is remembered for later runs (see
`thawline.data.file_memory`).
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from blake3 import blake3

from thawline import __version__
from thawline.data.decode import turn_of
from thawline.data.file_memory import DIGEST, FileMemory, read_watched
from thawline.data.formats import FORMATS, open_header, reason_of
from thawline.data.mask_file import MaskColors, read_mask
from thawline.errors import UnreadableImageError
from thawline.progress import progress

# Masks with more numbers than this are no masks of classes; what they hold is not remembered.
_REMEMBERED_VALUES = 1024

# EXIF's numbers for images that are turned by 90 degrees, whose height and width change places.
_ASIDE = (5, 6, 7, 8)

Found = TypeVar("Found")


@dataclass(frozen=True)
class MaskFacts:
    """Facts about one mask file.

    Attributes:
        size: width and height in pixels, as its own EXIF turns it.
        is_turned: whether its own EXIF turns it.
        values: the different numbers in it, in order.
        palette: the colour of each of these numbers, empty where it has no palette.
        problem: why it is no mask, without the file's name; empty for a good one.
    """

    size: tuple[int, int] = (0, 0)
    is_turned: bool = False
    values: tuple[int, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class ImageExtent:
    """Width and height of an image as they are stored, in pixels, and EXIF's number for its turn; 0 x 0 if unknown."""

    size: tuple[int, int] = (0, 0)
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as EXIF turns it."""
        return self.size[::-1] if self.orientation in _ASIDE else self.size


@dataclass(frozen=True)
class MaskSurvey:
    """Findings about all masks of a source together.

    Attributes:
        values: the different numbers in all of them, int64, in order.
        turns: by row, EXIF's number for masks that have to be turned as their images are.
        stretches: by row, the (height, width) of the image whose whole a square mask shows.
        problems: by row, why a mask cannot be used, without the file's name.
        doubts: what was taken for granted, a sentence each.
    """

    values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    turns: dict[int, int] = field(default_factory=dict)
    stretches: dict[int, tuple[int, int]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def survey_masks(
    masks: Sequence[Path], images: Sequence[Path], colors: MaskColors | None, *, max_pixels: int, memory: FileMemory
) -> MaskSurvey:
    """Looks at every mask and at the header of its image; what is remembered is not read again.

    Args:
        masks: the files, one for each image.
        images: the images' files.
        colors: which colour is which class, or None where the masks hold class numbers.
        max_pixels: the most pixels that a mask may have.
        memory: what earlier runs learnt.
    """
    depends = {
        "colors": None if colors is None else colors.colors,
        "max_pixels": max_pixels,
        "formats": FORMATS,
        "thawline": __version__,
    }

    def look(path: Path, data: bytes) -> MaskFacts:
        return mask_facts(data, colors, max_pixels=max_pixels, name=str(path))

    topic = b"mask " + json.dumps(depends, sort_keys=True).encode()
    facts = _look_at_all(masks, look, _facts_from, topic, memory, "looking at the masks")
    topic = b"extent " + json.dumps([FORMATS, __version__]).encode()
    extents = _look_at_all(images, _extent_of, _extent_from, topic, memory, "looking at the images' headers")
    return judge([facts[path] for path in masks], [extents[path] for path in images], masks, images, colors is None)


def mask_facts(data: bytes, colors: MaskColors | None, *, max_pixels: int, name: str) -> MaskFacts:
    """The facts of one mask from its bytes."""
    try:
        mask = read_mask(data, colors, max_pixels=max_pixels, name=name)
    except UnreadableImageError as error:
        return MaskFacts(problem=str(error).removeprefix(f"{name}: "))
    height, width = mask.numbers.shape
    values = np.flatnonzero(np.bincount(mask.numbers.reshape(-1)))
    palette: Any = () if mask.palette is None else tuple(map(tuple, mask.palette[values].tolist()))
    return MaskFacts((width, height), mask.is_turned, tuple(values.tolist()), palette)


def judge(
    facts: Sequence[MaskFacts],
    extents: Sequence[ImageExtent],
    masks: Sequence[Path],
    images: Sequence[Path],
    are_numbers: bool,
) -> MaskSurvey:
    """Sums up the facts of all masks.

    Args:
        facts: of each mask.
        extents: of each image.
        masks, images: their files, for sentences.
        are_numbers: whether the masks hold class numbers, so that a number may have one colour only.
    """
    problems = {row: each.problem for row, each in enumerate(facts) if each.problem}
    turns, stretches, doubts = {}, {}, []
    lies = {row: _lie(each, extents[row]) for row, each in enumerate(facts) if row not in problems}
    for row, lie in lies.items():
        if lie == "neither":
            problems[row] = (
                f"the mask has {_size(facts[row].size)} pixels, but its image {str(images[row])!r} has "
                f"{_size(extents[row].upright)}. A mask has the size of its image, or the same aspect."
            )
        elif lie == "square":
            stretches[row] = extents[row].upright[::-1]
    decided = {lie for lie in lies.values() if lie in ("stored", "upright")}
    unclear = [row for row, lie in lies.items() if lie == "unclear"]
    as_stored = {row for row, lie in lies.items() if lie == "stored"} | set(unclear if decided == {"stored"} else ())
    turns = {row: extents[row].orientation for row in sorted(as_stored)}
    if unclear and len(decided) != 1:
        doubts.append(
            f"EXIF turns or mirrors {len(unclear)} images, first {str(images[unclear[0]])!r}, and the sizes of their "
            "masks do not tell whether these are turned already: they are taken as they are. Save the images upright, "
            "without EXIF orientation, if masks and images do not fit."
        )
    if stretches:
        first = min(stretches)
        doubts.append(
            f"{len(stretches)} masks are square and their images are not, first {str(masks[first])!r} "
            f"({_size(facts[first].size)}) of {str(images[first])!r} ({_size(extents[first].upright)}): each is taken "
            "as its whole image, stretched. Give masks of the images' aspect if they show a part."
        )
    if are_numbers:
        problems |= _other_palettes(facts, masks, problems)
    found = [each.values for row, each in enumerate(facts) if row not in problems]
    return MaskSurvey(
        np.unique(np.concatenate([*found, ()])).astype(np.int64), turns, stretches, problems, tuple(doubts)
    )


def _lie(mask: MaskFacts, image: ImageExtent) -> str:
    """The position of a mask on its image: "upright", "stored", "unclear", "plain", "square" or "neither"."""
    if image.size == (0, 0) or mask.is_turned:
        return "plain"
    if image.orientation == 1:
        if _has_aspect(mask.size, image.size):
            return "plain"
    else:
        fits_upright, fits_stored = (_has_aspect(mask.size, size) for size in (image.upright, image.size))
        if mask.size in (image.upright, image.size) and image.upright != image.size:
            return "upright" if mask.size == image.upright else "stored"
        if fits_upright and fits_stored:
            return "unclear"
        if fits_upright or fits_stored:
            return "upright" if fits_upright else "stored"
    return "square" if mask.size[0] == mask.size[1] else "neither"


def _has_aspect(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Tells whether this is the wanted size, or that times some factor with both sides rounded."""
    return abs(size[0] * wanted[1] - size[1] * wanted[0]) <= max(wanted)


def _other_palettes(facts: Sequence[MaskFacts], masks: Sequence[Path], known: dict[int, str]) -> dict[int, str]:
    """Masks whose palette paints a number in another colour than an earlier one did."""
    problems: dict[int, str] = {}
    seen: dict[int, tuple[tuple[int, int, int], int]] = {}
    for row, each in enumerate(facts):
        if row in known:
            continue
        for value, color in zip(each.values, each.palette, strict=False):
            first, at = seen.setdefault(value, (color, row))
            if first != color:
                problems[row] = (
                    f"its palette has {color} for {value}, but that of {str(masks[at])!r} has {first}: the numbers "
                    "mean other things. Give mask_colors=[...] with the colours in the order of the classes, or "
                    "mask_colors=range(n) where the numbers are right and the colours do not matter."
                )
                break
    return problems


def _look_at_all(
    paths: Sequence[Path],
    look: Callable[[Path, bytes], Found],
    restore: Callable[[dict[str, Any]], Found],
    topic: bytes,
    memory: FileMemory,
    what: str,
) -> dict[Path, Found]:
    """Looks into each file with `look`, or takes the result that is remembered."""
    known = {path: restore(json.loads(content)) for path, content in memory.recall(paths, topic).items()}
    unknown = list(dict.fromkeys(path for path in paths if path not in known))

    def read(path: Path) -> tuple[Found, bytes | None, bool]:
        try:
            data = path.read_bytes()
        except OSError as error:
            return restore({"problem": f"cannot be read: {reason_of(error)}. Check the file."}), None, False
        return look(path, data), blake3(data).digest(), True

    with (
        progress(what, len(unknown), show=True) as advance,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        try:
            for path, ((found, digest, is_lasting), stamp) in zip(
                unknown, pool.map(lambda path: read_watched(path, read), unknown), strict=True
            ):
                known[path] = found
                if is_lasting and len(getattr(found, "values", ())) <= _REMEMBERED_VALUES:
                    memory.keep(stamp, topic, json.dumps(asdict(found)).encode())  # type: ignore[call-overload]
                if digest is not None:
                    # It was read anyway, and is needed for nearly everything.
                    memory.keep(stamp, DIGEST, digest)
                advance(1)
        finally:
            memory.flush()
    return known


def _extent_of(path: Path, data: bytes) -> ImageExtent:
    try:
        image = open_header(data, name=str(path))
    # Decoding the image tells what is wrong with it.
    except UnreadableImageError:
        return ImageExtent()
    return ImageExtent(image.size, turn_of(image, by_header=True))


def _facts_from(kept: dict[str, Any]) -> MaskFacts:
    colours: Any = tuple(map(tuple, kept.get("palette", ())))
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return MaskFacts(**{**given, "palette": colours})


def _extent_from(kept: dict[str, Any]) -> ImageExtent:
    return ImageExtent(tuple(kept["size"]), kept["orientation"]) if "size" in kept else ImageExtent()


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
