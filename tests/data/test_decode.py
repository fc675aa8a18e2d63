"""Decoding against Pillow and hand calculations."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from thawline.data.decode import EXTENSIONS, FORMATS, Decoding, decode
from thawline.errors import ArgumentError, UnreadableImageError

HEIGHT, WIDTH = 12, 20
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
# Smooth, so that lossy formats stay near it; red, green and blue differ everywhere.
PICTURE = np.stack([200 + X, 10 * Y, 20 + X + Y], axis=-1).astype(np.uint8)
AS_IT_IS = Decoding((HEIGHT, WIDTH))
LOSSLESS = {"PNG": {}, "BMP": {}, "WEBP": {"lossless": True, "exact": True}}


def encode(pixels, form, **options):
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()


def oriented(form, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(PICTURE, form, exif=exif.tobytes(), **options)


@pytest.mark.parametrize("form", LOSSLESS)
def test_lossless_formats_give_the_pixels_in_the_order_red_green_blue(form):
    pixels = decode(encode(PICTURE, form, **LOSSLESS[form]), AS_IT_IS)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, PICTURE)


def test_jpeg_gives_what_pillow_gives():
    data = encode(PICTURE, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(decode(data, AS_IT_IS) - expected).max() <= 1
    assert np.abs(decode(data, AS_IT_IS) - PICTURE.astype(int)).max() < 30


@pytest.mark.parametrize("form", FORMATS)
def test_grey_files_give_three_equal_channels_or_one(form):
    grey = np.full((HEIGHT, WIDTH), 130, np.uint8)
    data = encode(grey, form, **LOSSLESS.get(form, {}))
    np.testing.assert_allclose(decode(data, AS_IT_IS), np.full((HEIGHT, WIDTH, 3), 130), atol=1)
    one = decode(data, Decoding((HEIGHT, WIDTH), "grayscale"))
    np.testing.assert_allclose(one, np.full((HEIGHT, WIDTH, 1), 130), atol=1)


def test_colour_becomes_grey_by_the_weights_of_the_eye():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    # ITU-R BT.601: 0.299 of red. libpng rounds down.
    grey = decode(encode(red, "PNG"), Decoding((2, 2), "grayscale"))
    np.testing.assert_allclose(grey, np.full((2, 2, 1), 0.299 * 200), atol=1)


# EXIF's table: what a camera that noted this number wants done.
ORIENTATIONS = {
    1: lambda picture: picture,
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.transpose(1, 0, 2),
    6: lambda picture: np.rot90(picture, -1),
    7: lambda picture: picture[::-1, ::-1].transpose(1, 0, 2),
    8: lambda picture: np.rot90(picture, 1),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_exif_orientation_is_applied(form, orientation):
    expected = ORIENTATIONS[orientation](PICTURE)
    pixels = decode(oriented(form, orientation, **LOSSLESS[form]), Decoding(expected.shape[:2]))
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_of_jpeg_is_applied(orientation):
    plain = decode(encode(PICTURE, "JPEG", quality=95), AS_IT_IS)
    expected = ORIENTATIONS[orientation](plain)
    pixels = decode(oriented("JPEG", orientation, quality=95), Decoding(expected.shape[:2]))
    np.testing.assert_array_equal(pixels, expected)


def test_16_bits_become_8_by_scaling():
    deep = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    pixels = decode(encode(deep, "PNG"), Decoding((2, 3), "grayscale"))[..., 0]
    np.testing.assert_allclose(pixels, deep / 257, atol=1)
    assert pixels[0, 0] == 0
    assert pixels[1, 2] == 255


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_alpha_is_dropped_and_colours_stay(form, alpha):
    transparent = np.dstack([PICTURE, np.full((HEIGHT, WIDTH), alpha, np.uint8)])
    np.testing.assert_array_equal(decode(encode(transparent, form, **LOSSLESS[form]), AS_IT_IS), PICTURE)


@pytest.mark.parametrize("mode", ["P", "1", "LA"])
def test_rare_png_modes_give_what_pillow_gives(mode):
    image = Image.fromarray(PICTURE).convert(mode)
    np.testing.assert_array_equal(decode(encode(image, "PNG"), AS_IT_IS), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_gives_what_pillow_gives():
    data = encode(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data, AS_IT_IS) - expected).max() <= 3


def test_area_averages_what_falls_into_a_pixel():
    blocks = np.array([[0, 40, 100, 100], [80, 120, 100, 100]], np.uint8)
    pixels = decode(encode(blocks, "PNG"), Decoding((1, 2), "grayscale"))
    # (0 + 40 + 80 + 120) / 4 and 100.
    assert pixels.tolist() == [[[60], [100]]]


def test_area_keeps_blocks_whole_when_the_sides_shrink_by_different_factors():
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 99, 199]]], np.uint8)
    large = colours.repeat(3, axis=0).repeat(5, axis=1)
    np.testing.assert_array_equal(decode(encode(large, "PNG"), Decoding((2, 2))), colours)


def test_nearest_takes_pixels_as_they_are():
    pixels = decode(encode(PICTURE, "PNG"), Decoding((HEIGHT // 2, WIDTH // 2), interpolation="nearest"))
    np.testing.assert_array_equal(pixels, PICTURE[::2, ::2])


def test_bilinear_takes_the_mean_of_the_two_nearest():
    row = np.array([[0, 10, 20, 30, 40, 50, 60, 70]], np.uint8)
    pixels = decode(encode(row, "PNG"), Decoding((1, 4), "grayscale", "bilinear"))
    assert pixels.ravel().tolist() == [5, 25, 45, 65]


def test_image_size_is_height_then_width():
    assert decode(encode(PICTURE, "PNG"), Decoding((7, 5))).shape == (7, 5, 3)
    assert Decoding((7, 5), "grayscale").shape == (7, 5, 1)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_cut_off_files_are_refused_with_name_and_reason(form, share):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = encode(noise, form)
    with pytest.raises(UnreadableImageError, match=r"roses/7: .*(truncated|cut off|damaged|broken).*[Rr]eplace"):
        decode(data[: int(share * len(data))], Decoding((32, 32)), name="roses/7")


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_files_are_decoded_or_refused_but_never_anything_else(form):
    random = np.random.default_rng(1)
    data = encode(PICTURE, form)
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 3):
            damaged[place] = random.integers(256)
        try:
            assert decode(bytes(damaged), AS_IT_IS).shape == PICTURE.shape
        except UnreadableImageError as error:
            assert "image" in str(error)


def test_empty_files_are_refused():
    with pytest.raises(UnreadableImageError, match=r"a\.jpg: the file is empty\. Replace it"):
        decode(b"", AS_IT_IS, name="a.jpg")


@pytest.mark.parametrize("data", [b"These are not the pixels you look for.", b"GIF89a" + bytes(50)])
def test_other_content_is_refused_with_the_formats_that_are_known(data):
    with pytest.raises(UnreadableImageError, match=r"a\.jpg: expected an image \(BMP, JPEG, PNG, WEBP\).*Convert"):
        decode(data, AS_IT_IS, name="a.jpg")


def test_the_content_decides_and_not_the_name():
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG"), AS_IT_IS, name="a.jpg"), PICTURE)


def png_header(width, height):
    """A PNG whose header claims a size, with hardly any pixels behind it."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_too_large_images_are_refused_by_their_header_alone():
    with pytest.raises(UnreadableImageError, match=r"big: 9000 x 9000 pixels; at most 80,000,000 .*Shrink"):
        decode(png_header(9000, 9000), AS_IT_IS, name="big")


