"""Contact sheets: true augmented pixels, with label, file and the numbers that were drawn for them underneath.

Pixels are shown before they are standardized, since people see 0 to 255.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thawline.arguments import whole_number
from thawline.data.augment import Draw
from thawline.data.captions import caption
from thawline.files import replacing

_GAP = 8
_FONT_SIZE = 12
_LINE = 15
_PAPER, _INK, _SOFT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
# Narrower pictures leave no room for numbers, and wider ones make sheets that no screen shows.
_NARROWEST, _WIDEST = 128, 256

# How numbers are written, in the order in which they happen.
_FORMS = (
    (("crop_width", "crop_height"), "crop {:.0%} x {:.0%}"),
    (("rotation",), "turn {:.1f}\N{DEGREE SIGN}"),
    (("shift_x", "shift_y"), "shift {:.1f}; {:.1f} px"),
    (("shear",), "shear {:.1f}\N{DEGREE SIGN}"),
    (("zoom_x", "zoom_y"), "zoom {:.2f}; {:.2f}"),
    (("channel_shift",), "channels {:+.0f}"),
    (("brightness",), "bright {:.2f}"),
    (("contrast",), "contrast {:.2f}"),
    (("saturation",), "saturation {:.2f}"),
    (("hue",), "hue {:+.2f}"),
    (("blur",), "blur {:.1f} px"),
    (("noise",), "noise {:.0f}"),
    (("erase_width", "erase_height"), "erased {:.0%} x {:.0%}"),
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Pictures(Protocol):
    """What a contact sheet is made of; a source is one."""

    paths: tuple[Path, ...]

    def __len__(self) -> int: ...

    def label_text(self, index: int) -> str:
        """The label of an image for people; empty where there is none."""

    def picture(self, index: int, view: int = 0) -> tuple[np.ndarray, Draw]:
        """One view of one image, uint8, with its draw."""


@dataclass(frozen=True, eq=False)
class Preview:
    """A contact sheet that notebooks show.

    Attributes:
        pixels: uint8 (height, width, 3), 0 to 255.
    """

    pixels: np.ndarray

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the sheet as PNG."""
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(self._repr_png_())

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, format="PNG")
        return file.getvalue()


def preview(source: Pictures, *, count: int = 8, views: int = 4, path: str | os.PathLike[str] | None = None) -> Preview:
    """A contact sheet of images spread evenly over a source; see `ImageSource.preview`.

    Raises:
        ArgumentError: a number is below 1.
    """
    count, views = whole_number("count", count), whole_number("views", views)
    indices = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int)).tolist()
    sheet = Preview(contact_sheet(source, indices, range(views)))
    if path is not None:
        sheet.save(path)
    return sheet


def contact_sheet(
    source: Pictures, indices: Sequence[int], views: Sequence[int], path: str | os.PathLike[str] | None = None
) -> np.ndarray:
    """A sheet with a row for each image and a column for each view; under each picture label, file and drawn numbers.

    Pictures from 128 to 256 pixels wide are shown pixel for pixel; smaller and larger ones are resized.

    Args:
        source: the images.
        indices: which of them.
        views: which views of each.
        path: where to write it as PNG; None for nowhere.

    Returns:
        uint8 (height, width, 3), 0 to 255.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    rows = [[_cell(source, index, view, font) for view in views] for index in indices]
    width = max(cell.width for row in rows for cell in row)
    heights = [max(cell.height for cell in row) for row in rows]
    size = (_GAP + (width + _GAP) * len(views), _GAP + sum(height + _GAP for height in heights))
    sheet = Image.new("RGB", size, _PAPER)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP + column * (width + _GAP), top))
        top += height + _GAP
    pixels = np.array(sheet)
    if path is not None:
        Preview(pixels).save(path)
    return pixels


def _cell(source: Pictures, index: int, view: int, font: Font) -> Image.Image:
    """One picture with its text."""
    pixels, numbers = source.picture(index, view)
    shown = shown_channels(pixels)
    picture = Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown).convert("RGB")
    width = min(max(picture.width, _NARROWEST), _WIDEST)
    if width != picture.width:
        # Pixels of small pictures stay squares.
        filtered = Image.Resampling.NEAREST if width > picture.width else Image.Resampling.BOX
        picture = picture.resize((width, max(round(picture.height * width / picture.width), 1)), filtered)
    label = source.label_text(index)
    titles = [
        _elide(line, font, width) for line in (label, f"view {view} \N{MIDDLE DOT} {caption(source, index)}") if line
    ]
    lines = [*titles, *_wrap(_changes(numbers), font, width)]
    cell = Image.new("RGB", (width, picture.height + 3 + _LINE * len(lines)), _PAPER)
    cell.paste(picture, (0, 0))
    pen = ImageDraw.Draw(cell)
    for number, line in enumerate(lines):
        pen.text((0, picture.height + 2 + _LINE * number), line, _INK if number < len(titles) else _SOFT, font)
    return cell


def shown_channels(pixels: np.ndarray) -> np.ndarray:
    """The channels that people can look at: (height, width, 3) of three or more, else (height, width, 1)."""
    return pixels[..., : 1 if pixels.shape[2] < 3 else 3]


def _elide(text: str, font: Font, width: int) -> str:
    """The text, without its middle where it would be wider than so many pixels: names differ at both ends."""
    short, kept = text, len(text)
    while font.getlength(short) > width and kept > 2:
        kept -= 1
        short = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
    return short


def _wrap(parts: Sequence[str], font: Font, width: int) -> list[str]:
    """Lines of parts, as many in each as so many pixels hold; no part is torn."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}, {part}"
        if font.getlength(longer + ",") <= width:
            lines[-1] = longer
        else:
            lines[-1] += ","
            lines.append(part)
    return lines


def _changes(numbers: Draw) -> list[str]:
    """The numbers that change something, short: both axes in one, rectangles by their size in percent."""
    given, neutral = numbers.as_dict(), Draw().as_dict()
    parts = []
    for names, form in _FORMS:
        if any(given[name] != neutral[name] for name in names):
            parts.append(form.format(*(given[name] for name in names)))
    parts += [f"flip {axis}" for axis in ("horizontal", "vertical") if given[f"flip_{axis}"]]
    return [*parts, *(["grey"] if numbers.grayscale else [])] or ["as it is"]
