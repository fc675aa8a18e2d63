"""Likely wrong labels and near duplicates, from features to findings."""

import cv2
import numpy as np
import pytest

from photos import as_jpeg, describe, photos, weaves
from thawline.check.facts import survey
from thawline.check.neighbours import check_neighbours, suspect_labels
from thawline.data.sources.arrays import ImageArrays

RANDOM = np.random.default_rng(0)


def clusters(count, spread, classes=3, seed=0):
    """Features and labels of classes whose images lie around a centre each."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    return random.normal(size=(classes, 24))[labels] + random.normal(0, spread, (len(labels), 24)), labels


def findings_of(train, validation, features=describe):
    looked = [survey(source, show_progress=False) for source in (train, validation)]
    rows = [features([source.image(index) for index in range(len(source))]) for source in (train, validation)]
    return check_neighbours(train, validation, *rows, *looked)


def test_right_labels_are_not_suspect():
    assert suspect_labels(*clusters(30, 0.3)) == []


@pytest.mark.parametrize("count", [10, 20, 100])
def test_two_swapped_labels_are_found_with_their_classes_and_nothing_else(count):
    features, labels = clusters(count, 0.3)
    labels[0], labels[count] = 1, 0
    found = suspect_labels(features, labels)
    assert sorted((suspect.place, suspect.label, suspect.other) for suspect in found) == [(0, 1, 0), (count, 0, 1)]
    assert all(suspect.strength > 0.8 for suspect in found)


def test_nothing_is_said_of_classes_that_neighbours_cannot_tell_apart():
    """Two of three classes lie on top of each other, as two kinds of fabric do for frozen features."""
    features, labels = clusters(200, 0.3)
    labels[400:] = 2
    features[200:400] = features[400:] + np.random.default_rng(1).normal(0, 0.3, (200, 24))
    labels[5] = 1
    assert suspect_labels(features, labels) == []
    # The class that they can tell is judged, where it is taken for another such class.
    features, labels = clusters(200, 0.3)
    labels[5] = 1
    assert [suspect.place for suspect in suspect_labels(features, labels)] == [5]


def test_classes_of_a_few_images_are_not_judged_and_do_not_hinder():
    features, labels = clusters(20, 0.3)
    labels[[57, 58, 59]] = 3
    labels[0] = 1
    assert [suspect.place for suspect in suspect_labels(features, labels)] == [0]
    assert suspect_labels(features[:3], labels[:3]) == []


def test_swapped_labels_on_both_sides_are_one_finding_with_names():
    reds, blues = (np.full((30, 8, 8, 3), colour, np.uint8) for colour in ((200, 60, 60), (60, 60, 200)))
    pictures = (np.concatenate([reds, blues]) + RANDOM.integers(-50, 50, (60, 8, 8, 3))).astype(np.uint8)
    labels = np.array(["red"] * 30 + ["blue"] * 30)
    labels[0], labels[59] = "blue", "red"
    train = ImageArrays(pictures[:45], labels[:45].tolist())
    # The other side numbers its classes the other way round.
    validation = ImageArrays(pictures[45:], labels[45:].tolist(), class_names=["red", "blue"])
    (found,) = findings_of(train, validation)
    assert (found.code, found.severity) == ("label-suspect", "warning")
    assert [str(path) for path in found.paths] == ["images[0]", "images[14]"]
    assert found.as_dict()["evidence"]["suspects"] == [
        ["images[0]", "blue", "red", 1.0],
        ["images[14]", "red", "blue", 1.0],
    ]
    assert "2 labels of 60 may be wrong" in found.what
    assert "'blue', those near it are 'red' (100%)" in found.what


@pytest.mark.parametrize("make", [photos, weaves])
def test_near_duplicates_on_both_sides_are_found_and_clean_sides_give_nothing(make):
    pictures = make(60)
    train = ImageArrays(pictures[:40])
    assert findings_of(train, ImageArrays(pictures[40:])) == []
    copies = np.stack([as_jpeg(pictures[place], 60) for place in (0, 7, 14, 21, 39)])
    (found,) = findings_of(train, ImageArrays(np.concatenate([pictures[40:], copies])))
    assert (found.code, found.severity) == ("split-near-duplicate", "warning")
    assert sorted(str(path) for path in found.paths) == [f"images[{20 + number}]" for number in range(5)]
    assert "5 validation images of 25 look nearly like a training image" in found.what


def test_near_duplicates_with_different_labels_are_a_note():
    pictures = photos(40)
    copies = np.concatenate([pictures, as_jpeg(pictures[4], 60)[None]])
    train = ImageArrays(copies, ["even", "odd"] * 20 + ["odd"])
    other = ImageArrays(weaves(4), ["even", "odd"] * 2)
    (found,) = findings_of(train, other)
    assert (found.code, found.severity) == ("label-near-duplicate", "note")
    assert [str(path) for path in found.paths] == ["images[4]", "images[40]"]
    assert "images[4] ('even') and images[40] ('odd')" in found.what


def test_exact_copies_are_left_to_the_check_of_splits():
    pictures = photos(40)
    assert findings_of(ImageArrays(pictures[:30]), ImageArrays(pictures[20:])) == []


def test_a_single_side_and_rows_that_are_no_numbers_do_not_stop_it():
    pictures = photos(30)
    train = ImageArrays(pictures, [0, 1] * 15)
    rows = describe(pictures)
    rows[3] = np.nan
    assert check_neighbours(train, None, rows, None, survey(train, show_progress=False), None) == []


def test_several_classes_per_image_are_not_judged():
    pictures = np.stack([cv2.resize(picture, (32, 32)) for picture in photos(24)])
    train = ImageArrays(pictures, [["a"], ["a", "b"], ["b"]] * 8, label_mode="multi_label")
    assert check_neighbours(train, None, describe(pictures), None, survey(train, show_progress=False), None) == []
