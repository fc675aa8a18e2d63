"""Which files are images: formats by ending and by content, and headers that are read before any pixel.

Pillow reads the headers. Only the plugin of the format that the content begins with is asked, never all of them: each
further plugin is code that a broken file could reach. HEIF (the .heic files of phones) needs the package pillow-heif.
"""

import importlib.util
import io
import struct
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from thawline.data.png_chunks import check_chunks
from thawline.data.png_notes import without_long_notes
from thawline.errors import UnreadableImageError

_ENDINGS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    # What browsers and pages make of .jpg when an image is saved.
    ".jfif": "JPEG",
    ".jif": "JPEG",
    ".pjpeg": "JPEG",
    ".pjp": "JPEG",
    ".jpg_large": "JPEG",
    ".jpg-large": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}

# Formats that are read only where their decoder is installed, and the way to it.
_INSTALL = {
    "AVIF": "pip install 'pillow>=11.3'",
    "HEIF": "pip install 'thawline[heic]'",
}
_ABSENT = {
    form
    for form, is_there in (
        ("AVIF", AvifImagePlugin.SUPPORTED),
        ("HEIF", importlib.util.find_spec("pillow_heif") is not None),
    )
    if not is_there
}

# The formats a source takes, by the endings of their files. Endings are compared in lower case, with the dot.
EXTENSIONS = {ending: form for ending, form in _ENDINGS.items() if form not in _ABSENT}
FORMATS = tuple(sorted(set(EXTENSIONS.values())))

# So many bytes from the beginning of a file tell its format.
BEGINNING_BYTES = 256

# A larger image is refused before it is decoded. 8-bit RGB of this size is 240 MB; while it is decoded, each thread
# takes up to 0.8 GB for a GIF and 1.3 GB for a TIFF with alpha (measured).
MAX_PIXELS = 80_000_000

# A progressive JPEG goes over its pixels once for each of its scans, which take no bytes when they are empty. Ordinary
# ones have 10 or so. One of the largest size may have this many, a smaller one more: all take some seconds at most.
_MAX_SCANS = 30
_START_OF_SCAN = b"\xff\xda"

# A scan begins with a marker of 2 bytes and a header of at least 8: its length, one component, and what it covers.
_SCAN_BYTES = 10

_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# ISO/IEC 23008-12 and the AV1 image format: what a file says that its pictures are made of.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

# The sizes that a header of a BMP may have, by which text that begins with "BM" is told apart.
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)


class _Format(NamedTuple):
    """What a file of a format begins with, and who reads its header."""

    begins: Callable[[bytes], bool]
    plugin: Callable[[io.BytesIO], ImageFile.ImageFile]


def _begins_as_bmp(data: bytes) -> bool:
    return data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS


def _begins_as_ppm(data: bytes) -> bool:
    # A number or a remark follows, which tells it from text.
    after = data[3:4]
    return (
        data[:1] == b"P"
        and data[1:2] in b"123456"
        and data[2:3].isspace()
        and (after.isdigit() or after.isspace() or after == b"#")
    )


