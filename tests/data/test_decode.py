"""Decoding against Pillow and hand calculations."""

import io
import struct
import zlib

import cv2
import numpy as np
import PIL
import pytest
from PIL import Image

import heif_writer  # noqa: F401
from thawline.data.decode import FORMATS, Decoding, decode
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


def chunk(kind, body):
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


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


DEEP = np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)


def encode_bgr(pixels, ending):
    """By OpenCV, because Pillow does not write 16 bits of colour. Channels come in OpenCV's order."""
    return cv2.imencode(ending, pixels)[1].tobytes()


def with_chunk(png, kind, body):
    """The PNG with one more chunk behind its header."""
    return png[:33] + chunk(kind, body) + png[33:]


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_16_bits_of_grey_and_colour_are_divided_by_257_and_rounded(ending):
    grey = decode(encode_bgr(DEEP[..., 0], ending), Decoding((HEIGHT, WIDTH), "grayscale"))
    np.testing.assert_array_equal(grey[..., 0], np.round(DEEP[..., 0] / 257))
    np.testing.assert_array_equal(decode(encode_bgr(DEEP[..., ::-1], ending), AS_IT_IS), np.round(DEEP / 257))


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_16_bits_keep_their_alpha(ending):
    four = np.dstack([DEEP, DEEP[..., 0]])
    pixels = decode(encode_bgr(four[..., [2, 1, 0, 3]], ending), Decoding((HEIGHT, WIDTH), "rgba"))
    np.testing.assert_array_equal(pixels, np.round(four / 257))


