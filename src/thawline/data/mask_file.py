"""Bytes of a mask file -> the class number of each pixel, as they stand in the file: never scaled, never mixed.

A grey file holds class numbers of 1 to 16 bits (whole numbers of 32 bits, too, up to 65,535); a palette's indices are
class numbers; colours are where `MaskColors` says which colour is which class. Alpha is no class number.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import ImageFile

from thawline.data.decode import turn, turn_of
from thawline.data.formats import is_deep, largest_grey, open_header, reason_of
from thawline.errors import ArgumentError, UnreadableImageError

# The largest class number: what 16 bits hold.
MAX_CLASS = 65_535

# Formats that give back other values than were saved; a WebP may be either.
_LOSSY = ("JPEG", "AVIF", "HEIF")

# Colours and values that an error names.
_NAMED = 4


@dataclass(frozen=True)
class MaskColors:
    """Colours, or greys, of the classes in masks, in order: the first is class 0.

    Attributes:
        colors: each (red, green, blue), 0 to 255, or one whole number, 0 to 65,535, for a grey or an index.

    Raises:
        ArgumentError: there is none, one is no colour, or one is listed twice.

    Example:
        >>> MaskColors([(0, 0, 0), (128, 0, 0)]).numbers(np.array([[[128, 0, 0], [0, 0, 0]]], np.uint8), "a.png", "PNG")
        array([[1, 0]], dtype=uint8)
        >>> MaskColors([0, 255]).numbers(np.array([[255, 0]], np.uint8), "a.png", "PNG")
        array([[1, 0]], dtype=uint8)
    """

    colors: tuple[tuple[int, int, int] | int, ...]

    def __init__(self, colors: Sequence[Any]) -> None:
        if isinstance(colors, str | bytes) or not hasattr(colors, "__iter__") or not len(colors):
            raise ArgumentError(
                f"mask_colors lists the colours in the order of the classes, like [(0, 0, 0), (128, 0, 0)]; "
                f"got {colors!r}."
            )
        listed = tuple(_as_color(color) for color in colors)
        twice = next((color for color in listed if listed.count(color) > 1), None)
        if twice is not None:
            raise ArgumentError(f"mask_colors lists {twice} {listed.count(twice)} times. List every colour once.")
        object.__setattr__(self, "colors", listed)

    @property
    def has_colors(self) -> bool:
        """True where any entry is a colour, so that a palette's colours count and not its indices."""
        return any(isinstance(color, tuple) for color in self.colors)

    def numbers(self, pixels: np.ndarray, name: str, form: str) -> np.ndarray:
        """Class numbers of greys or indices (height, width), or of colours (height, width, 3).

        Raises:
            UnreadableImageError: a colour is not listed.
        """
        table = self._greys if pixels.ndim == 2 else self._codes
        codes = pixels.astype(np.int64) if pixels.ndim == 2 else _codes(pixels)
        keys, numbers = table
        if not len(keys):
            raise self._unlisted(pixels, np.ones(pixels.shape[:2], bool), name, form)
        places = np.searchsorted(keys, codes).clip(0, len(keys) - 1)
        unknown = keys[places] != codes
        if unknown.any():
            raise self._unlisted(pixels, unknown, name, form)
        found: np.ndarray = numbers[places]
        return found

    def _unlisted(self, pixels: np.ndarray, unknown: np.ndarray, name: str, form: str) -> UnreadableImageError:
        colors = colors_in(pixels[unknown])
        why = f" {form} changes colours when it saves them: save masks as PNG." if form in _LOSSY else ""
        return UnreadableImageError(
            f"{name}: {name_colors(colors)} in the mask {'is' if len(colors) == 1 else 'are'} not in mask_colors "
            f"({', '.join(map(str, self.colors[:_NAMED]))}{', ...' if len(self.colors) > _NAMED else ''}). "
            f"List every colour that the masks have.{why}"
        )

    @cached_property
    def _greys(self) -> tuple[np.ndarray, np.ndarray]:
        """The greys in order, and their class numbers."""
        greys = [
            (color if isinstance(color, int) else color[0], number)
            for number, color in enumerate(self.colors)
            if isinstance(color, int) or len(set(color)) == 1
        ]
        return _sorted_table(greys, len(self.colors))

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray]:
        """The colours as single numbers in order, and their class numbers."""
        triples = [(color, color, color) if isinstance(color, int) else color for color in self.colors]
        codes = [
            (red << 16 | green << 8 | blue, number)
            for number, (red, green, blue) in enumerate(triples)
            if max(red, green, blue) <= 255
        ]
        return _sorted_table(codes, len(self.colors))