def _brands(data: bytes) -> set[bytes]:
    """The formats that a file of the MP4 family says it has; empty for other files."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), BEGINNING_BYTES, len(data))
    return {data[8:12], *(data[place : place + 4] for place in range(16, end, 4))}


def _begins_as_avif(data: bytes) -> bool:
    return bool(_brands(data) & _AVIF_BRANDS)


def _begins_as_heif(data: bytes) -> bool:
    return bool(_brands(data) & _HEIF_BRANDS)


def _open_png(stream: io.BytesIO) -> ImageFile.ImageFile:
    data = stream.getvalue()
    check_chunks(data)
    return PngImagePlugin.PngImageFile(io.BytesIO(without_long_notes(data)))


def _open_heif(stream: io.BytesIO) -> ImageFile.ImageFile:
    opened: ImageFile.ImageFile = import_module("pillow_heif").HeifImageFile(stream)
    return opened


# AVIF before HEIF: an AVIF file may also call itself by the brands that all of the family share.
_READERS = {
    "AVIF": _Format(_begins_as_avif, AvifImagePlugin.AvifImageFile),
    "BMP": _Format(_begins_as_bmp, BmpImagePlugin.BmpImageFile),
    "GIF": _Format(lambda data: data.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    "HEIF": _Format(_begins_as_heif, _open_heif),
    "JPEG": _Format(lambda data: data.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    "PNG": _Format(lambda data: data.startswith(b"\x89PNG\r\n"), _open_png),
    "PPM": _Format(_begins_as_ppm, PpmImagePlugin.PpmImageFile),
    "TIFF": _Format(lambda data: data.startswith(_TIFF_BEGINNINGS), TiffImagePlugin.TiffImageFile),
    "WEBP": _Format(lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
}


def format_of(beginning: bytes) -> str | None:
    """The format that content begins as, like "JPEG", whatever a file's ending says; None where it is no image.

    Args:
        beginning: the first `BEGINNING_BYTES` bytes of a file, or all there are. "HEIF" is told where it cannot be
            read, too: compare with `FORMATS`.

    Example:
        >>> format_of(b"GIF89a"), format_of(b"a text")
        ('GIF', None)
    """
    return next((form for form, reader in _READERS.items() if reader.begins(beginning)), None)


def install_advice(endings: Iterable[str]) -> str:
    """Advice on reading files of these endings: a sentence that starts with a blank, or nothing.

    Args:
        endings: of files that were passed over, in lower case, with the dot.

    Example:
        >>> install_advice([".txt", ".pdf"])
        ''
    """
    absent = {form: ending for ending in endings if (form := _ENDINGS.get(ending)) in _ABSENT}
    return "".join(f" {_INSTALL[form]} makes {ending} readable." for form, ending in sorted(absent.items()))


def open_header(data: bytes, *, max_pixels: int = MAX_PIXELS, name: str = "image") -> ImageFile.ImageFile:
    """A Pillow image of which only the header was read: format, size, mode and notes, but no pixel.

    Args:
        data: the bytes of the file; what they begin with decides the format, not the file's ending.
        max_pixels: the most pixels (width times height) that an image may have.
        name: the file's name, for errors.

    Raises:
        UnreadableImageError: the file is empty, of no known format or one whose decoder is not installed, damaged in
            its header, holds more pixels, or is a JPEG of very many scans.

    Example:
        >>> import cv2, numpy as np
        >>> data = cv2.imencode(".png", np.zeros((8, 6, 3), np.uint8))[1].tobytes()
        >>> header = open_header(data)
        >>> header.format, header.size, header.mode
        ('PNG', (6, 8), 'RGB')
    """
    if not data:
        raise UnreadableImageError(f"{name}: the file is empty. Replace it or take it out of the folder.")
    form = format_of(data)
    if form is None:
        raise UnreadableImageError(
            f"{name}: expected an image ({', '.join(FORMATS)}), but the content is none of them. "
            "Convert the file or take it out of the folder."
        )
    if form in _ABSENT:
        raise UnreadableImageError(
            f"{name}: the decoder for {form} is not installed. Try: {_INSTALL[form]}. Or convert the file."
        )
    if form in _SIZES:
        # These plugins make room for the whole picture as soon as they open one, or refuse large ones in other words.
        _refuse_too_many(_SIZES[form](data), max_pixels, name)
    try:
        image = _READERS[form].plugin(io.BytesIO(data))
    # A plugin meets a damaged header with whatever it stumbles over: struct.error, KeyError, ZeroDivisionError, ...
    except Exception as error:
        raise UnreadableImageError(
            f"{name}: begins as {form}, but cannot be read: {reason_of(error)}. It may be cut off or damaged: "
            "replace it, convert it or take it out of the folder."
        ) from error
    _refuse_too_many(image.size, max_pixels, name)
    if form == "JPEG":
        _refuse_many_scans(data, image.size, max_pixels, name)
    return image


def reason_of(error: BaseException) -> str:
    """The message of an exception without a full stop; its class where there is no message.

    Example:
        >>> reason_of(ValueError("broken data stream.")), reason_of(KeyError(7)), reason_of(MemoryError())
        ('broken data stream', 'KeyError: 7', 'MemoryError')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # OpenCV puts the sentence between its version, the line of its source and the function.
    words = str(getattr(error, "err", None) or error).strip().rstrip(".")
    # An error inside a plugin: the name of the class is needed to make sense of "7" or "index out of range".
    if words and isinstance(error, LookupError | ArithmeticError | AttributeError):
        return f"{type(error).__name__}: {words}"
    return words or type(error).__name__


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