def test_the_grey_or_colour_that_a_deep_png_calls_transparent_is():
    grey = with_chunk(encode_bgr(DEEP[..., 0], ".png"), b"tRNS", struct.pack(">H", DEEP[3, 4, 0]))
    colour = with_chunk(encode_bgr(DEEP[..., ::-1], ".png"), b"tRNS", struct.pack(">HHH", *DEEP[3, 4].tolist()))
    for data in (grey, colour):
        alpha = decode(data, Decoding((HEIGHT, WIDTH), "rgba"))[..., 3]
        assert alpha[3, 4] == 0
        assert (alpha == 255).sum() == HEIGHT * WIDTH - 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_applied_to_16_bits_too(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    png = with_chunk(encode_bgr(DEEP[..., ::-1], ".png"), b"eXIf", exif.tobytes()[6:])
    expected = ORIENTATIONS[orientation](np.round(DEEP / 257))
    np.testing.assert_array_equal(decode(png, Decoding(expected.shape[:2])), expected)
    tiff = encode(DEEP[..., 0], "TIFF", exif=exif)
    pixels = decode(tiff, Decoding(expected.shape[:2], "grayscale"))
    np.testing.assert_array_equal(pixels[..., 0], expected[..., 0])


def test_tiff_that_counts_from_white_is_turned_around():
    data = encode(DEEP[..., 0], "TIFF", tiffinfo={262: 0})
    pixels = decode(data, Decoding((HEIGHT, WIDTH), "grayscale"))
    np.testing.assert_array_equal(pixels[..., 0], 255 - np.round(DEEP[..., 0] / 257))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_32_bits_are_refused(mode):
    with pytest.raises(UnreadableImageError, match=r"a\.tif: .*numbers of 32 bits, whose range is not known; 8 and 16"):
        decode(encode(Image.fromarray(PICTURE).convert(mode), "TIFF"), AS_IT_IS, name="a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_tiff_modes_give_what_pillow_gives(mode):
    image = Image.fromarray(PICTURE).convert(mode)
    pixels = decode(encode(image, "TIFF"), AS_IT_IS)
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("most", [15, 255, 1023, 65535])
@pytest.mark.parametrize(("kind", "channels"), [("P5", 1), ("P6", 3)])
def test_ppm_and_pgm_are_scaled_by_their_largest_number(kind, channels, most):
    numbers = np.random.default_rng(0).integers(0, most + 1, (HEIGHT, WIDTH, channels))
    header = f"{kind}\n{WIDTH} {HEIGHT}\n{most}\n".encode()
    data = header + numbers.astype(np.uint8 if most < 256 else ">u2").tobytes()
    pixels = decode(data, Decoding((HEIGHT, WIDTH), "grayscale" if channels == 1 else "rgb"))
    np.testing.assert_allclose(pixels, numbers * 255 / most, atol=0.5)


def animation(form, *pictures, **options):
    """One file that shows pictures after each other, or holds them as pages."""
    first, *others = [Image.fromarray(picture) for picture in pictures]
    return encode(first, form, save_all=True, append_images=others, **options)


@pytest.mark.parametrize(
    ("form", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("GIF", {"duration": 50})]
)
def test_of_animations_and_pages_the_first_is_taken(form, options):
    # Few colours, which GIF keeps.
    first = np.full((HEIGHT, WIDTH, 3), (255, 0, 51), np.uint8)
    data = animation(form, first, 255 - first, first, **options)
    np.testing.assert_array_equal(decode(data, AS_IT_IS), first)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("alpha", [0, 128, 255])
@pytest.mark.parametrize("background", [(255, 255, 255), (0, 10, 250)])
def test_alpha_is_laid_over_the_background(form, alpha, background):
    transparent = np.dstack([PICTURE, np.full((HEIGHT, WIDTH), alpha, np.uint8)])
    data = encode(transparent, form, **LOSSLESS.get(form, {}))
    expected = (PICTURE * (alpha / 255) + np.array(background) * (1 - alpha / 255)).round()
    np.testing.assert_array_equal(decode(data, Decoding((HEIGHT, WIDTH), background=background)), expected)


def test_large_transparent_images_are_composed_whole():
    """In bands of rows, of which the last is shorter."""
    four = np.random.default_rng(0).integers(0, 256, (301, 2000, 4), dtype=np.uint8)
    share = four[..., 3:] / 255
    expected = (four[..., :3] * share + 255 * (1 - share)).round()
    np.testing.assert_array_equal(decode(encode(four, "PNG"), Decoding((301, 2000))), expected)


def test_the_background_is_white_unless_said_otherwise():
    clear = encode(np.zeros((2, 2, 4), np.uint8), "PNG")
    assert decode(clear, Decoding((2, 2))).min() == 255
    assert decode(clear, Decoding((2, 2), "grayscale")).min() == 255
    assert decode(clear, Decoding((2, 2), "grayscale", background=(200, 0, 0))).max() == 60  # 0.299 * 200


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_is_laid_over_the_background(form):
    image = Image.new("P", (2, 2))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    image.putdata([0, 1, 2, 3])
    pixels = decode(encode(image, form, transparency=2), Decoding((2, 2), background=(1, 2, 3)))
    assert pixels.tolist() == [[[10, 20, 30], [40, 50, 60]], [[1, 2, 3], [100, 110, 120]]]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_rgba_keeps_colours_and_alpha(form):
    four = np.dstack([PICTURE, (Y * X).astype(np.uint8)])
    data = encode(four, form, **LOSSLESS.get(form, {}))
    np.testing.assert_array_equal(decode(data, Decoding((HEIGHT, WIDTH), "rgba")), four)


@pytest.mark.parametrize("form", FORMATS)
def test_rgba_of_a_file_without_alpha_is_opaque(form):
    pixels = decode(encode(PICTURE, form), Decoding((HEIGHT, WIDTH), "rgba"))
    assert pixels.shape == (HEIGHT, WIDTH, 4)
    assert pixels[..., 3].min() == 255
    np.testing.assert_array_equal(pixels[..., :3], decode(encode(PICTURE, form), AS_IT_IS))


@pytest.mark.parametrize("mode", ["P", "1", "LA"])
def test_rare_png_modes_give_what_pillow_gives(mode):
    image = Image.fromarray(PICTURE).convert(mode)
    np.testing.assert_array_equal(decode(encode(image, "PNG"), AS_IT_IS), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("transform", [0, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_cmyk_and_ycck_jpeg_give_what_pillow_gives(transform, progressive):
    data = bytearray(encode(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95, progressive=progressive))
    # Adobe's marker: 0 for CMYK and 2 for YCCK; both hold inverted inks.
    data[data.find(b"Adobe") + 11] = transform
    image = Image.open(io.BytesIO(data))
    assert image.mode == "CMYK"
    pixels = decode(bytes(data), AS_IT_IS)
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    if transform == 0:
        assert np.abs(pixels.astype(int) - PICTURE).max() < 30


def test_cmyk_jpeg_is_turned_as_exif_says():
    image = Image.fromarray(PICTURE).convert("CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode(encode(image, "JPEG", quality=95, exif=exif), Decoding((WIDTH, HEIGHT)))
    np.testing.assert_array_equal(pixels, np.rot90(decode(encode(image, "JPEG", quality=95), AS_IT_IS), -1))


def test_progressive_jpeg_gives_what_pillow_gives():
    data = encode(PICTURE, "JPEG", quality=95, progressive=True)
    expected = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(decode(data, AS_IT_IS) - expected).max() <= 1


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
    with pytest.raises(
        UnreadableImageError, match=r"roses/7: .*([Tt]runcated|cut off|damaged|broken|outside of file).*[Rr]eplace"
    ):
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


@pytest.mark.parametrize("data", [b"These are not the pixels you look for.", b"\0\0\0\x0cjP  \r\n" + bytes(50)])
def test_other_content_is_refused_with_the_formats_that_are_known(data):
    with pytest.raises(UnreadableImageError, match=rf"a\.jpg: expected an image \({', '.join(FORMATS)}\).*Convert"):
        decode(data, AS_IT_IS, name="a.jpg")


def test_the_content_decides_and_not_the_name():
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG"), AS_IT_IS, name="a.jpg"), PICTURE)


def test_as_many_pixels_as_allowed_are_decoded():
    data = encode(PICTURE, "PNG")
    assert decode(data, Decoding((2, 2), max_pixels=HEIGHT * WIDTH)).shape == (2, 2, 3)
    with pytest.raises(UnreadableImageError, match="20 x 12 pixels; at most 239 are decoded"):
        decode(data, Decoding((2, 2), max_pixels=HEIGHT * WIDTH - 1))


@pytest.mark.parametrize("size", [(0, 8), (8, -1), (8.0, 8), (8,), (8, 8, 3), 8.0, "88"])
def test_image_sizes_that_are_no_pair_of_whole_numbers_are_refused(size):
    with pytest.raises(
        ArgumentError, match=r"image_size is \(height, width\) in whole pixels, like \(160, 160\), or o"
    ):
        Decoding(size)


def test_whole_numbers_may_be_those_of_numpy():
    given = Decoding((np.int64(8), np.uint8(6)), background=tuple(np.array([1, 2, 3])))
    assert given == Decoding((8, 6), background=(1, 2, 3))
    assert all(type(number) is int for number in (*given.image_size, *given.background))


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match="color_mode is one of 'rgb', 'grayscale', 'rgba'; got 'bgr'"):
        Decoding((8, 8), "bgr")
    known = "'nearest', 'bilinear', 'area', 'bicubic', 'lanczos'"
    with pytest.raises(ArgumentError, match=f"interpolation is one of {known}; got 'cubic'"):
        Decoding((8, 8), interpolation="cubic")
    with pytest.raises(ArgumentError, match="resize is one of 'stretch', 'crop', 'pad'; got 'fit'"):
        Decoding((8, 8), resize="fit")


@pytest.mark.parametrize("colour", [255, "white", (255, 255), (0, 0, 256), (-1, 0, 0), (0.5, 0, 0)])
def test_backgrounds_that_are_no_colour_are_refused(colour):
    with pytest.raises(ArgumentError, match=r"background is \(red, green, blue\), whole numbers from 0 to 255; got"):
        Decoding((8, 8), background=colour)


def test_fast_jpeg_is_refused_where_pixels_are_not_averaged():
    with pytest.raises(ArgumentError, match="fast_jpeg=True averages pixels, which interpolation='nearest' does not"):
        Decoding((8, 8), interpolation="nearest", fast_jpeg=True)


@pytest.mark.parametrize("mode", ["rgb", "grayscale", "rgba"])
def test_fast_jpeg_stays_near_the_whole_decoding_and_leaves_small_images_alone(mode):
    smooth = PICTURE.repeat(16, axis=0).repeat(16, axis=1)
    data = encode(smooth, "JPEG", quality=95)
    for size in [(20, 24), (48, 40), (96, 90)]:
        plain = decode(data, Decoding(size, mode))
        fast = decode(data, Decoding(size, mode, fast_jpeg=True))
        assert fast.shape == plain.shape
        assert np.abs(fast.astype(int) - plain).mean() < 3
    large = Decoding((97, 10), mode, fast_jpeg=True)
    np.testing.assert_array_equal(decode(data, large), decode(data, Decoding((97, 10), mode)))


@pytest.mark.parametrize("mode", ["rgb", "grayscale", "rgba"])
def test_pad_fills_with_the_background_and_with_nothing_where_there_is_alpha(mode):
    data = encode(np.full((2, 4, 3), 77, np.uint8), "PNG")
    pixels = decode(data, Decoding((4, 4), mode, resize="pad", background=(200, 0, 0)))
    fill = {"rgb": [200, 0, 0], "grayscale": [60], "rgba": [200, 0, 0, 0]}[mode]
    middle = {"rgb": [77] * 3, "grayscale": [77], "rgba": [77, 77, 77, 255]}[mode]
    assert pixels[:, 0].tolist() == [fill, middle, middle, fill]


def test_equal_decodings_have_equal_identities_and_others_do_not():
    changed = [
        Decoding((9, 8)),
        Decoding((8, 8), "grayscale"),
        Decoding((8, 8), interpolation="nearest"),
        Decoding((8, 8), resize="pad"),
        Decoding((8, 8), background=(0, 0, 0)),
        Decoding((8, 8), fast_jpeg=True),
    ]
    assert Decoding((8, 8)).identity() == Decoding([8, 8]).identity()
    assert all(decoding.identity() != Decoding((8, 8)).identity() for decoding in changed)


def test_the_identity_names_both_decoders():
    identity = Decoding((8, 8)).identity()
    assert (identity["opencv"], identity["pillow"]) == (cv2.__version__, PIL.__version__)
