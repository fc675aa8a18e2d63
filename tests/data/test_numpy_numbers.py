"""NumPy's numbers as arguments: they do what Python's do."""

import json

import numpy as np
import pytest

from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
LABELS = np.arange(40) % 2

one, two, three = np.int64(1), np.int64(2), np.uint8(3)


@pytest.fixture
def both():
    """A source made with Python's numbers, and one with NumPy's."""
    plain = ImageArrays(PIXELS, LABELS, batch_size=3, seed=7, image_size=(6, 4))
    return plain, ImageArrays(PIXELS, LABELS, batch_size=three, seed=np.uint32(7), image_size=np.array([6, 4]))


def assert_same(first, second):
    assert (first.batch_size, first.seed, first.spec) == (second.batch_size, second.seed, second.spec)
    assert first.rows.tolist() == second.rows.tolist()


def test_sources_are_the_same(both):
    assert_same(*both)
    assert [type(number) for number in (both[1].batch_size, both[1].seed, *both[1].pictures.shape[:2])] == [int] * 4


def test_splits_folds_and_limits_are_the_same(both):
    plain, given = both
    sides = zip(plain.split(0.25, test=0.25), given.split(np.float32(0.25), test=np.float64(0.25)), strict=True)
    for first, second in sides:
        assert_same(first, second)
    for first, second in zip(plain.folds(3), given.folds(three), strict=True):
        assert_same(first[1], second[1])
    assert_same(plain.limit(2), given.limit(two))


def test_epochs_views_and_places_are_the_same(both):
    plain, given = (source.augment(rotation_range=90, width_shift_range=0.5) for source in both)
    expected = list(plain.batches(2, views=3, start=1))
    for first, second in zip(expected, given.batches(two, views=three, start=one), strict=True):
        np.testing.assert_array_equal(first.images, second.images)
        assert first.view == second.view
    np.testing.assert_array_equal(plain.image(3, view=2), given.image(three, view=two))
    np.testing.assert_array_equal(plain.views(3, [0, 2])[1], given.views(three, np.array([0, 2]))[1])
    assert json.dumps(given.batches(two, start=one).state()) == '{"epoch": 2, "start": 1}'
    np.testing.assert_array_equal(plain.preview(2, 3).pixels, given.preview(two, three).pixels)


def test_augmentations_are_equal_and_keep_their_fingerprints(both):
    plain = {"rotation_range": 20, "width_shift_range": 3, "zoom_range": 0.25, "mask_cval": 3, "shear_range": 4.5}
    given = {name: np.asarray(value)[()] for name, value in plain.items()}
    assert all(isinstance(value, np.generic) for value in given.values())
    first, second = (both[0].augment(**arguments).augmentation for arguments in (plain, given))
    assert first == second
    assert json.dumps(first.identity()) == json.dumps(second.identity())


def test_files_are_read_alike(image_folder):
    folder, size = image_folder(count=2), (np.int64(6), np.int64(4))
    plain = ImageFolder(folder, image_size=(6, 4), background=(1, 2, 3), seed=5)
    given = ImageFolder(folder, image_size=size, background=np.array([1, 2, 3], np.uint8), seed=np.int64(5))
    assert json.dumps(plain.pictures.identity()) == json.dumps(given.pictures.identity())
    assert given.cache_pixels("ram", budget_bytes=np.int64(10_000)).image(0).shape == (6, 4, 3)


def test_one_number_is_a_square_size(image_folder):
    assert ImageFolder(image_folder(count=2), image_size=6).spec.shape == (None, 6, 6, 3)
    assert ImageArrays(PIXELS, LABELS, image_size=np.int64(6)).spec.shape == (None, 6, 6, 3)