def test_decompression_bombs_are_refused_by_their_header_alone():
    with pytest.raises(UnreadableImageError, match=r"big: .*100000000000000 pixels.*Shrink"):
        decode(png_header(10_000_000, 10_000_000), AS_IT_IS, name="big")


def test_as_many_pixels_as_allowed_are_decoded():
    data = encode(PICTURE, "PNG")
    assert decode(data, Decoding((2, 2), max_pixels=HEIGHT * WIDTH)).shape == (2, 2, 3)
    with pytest.raises(UnreadableImageError, match="20 x 12 pixels; at most 239 are decoded"):
        decode(data, Decoding((2, 2), max_pixels=HEIGHT * WIDTH - 1))


@pytest.mark.parametrize("size", [(0, 8), (8, -1), (8.0, 8), (8,), (8, 8, 3), 8, "88"])
def test_image_sizes_that_are_no_pair_of_whole_numbers_are_refused(size):
    with pytest.raises(ArgumentError, match=r"image_size is \(height, width\) in whole pixels, like \(160, 160\); got"):
        Decoding(size)


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match="color_mode is one of 'rgb', 'grayscale'; got 'bgr'"):
        Decoding((8, 8), "bgr")
    with pytest.raises(ArgumentError, match="interpolation is one of 'nearest', 'bilinear', 'area'; got 'lanczos'"):
        Decoding((8, 8), interpolation="lanczos")


def test_endings_are_lower_case_with_their_dot():
    assert all(ending.startswith(".") and ending == ending.lower() for ending in EXTENSIONS)


def test_equal_decodings_have_equal_identities_and_others_do_not():
    changed = [Decoding((9, 8)), Decoding((8, 8), "grayscale"), Decoding((8, 8), interpolation="nearest")]
    assert Decoding((8, 8)).identity() == Decoding([8, 8]).identity()
    assert all(decoding.identity() != Decoding((8, 8)).identity() for decoding in changed)
