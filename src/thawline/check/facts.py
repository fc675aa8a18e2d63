"""What can be said of every image after one look at its file and its pixels.

`survey` reads each image of a source once, with all cores, and keeps a few numbers, two digests and a small grey
picture of each (about 4 kB); all checks of images, splits and neighbours decide by these.
"""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from blake3 import blake3

from thawline.data.decode import Decoding, decode
from thawline.data.formats import is_deep, open_header, reason_of
from thawline.data.preview import shown_channels
from thawline.data.sources.left_out import BAD_IMAGE
from thawline.data.sources.source import ImageSource
from thawline.errors import UnreadableImageError
from thawline.progress import progress

# Height and width of the small pictures.
THUMBNAIL_SIZE = 32

_ORIENTATION = 0x0112

# So many zeros in a row do not come out of a compressor that has a picture to tell of; broken downloads leave them.
_HOLE = re.compile(rb"\0{1024}")

# What libjpeg paints where a file has no more to tell, and the share of rows from which it cannot be chance.
_FILL, _FILLED_SHARE = 128, 0.05

# Looked at for alpha only, so that it may be small.
_ALPHA = Decoding((64, 64), "rgba")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of one image.

    Attributes:
        path: its file, or its place in an array.
        problem: why it cannot be used, or None.
        doubt: what looks as if a part of it were missing, although it can be decoded; or None.
        size_bytes: of the file; 0 for images in an array.
        format: by its content, like "JPEG"; None where it is no known format, or lies in an array.
        width: in pixels, of the upright image in its file; 0 where its header cannot be read.
        height: as the width.
        bits: of each channel, 8 or 16.
        is_transparent: whether some pixel lets the background through.
        is_cmyk: whether it is made of inks.
        is_turned: whether a note of the camera says that it has to be turned or mirrored.
        brightest: the largest value of its pixels at the model's size, 0 to 255.
        spread: the largest difference between two pixels of one channel there, 0 to 255; 0 is a single colour.
        digest: of its content, 32 bytes; empty where there is a problem.
        pixel_digest: of its pixels at the model's size, 32 bytes; empty where there is a problem.
    """

    path: Path
    problem: str | None = None
    doubt: str | None = None
    size_bytes: int = 0
    format: str | None = None
    width: int = 0
    height: int = 0
    bits: int = 8
    is_transparent: bool = False
    is_cmyk: bool = False
    is_turned: bool = False
    brightest: int = 255
    spread: int = 255
    digest: bytes = b""
    pixel_digest: bytes = b""


@dataclass(frozen=True)
class Survey:
    """What is known of every image of a source, in the order of its indices.

    Attributes:
        facts: of each image.
        thumbnails: uint8 (n, 32, 32, 3), RGB, 0 to 255; all 0 where an image has a problem.
    """

    facts: tuple[ImageFacts, ...]
    thumbnails: np.ndarray

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def are_usable(self) -> np.ndarray:
        """Which images have no problem, bool (n,)."""
        return np.array([each.problem is None for each in self.facts], bool)


def survey(source: ImageSource, *, show_progress: bool = True) -> Survey:
    """Looks at every image of a source once: its file, and its pixels as they are before augmentation.

    It costs what a first epoch's decoding does, uses all cores, and gives the source the digests of its files. What is
    cached by `cache_pixels` is not decoded again. An image that cannot be used ends nothing: its facts say why.

    Args:
        source: the images.
        show_progress: whether a bar shows how far it is, on stderr.

    Example:
        >>> from thawline.data.sources.arrays import ImageArrays
        >>> looked = survey(ImageArrays(np.zeros((2, 8, 6, 3), np.uint8)), show_progress=False)
        >>> looked.facts[0].width, looked.facts[0].spread, looked.thumbnails.shape
        (6, 0, (2, 32, 32, 3))
    """
    in_files = "array" not in source.pictures.identity()

    def look(index: int) -> tuple[ImageFacts, np.ndarray]:
        return _look(source, index, look_at_file if in_files else _look_at_place)

    facts: list[ImageFacts] = []
    thumbnails = np.zeros((len(source), THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3), np.uint8)
    with (
        progress("looking at the images", len(source), show=show_progress) as advance,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for index, (each, thumbnail) in enumerate(pool.map(look, range(len(source)))):
            facts.append(each)
            thumbnails[index] = thumbnail
            advance(1)
    return Survey(tuple(facts), thumbnails)


def look_at_file(path: Path) -> dict[str, Any]:
    """What the bytes and the header of a file tell, as arguments of `ImageFacts`.

    Raises:
        UnreadableImageError: the file cannot be read, or is no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read: {reason_of(error)}. Check the file.") from error
    image = open_header(data, name=str(path))
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    # Notes may be damaged in any way; pictures with such notes are taken as they are.
    except Exception:
        orientation = 1
    sides = image.size if orientation not in (5, 6, 7, 8) else image.size[::-1]
    return {
        "size_bytes": len(data),
        "format": image.format,
        "width": sides[0],
        "height": sides[1],
        "bits": 16 if is_deep(image, data) or image.mode.startswith("I") else 8,
        "is_transparent": image.has_transparency_data and _is_transparent(data, path),
        "is_cmyk": image.mode == "CMYK",
        "is_turned": orientation in range(2, 9),
        "doubt": _hole(data, image.format),
    }