@dataclass(frozen=True, eq=False)
class MaskPixels:
    """Content of one mask file.

    Attributes:
        numbers: class numbers as they stand in the file, uint8 or uint16 (height, width), turned as its own EXIF says.
        is_turned: whether its own EXIF turned it.
        palette: uint8 (256, 3), the colours of the indices, or None where the numbers are no indices of a palette.
    """

    numbers: np.ndarray
    is_turned: bool = False
    palette: np.ndarray | None = None


def read_mask(data: bytes, colors: MaskColors | None, *, max_pixels: int, name: str) -> MaskPixels:
    """The class numbers of one mask file.

    Args:
        data: its bytes.
        colors: which colour is which class, or None where the numbers in the file are.
        max_pixels: the most pixels that a mask may have.
        name: the file's name, for errors.

    Raises:
        UnreadableImageError: the bytes are no image, or hold no class numbers: colours that nothing is known of,
            values that a lossy format smeared, numbers with fractions, below 0 or above 65,535.

    Example:
        >>> import cv2
        >>> data = cv2.imencode(".png", np.array([[0, 300]], np.uint16))[1].tobytes()
        >>> read_mask(data, None, max_pixels=100, name="a.png").numbers
        array([[  0, 300]], dtype=uint16)
    """
    image = open_header(data, max_pixels=max_pixels, name=name)
    try:
        palette = _palette(image)
        pixels = _pixels(image, data)
        turned = turn_of(image)
    # Decoders raise exceptions of all kinds for damaged pixels.
    except Exception as error:
        raise UnreadableImageError(
            f"{name}: cannot be read as a mask: {reason_of(error)}. Replace the file or take it out of the folder."
        ) from error
    pixels = _without_alpha(pixels, name)
    form = image.format or ""
    if colors is not None:
        if palette is not None and colors.has_colors:
            pixels, palette = palette[pixels], None
        numbers = colors.numbers(pixels, name, form)
    else:
        numbers = _as_numbers(pixels, name)
        _refuse_smeared(numbers, image, data, name)
    return MaskPixels(turn(numbers, turned), turned != 1, palette)


def colors_in(pixels: np.ndarray) -> list[Any]:
    """The different colours or values of pixels (n,) or (n, 3), in order."""
    if pixels.ndim == 1:
        return [int(value) for value in np.unique(pixels)]
    codes = np.unique(_codes(pixels))
    return [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in codes]


def name_colors(colors: Sequence[Any]) -> str:
    """The first colours or values and how many there are: "3 colours ((0, 0, 0), ...)"."""
    kind = ("colour", "colours") if colors and isinstance(colors[0], tuple) else ("value", "values")
    if len(colors) == 1:
        return f"the {kind[0]} {colors[0]}"
    more = ", ..." if len(colors) > _NAMED else ""
    return f"{len(colors)} {kind[1]} ({', '.join(map(str, colors[:_NAMED]))}{more})"


def _pixels(image: ImageFile.ImageFile, data: bytes) -> np.ndarray:
    """The file's numbers, (height, width), with alpha (..., 2); or its colours, uint8 (..., 3 or 4)."""
    deep = is_deep(image, data)
    if deep and not image.mode.startswith("I"):
        raise ValueError("it has colours or alpha of 16 bits; masks are grey, indices of a palette, or 8-bit colours")
    image.load()
    if image.mode in ("1", "P", "LA", "PA"):
        numbers = np.asarray(image)
        return numbers[..., 0] if image.mode == "PA" else numbers.astype(np.uint8)
    if image.mode == "L":
        return _unscaled(np.asarray(image), 255, largest_grey(image, data))
    if image.mode == "I" and image.format == "PPM":
        return _unscaled(np.asarray(image), MAX_CLASS, largest_grey(image, data))
    if image.mode[0] in "IF":
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _palette(image: ImageFile.ImageFile) -> np.ndarray | None:
    """The colours of the indices of a palette."""
    if image.mode not in ("P", "PA"):
        return None
    image.load()
    colours = np.zeros(768, np.uint8)
    given = (image.getpalette("RGB") or [])[:768]
    colours[: len(given)] = given
    return colours.reshape(256, 3)


