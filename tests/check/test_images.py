"""Every kind of odd image is found once, with the files that are so; clean images give nothing."""

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from odd_files import BAD, GOOD, encode, rotated_exif
from thawline.check.facts import ImageFacts, survey
from thawline.check.images import CODES, check_images, find_aspects, find_deep, find_huge, find_tiny
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder

PHOTO = cv2.resize(skimage.data.coffee(), (120, 96), interpolation=cv2.INTER_AREA)


def transparent(alpha):
    return encode(np.dstack([PHOTO, np.full(PHOTO.shape[:2], alpha, np.uint8)]), "PNG")


def broken_off(data):
    """A download that ended early, of which a program made a whole file."""
    return data[: len(data) // 2] + b"\xff\xd9"


def with_hole(data):
    """A download of which a part never came."""
    start = len(data) // 2
    return data[:start] + bytes(2000) + data[start + 2000 :]


JPEG = encode(PHOTO, "JPEG", quality=95)
DARK = (PHOTO // 16).astype(np.uint16) * 257

# The file's name, its content, the code that it gives and the severity.
ODD = [
    ("1.jpg", BAD["empty.jpg"][0](), "image-unreadable", "error"),
    ("1.jpg", JPEG[:-500], "image-unreadable", "error"),
    ("1.jpg", broken_off(JPEG), "image-truncated", "warning"),
    ("1.jpg", with_hole(JPEG), "image-truncated", "warning"),
    ("1.jpg", encode(PHOTO, "PNG"), "image-wrong-extension", "note"),
    ("1.png", encode(np.full((96, 120, 3), 255, np.uint8), "PNG"), "image-blank", "warning"),
    ("1.png", GOOD["16 bits.png"](), "image-16-bit", "note"),
    ("1.png", cv2.imencode(".png", DARK)[1].tobytes(), "image-16-bit", "warning"),
    ("1.jpg", encode(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"), "image-cmyk", "note"),
    ("1.png", transparent(100), "image-transparent", "note"),
    ("1.jpg", encode(PHOTO, "JPEG", exif=rotated_exif()), "image-turned", "note"),
    ("1.png", encode(PHOTO[:20, :20], "PNG"), "image-tiny", "note"),
    ("1.jpg", encode(cv2.resize(PHOTO, (2500, 2000)), "JPEG"), "image-huge", "note"),
]


@pytest.fixture
def folder(image_folder):
    """Twelve clean photos in two classes; the folder of a third class takes the odd file."""
    path = image_folder({"a": 6, "b": 6}, size=(96, 120))
    (path / "c").mkdir()
    (path / "c" / "0.png").write_bytes(encode(PHOTO, "PNG"))
    return path


def findings_of(folder, **options):
    source = ImageFolder(folder, image_size=(64, 64), **options)
    return check_images(survey(source, show_progress=False), source)


def test_clean_images_give_nothing(folder):
    # What is whole, opaque, upright and of another format than most gives nothing either.
    (folder / "c" / "1.png").write_bytes(transparent(255))
    (folder / "c" / "2.jpg").write_bytes(JPEG)
    # A camera that fills its files up with zeros behind their end.
    (folder / "c" / "3.jpeg").write_bytes(encode(PHOTO, "JPEG", quality=60) + bytes(5000))
    (folder / "c" / "4.bmp").write_bytes(encode(PHOTO // 2, "BMP"))
    # A picture on the very grey that is painted for missing data, all around.
    framed = np.full((120, 160, 3), 128, np.uint8)
    framed[20:100, 20:140] = PHOTO[:80]
    (folder / "c" / "5.jpg").write_bytes(encode(framed, "JPEG"))
    assert findings_of(folder) == []


@pytest.mark.parametrize(("name", "content", "code", "severity"), ODD)
def test_each_odd_file_is_found_and_nothing_else(folder, name, content, code, severity):
    (folder / "c" / name).write_bytes(content)
    found = findings_of(folder)
    assert [(finding.code, finding.severity, finding.paths) for finding in found] == [
        (code, severity, (folder / "c" / name,))
    ]
    assert f"c/{name}" in found[0].what
    assert found[0].fix.endswith(".")


def test_there_is_a_case_for_every_code():
    assert {code for _, _, code, _ in ODD} | {"image-aspect"} == set(CODES)


def test_files_that_are_left_out_already_are_a_warning_with_their_reasons(folder):
    (folder / "c" / "1.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out"):
        source = ImageFolder(folder, image_size=(64, 64), on_error="skip")
    (found,) = check_images(survey(source, show_progress=False), source)
    assert (found.code, found.severity, found.paths) == ("image-unreadable", "warning", (folder / "c" / "1.jpg",))
    assert "the file is empty" in found.what
    assert found.as_dict()["evidence"] == {"reasons": [BAD["empty.jpg"][1]]}


def test_one_finding_lists_all_files_and_names_three(folder):
    for number in range(5):
        (folder / "c" / f"{number}.jpg").write_bytes(b"")
    (found,) = findings_of(folder)
    assert len(found.paths) == 5
    assert "5 files cannot be used" in found.what
    assert "images/c/2.jpg and 2 more" in found.what


def test_transparent_pixels_are_no_finding_where_alpha_is_kept(folder):
    (folder / "c" / "1.png").write_bytes(transparent(100))
    assert findings_of(folder, color_mode="rgba") == []


def test_facts_of_a_turned_file_are_those_of_the_upright_image(folder):
    (folder / "c" / "1.jpg").write_bytes(encode(PHOTO, "JPEG", exif=rotated_exif()))
    source = ImageFolder(folder, image_size=(64, 64))
    looked = survey(source, show_progress=False)
    facts = next(each for each in looked.facts if each.is_turned)
    assert (facts.width, facts.height) == (96, 120)
    assert facts.format == "JPEG"
    assert facts.size_bytes == (folder / "c" / "1.jpg").stat().st_size
    assert facts.digest == source.content_digests()[source.paths.index(facts.path)]
    assert looked.thumbnails.shape == (14, 32, 32, 3)


def test_a_survey_of_arrays_knows_sizes_and_pixels():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 1), np.uint8)
    pictures[3] = 7
    source = ImageArrays(pictures, [0, 0, 1, 1])
    looked = survey(source, show_progress=False)
    assert [(each.width, each.height, each.spread) for each in looked.facts][3] == (30, 20, 0)
    assert looked.facts[0].format is None
    assert [finding.code for finding in check_images(looked, source)] == ["image-blank"]


def test_a_survey_takes_the_pixels_of_a_cache(folder):
    source = ImageFolder(folder, image_size=(64, 64)).cache_pixels("ram")
    assert survey(source, show_progress=False).facts == survey(source, show_progress=False).facts
    assert check_images(survey(source, show_progress=False), source) == []


def facts_of(*sizes):
    """Facts of images with these widths and heights."""
    return [ImageFacts(Path(f"{number}.jpg"), width=w, height=h) for number, (w, h) in enumerate(sizes)]


def test_tiny_means_more_than_twice_along_both_sides():
    assert find_tiny(facts_of((50, 50), (20, 50), (300, 40)), (100, 100)) == []
    (found,) = find_tiny(facts_of((49, 49), (20, 30), (100, 100)), (100, 100))
    assert found.severity == "warning"
    assert [path.name for path in found.paths] == ["1.jpg", "0.jpg"]
    assert "2 images of 3" in found.what
    assert "from 20 x 30" in found.what


def test_huge_means_eight_times_as_large_and_many_pixels():
    assert find_huge(facts_of((800, 800), (4000, 700)), (100, 100)) == []
    (found,) = find_huge(facts_of((2000, 2000), (4000, 3000)), (100, 100))
    assert [path.name for path in found.paths] == ["1.jpg", "0.jpg"]
    assert "4000 x 3000 (36 MB when decoded)" in found.what


@pytest.mark.parametrize(
    ("resize", "effect"),
    [("stretch", "stretched 2.0 times"), ("crop", "lose 50% of their pixels"), ("pad", "are 50% background")],
)
def test_aspects_are_told_with_what_resize_does_to_them(resize, effect):
    wide = [(200, 100)] * 5 + [(100, 100)] * 5
    (found,) = find_aspects(facts_of(*wide), (100, 100), resize)
    assert effect in found.what
    assert (found.code, found.severity, len(found.paths)) == ("image-aspect", "note", 5)
    assert find_aspects(facts_of(*wide), (100, 200), resize)[0].paths[0].name == "5.jpg"


def test_aspects_of_usual_photos_or_of_few_images_are_no_finding():
    assert find_aspects(facts_of((150, 100), (100, 133), (160, 120)), (96, 96), "stretch") == []
    assert find_aspects(facts_of(*[(100, 100)] * 8, (400, 100)), (96, 96), "stretch") == []
    assert find_aspects(facts_of(*[(400, 100)] * 8), (96, 96), "pad")[0].severity == "warning"


def test_dark_16_bits_are_named_even_among_good_ones():
    good, dark = facts_of((10, 10), (10, 10))
    good, dark = replace(good, bits=16, brightest=250), replace(dark, bits=16, brightest=15)
    (found,) = find_deep([good, dark])
    assert (found.severity, found.paths) == ("warning", (dark.path,))
    assert "no pixel above 15 of 255" in found.what


def test_a_jpeg_that_breaks_off_is_found_in_every_direction(folder):
    turned = Image.Exif()
    turned[0x0112] = 8
    stream = io.BytesIO()
    Image.fromarray(PHOTO).save(stream, "JPEG", quality=95, exif=turned)
    (folder / "c" / "1.jpg").write_bytes(broken_off(stream.getvalue()))
    assert {finding.code for finding in findings_of(folder)} == {"image-truncated", "image-turned"}
