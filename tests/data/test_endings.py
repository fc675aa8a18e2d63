"""Files of a folder that are images: by their endings, or by their content where they have none."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

import heif_writer  # noqa: F401
from thawline.data import formats
from thawline.data.formats import FORMATS
from thawline.data.sources.files import ImageFiles
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.scan import describe_skipped, find_images, is_image, skipped_note

PICTURE = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)


def put(path, form="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE).save(path, form)
    return path


@pytest.mark.parametrize("ending", [".jfif", ".JFIF", ".jpg_large", ".pjpeg", ".JPE", ".dib", ".apng", ".avif"])
def test_other_endings_of_the_known_formats_are_taken(tmp_path, ending):
    forms = {".dib": "BMP", ".apng": "PNG", ".avif": "AVIF"}
    path = put(tmp_path / "a" / f"1{ending}", forms.get(ending, "JPEG"))
    assert find_images(tmp_path, skipped := Counter()) == [path]
    assert not skipped
    assert ImageFolder(tmp_path, label_mode="none", image_size=(8, 8)).image(0).shape == (8, 8, 3)


def test_files_without_ending_are_images_by_their_content(tmp_path):
    image = put(tmp_path / "a" / "0001")
    (tmp_path / "a" / "README").write_text("P1 is a plain list of bits.")
    (tmp_path / "a" / "LICENSE").write_text("BMW")
    (tmp_path / "a" / "empty").touch()
    assert find_images(tmp_path, skipped := Counter()) == [image]
    assert skipped == {"no ending": 3}


def test_a_folder_or_a_missing_file_without_ending_is_no_image(tmp_path):
    assert not is_image(tmp_path)
    assert not is_image(tmp_path / "none")


@pytest.mark.skipif("HEIF" not in FORMATS, reason="pillow-heif is not installed")
@pytest.mark.parametrize("ending", [".heic", ".HEIF", ".hif"])
def test_heic_is_read(tmp_path, ending):
    path = put(tmp_path / f"1{ending}", "HEIF")
    assert ImageFiles([tmp_path], image_size=(8, 8)).paths == (path,)


def test_what_is_passed_over_for_want_of_a_decoder_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(formats, "_ABSENT", {"HEIF"})
    told = "pip install 'thawline[heic]' makes .heic readable."
    assert describe_skipped({".heic": 10, ".pdf": 1}) == f"11 files passed over: 10 .heic, 1 .pdf. {told}"
    assert skipped_note({".heic": 10}) == f" Other files: 10 .heic. {told}"
    assert describe_skipped({".pdf": 1}) == "1 file passed over: 1 .pdf"


def test_the_note_on_skipped_files_counts_them():
    assert skipped_note({".pdf": 2, "no ending": 1}) == " Other files: 2 .pdf, 1 no ending."
