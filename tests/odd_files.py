"""Files of every odd kind: those that are read all the same, and those that are not, with the reason."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from thawline.data.formats import FORMATS

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encode(pixels, form, **options):
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()


def huge_png(side):
    """A whole and valid PNG, black, of one bit per pixel: its zeros are compressed a thousandfold."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = bytes(1 + side // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def rotated_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


GOOD = {
    "16 bits.png": lambda: cv2.imencode(".png", PICTURE.astype(np.uint16) * 257)[1].tobytes(),
    "animated.gif": lambda: encode(
        Image.fromarray(PICTURE), "GIF", save_all=True, append_images=[Image.fromarray(255 - PICTURE)], duration=50
    ),
    "cmyk.jpg": lambda: encode(Image.fromarray(PICTURE).convert("CMYK"), "JPEG"),
    "palette.png": lambda: encode(Image.fromarray(PICTURE).convert("P"), "PNG", transparency=bytes(range(256))),
    "rotated.jpg": lambda: encode(PICTURE, "JPEG", exif=rotated_exif()),
}
BAD = {
    "30000 squared.png": (
        lambda: huge_png(30_000),
        "30000 x 30000 pixels; at most 80,000,000 are decoded. Shrink the image or take it out of the folder.",
    ),
    "empty.jpg": (lambda: b"", "the file is empty. Replace it or take it out of the folder."),
    "text.jpg": (
        lambda: b"Gather ye rosebuds while ye may",
        f"expected an image ({', '.join(FORMATS)}), but the content is none of them. "
        "Convert the file or take it out of the folder.",
    ),
    "truncated.jpg": (
        lambda: encode(PICTURE, "JPEG")[:-200],
        "cannot be decoded: image file is truncated. Replace the file or take it out of the folder.",
    ),
}
