"""Headers: what a file is and how large, told without decoding it."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

import heif_writer  # noqa: F401
from thawline.data import formats
from thawline.data.decode import Decoding, decode
from thawline.data.formats import (
    BEGINNING_BYTES,
    EXTENSIONS,
    FORMATS,
    format_of,
    install_advice,
    open_header,
    reason_of,
)
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
        "AVIF": lambda: extent_header(form, side),
        "HEIF": lambda: extent_header(form, side),
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


def extent_header(form, side):
    """A small picture that says of itself to be large, in the box that tells the extent of each."""
    data = bytearray(encode(np.zeros((16, 16), np.uint8), form))
    place = data.find(b"ispe")
    data[place + 8 : place + 16] = struct.pack(">II", side, side)
    return bytes(data)


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


@pytest.mark.parametrize("form", FORMATS)
def test_the_beginning_of_a_file_tells_its_format(form):
    assert format_of(encode(PICTURE, form)[:BEGINNING_BYTES]) == form


@pytest.mark.parametrize(
    "text", [b"", b"BMW 3, red", b"P1 is the first", b"P5\nis the fifth", b"\0\0\0\x18ftypqt  ", b"RIFF1234WAVE"]
)
def test_text_and_other_media_are_no_images_by_their_beginning(text):
    assert format_of(text) is None


@pytest.mark.parametrize("brand", [b"avif", b"heic", b"mif1"])
def test_the_brands_behind_the_first_count_too(brand):
    """Phones write a common brand first and the codec's behind it."""
    data = b"\0\0\0\x18ftypmif1\0\0\0\0miaf" + brand
    assert format_of(data) == ("AVIF" if brand == b"avif" else "HEIF")


def test_a_format_whose_decoder_is_not_installed_is_refused_with_the_command(monkeypatch):
    monkeypatch.setattr(formats, "_ABSENT", {"HEIF"})
    data = b"\0\0\0\x14ftypheic\0\0\0\0mif1"
    with pytest.raises(
        UnreadableImageError, match=r"a\.heic: the decoder for HEIF is not installed\. Try: pip install 'thaw"
    ):
        open_header(data, name="a.heic")
    assert install_advice([".heic", ".txt"]) == " pip install 'thawline[heic]' makes .heic readable."


