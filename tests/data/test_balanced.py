"""Balanced sources: every class has as many images as the largest, by repeats that the seed decides."""

import numpy as np
import pytest

from thawline.data.balance import repeat_to_balance
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.errors import ArgumentError, DataError

SIZE = {"image_size": (8, 8)}


def test_every_class_has_as_many_images_as_the_largest_and_none_is_lost(image_folder):
    source = ImageFolder(image_folder({"a": 7, "b": 2, "c": 3}), **SIZE)
    balanced = source.balanced()
    assert balanced.class_counts == {"a": 7, "b": 7, "c": 7}
    times = np.unique(balanced.rows, return_counts=True)
    assert times[0].tolist() == list(range(12))
    assert times[1][:7].tolist() == [1] * 7
    assert sorted(times[1][7:9].tolist()) == [3, 4]
    assert sorted(times[1][9:].tolist()) == [2, 2, 3]
    assert [balanced.paths[index].parent.name for index in range(21)] == ["a"] * 7 + ["b"] * 7 + ["c"] * 7
    assert len(source) == 12


def test_the_seed_decides_which_images_come_once_more():
    labels = np.array([0] * 40 + [1] * 60)
    first, again, other = (repeat_to_balance(labels, seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert len(first) == len(other) == 120


def test_labels_and_weights_go_with_their_images():
    pixels = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    source = ImageArrays(pixels, [0, 0, 0, 1], sample_weights=[1, 2, 3, 4])
    balanced = source.balanced()
    assert balanced.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert balanced.weights.tolist() == [1, 2, 3, 4, 4, 4]
    assert [int(balanced.image(index)[0, 0, 0]) for index in range(6)] == [0, 1, 2, 3, 3, 3]


def test_repeats_are_augmented_each_in_its_own_way():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    balanced = ImageArrays(pixels, [0, 0, 0, 0, 0, 1]).balanced().augment(rotation_range=40)
    repeats = np.flatnonzero(balanced.labels == 1)
    assert len({balanced.image(index).tobytes() for index in repeats}) == 5


def test_a_class_without_images_stays_without(image_folder):
    with pytest.warns(UserWarning, match="Class folders without images: b"):
        source = ImageFolder(image_folder({"a": 2, "b": 0, "c": 1}), **SIZE)
    assert source.balanced().class_counts == {"a": 2, "b": 0, "c": 2}


def test_balanced_classes_stay_as_they_are(image_folder):
    source = ImageFolder(image_folder({"a": 2, "b": 2}), **SIZE)
    assert source.balanced().paths == source.paths


def test_what_has_no_single_classes_and_validation_is_refused(image_folder):
    pixels = np.zeros((3, 4, 4, 3), np.uint8)
    for source in (
        ImageArrays(pixels),
        ImageArrays(pixels, [["a"], ["a", "b"], []], label_mode="multi_label"),
        ImageArrays(pixels, [1.0, 2.0, 3.0], label_mode="regression"),
    ):
        with pytest.raises(
            DataError, match=r"balanced\(\) needs one class per image: label_mode categorical, sparse or"
        ):
            source.balanced()
    train, validation = ImageFolder(image_folder({"a": 6, "b": 3}), **SIZE).split(0.3, exact=True)
    assert train.balanced().class_counts == {"a": 4, "b": 4}
    with pytest.raises(ArgumentError, match=r"which is never balanced: its figures would count images twice\. Balance"):
        validation.balanced()
