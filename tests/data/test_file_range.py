"""Files of 16 bits that use a part of them: scaled from the range that is stated, or from each image's own."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.data.decode import Decoding, decode
from thawline.data.reading import as_decoding, describe_reading
from thawline.errors import ArgumentError, UnreadableImageError
from thawline.recipe import Recipe

LEVELS = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def encode(pixels, form="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def grey(data, file_range, size=(64, 64)):
    return decode(data, Decoding(size, "grayscale", file_range=file_range))[..., 0]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_12_bits_in_16_keep_256_steps_when_their_range_is_stated(form):
    data = encode(LEVELS, form)
    assert len(np.unique(grey(data, None))) == 17
    np.testing.assert_array_equal(grey(data, (0, 4095)), np.round(LEVELS / 4095 * 255))
    np.testing.assert_array_equal(grey(data, "image"), np.round(LEVELS / 4095 * 255))


def test_numbers_outside_the_range_are_clipped():
    expected = np.clip(np.round((LEVELS - 1000.0) / 500 * 255), 0, 255)
    np.testing.assert_array_equal(grey(encode(LEVELS), (1000, 1500)), expected)


def test_each_image_has_its_own_range():
    for low, high in ((7, 300), (500, 60_000)):
        deep = np.linspace(low, high, 64).astype(np.uint16).reshape(8, 8)
        pixels = grey(encode(deep), "image", (8, 8))
        assert (pixels.min(), pixels.max()) == (0, 255)
    assert grey(encode(np.full((8, 8), 700, np.uint16)), "image", (8, 8)).max() == 0


def test_the_whole_range_stated_is_the_default():
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16), np.uint16)
    np.testing.assert_array_equal(grey(encode(deep), (0, 65535), (16, 16)), grey(encode(deep), None, (16, 16)))


@pytest.mark.parametrize("file_range", [(0, 4095), "image"])
def test_files_of_8_bits_stay_as_they_are(file_range):
    shallow = np.random.default_rng(0).integers(50, 90, (16, 16), np.uint8)
    np.testing.assert_array_equal(grey(encode(shallow), file_range, (16, 16)), shallow)


def test_colours_share_one_range_and_alpha_keeps_its_own():
    deep = np.random.default_rng(1).integers(0, 4096, (8, 8, 4)).astype(np.uint16)
    deep[..., 3] = 65535
    data = cv2.imencode(".png", deep[..., [2, 1, 0, 3]])[1].tobytes()
    pixels = decode(data, Decoding((8, 8), "rgba", file_range=(0, 4095)))
    np.testing.assert_array_equal(pixels[..., :3], np.round(deep[..., :3] / 4095 * 255))
    assert pixels[..., 3].min() == 255
    own = decode(data, Decoding((8, 8), file_range="image"))
    low, high = float(deep[..., :3].min()), float(deep[..., :3].max())
    np.testing.assert_array_equal(own, np.round((deep[..., :3] - low) / (high - low) * 255))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_tiffs_of_32_bits_are_read_once_their_range_is_known(dtype):
    numbers = np.arange(-100, 156).reshape(16, 16).astype(dtype)
    with pytest.raises(
        UnreadableImageError, match=r"numbers of 32 bits, whose range is not known; .* with file_range="
    ):
        grey(encode(numbers, "TIFF"), None, (16, 16))
    np.testing.assert_array_equal(grey(encode(numbers, "TIFF"), (-100, 155), (16, 16)), numbers + 100)
    np.testing.assert_array_equal(grey(encode(numbers, "TIFF"), "image", (16, 16)), numbers + 100)


def test_what_is_no_number_becomes_the_lowest():
    numbers = np.array([[np.nan, 0, 1, 2]], np.float32)
    assert grey(encode(numbers, "TIFF"), "image", (1, 4)).tolist() == [[0, 0, 128, 255]]


def test_a_pgm_is_scaled_by_the_numbers_that_stand_in_it():
    data = b"P5\n64 64\n65535\n" + LEVELS.astype(">u2").tobytes()
    np.testing.assert_allclose(grey(data, (0, 4095)), LEVELS / 4095 * 255, atol=0.51)
    small = b"P5\n64 64\n4095\n" + LEVELS.astype(">u2").tobytes()
    np.testing.assert_allclose(grey(small, (0, 2047)), np.clip(LEVELS / 2047 * 255, 0, 255), atol=0.51)


def packed_tiff(numbers):
    """A TIFF of 12 bits per pixel, two pixels in three bytes, as cameras of microscopes write it."""
    height, width = numbers.shape
    pairs = numbers.reshape(-1, 2).astype(int)
    body = b"".join((first << 12 | second).to_bytes(3, "big") for first, second in pairs.tolist())
    shorts = [(256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, height)]
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in shorts)
    entries += struct.pack("<HHII", 279, 4, 1, len(body))
    return struct.pack("<2sHIH", b"II", 42, 8, 9) + entries + bytes(4) + body


def test_tiffs_of_12_bits_are_scaled_by_their_own_range():
    np.testing.assert_array_equal(grey(packed_tiff(LEVELS), None), np.round(LEVELS / 4095 * 255))
    np.testing.assert_array_equal(grey(packed_tiff(LEVELS), (0, 2047)), np.clip(np.round(LEVELS / 2047 * 255), 0, 255))
    in_colour = decode(packed_tiff(LEVELS), Decoding((64, 64)))
    np.testing.assert_array_equal(in_colour[..., 2], np.round(LEVELS / 4095 * 255))


@pytest.mark.parametrize("file_range", [(5, 5), (9, 1), (0,), 4095, "own", (0, float("nan")), ("a", "b")])
def test_ranges_that_are_none_are_refused(file_range):
    with pytest.raises(ArgumentError, match=r"file_range is \(lowest, highest\), .* like \(0, 4095\), or 'image'"):
        Decoding((8, 8), file_range=file_range)


def test_it_is_part_of_the_identity_only_where_it_is_given():
    assert "file_range" not in Decoding((8, 8)).identity()
    assert Decoding((8, 8), file_range=(0, 4095)).identity()["file_range"] == (0, 4095)
    assert Decoding((8, 8), file_range=[np.uint16(0), np.float32(9)]) == Decoding((8, 8), file_range=(0, 9))


def test_every_source_takes_it_and_a_reading_keeps_it(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(LEVELS).save(tmp_path / "a" / "1.png")
    (tmp_path / "t.csv").write_text("filename\na/1.png\n")
    options = {"image_size": (64, 64), "color_mode": "grayscale", "file_range": (0, 4095)}
    sources = [
        tl.ImageFolder(tmp_path, label_mode="none", **options),
        tl.ImageFrame(tmp_path / "t.csv", label_mode="none", **options),
        tl.ImageFiles([tmp_path / "a"], **options),
    ]
    for source in sources:
        np.testing.assert_array_equal(source.image(0)[..., 0], np.round(LEVELS / 4095 * 255))
        reading = describe_reading(source)
        assert as_decoding(reading) == source.pictures.decoding
    plain = describe_reading(tl.ImageFiles([tmp_path / "a"]))
    assert "file_range" not in plain
    assert as_decoding(plain).file_range is None


def test_a_recipe_says_it(tmp_path):
    text = {"train": str(tmp_path), "image_size": [8, 8], "file_range": [0, 4095]}
    recipe = Recipe.model_validate(
        {"data": text, "stack": [{"name": "head", "layers": ["Flatten"]}], "phases": [{"train": "head", "epochs": 1}]}
    )
    assert recipe.decoding.file_range == (0, 4095)
    assert "file_range: [0.0, 4095.0]" in recipe.to_yaml()
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update={"file_range": "image"})})
    assert own.decoding.file_range == "image"
    none = recipe.model_copy(update={"data": recipe.data.model_copy(update={"file_range": None})})
    assert "file_range" not in none.to_yaml()