def largest_grey(image: ImageFile.ImageFile, data: bytes) -> int:
    """The largest number that a grey pixel could have in the file, which Pillow brings to 255 or 65535.

    Args:
        image: the header, from `open_header`.
        data: the bytes it was read from.
    """
    if image.format == "PNG":
        return (1 << data[24]) - 1
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
        return (1 << int(bits[0] if isinstance(bits, tuple) else bits)) - 1
    if image.format == "PPM":
        return largest_of_ppm(data)
    return 255


def largest_of_ppm(data: bytes) -> int:
    """The largest number that a pixel of a PPM or PGM may have, which Pillow brings to 255 or 65535.

    It is the third number of the header, behind width and height; remarks run from # to the end of the line.

    Example:
        >>> largest_of_ppm(b"P5 # by hand\\n6 8 4095\\n")
        4095
    """
    lines = (line.partition(b"#")[0] for line in data[2:4096].splitlines())
    return int(b" ".join(lines).split()[2])


def _refuse_too_many(size: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UnreadableImageError(
            f"{name}: {width} x {height} pixels; at most {max_pixels:,} are decoded. "
            "Shrink the image or take it out of the folder."
        )


def _refuse_many_scans(data: bytes, size: tuple[int, int], max_pixels: int, name: str) -> None:
    """Refuses a JPEG whose scans go over more pixels than those of the largest image may."""
    width, height = size
    # Counting takes as long as reading the header, and most files are too short for so many scans.
    if len(data) // _SCAN_BYTES * width * height <= _MAX_SCANS * max_pixels:
        return
    # In what is coded, the first of these bytes is never followed by the second.
    scans = data.count(_START_OF_SCAN)
    if scans * width * height > _MAX_SCANS * max_pixels:
        raise UnreadableImageError(
            f"{name}: a progressive JPEG of {width} x {height} pixels with {scans:,} scans; at most "
            f"{_MAX_SCANS * max_pixels // (width * height):,} are decoded at this size. Save it as an ordinary JPEG, "
            "or take it out of the folder."
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


def _largest_extent(data: bytes) -> tuple[int, int]:
    """Width and height of the largest picture that an AVIF or HEIF file names, (0, 0) where it names none.

    ISO/IEC 23008-12: a box of 20 bytes, "ispe", has version and flags, width and height of each picture, the tiles and
    thumbnails among them. A decoder of HEIF refuses pixels that are larger than that; one of AVIF takes them as far as
    its own limit, 16,384 x 16,384.
    """
    sizes, place = [(0, 0)], 0
    while (place := data.find(b"\0\0\0\x14ispe", place)) >= 0:
        sizes.append(struct.unpack(">II", data[place + 12 : place + 20].ljust(8, b"\0")))
        place += 8
    return max(sizes, key=lambda size: size[0] * size[1])


# Where to find width and height in formats whose plugins should not be asked.
_SIZES = {"AVIF": _largest_extent, "HEIF": _largest_extent, "WEBP": _webp_size}
