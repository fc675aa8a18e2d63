"""Batches can be stopped and continued at the exact sample, and shared among machines."""

import json

import numpy as np
import pytest

import thawline as tl
from thawline.data import batches as module
from thawline.errors import ArgumentError


@pytest.fixture
def images(image_folder):
    folder = image_folder({"a": 9, "b": 8}, size=(10, 8))
    return tl.ImageFolder(folder, image_size=(8, 8), batch_size=4, seed=5).augment(rotation_range=30)


def arrays(batches):
    """All that a model would see, batch by batch."""
    return [(batch.images, batch.targets, batch.indices) for batch in batches]


def assert_equal(one, other):
    assert len(one) == len(other)
    for batch, twin in zip(one, other, strict=True):
        assert all(np.array_equal(array, again) for array, again in zip(batch, twin, strict=True))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_three_epochs_are_equal_for_any_number_of_threads(images, threads, monkeypatch):
    usual = [arrays(images.batches(epoch)) for epoch in range(3)]
    monkeypatch.setattr(module.os, "cpu_count", lambda: threads)
    for epoch in range(3):
        assert_equal(arrays(images.batches(epoch)), usual[epoch])


@pytest.mark.parametrize("seen", range(6))
def test_an_epoch_goes_on_from_its_state_with_the_next_image(images, seen):
    whole = arrays(images.batches(2))
    assert len(whole) == 5
    batches = images.batches(2)
    for _ in range(min(seen, 5)):
        next(batches)
    state = json.loads(json.dumps(batches.state()))
    assert state == {"epoch": 2, "start": min(seen, 5)}
    assert_equal(arrays(images.batches(**state)), whole[seen:])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_image_is_in_exactly_one_shard(images, count):
    shards = [np.concatenate([part[2] for part in arrays(images.batches(1, shard=(i, count)))]) for i in range(count)]
    assert sorted(np.concatenate(shards)) == list(range(17))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_shard_sees_the_same_views(images):
    whole = {int(i): image for batch in images.batches(1) for i, image in zip(batch.indices, batch.images, strict=True)}
    for batch in images.batches(1, shard=(1, 2)):
        for index, image in zip(batch.indices, batch.images, strict=True):
            assert np.array_equal(image, whole[int(index)])


@pytest.mark.parametrize("options", [{"start": -1}, {"shard": (2, 2)}, {"shard": (-1, 2)}])
def test_numbers_out_of_range_are_refused(images, options):
    with pytest.raises(ArgumentError, match="start is 0 or more, and shard"):
        images.batches(**options)
