"""Features that come again stay in memory: nothing is read twice, and no bit of a training changes."""

import weakref

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.data.batches import epoch_order
from thawline.errors import DataError
from thawline.features.feature_set import FeatureSet
from thawline.features.prefix import Prefix
from thawline.training.strategies import kept, rows
from thawline.training.strategies.kept import RamBudget, RamFeatures
from thawline.training.strategies.rows import row_feeds


@pytest.fixture
def reads(monkeypatch):
    """Notes how many rows each read of the cache asks for."""
    counts, read = [], FeatureSet.read

    def noting(self, keys, *arguments):
        counts.append(len(keys))
        return read(self, keys, *arguments)

    monkeypatch.setattr(FeatureSet, "read", noting)
    return counts


@pytest.fixture
def runs(monkeypatch):
    """Notes how many images there are in each batch that features are streamed of."""
    counts, answers = [], Prefix.answers

    def noting(self, batches):
        for rows_ in answers(self, batches):
            counts.append(len(rows_[0]))
            yield rows_

    monkeypatch.setattr(Prefix, "answers", noting)
    return counts


@pytest.fixture
def no_room(monkeypatch):
    monkeypatch.setattr(kept, "free_memory_bytes", lambda: 0)


def sides(images, **options):
    train, held_out = images.source(batch_size=4, **options).split(0.3)
    return train.augment(horizontal_flip=True, rotation_range=20), held_out


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_weights_and_figures_have_the_same_bits_with_and_without_room(
    strategy, small_images, make_stack, cache, monkeypatch
):
    train, held_out = sides(small_images)
    weights, histories = [], []
    for free_bytes in (1 << 30, 0):
        monkeypatch.setattr(kept, "free_memory_bytes", lambda free_bytes=free_bytes: free_bytes)
        stack = make_stack(dropout=0.3)
        how = {"strategy": strategy, "views": 2, "epochs": 5, "cache": cache, "verbose": 0}
        histories.append(stack.fit(train, validation_data=held_out, **how).history)
        weights.append(stack.model.get_weights())
    assert histories[0] == histories[1]
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))


def test_precomputed_reads_each_view_from_the_cache_once(small_images, make_stack, cache, reads):
    train, held_out = sides(small_images)
    make_stack().fit(train, validation_data=held_out, epochs=5, views=2, cache=cache, verbose=0)
    assert sum(reads) == 2 * len(train) + len(held_out)


def test_without_room_every_epoch_reads_its_rows(small_images, make_stack, cache, reads, no_room):
    train, held_out = sides(small_images)
    make_stack().fit(train, validation_data=held_out, epochs=3, views=2, cache=cache, verbose=0)
    assert sum(reads) == 3 * (len(train) + len(held_out))


def test_streamed_computes_validation_images_once_and_training_images_in_every_epoch(
    small_images, make_stack, cache, runs
):
    train, held_out = sides(small_images)
    make_stack().fit(train, validation_data=held_out, epochs=3, strategy="streamed", cache=cache, verbose=0)
    assert sum(runs) == 3 * len(train) + len(held_out)


def test_streamed_without_room_computes_validation_images_in_every_epoch(
    small_images, make_stack, cache, runs, no_room
):
    train, held_out = sides(small_images)
    make_stack().fit(train, validation_data=held_out, epochs=3, strategy="streamed", cache=cache, verbose=0)
    assert sum(runs) == 3 * (len(train) + len(held_out))


def test_training_images_that_are_measured_on_as_well_are_still_computed_in_every_epoch(
    small_images, make_stack, cache, runs
):
    source = small_images.source(batch_size=8)
    make_stack().fit(source, validation_data=source, epochs=3, strategy="streamed", cache=cache, verbose=0)
    assert sum(runs) == (3 + 1) * len(source)


@pytest.mark.filterwarnings("ignore:.*went bad:UserWarning")
def test_an_image_that_is_left_out_is_left_out_of_kept_features(own_images, make_stack, cache):
    """Training notices that the file is gone; measuring, which has the features, leaves it out as well."""
    source = own_images.source(batch_size=8, on_error="skip")
    stack = make_stack(optimizer=keras.optimizers.SGD(0.0))
    gone = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: source.paths[5].unlink(missing_ok=True))
    how = {"strategy": "streamed", "cache": cache, "verbose": 0, "shuffle": False}
    history = stack.fit(source, validation_data=source, epochs=2, callbacks=[gone], **how).history
    assert [path for path, _ in source.unreadable] == [source.paths[5]]
    answers = stack.model.predict(own_images.pixels, verbose=0)
    losses = -np.log((answers * own_images.one_hot).sum(axis=1))
    assert history["val_loss"] == pytest.approx([losses.mean(), np.delete(losses, 5).mean()], rel=1e-4)


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_memory_is_given_back_with_the_end_of_the_training(
    strategy, small_images, make_stack, cache, collect, monkeypatch
):
    held, reserve = [], RamBudget.reserve

    def noting(self, images, views, row_bytes):
        features = reserve(self, images, views, row_bytes)
        held.append(weakref.ref(features))
        return features

    monkeypatch.setattr(RamBudget, "reserve", noting)
    train, held_out = sides(small_images)
    stack = make_stack()
    for number in (1, 2):
        history = stack.fit(
            train, validation_data=held_out, epochs=3, views=1, strategy=strategy, cache=cache, verbose=0
        )
        collect()
        assert len(held) == number * (2 if strategy == "precomputed" else 1)
        assert all(reference() is None for reference in held)
        assert len(history.epoch) == 3


