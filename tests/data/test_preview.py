"""Contact sheets show true pixels and the numbers that made them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from thawline.data.augment import Draw
from thawline.data.preview import _changes, _elide, _wrap, contact_sheet
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.errors import ArgumentError


@pytest.fixture
def source(image_folder):
    folder = ImageFolder(image_folder(2, count=3, size=(130, 140)), image_size=(130, 140), batch_size=2, seed=3)
    return folder.augment(rotation_range=30, brightness_range=(0.5, 1.5))


def test_a_sheet_holds_the_pixels_of_each_view_in_its_place(source):
    sheet = contact_sheet(source, [4, 1], [0, 2])
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[8:138, 8:148], source.image(4, 0))
    np.testing.assert_array_equal(sheet[8:138, 156:296], source.image(4, 2))
    below = sheet[138:, 8:148]
    # The second row begins somewhere below the first one's text, which is dark on white.
    second = source.image(1, 0)
    tops = [top for top in range(len(below) - 129) if np.array_equal(below[top : top + 130], second)]
    assert len(tops) == 1 and below[: tops[0]].min() < 60


def test_under_each_picture_stand_its_label_and_its_path_below_the_folder(source, monkeypatch):
    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda pen, at, text, *rest: written.append(text))
    contact_sheet(source.unaugmented(), [0, 4], [0])
    assert written == [
        "class0",
        "view 0 \N{MIDDLE DOT} class0/000.png",
        "as it is",
        "class1",
        "view 0 \N{MIDDLE DOT} class1/001.png",
        "as it is",
    ]


def test_labels_of_every_kind_are_told(monkeypatch):
    pixels = np.zeros((2, 128, 128, 3), np.uint8)
    modes = {"kinds": "multi_label", "size": "regression"}
    several = ImageArrays(pixels, {"kinds": [["a", "b"], []], "size": [[0.5, 1], [2, 3]]}, label_mode=modes)
    assert [several.label_text(index) for index in range(2)] == [
        "kinds: a, b; size: 0.5, 1",
        "kinds: none; size: 2, 3",
    ]
    assert ImageArrays(pixels, ["cat", "dog"], label_mode="sparse").select([1]).label_text(0) == "dog"
    plain = ImageArrays(pixels)
    assert plain.label_text(0) == ""
    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda pen, at, text, *rest: written.append(text))
    contact_sheet(plain, [1], [0])
    assert written == ["view 0 \N{MIDDLE DOT} images[1]", "as it is"]


def test_standardized_images_are_shown_as_pixels(source):
    scaled = source.augment(rescale=1 / 255)
    np.testing.assert_array_equal(contact_sheet(scaled, [0], [0])[8:138, 8:148], source.unaugmented().image(0))


def test_a_preview_is_a_png_for_notebooks_and_on_disk(source, tmp_path):
    path = tmp_path / "sheet.png"
    sheet = source.preview(count=2, views=3, path=path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), sheet.pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sheet._repr_png_()))), sheet.pixels)
    sheet.save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == path.read_bytes()


def test_images_are_spread_over_the_source_and_never_shown_twice(source):
    assert source.preview(count=100, views=1).pixels.shape == contact_sheet(source, range(6), [0]).shape
    np.testing.assert_array_equal(source.preview(count=2, views=1).pixels, contact_sheet(source, [0, 5], [0]))


def test_small_grey_images_are_enlarged_in_squares(image_folder):
    small = ImageFolder(image_folder(2), image_size=(8, 8), batch_size=1, seed=0, color_mode="grayscale")
    sheet = contact_sheet(small, [0], [0])
    expected = small.image(0).repeat(16, axis=0).repeat(16, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(sheet[8:136, 8:136], expected)


def test_the_text_says_the_numbers_that_change_something():
    numbers = Draw(rotation=-9.42, zoom_x=0.939, flip_horizontal=True, crop_width=0.5, grayscale=True, entropy=4)
    assert _changes(numbers) == ["crop 50% x 100%", "turn -9.4°", "zoom 0.94; 1.00", "flip horizontal", "grey"]
    assert _changes(Draw()) == ["as it is"]


@pytest.mark.parametrize("arguments", [{"count": 0}, {"views": 1.5}])
def test_numbers_below_one_are_refused(source, arguments):
    with pytest.raises(ArgumentError, match=r"(count|views) is a whole number from 1 up; got (0|1.5)"):
        source.preview(**arguments)


def test_long_names_are_cut_in_their_middle_and_no_text_is_wider_than_its_picture():
    font = ImageFont.load_default(12)
    for name in ("rose.jpg", "a_rather_long_name_of_a_photo_of_a_rose_0042.jpg", "W" * 200):
        text = f"view 0 \N{MIDDLE DOT} {name}"
        short = _elide(text, font, 140)
        assert font.getlength(short) <= 140
        assert short == text if len(name) < 10 else (short[:8] == text[:8] and short[-6:] == text[-6:])
        # What is cut is cut because one letter more would not fit.
        assert short == text or font.getlength(short) > 140 - 2 * font.getlength("W")


def test_numbers_fill_lines_without_being_torn():
    font = ImageFont.load_default(12)
    parts = _changes(Draw(rotation=-9.4, shift_x=3.0, shear=2.0, zoom_x=0.9, brightness=1.2, flip_horizontal=True))
    lines = _wrap(parts, font, 160)
    assert " ".join(lines) == ", ".join(parts)
    assert all(font.getlength(line) <= 160 for line in lines)
    assert len(lines) < len(parts)
