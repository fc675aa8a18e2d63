"""One mask file: the numbers that stand in it, whatever its format makes of them."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from thawline.data.mask_file import MaskColors, read_mask
from thawline.errors import ArgumentError, UnreadableImageError

IDS = np.arange(48, dtype=np.uint8).reshape(6, 8) % 4


def encode(image, form="PNG", **options):
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def numbers(data, colors=None):
    return read_mask(data, None if colors is None else MaskColors(colors), max_pixels=10_000, name="a.png").numbers


def palette_image(ids=IDS, colours=((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))):
    image = Image.new("P", ids.shape[::-1])
    image.putpalette([part for colour in colours for part in colour])
    image.putdata(ids.ravel().tolist())
    return image


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "PPM"])
def test_grey_files_hold_class_numbers(form):
    found = numbers(encode(IDS, form))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, IDS)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_the_indices_of_a_palette_are_class_numbers(form):
    np.testing.assert_array_equal(numbers(encode(palette_image(), form)), IDS)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_numbers_of_16_bits_are_kept(form):
    deep = IDS.astype(np.uint16) * 300 + 1
    found = numbers(encode(deep, form))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, deep)


def test_whole_numbers_of_32_bits_are_kept_and_others_refused():
    np.testing.assert_array_equal(numbers(encode(IDS.astype(np.int32) * 9000, "TIFF")), IDS * 9000.0)
    np.testing.assert_array_equal(numbers(encode(IDS.astype(np.float32), "TIFF")), IDS)
    with pytest.raises(
        UnreadableImageError, match=r"a\.png: class numbers are whole, 0 to 65,535; the mask holds float32 from 0"
    ):
        numbers(encode(IDS.astype(np.float32) / 2, "TIFF"))
    with pytest.raises(UnreadableImageError, match="holds int32 from -1 to 2"):
        numbers(encode(IDS.astype(np.int32) - 1, "TIFF"))


@pytest.mark.parametrize("bits", [2, 4])
def test_greys_of_2_and_4_bits_are_not_spread_over_255(bits):
    """Pillow, like every viewer, shows 3 of 2 bits as white."""
    data = bytearray(encode(palette_image(), "PNG", bits=bits))
    # The same pixels called grey: colour type 0, and no palette.
    start = data.find(b"PLTE") - 4
    (length,) = struct.unpack(">I", data[start : start + 4])
    del data[start : start + 12 + length]
    data[25] = 0
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    assert Image.open(io.BytesIO(bytes(data))).mode == "L"
    np.testing.assert_array_equal(numbers(bytes(data)), IDS)


@pytest.mark.parametrize("most", [3, 7, 255, 300, 65535])
def test_pgm_files_hold_the_numbers_that_stand_in_them(most):
    body = IDS.astype(np.uint8 if most < 256 else ">u2").tobytes()
    np.testing.assert_array_equal(numbers(f"P5\n# by hand\n8 6\n{most}\n".encode() + body), IDS)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_one_bit_is_0_and_1(form):
    found = numbers(encode(Image.fromarray(IDS > 1), form))
    np.testing.assert_array_equal(found, IDS > 1)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP"])
def test_colours_that_are_all_grey_are_class_numbers(form):
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(numbers(encode(np.dstack([IDS] * 3), form, **options)), IDS)


COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], np.uint8)


def test_colours_are_refused_with_those_that_were_found():
    with pytest.raises(
        UnreadableImageError,
        match=r"a\.png: a mask holds class numbers, but this one holds 4 colours \(\(0, 0, 0\), \(0, 128, 0\), .*"
        r"Give mask_colors=\[\.\.\.\] with all colours in the order of the classes",
    ):
        numbers(encode(COLOURS[IDS]))


def test_colours_become_numbers_in_the_order_of_the_list():
    np.testing.assert_array_equal(
        numbers(encode(COLOURS[IDS]), [(0, 128, 0), (0, 0, 0), (128, 0, 0), (128, 128, 0)]), np.array([1, 2, 0, 3])[IDS]
    )
    np.testing.assert_array_equal(numbers(encode(palette_image()), COLOURS[::-1]), 3 - IDS)


def test_greys_and_indices_become_numbers_in_the_order_of_the_list():
    np.testing.assert_array_equal(numbers(encode(IDS * 50), [150, 100, 50, 0]), 3 - IDS)
    np.testing.assert_array_equal(numbers(encode(palette_image()), range(4)), IDS)
    np.testing.assert_array_equal(numbers(encode(np.dstack([IDS * 50] * 3)), [150, 100, 50, 0]), 3 - IDS)
    np.testing.assert_array_equal(numbers(encode(IDS.astype(np.uint16) * 1000), [0, 1000, 2000, 3000]), IDS)


def test_a_colour_that_is_not_listed_is_refused_with_its_file():
    with pytest.raises(
        UnreadableImageError,
        match=r"a\.png: the colour \(128, 128, 0\) in the mask is not in mask_colors \(\(0, 0, 0\), ",
    ):
        numbers(encode(COLOURS[IDS]), COLOURS[:3])
    with pytest.raises(
        UnreadableImageError, match=r"a\.png: 2 values \(2, 3\) in the mask are not in mask_colors \(0, 1\)"
    ):
        numbers(encode(IDS), [0, 1])
    with pytest.raises(UnreadableImageError, match="JPEG changes colours when it saves them: save masks as PNG"):
        numbers(encode(COLOURS[IDS], "JPEG"), COLOURS)


@pytest.mark.parametrize("colors", ["red", [], [(0, 0)], [(0, 0, 256)], [-1], [0.5], ["red"], 3])
def test_mask_colors_that_are_no_colours_are_refused(colors):
    with pytest.raises(ArgumentError, match="mask_colors lists"):
        MaskColors(colors)


def test_a_colour_is_listed_once():
    with pytest.raises(ArgumentError, match=r"mask_colors lists \(0, 0, 0\) 2 times"):
        MaskColors([(0, 0, 0), (1, 0, 0), [0, 0, 0]])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_no_class_number_and_never_laid_over_white(mode):
    grey = Image.fromarray(IDS)
    alpha = Image.fromarray((IDS > 0).astype(np.uint8) * 255)
    bands = (grey, alpha) if mode == "LA" else (grey, grey, grey, alpha)
    np.testing.assert_array_equal(numbers(encode(Image.merge(mode, bands))), IDS)


def test_a_mask_that_is_all_in_its_alpha_is_refused():
    flat, alpha = Image.new("L", (8, 6), 0), Image.fromarray(IDS * 80)
    with pytest.raises(UnreadableImageError, match=r"a\.png: the mask has one colour and differs in its alpha only"):
        numbers(encode(Image.merge("LA", (flat, alpha))))


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_what_a_lossy_format_smeared_is_refused(form):
    noise = np.random.default_rng(1).integers(0, 3, (32, 32)).astype(np.uint8) * 100
    with pytest.raises(
        UnreadableImageError, match=rf"a\.png: {form} does not keep class numbers: the mask holds \d+ values"
    ):
        numbers(encode(noise if form == "JPEG" else np.dstack([noise] * 3), form))


def test_a_jpeg_of_one_number_is_taken():
    np.testing.assert_array_equal(numbers(encode(np.full((6, 8), 255, np.uint8), "JPEG")), 255)


def test_deep_colours_are_refused_as_their_lower_bits_would_be_lost():
    data = cv2.imencode(".png", np.dstack([IDS.astype(np.uint16)] * 3))[1].tobytes()
    with pytest.raises(UnreadableImageError, match="it has colours or alpha of 16 bits; masks are grey"):
        numbers(data)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_mask_follows_its_own_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {1: IDS, 3: IDS[::-1, ::-1], 6: np.rot90(IDS, -1), 8: np.rot90(IDS)}[orientation]
    np.testing.assert_array_equal(numbers(encode(IDS, exif=exif)), turned)


def test_damaged_and_too_large_masks_are_refused_as_images_are():
    with pytest.raises(UnreadableImageError, match=r"a\.png: begins as PNG, .*may be cut off"):
        numbers(encode(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))[:-200])
    with pytest.raises(UnreadableImageError, match="200 x 200 pixels; at most 10,000"):
        numbers(encode(np.zeros((200, 200), np.uint8)))
