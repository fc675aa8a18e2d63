"""Images on both sides, torn groups, classes that do not mean the same, and pictures with two labels."""

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from thawline.check.facts import survey
from thawline.check.splits import check_splits, find_classes_apart, find_missing_classes
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame


@pytest.fixture
def sides(image_folder):
    """Folders of training and validation with other images in the same two classes."""
    return image_folder(2, count=4, seed=1, name="train"), image_folder(2, count=3, seed=2, name="validation")


def findings_of(train, validation, **options):
    if not hasattr(train, "pictures"):
        train, validation = (ImageFolder(folder, image_size=(8, 8)) for folder in (train, validation))
    looked = [survey(source, show_progress=False) for source in (train, validation)]
    return check_splits(train, validation, *looked, **options)


def test_clean_sides_give_nothing(sides):
    assert findings_of(*sides) == []


def test_splits_that_thawline_makes_give_nothing(image_folder):
    train, validation = ImageFolder(image_folder(2, count=30), image_size=(8, 8)).split(0.3)
    assert findings_of(train, validation) == []


def test_a_copy_and_one_that_was_encoded_anew_are_in_training_too(sides):
    train, validation = sides
    shutil.copy(train / "class0" / "000.png", validation / "class0" / "copy.png")
    with Image.open(train / "class1" / "001.png") as picture:
        picture.save(validation / "class1" / "anew.bmp")
    (found,) = findings_of(train, validation)
    assert (found.code, found.severity) == ("split-same-image", "error")
    assert [path.name for path in found.paths] == ["copy.png", "anew.bmp"]
    assert "2 validation images of 8 are in training, too (1 by the same file, 1 encoded anew)" in found.what
    assert found.as_dict()["evidence"]["pairs"][1] == [
        str(train / "class1" / "001.png"),
        str(validation / "class1" / "anew.bmp"),
    ]


def test_one_picture_with_two_labels_is_an_error_within_a_side_and_across(sides):
    train, validation = sides
    shutil.copy(train / "class0" / "000.png", train / "class1" / "wrong.png")
    found = findings_of(train, validation)
    assert [finding.code for finding in found] == ["label-conflict", "image-twice"]
    assert found[0].severity == "error"
    assert "train/class0/000.png is 'class0', train/class1/wrong.png is 'class1'" in found[0].what
    (train / "class1" / "wrong.png").rename(validation / "class1" / "wrong.png")
    assert [finding.code for finding in findings_of(train, validation)] == ["split-same-image", "label-conflict"]


def test_the_same_picture_twice_with_one_label_is_a_note(sides):
    train, validation = sides
    for number in range(4):
        shutil.copy(train / "class0" / "000.png", train / "class0" / f"copy{number}.png")
    (found,) = findings_of(train, validation)
    assert (found.code, found.severity, len(found.paths)) == ("image-twice", "note", 4)
    assert "4 images of 12 in training are there already: train/class0/copy0.png" in found.what


def test_labels_of_several_classes_and_numbers_are_compared_as_they_are():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    pictures[1] = pictures[0]
    others = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), np.uint8)

    def codes(labels, mode):
        train, validation = (ImageArrays(images, labels, label_mode=mode) for images in (pictures, others))
        return [found.code for found in findings_of(train, validation)]

    assert codes([["a"], ["a", "b"], ["b"], ["a"]], "multi_label") == ["label-conflict", "image-twice"]
    assert codes([["b", "a"], ["a", "b"], ["b"], ["a"]], "multi_label") == ["image-twice"]
    assert codes([1.0, 1.5, 2.0, 3.0], "regression") == ["label-conflict", "image-twice"]
    assert codes([1.5, 1.5, 2.0, 3.0], "regression") == ["image-twice"]
    assert codes(None, "categorical") == ["image-twice"]


def test_classes_in_another_order_are_a_note_because_a_stack_goes_by_name(sides):
    train = ImageFolder(sides[0], image_size=(8, 8))
    validation = ImageFolder(sides[1], image_size=(8, 8), classes=["class1", "class0"])
    (found,) = findings_of(train, validation)
    assert (found.code, found.severity) == ("split-label-order", "note")
    assert "class 0 is 'class0' in training and 'class1' in validation. A Stack finds classes by name" in found.what


def test_classes_that_one_side_does_not_know_are_named():
    (found,) = find_classes_apart(["cat", "dog", "hen"], {"dog": 2, "eel": 1})
    assert (found.code, found.severity) == ("split-classes-differ", "error")
    assert "2 classes only in training ('cat', 'hen'), 1 class only in validation ('eel')" in found.what


def test_a_side_that_lacks_a_class_or_has_an_empty_one_is_no_error():
    assert find_classes_apart(["cat", "dog"], {"dog": 2, "eel": 0}) == []
    (found,) = find_missing_classes({"cat": 2, "dog": 1}, {"dog": 3})
    assert (found.code, found.evidence) == ("split-class-missing", (("classes", ["cat"]),))


def test_class_numbers_without_names_are_not_compared_with_names(sides):
    train = ImageFolder(sides[0], image_size=(8, 8))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    validation = ImageArrays(pixels, [0, 1])
    assert not {"split-label-order", "split-classes-differ"} & {each.code for each in findings_of(train, validation)}


def test_classes_without_images_on_one_side_are_a_warning():
    assert find_missing_classes({"cat": 3, "dog": 1}, {"cat": 1, "dog": 1}) == []
    found = find_missing_classes({"cat": 3, "dog": 0, "eel": 0}, {"cat": 0, "dog": 2, "eel": 0})
    assert [(finding.code, finding.severity) for finding in found] == [("split-class-missing", "warning")] * 2
    assert "'cat'" in found[0].what
    assert "'dog'" in found[1].what


@pytest.fixture
def patients(tmp_path):
    """A table of images of three patients; the second one has images in both halves."""
    random = np.random.default_rng(0)
    rows = ["filename,class,who"]
    for number, (label, who) in enumerate(zip("ababab", ["p1", "p1", "p2", "p2", "p3", "p3"], strict=True)):
        cv2.imwrite(str(tmp_path / f"{who}_{number}.png"), random.integers(0, 256, (8, 8, 3), np.uint8))
        rows.append(f"{who}_{number}.png,{label},{who}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    source = ImageFrame(tmp_path / "table.csv", image_size=(8, 8))
    return source.select([0, 1, 2]), source.select([3, 4, 5])


@pytest.mark.parametrize("groups", ["who", r"(p\d)_", lambda path: path.name[:2]])
def test_a_group_on_both_sides_is_an_error(patients, groups):
    found = {finding.code: finding for finding in findings_of(*patients, groups=groups)}
    torn = found["split-group-torn"]
    assert torn.severity == "error"
    assert [path.name for path in torn.paths] == ["p2_3.png"]
    assert "1 group of 3 has images in training and in validation, first 'p2': 1 validation image is not" in torn.what


def test_groups_that_are_kept_or_not_asked_for_are_no_finding(patients):
    train, validation = patients
    assert findings_of(train, validation) == []
    assert findings_of(train.select([0, 1]), validation.select([1, 2]), groups="who") == []


def test_bad_files_and_a_missing_validation_side_are_passed_over(sides):
    for name in ("8.png", "9.png"):
        (sides[0] / "class0" / name).write_bytes(b"")
    train = ImageFolder(sides[0], image_size=(8, 8))
    assert check_splits(train, None, survey(train, show_progress=False), None) == []
    assert findings_of(*sides) == []
