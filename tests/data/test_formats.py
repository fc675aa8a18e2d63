"""Headers: what a file is and how large, told without decoding it."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from thawline.data.decode import Decoding, decode
from thawline.data.formats import EXTENSIONS, FORMATS, open_header
from thawline.errors import UnreadableImageError

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encode(pixels, form, **options):
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()


def chunk(kind, body):
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("form", FORMATS)
def test_headers_tell_format_and_width_and_height(form):
    header = open_header(encode(PICTURE, form))
    assert (header.format, header.size) == (form, (20, 12))


def png_header(width, height, pixels=b"\0"):
    """A PNG whose header claims a size, with hardly any pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_too_large_images_are_refused_by_their_header_alone():
    with pytest.raises(UnreadableImageError, match=r"big: 9000 x 9000 pixels; at most 80,000,000 .*Shrink"):
        decode(png_header(9000, 9000), Decoding((2, 2)), name="big")


def large_header(form, side):
    """A file of a format that claims to be a square of this side, made without its pixels."""
    size = struct.pack("<I", side)
    small = encode(np.zeros((2, 2), np.uint8), form) if form in ("BMP", "JPEG") else b""
    return {
        "PNG": lambda: png_header(side, side),
        "PPM": lambda: f"P6\n{side} {side}\n255\n".encode(),
        "GIF": lambda: b"GIF89a" + 2 * struct.pack("<H", side) + bytes(3) + b"," + bytes(4) + bytes(4) + bytes(40),
        "BMP": lambda: small[:18] + size + size + small[26:],
        "TIFF": lambda: tiff_header(side),
        "JPEG": lambda: jpeg_header(small, side),
        "WEBP": lambda: webp_header(side),
    }[form]()


def jpeg_header(data, side):
    place = data.find(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", side, side) + data[place + 4 :]


def tiff_header(side):
    """Width, height, bits, compression, photometric, strips."""
    entries = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, side)]
    body = b"".join(struct.pack("<HHII", tag, 4 if tag > 270 or tag < 258 else 3, 1, value) for tag, value in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4)


def webp_header(side):
    dimension = (side - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + dimension * 2


@pytest.mark.parametrize("form", FORMATS)
def test_30000_pixels_squared_are_refused_in_every_format_without_making_room_for_them(form):
    data = large_header(form, 30_000)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImageError, match=r"big: 30000 x 30000 pixels; at most 80,000,000 .*Shrink"):
            decode(data, Decoding((2, 2)), name="big")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exact": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_limit_reads_the_size_of_every_kind_of_webp(options, mode):
    data = encode(Image.fromarray(PICTURE).convert(mode), "WEBP", **options)
    with pytest.raises(UnreadableImageError, match="20 x 12 pixels; at most 239 are decoded"):
        decode(data, Decoding((2, 2), max_pixels=239))


def test_decompression_bombs_are_refused_by_their_header_alone():
    with pytest.raises(UnreadableImageError, match=r"big: 10000000 x 10000000 pixels; .*Shrink"):
        decode(png_header(10_000_000, 10_000_000), Decoding((2, 2)), name="big")


def test_endings_are_lower_case_with_their_dot():
    assert all(ending.startswith(".") and ending == ending.lower() for ending in EXTENSIONS)