def test_views_that_do_not_come_again_are_not_kept(small_images, make_stack, cache, monkeypatch):
    monkeypatch.setattr(RamBudget, "reserve", lambda *arguments: pytest.fail("nothing comes again"))
    train, held_out = sides(small_images)
    stack = make_stack()
    stack.fit(train, validation_data=held_out, epochs=1, cache=cache, verbose=0)
    stack.fit(train, epochs=2, views=2, cache=cache, verbose=0)
    stack.evaluate(held_out, cache=cache, verbose=0)


def test_a_budget_is_a_quarter_of_what_is_free_and_counts_all_views(monkeypatch):
    monkeypatch.setattr(kept, "free_memory_bytes", lambda: 4 * 1000)
    budget = RamBudget()
    assert budget.reserve(10, 3, 40) is None
    assert isinstance(budget.reserve(10, 2, 40), RamFeatures)
    assert budget.reserve(6, 1, 40) is None
    assert isinstance(budget.reserve(5, 1, 40), RamFeatures)


def test_kept_features_are_those_of_their_view_and_image():
    """Several tensors, in any order, bytes as they came."""
    features, images = RamFeatures(images=5, views=2), np.arange(5)
    tensors = [np.random.default_rng(0).random((2, 5, 3), np.float32), np.arange(10).reshape(2, 5)]
    for view, indices in [(1, [4, 0]), (0, [1, 3, 2]), (1, [2])]:
        features.keep(np.array(indices), view, [tensor[view, indices] for tensor in tensors])
    assert features.lacking(images, 0).tolist() == [0, 4]
    assert features.lacking(images, 1).tolist() == [1, 3]
    for view, indices in [(0, [3, 1]), (1, [0, 2, 4])]:
        for rows_, tensor in zip(features.rows(np.array(indices), view), tensors, strict=True):
            np.testing.assert_array_equal(rows_, tensor[view, indices])


# -- rows to batches -------------------------------------------------------------------------------------------------


def squares(indices):
    """Features that tell whose they are."""
    return [np.float32(indices[:, None] ** 2), np.int32(indices)]


def given(source, **options):
    return list(row_feeds(source, squares, 8, **{"epoch": 3, "view": 0, "shuffle": True, **options}))


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 1 << 20])
def test_batches_are_the_same_however_many_are_loaded_at_once(chunk_bytes, small_images, monkeypatch):
    monkeypatch.setattr(rows, "_CHUNK_BYTES", chunk_bytes)
    source = small_images.source(batch_size=7)
    order = epoch_order(40, source.seed, 3)
    feeds = given(source)
    assert [feed.indices.tolist() for feed in feeds] == [order[at : at + 7].tolist() for at in range(0, 40, 7)]
    for feed in feeds:
        np.testing.assert_array_equal(feed.inputs[0], squares(feed.indices)[0])
        np.testing.assert_array_equal(feed.inputs[1], feed.indices)
        np.testing.assert_array_equal(feed.targets, small_images.one_hot[feed.indices])


def test_images_that_are_left_out_shorten_their_own_batch_and_empty_ones_are_passed_over(own_images):
    source = own_images.source(batch_size=2, on_error="skip").select(range(7))
    for index in (1, 4, 5):
        source.paths[index].unlink()
    with pytest.warns(UserWarning, match="went bad"):
        source.content_digests()
    assert [feed.indices.tolist() for feed in given(source, shuffle=False)] == [[0], [2, 3], [6]]


def test_an_epoch_without_images_is_an_error(own_images):
    source = own_images.source(batch_size=2, on_error="skip").select([3])
    source.paths[0].unlink()
    with pytest.warns(UserWarning, match="went bad"):
        source.content_digests()
    with pytest.raises(DataError, match="None of 1 images can be used any more"):
        given(source)


def test_several_outputs_and_images_as_targets_stay_with_their_rows():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), np.uint8)
    source = tl.ImageArrays(pixels, label_mode="input", batch_size=4)
    for feed in given(source):
        np.testing.assert_array_equal(feed.targets, pixels[feed.indices].astype(np.float32) / 255)
