"""Classes without images, classes that may be one, and classes of very different size."""

import warnings

import numpy as np
import pytest

from thawline.check.classes import CODES, check_classes, find_alike, find_empty, find_imbalance
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder


def codes_of(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        source = ImageFolder(folder, image_size=(8, 8), **options)
    return [(finding.code, finding.severity) for finding in check_classes(source)]


def test_clean_classes_give_nothing(image_folder):
    assert codes_of(image_folder({"cat": 6, "car": 3, "class10": 2, "class11": 2})) == []


def test_an_empty_class_folder_is_an_error(image_folder):
    folder = image_folder(2)
    (folder / "class2").mkdir()
    (folder / "class2" / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    assert codes_of(folder) == [("class-empty", "error")]
    assert codes_of(folder, classes=["class0", "class1", "class2"]) == [("class-empty", "error")]


def test_a_folder_that_is_left_out_on_purpose_is_no_finding(image_folder):
    assert codes_of(image_folder(3), classes=["class0", "class1"]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Roses", "roses"),
        ("rose ", "rose"),
        ("sea_horse", "sea-horse"),
        ("sea horse", "seahorse"),
        ("rose", "roses"),
        ("box", "boxes"),
        ("berry", "berries"),
        ("class", "classes"),
    ],
)
def test_names_that_differ_in_case_separators_or_plural_are_a_warning(one, other):
    (found,) = find_alike(["tulip", one, other])
    assert (found.code, found.severity) == ("class-names-alike", "warning")
    assert f"1 pair of classes differs only in case, separators or plural: {one!r} and {other!r}." in found.what


@pytest.mark.parametrize(
    ("one", "other"), [("dandelion", "dandellion"), ("chrysanthemum", "crysanthemum"), ("dahlias_red", "dalhias_red")]
)
def test_long_names_one_letter_apart_are_a_note(one, other):
    (found,) = find_alike([one, other])
    assert found.severity == "note"


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "car", "cap", "bat"],
        ["0", "1", "10", "11", "s", "ss"],
        ["category1", "category2"],
        ["grade_a", "grade_b"],
        ["machine part left", "machine part right"],
        ["class", "glass", "glas"],
        ["2021-01-05", "2021-01-06"],
        ["hypertension", "hypotension"],
    ],
)
def test_names_that_are_meant_to_be_near_are_no_finding(names):
    assert find_alike(names) == []


def test_all_pairs_are_evidence_and_three_are_named():
    (found,) = find_alike([name for letter in "abcde" for name in (f"{letter}lpha", f"{letter.upper()}lpha")])
    assert "and 2 more" in found.what
    assert len(found.as_dict()["evidence"]["pairs"]) == 5


@pytest.mark.parametrize(("largest", "severity"), [(6, None), (7, "note"), (20, "note"), (21, "warning")])
def test_balance_is_a_note_above_3_and_a_warning_above_10(largest, severity):
    found = find_imbalance({"a": largest, "b": 2, "c": 0})
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


def test_classes_that_overlap_have_no_balance():
    pictures = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8)
    names = [["a"]] * 7 + [["a", "b"]]
    assert check_classes(ImageArrays(pictures, names, label_mode="multi_label")) == []
    assert [found.code for found in check_classes(ImageArrays(pictures, [*"aaaaaaa", "b"]))] == ["class-balance"]


def test_images_without_classes_give_nothing():
    assert check_classes(ImageArrays(np.zeros((3, 4, 4, 3), np.uint8))) == []


def test_there_is_a_case_for_every_code():
    found = find_empty({"a": 0}) + find_alike(["a", "A"]) + find_imbalance({"a": 9, "b": 1})
    assert {finding.code for finding in found} == set(CODES)