def _look_at_place(path: Path) -> dict[str, Any]:
    """Arrays have no files."""
    return {}


def _look(
    source: ImageSource, index: int, look_outside: Callable[[Path], dict[str, Any]]
) -> tuple[ImageFacts, np.ndarray]:
    """The facts of one image, and its small picture."""
    path = source.paths[index]
    nothing = np.zeros((THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3), np.uint8)
    try:
        known = look_outside(path)
        pixels, digest = source.pictures.pixels(int(source.rows[index]))
    except BAD_IMAGE as error:
        return ImageFacts(path, problem=str(error).removeprefix(f"{path}: ")), nothing
    if known.get("format") == "JPEG" and known["doubt"] is None:
        known["doubt"] = _filled(pixels)
    size = {"height": pixels.shape[0], "width": pixels.shape[1]}
    facts = ImageFacts(
        path,
        **{**size, **known},
        brightest=int(pixels.max()),
        spread=int(np.ptp(pixels, axis=(0, 1)).max()),
        digest=digest,
        pixel_digest=blake3(np.ascontiguousarray(pixels).tobytes()).digest(),
    )
    return facts, thumbnail(pixels)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """A small picture, uint8 (32, 32, 3), RGB, 0 to 255, of uint8 (height, width, channels).

    Example:
        >>> int(thumbnail(np.full((8, 6, 3), 200, np.uint8)).mean())
        200
    """
    colour = np.ascontiguousarray(shown_channels(pixels))
    small = cv2.resize(colour, (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=cv2.INTER_AREA)
    return np.broadcast_to(small.reshape(THUMBNAIL_SIZE, THUMBNAIL_SIZE, -1), (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3))


def _is_transparent(data: bytes, path: Path) -> bool:
    """Whether some pixel is not fully opaque: many files have an alpha channel that says nothing."""
    return bool(decode(data, _ALPHA, name=str(path))[..., 3].min() < 255)


def _hole(data: bytes, form: str | None) -> str | None:
    """A gap in what a compressor wrote; formats that may be uncompressed have such runs wherever they are black."""
    if form not in ("JPEG", "WEBP"):
        return None
    # Behind its end marker a JPEG may have anything, and some cameras write zeros there.
    end = data.rfind(b"\xff\xd9") if form == "JPEG" else -1
    start = data.rfind(b"\xff\xda") if form == "JPEG" else 0
    found = _HOLE.search(data, max(start, 0), end if end > start else len(data))
    return None if found is None else f"a gap of zeros begins at byte {found.start():,} of {len(data):,}"


def _filled(pixels: np.ndarray) -> str | None:
    """The even grey that libjpeg paints where a picture breaks off, along one edge and not along its opposite."""
    filled = (pixels[..., :3] == _FILL).all(axis=2)
    for lines in (filled.all(axis=1), filled.all(axis=0)):
        for along in (lines, lines[::-1]):
            count = len(lines) if along.all() else int(np.argmin(along))
            if _FILLED_SHARE * len(lines) <= count < len(lines) and not along[-1]:
                return f"{count / len(lines):.0%} of it, from one edge on, are the grey of missing data"
    return None
