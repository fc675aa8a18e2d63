"""Which files are images: formats by ending and by content, and headers that are read before any pixel.

Pillow reads the headers. Only the plugin of the format that the content begins with is asked, never all of them: each
further plugin is code that a broken file could reach.
"""

import io
import struct
from collections.abc import Callable
from typing import NamedTuple

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from thawline.errors import UnreadableImageError

# The formats a source takes, by the endings of their files. Endings are compared in lower case, with the dot.
EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
}
FORMATS = tuple(sorted(set(EXTENSIONS.values())))

# A larger image is refused before it is decoded: 8-bit RGB of this size takes 240 MB.
MAX_PIXELS = 80_000_000

_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class _Format(NamedTuple):
    """What a file of a format begins with, and who reads its header."""

    begins: Callable[[bytes], bool]
    plugin: Callable[[io.BytesIO], ImageFile.ImageFile]


_READERS = {
    "BMP": _Format(lambda data: data.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
    "GIF": _Format(lambda data: data.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    "JPEG": _Format(lambda data: data.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    "PNG": _Format(lambda data: data.startswith(b"\x89PNG\r\n"), PngImagePlugin.PngImageFile),
    "PPM": _Format(
        lambda data: data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace(), PpmImagePlugin.PpmImageFile
    ),
    "TIFF": _Format(lambda data: data.startswith(_TIFF_BEGINNINGS), TiffImagePlugin.TiffImageFile),
    "WEBP": _Format(lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
}


def open_header(data: bytes, *, max_pixels: int = MAX_PIXELS, name: str = "image") -> ImageFile.ImageFile:
    """A Pillow image of which only the header was read: format, size, mode and notes, but no pixel.

    Args:
        data: the bytes of the file; what they begin with decides the format, not the file's ending.
        max_pixels: the most pixels (width times height) that an image may have.
        name: the file's name, for errors.

    Raises:
        UnreadableImageError: the file is empty, of no known format, damaged in its header, or holds more pixels.

    Example:
        >>> import cv2, numpy as np
        >>> data = cv2.imencode(".png", np.zeros((8, 6, 3), np.uint8))[1].tobytes()
        >>> header = open_header(data)
        >>> header.format, header.size, header.mode
        ('PNG', (6, 8), 'RGB')
    """
    if not data:
        raise UnreadableImageError(f"{name}: the file is empty. Replace it or take it out of the folder.")
    form = next((form for form, reader in _READERS.items() if reader.begins(data)), None)
    if form is None:
        raise UnreadableImageError(
            f"{name}: expected an image ({', '.join(FORMATS)}), but the content is none of them. "
            "Convert the file or take it out of the folder."
        )
    if form == "WEBP":
        # Pillow makes room for the whole canvas as soon as it opens one.
        _refuse_too_many(_webp_size(data), max_pixels, name)
    try:
        image = _READERS[form].plugin(io.BytesIO(data))
    # A plugin meets a damaged header with whatever it stumbles over: struct.error, KeyError, ZeroDivisionError, ...
    except Exception as error:
        raise UnreadableImageError(
            f"{name}: begins as {form}, but is cut off or damaged. Replace the file or take it out of the folder."
        ) from error
    _refuse_too_many(image.size, max_pixels, name)
    return image


def is_deep(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether every channel of a PNG or TIFF has 16 bits; Pillow's mode tells it for grey images only.

    Args:
        image: the header, from `open_header`.
        data: the bytes it was read from.
    """
    if image.format == "PNG":
        # The byte behind width and height in IHDR, which is always the first chunk.
        return data[24] == 16
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode != "CMYK":
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        return all(bit == 16 for bit in (bits if isinstance(bits, tuple) else (bits,)))
    return False


def _refuse_too_many(size: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UnreadableImageError(
            f"{name}: {width} x {height} pixels; at most {max_pixels:,} are decoded. "
            "Shrink the image or take it out of the folder."
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP file by the first of its chunks, (0, 0) where there is none.

    RFC 9649: VP8X has a canvas (24 bits each, less one), VP8L 14 bits each, less one, VP8 14 bits each.
    """
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", body[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