# -- reasons -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encode(PICTURE, "PNG")[:40], "begins as PNG, but cannot be read: broken PNG file"),
        (encode(PICTURE, "BMP")[:30], "begins as BMP, but cannot be read: Truncated File Read"),
        (encode(PICTURE, "GIF")[:30], "begins as GIF, but cannot be read: no more images in GIF file"),
        (encode(PICTURE, "TIFF")[:9], "begins as TIFF, but cannot be read: .*[a-z]"),
        (encode(PICTURE, "WEBP")[:30], "begins as WEBP, but cannot be read: could not create decoder"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_in_the_words_of_the_decoder(data, words):
    with pytest.raises(UnreadableImageError, match=f"a: {words}.*It may be cut off or damaged: replace it"):
        open_header(data, name="a")


def test_a_reason_is_what_the_exception_says():
    assert reason_of(FileNotFoundError(2, "No such file or directory", "a.png")) == "No such file or directory"
    assert reason_of(OSError("broken data stream")) == "broken data stream"
    assert reason_of(struct.error("unpack requires 4 bytes")) == "unpack requires 4 bytes"
    assert reason_of(IndexError()) == "IndexError"


# -- long notes in PNGs --------------------------------------------------------------------------------------


def noted(kind, body, **options):
    """The picture as PNG with one more note behind its header."""
    data = encode(PICTURE, "PNG", **options)
    return data[:33] + chunk(kind, body) + data[33:]


LONG = zlib.compress(b"a" * 2_000_000)
NOTES = {
    "profile": (b"iCCP", b"icc\0\0" + LONG),
    "packed text": (b"zTXt", b"Comment\0\0" + LONG),
    "international text": (b"iTXt", b"Comment\0\1\0\0\0" + LONG),
    "packed XMP": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "packed EXIF": (b"zTXt", b"Raw profile type exif\0\0" + LONG),
    "damaged text": (b"zTXt", b"Comment\0\0no zlib"),
    "unknown packing": (b"zTXt", b"Comment\0\7" + LONG),
}


@pytest.mark.parametrize("mode", ["rgb", "grayscale", "rgba"])
@pytest.mark.parametrize("note", NOTES)
def test_png_with_notes_of_any_length_are_read(note, mode):
    plain = decode(encode(PICTURE, "PNG"), Decoding((12, 20), mode))
    np.testing.assert_array_equal(decode(noted(*NOTES[note]), Decoding((12, 20), mode)), plain)


@pytest.mark.parametrize("note", NOTES)
def test_transparent_png_and_palettes_with_notes_behind_their_pixels_are_read(note):
    """Pillow reads what stands behind the pixels when it decodes, which is what it does for these."""
    for mode in ("LA", "RGBA", "P"):
        data = encode(Image.fromarray(PICTURE).convert(mode), "PNG")
        late = data[:-12] + chunk(*NOTES[note]) + data[-12:]
        np.testing.assert_array_equal(decode(late, Decoding((12, 20))), decode(data, Decoding((12, 20))))


def test_exif_beside_long_notes_is_followed():
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (encode(PICTURE, "PNG", exif=exif), encode(Image.fromarray(PICTURE).convert("LA"), "PNG", exif=exif)):
        long = data[:33] + chunk(*NOTES["profile"]) + chunk(*NOTES["packed text"]) + data[33:]
        np.testing.assert_array_equal(decode(long, Decoding((20, 12))), decode(data, Decoding((20, 12))))
        assert decode(data, Decoding((20, 12))).tolist() != decode(encode(PICTURE, "PNG"), Decoding((20, 12))).tolist()


def test_a_turn_that_stands_in_a_text_is_still_found():
    """EXIF as a hexadecimal text, as ImageMagick writes it, and XMP, both beside a long note."""
    exif = Image.Exif()
    exif[0x0112] = 6
    text = b"\nexif\n" + str(len(exif.tobytes())).encode() + b"\n" + exif.tobytes().hex().encode()
    packed = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    xmp = (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>' + b" " * 1000)
    for note in (packed, xmp):
        data = noted(*note)
        data = data[:33] + chunk(*NOTES["packed text"]) + data[33:]
        assert open_header(data).getexif()[0x0112] == 6


def test_a_packed_note_is_never_unpacked_further_than_needed():
    bomb = zlib.compress(bytes(100_000_000), 9)
    data = noted(b"zTXt", b"Raw profile type exif\0\0" + bomb)
    tracemalloc.start()
    try:
        assert open_header(data).size == (20, 12)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# -- AVIF and HEIF -------------------------------------------------------------------------------------------

MODERN = [form for form in ("AVIF", "HEIF") if form in FORMATS]


@pytest.mark.parametrize("form", MODERN)
def test_avif_and_heif_give_the_colours_that_were_saved(form):
    smooth = np.stack(np.broadcast_arrays(*np.mgrid[0:48, 0:64], 90), axis=-1).astype(np.uint8) * 2
    options = {"quality": 95, "subsampling": "4:4:4"} if form == "AVIF" else {"quality": 95, "chroma": 444}
    pixels = decode(encode(smooth, form, **options), Decoding((48, 64)))
    assert np.abs(pixels.astype(int) - smooth).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", MODERN)
def test_avif_and_heif_are_turned_once(form, orientation):
    """Writers note the turn as a property of the picture; Pillow's readers tell or apply it."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = (250, 20, 20)
    picture[24:, :32] = (20, 250, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(encode(picture, form, exif=exif.tobytes(), quality=95), Decoding(SIDES[orientation > 4]))
    png = decode(encode(picture, "PNG", exif=exif.tobytes()), Decoding(SIDES[orientation > 4]))
    assert np.abs(turned.astype(int) - png).mean() < 4


SIDES = {False: (48, 64), True: (64, 48)}
