"""Batches: every image once, in an order that depends on seed and epoch only."""

import os

import numpy as np
import pytest

from thawline.data.batches import epoch_order
from thawline.data.sources.folder import ImageFolder
from thawline.errors import UnreadableImageError

COUNTS = {"a": 4, "b": 7}
COUNT = sum(COUNTS.values())


@pytest.fixture
def folder(image_folder):
    return image_folder(COUNTS)


def make(folder, **arguments):
    return ImageFolder(folder, image_size=(8, 8), **{"batch_size": 4, "seed": 5, **arguments})


def indices(source, epoch=0, **options):
    return np.concatenate([batch.indices for batch in source.batches(epoch, **options)]).tolist()


def pixels_by_path(source, epoch=0, **options):
    return {
        path: image
        for batch in source.batches(epoch, **options)
        for path, image in zip(batch.paths, batch.images, strict=True)
    }


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 3]), (11, [11]), (100, [11]), (1, [1] * 11)])
def test_every_image_comes_exactly_once_and_the_last_batch_is_as_short_as_it_is(folder, batch_size, sizes):
    source = make(folder, batch_size=batch_size)
    for epoch in range(3):
        batches = list(source.batches(epoch))
        assert [len(batch.images) for batch in batches] == sizes
        assert sorted(np.concatenate([batch.indices for batch in batches]).tolist()) == list(range(COUNT))


def test_the_order_depends_on_seed_and_epoch_only(folder):
    for epoch in (0, 1, 7):
        assert indices(make(folder), epoch) == indices(make(folder, batch_size=3), epoch)
    source = make(folder)
    later_first = [indices(source, epoch) for epoch in (3, 0)]
    assert later_first == [indices(source, epoch) for epoch in (3, 0)]
    assert indices(source.augment(rotation_range=20), 3) == later_first[0]


def test_epochs_and_seeds_have_orders_of_their_own(folder):
    orders = [indices(make(folder, seed=seed), epoch) for seed in (0, 1) for epoch in range(5)]
    # Seed 1 is not seed 0 one epoch later, either.
    assert len({tuple(order) for order in orders}) == 10
    assert list(range(COUNT)) not in orders


def test_every_place_in_the_order_is_as_likely_for_every_image():
    firsts = [epoch_order(4, 0, epoch)[0] for epoch in range(400)]
    # 100 expected each, standard deviation 8.7.
    assert all(abs(count - 100) < 45 for count in np.bincount(firsts, minlength=4))


def test_without_shuffling_the_order_is_that_of_the_indices(folder):
    for epoch in (0, 3):
        assert indices(make(folder), epoch, shuffle=False) == list(range(COUNT))


def test_images_targets_and_paths_belong_together(folder):
    source = make(folder, label_mode="sparse")
    for batch in source.batches(epoch=2):
        assert batch.indices.dtype == np.int64
        for image, target, index, path in zip(batch.images, batch.targets, batch.indices, batch.paths, strict=True):
            np.testing.assert_array_equal(image, source.image(index))
            assert path == source.paths[index]
            assert source.class_names[target] == path.parent.name


def test_batch_size_changes_no_pixel(folder):
    expected = pixels_by_path(make(folder, batch_size=1).augment(rotation_range=40, zoom_range=0.3), epoch=3)
    for batch_size in (3, 8):
        given = pixels_by_path(make(folder, batch_size=batch_size).augment(rotation_range=40, zoom_range=0.3), epoch=3)
        assert given.keys() == expected.keys()
        assert all(np.array_equal(given[path], expected[path]) for path in expected)


def test_the_number_of_threads_changes_nothing(folder, monkeypatch):
    runs = []
    for cores in (1, 2, 4, None):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        batches = list(make(folder).augment(rotation_range=40).batches(epoch=1))
        runs.append([np.concatenate([batch.indices for batch in batches]), np.concatenate([b.images for b in batches])])
    for run in runs[1:]:
        np.testing.assert_array_equal(run[0], runs[0][0])
        np.testing.assert_array_equal(run[1], runs[0][1])


def test_an_epoch_shows_one_view_of_all_images(folder):
    source = make(folder).augment(rotation_range=40)
    for epoch, views, view in [(0, None, 0), (5, None, 5), (5, 2, 1), (4, 2, 0), (9, 1, 0)]:
        for batch in source.batches(epoch, views=views):
            assert batch.view == view
            expected = np.stack([source.image(index, view) for index in batch.indices])
            np.testing.assert_array_equal(batch.images, expected)


def test_epochs_with_the_same_view_show_the_same_pixels_in_another_order(folder):
    source = make(folder).augment(rotation_range=40)
    first, third = (pixels_by_path(source, epoch, views=2) for epoch in (0, 2))
    assert list(first) != list(third)
    assert all(np.array_equal(first[path], third[path]) for path in first)


def test_batches_are_what_the_spec_says(folder):
    source = make(folder)
    batch = next(source.batches())
    assert batch.images.dtype == source.spec.dtype
    assert batch.images.shape[1:] == source.spec.shape[1:]
    assert batch.targets.dtype == source.target_spec.dtype
    assert batch.targets.shape[1:] == source.target_spec.shape[1:]


def test_a_broken_image_is_named_and_not_skipped(folder):
    source = make(folder)
    source.paths[6].write_bytes(b"broken")
    with pytest.raises(UnreadableImageError, match=r"b/002\.png: expected an image"):
        list(source.batches())