def _unscaled(grey: np.ndarray, scaled_to: int, largest: int) -> np.ndarray:
    """Numbers as they stand in the file, which the decoder spread over its range."""
    if largest == scaled_to:
        return grey
    numbers: np.ndarray = np.rint(grey * (largest / scaled_to)).astype(np.uint16 if largest > 255 else np.uint8)
    return numbers


def _without_alpha(pixels: np.ndarray, name: str) -> np.ndarray:
    """Numbers or colours alone; refused where they say nothing and alpha does."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    kept, alpha = pixels[..., :-1], pixels[..., -1]
    if np.ptp(alpha) and not np.ptp(kept.reshape(-1, kept.shape[2]), axis=0).any():
        raise UnreadableImageError(
            f"{name}: the mask has one colour and differs in its alpha only, which is no class number. "
            "Save it as a grey PNG of class numbers."
        )
    return kept[..., 0] if kept.shape[2] == 1 else kept


def _as_numbers(pixels: np.ndarray, name: str) -> np.ndarray:
    """Class numbers, uint8 or uint16 (height, width), of numbers or of colours that are all greys."""
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            colors = colors_in(pixels.reshape(-1, 3))
            raise UnreadableImageError(
                f"{name}: a mask holds class numbers, but this one holds {name_colors(colors)}. Give mask_colors=[...] "
                f"with all colours in the order of the classes, like mask_colors={list(colors[:2])}."
            )
        pixels = pixels[..., 0]
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= MAX_CLASS and (pixels == np.rint(pixels)).all()):
        raise UnreadableImageError(
            f"{name}: class numbers are whole, 0 to {MAX_CLASS:,}; the mask holds {pixels.dtype} from {low:g} to "
            f"{high:g}. Save it with such numbers."
        )
    return pixels.astype(np.uint16)


def _refuse_smeared(numbers: np.ndarray, image: ImageFile.ImageFile, data: bytes, name: str) -> None:
    """A lossy format gives values back that were never saved; two are what a mask of two classes had."""
    if image.format not in _LOSSY and not (image.format == "WEBP" and b"VP8 " in data[12:64]):
        return
    values = colors_in(numbers.reshape(-1))
    if len(values) > 2:
        raise UnreadableImageError(
            f"{name}: {image.format} does not keep class numbers: the mask holds {name_colors(values)}, which the "
            "compression may have made. Save masks as PNG, those of two classes as pixels > 127; or list the values in "
            "mask_colors=[...] if all are right."
        )


def _as_color(given: Any) -> tuple[int, int, int] | int:
    try:
        if not hasattr(given, "__iter__"):
            grey = operator.index(given)
            if 0 <= grey <= MAX_CLASS:
                return grey
        else:
            color = tuple(operator.index(part) for part in given)
            if len(color) == 3 and 0 <= min(color) <= max(color) <= 255:
                return color
    except TypeError:
        pass
    raise ArgumentError(
        f"mask_colors lists colours, each (red, green, blue) from 0 to 255, or a grey from 0 to {MAX_CLASS:,}; "
        f"got {given!r}."
    )


def _codes(colors: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as single numbers, int64 (...)."""
    wide = colors.astype(np.int64)
    codes: np.ndarray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return codes


def _sorted_table(pairs: list[tuple[int, int]], count: int) -> tuple[np.ndarray, np.ndarray]:
    dtype = np.uint8 if count <= 256 else np.uint16
    ordered = sorted(pairs)
    return np.array([key for key, _ in ordered], np.int64), np.array([number for _, number in ordered], dtype)
