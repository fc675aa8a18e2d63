"""EpochFeed between a strategy and Keras: each batch once, in order, and errors that stay ours."""

import re

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError, UnreadableImageError
from thawline.training.strategies.feeding import EpochFeed
from thawline.training.strategies.strategy import Feed

BATCH = 4


class StubSource:
    """Labels and sizes of a source, without images."""

    batch_size = BATCH
    on_error = "raise"
    target_spec = None

    def __init__(self, count):
        self.labels = np.arange(count) % 2
        self.class_names = ("cat", "dog")
        self.weights = None

    def __len__(self):
        return len(self.labels)


class StubStrategy:
    """Feeds each image's index as its input; notes what was asked for and given."""

    def __init__(self, fails_at=None):
        self.asked = []
        self.given = []
        self.fails_at = fails_at

    def feeds(self, source, *, epoch, view, shuffle, kept=None, start=0):
        self.asked.append((epoch, view, shuffle))
        for first in range(start * BATCH, len(source), BATCH):
            if self.fails_at == (epoch, first // BATCH):
                raise UnreadableImageError("roses/0042.jpg: cannot be decoded.")
            indices = np.arange(first, min(first + BATCH, len(source)))
            self.given.append((epoch, first // BATCH))
            yield Feed(indices[:, None].astype("float32"), indices[:, None].astype("float32"), indices)


class Noting(keras.Model):
    """Notes the rows of every batch that it is trained or tested on."""

    def __init__(self):
        super().__init__()
        self.rows = []
        self.weigh = self.add_weight(shape=(), name="weight")
        self.weights_given = []

    def train_step(self, data):
        inputs, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        self.rows.append(np.array(inputs).ravel().tolist())
        self.weights_given.append(None if weights is None else np.array(weights).tolist())
        return {"loss": 0.0}

    test_step = train_step


def noting():
    model = Noting()
    model.compile(run_eagerly=True)
    return model


def epoch_setter(feed):
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(feed, "epoch", epoch))


def batches(count):
    return [[float(row) for row in range(start, min(start + BATCH, count))] for start in range(0, count, BATCH)]


@pytest.mark.parametrize("count", [3, 8, 13], ids=["one short batch", "two batches", "four batches"])
def test_each_epoch_has_every_batch_once_and_in_order(count):
    strategy, model = StubStrategy(), noting()
    with EpochFeed(strategy, StubSource(count)) as feed:
        model.fit(feed.for_keras, epochs=3, callbacks=[epoch_setter(feed)], verbose=0, shuffle=False)
    assert model.rows == 3 * batches(count)


def test_what_keras_looks_at_before_the_first_epoch_is_not_computed_twice():
    strategy, model = StubStrategy(), noting()
    with EpochFeed(strategy, StubSource(13)) as feed:
        model.fit(feed.for_keras, epochs=2, callbacks=[epoch_setter(feed)], verbose=0, shuffle=False)
    assert strategy.given == [(epoch, batch) for epoch in range(2) for batch in range(4)]


def test_each_epoch_is_asked_for_by_its_number_and_view():
    strategy, model = StubStrategy(), noting()
    with EpochFeed(strategy, StubSource(5), epoch=3, views=4, shuffle=True) as feed:
        model.fit(feed.for_keras, initial_epoch=3, epochs=6, callbacks=[epoch_setter(feed)], verbose=0, shuffle=False)
    assert strategy.asked == [(3, 3, True), (4, 0, True), (5, 1, True)]


def test_tensorflow_does_not_tune_how_far_it_reads_ahead():
    """Its thread may miss the end of an epoch, and Keras would wait for it, up to as long as the epoch took."""
    with EpochFeed(StubStrategy(), StubSource(5)) as feed:
        assert feed.for_keras.get_tf_dataset().options().autotune.enabled is False


def test_validation_has_all_its_batches_after_every_epoch():
    strategy, model = StubStrategy(), noting()
    held_out = StubStrategy()
    with EpochFeed(strategy, StubSource(4)) as feed, EpochFeed(held_out, StubSource(13)) as validation:
        model.fit(
            feed.for_keras,
            epochs=2,
            validation_data=validation.for_keras,
            callbacks=[epoch_setter(feed)],
            verbose=0,
            shuffle=False,
        )
    assert model.rows == 2 * (batches(4) + batches(13))
    assert held_out.asked == [(0, 0, False)] * 2


def test_evaluate_sees_every_batch_once():
    model = noting()
    with EpochFeed(StubStrategy(), StubSource(13)) as feed:
        model.evaluate(feed.for_keras, verbose=0)
    assert model.rows == batches(13)


@pytest.mark.parametrize("fails_at", [(0, 0), (0, 1), (0, 3), (1, 2)], ids=str)
def test_an_error_comes_through_keras_fit_as_it_was_raised(fails_at):
    feed = EpochFeed(StubStrategy(fails_at), StubSource(13))
    with pytest.raises(UnreadableImageError, match=re.escape("roses/0042.jpg: cannot be decoded.")), feed:
        noting().fit(feed.for_keras, epochs=2, callbacks=[epoch_setter(feed)], verbose=0, shuffle=False)


def test_an_error_comes_through_keras_evaluate_as_it_was_raised():
    feed = EpochFeed(StubStrategy((0, 3)), StubSource(13))
    with pytest.raises(UnreadableImageError), feed:
        noting().evaluate(feed.for_keras, verbose=0)


def test_an_error_of_someone_else_stays_what_it_was():
    feed = EpochFeed(StubStrategy(), StubSource(5))

    def fail(batch, logs):
        raise OSError("a callback failed")

    with pytest.raises(OSError, match="a callback failed"), feed:
        noting().fit(
            feed.for_keras,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=fail)],
            verbose=0,
            shuffle=False,
        )


def test_images_weigh_what_their_class_weighs():
    model = noting()
    with EpochFeed(StubStrategy(), StubSource(5), class_weight={1: 2.5}) as feed:
        model.fit(feed.for_keras, verbose=0, shuffle=False)
    # Classes are 0, 1, 0, 1, 0; a class that is not named weighs 1.
    assert model.weights_given == [[1.0, 2.5, 1.0, 2.5], [1.0]]


def test_an_images_own_weight_is_multiplied_with_that_of_its_class():
    source, model = StubSource(5), noting()
    source.weights = np.array([1.0, 2.0, 0.0, 0.5, 4.0], np.float32)
    with EpochFeed(StubStrategy(), source, class_weight={1: 3.0}) as feed:
        model.fit(feed.for_keras, verbose=0, shuffle=False)
    assert model.weights_given == [[1.0, 6.0, 0.0, 1.5], [4.0]]


@pytest.mark.parametrize("labels", [None, np.ones((5, 2), np.float32)])
def test_class_weights_without_one_class_per_image_are_refused(labels):
    source = StubSource(5)
    source.labels = labels
    with pytest.raises(
        ArgumentError, match=r"needs one class per image, but these have none, several, or numbers\. Gi"
    ):
        EpochFeed(StubStrategy(), source, class_weight={1: 3.0})


@pytest.mark.parametrize("label", [2, -1, "dog"])
def test_a_weight_for_a_class_that_is_not_there_is_refused(label):
    expected = f"class_weight names class {label!r}; classes are the numbers 0 to 1."
    with pytest.raises(ArgumentError, match=re.escape(expected)):
        EpochFeed(StubStrategy(), StubSource(5), class_weight={label: 2.0})
