"""From a strategy to what `keras.Model.fit` takes."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import numpy as np

from thawline.backend import keras
from thawline.data.batches import epoch_order, view_of_epoch
from thawline.data.labels import SampleWeights, chosen_weights
from thawline.data.sources.source import ImageSource
from thawline.features.options import FeatureOptions
from thawline.stack.cut import Cut
from thawline.training.class_weight import ClassWeight, image_weights
from thawline.training.step_clock import StepClock
from thawline.training.strategies.joint import Joint, JointModel
from thawline.training.strategies.kept import RamBudget, RamFeatures
from thawline.training.strategies.precomputed import Precomputed
from thawline.training.strategies.strategy import Feed, Strategy
from thawline.training.strategies.streamed import Streamed

# Keras takes adapters of others, but does not export its own.
_PyDatasetAdapter = import_module("keras.src.trainers.data_adapters.py_dataset_adapter").PyDatasetAdapter

# Batches that Keras looks at before the first epoch, to learn their shapes.
_LOOKED_AT = 2


def make_strategy(name: str, cut: Cut, batch_size: int, features: FeatureOptions) -> Strategy:
    """The strategy of this name."""
    if name == "joint":
        return Joint(JointModel(cut, batch_size))
    prefix = features.prefix(cut)
    if name == "streamed":
        return Streamed(prefix)
    return Precomputed(prefix, features.opened_cache, features.storage, batch_size=batch_size)


def make_feeds(
    strategy: Strategy,
    train: ImageSource,
    validation: ImageSource | None,
    *,
    epochs: range,
    views: int,
    row_bytes: int,
    shuffle: bool,
    class_weight: ClassWeight | None,
    budget: RamBudget | None = None,
    start: int = 0,
) -> "tuple[EpochFeed, EpochFeed | None]":
    """The feeds of a phase, for training and for validation; features that come again are kept in memory.

    Args:
        strategy: gives the inputs of the model.
        train: the images to learn from.
        validation: the images to measure on after each epoch.
        epochs: the epochs that will run, counted from 0.
        views: distinct views of each training image.
        row_bytes: bytes of features per view of an image.
        shuffle: whether each epoch of training has an order of its own.
        class_weight: weights of the loss by class number, or of several outputs for each.
        budget: the memory for features; by default a quarter of what is free.
        start: batches of the first epoch to pass over.
    """
    budget = budget or RamBudget()
    kept, held_out = None, None
    if strategy.is_ready and len(epochs) > views:
        kept = budget.reserve(len(train), views, row_bytes)
    feed = EpochFeed(
        strategy,
        train,
        epoch=epochs.start,
        views=views,
        shuffle=shuffle,
        class_weight=class_weight,
        kept=kept,
        start=start,
    )
    if validation is not None:
        comes_again = strategy.gives_features and len(epochs) > 1
        held_out = EpochFeed(
            strategy, validation, kept=budget.reserve(len(validation), 1, row_bytes) if comes_again else None
        )
    return feed, held_out


class EpochFeed(keras.utils.PyDataset):  # type: ignore[misc]
    """A source's batches as Keras takes them, epoch after epoch.

    A generator would not do: Keras reads ahead in it, and starts it anew, without saying so. Used as a context, the
    feed also brings back what went wrong in it: TensorFlow turns an error of ours into one of its own, with a page of
    traces; ours says what to do.

    Keras is given `for_keras`. With the source's on_error="skip" an epoch may turn out shorter than it was announced: a
    batch whose images all went bad is passed over. Then Keras needs an `EpochEnd`, too.

    Args:
        strategy: gives the inputs of the model.
        source: the images.
        epoch: the first epoch, from 0; `epoch` may be set at the beginning of each.
        views: distinct views of each image.
        shuffle: whether each epoch has an order of its own.
        class_weight: weights of the loss by class number, or of several outputs for each; they are multiplied with the
            images' own weights.
        kept: features that stay in memory from epoch to epoch, until the context is left.
        start: batches of the first epoch to pass over: it is shorter by so many.

    Attributes:
        clock: is told when batches are there.
    """

    def __init__(
        self,
        strategy: Strategy,
        source: ImageSource,
        *,
        epoch: int = 0,
        views: int = 1,
        shuffle: bool = False,
        class_weight: ClassWeight | None = None,
        kept: RamFeatures | None = None,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.epoch = epoch
        self.clock = StepClock()
        self._strategy = strategy
        self._source = source
        self._views = views
        self._shuffle = shuffle
        self._weights = image_weights(source, class_weight)
        self._start = (epoch, start)
        self._opened = -1
        self._position = 0
        self._kept = kept
        self._batches: Iterator[Feed] = iter(())
        self._looked_at: list[tuple[Any, ...]] = []
        self._error: Exception | None = None
        # Of each batch that was given, which one of the epoch it is; and of each image, its place in the epoch.
        self._places: list[int] = []
        self._place_of = np.zeros(0, np.int64)
        self._context = ExitStack()
        self._length: int | None = None

    @property
    def for_keras(self) -> Any:
        """What Keras' `fit` and `evaluate` take for these batches: a data adapter that differs from Keras' own in two
        things.

        It may end early. Keras asks a PyDataset for as many batches as were announced, without a way to say that there
        are fewer.

        It has TensorFlow not tune how far it reads ahead, which the strategy decides. The thread that tunes looks at
        the epoch at intervals that double, from 10 ms up to a minute, and now and then is not woken when the epoch is
        over (TensorFlow 2.21): Keras waits for it then, up to as long as the epoch took.
        """
        return _Adapter(self)

    @property
    def may_end_early(self) -> bool:
        """Whether an epoch may have fewer batches than announced."""
        return self._source.on_error == "skip" or self._start[1] > 0

    @property
    def passed_over(self) -> int:
        """Counts the batches at the beginning of the present epoch are passed over."""
        epoch, start = self._start
        return start if self.epoch == epoch else 0

    def next_batch(self, step: int) -> int:
        """The place, in the whole epoch, of the batch that comes after this one.

        Args:
            step: which batch of the epoch was given, from 0, those that were passed over included.
        """
        if self._source.on_error == "raise" or not self._places:
            return step + 1
        # Batches of bad images only have a place, but are not given.
        return self._places[min(step - self.passed_over, len(self._places) - 1)] + 1

    @property
    def num_batches(self) -> int:
        """Batches per epoch, the short last one included."""
        return -(-len(self._source) // self._source.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The next batch of the epoch; index 0 begins it. Keras asks in order, from one thread at a time.

        After the end of an epoch that is shorter than announced, the last batch that was kept: Keras looks at the
        shapes of the first ones before it trains.
        """
        batch = self._batch(index)
        return self._looked_at[-1] if batch is None else batch

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The batches of one epoch, as many as there are; when the last one is given, `is_over` knows that it is."""
        self._length = None
        batch = self._batch(0)
        for index in range(1, self.num_batches + 1):
            following = self._batch(index) if index < self.num_batches else None
            if following is None:
                self._length = index
            if batch is not None:
                yield batch
            if following is None:
                return
            batch = following

    def is_over(self, step: int) -> bool:
        """Tells whether the epoch has no batch for this step; to be asked when those before it were given.

        Args:
            step: counted from 0, with those that are passed over.
        """
        return self._length is not None and step >= self._length + self.passed_over

    def _batch(self, index: int) -> tuple[Any, ...] | None:
        """The batch at this place of the epoch; None after the last one."""
        place = index + self.passed_over
        self.clock.make_batch(place)
        try:
            if index == 0 and not self._is_still_at_the_beginning():
                self._open()
            if index < len(self._looked_at):
                self.clock.batch_is_there(place)
                return self._looked_at[index]
            feed = next(self._batches, None)
            if feed is None:
                return None
            batch = _keras_batch(feed, self._weights)
        except Exception as error:
            self._error = error
            raise
        if index < _LOOKED_AT:
            self._looked_at.append(batch)
        if self._source.on_error == "skip":
            self._places.append(int(self._place_of[feed.indices[0]]) // self._source.batch_size)
        self._position = index + 1
        self.clock.batch_is_there(place)
        return batch

    def _is_still_at_the_beginning(self) -> bool:
        """Whether Keras only looked at the first batches of this epoch, so that they serve again."""
        return self._opened == self.epoch and self._position <= len(self._looked_at)

    def _open(self) -> None:
        view = view_of_epoch(self.epoch, self._views)
        self._batches = self._strategy.feeds(
            self._source, epoch=self.epoch, view=view, shuffle=self._shuffle, kept=self._kept, start=self.passed_over
        )
        if self._source.on_error == "skip":
            order = epoch_order(len(self._source), self._source.seed, self.epoch, shuffle=self._shuffle)
            self._places, self._place_of = [], np.argsort(order)
        self._opened, self._position, self._looked_at = self.epoch, 0, []

    def __enter__(self) -> Self:
        if self.may_end_early:
            # Keras warns when an epoch is shorter than announced; which images are missing was said by then.
            self._context.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        # Whoever holds on to the feed, a callback or Keras, does not hold on to the memory.
        self._kept, self._batches, self._looked_at = None, iter(()), []
        if isinstance(error, Exception) and self._error is not None and error is not self._error:
            raise self._error from None


class EpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends an epoch that is shorter than it was announced before Keras takes a step without a batch.

    Keras would notice as well, but only inside the step: whatever in it does not depend on the batch has happened by
    then, the optimizer's count of steps above all.

    Args:
        train: the feed that is trained on, or None.
        held_out: the feed that is measured on, or None.
    """

    def __init__(self, train: EpochFeed | None, held_out: EpochFeed | None) -> None:
        super().__init__()
        self._train = train
        self._held_out = held_out

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the epoch of training."""
        _end(self._train, batch)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the measuring."""
        _end(self._held_out, batch)


def _end(feed: EpochFeed | None, step: int) -> None:
    if feed is not None and feed.is_over(step):
        # What Keras waits for around its steps, to end the epoch.
        raise StopIteration


class _Adapter(_PyDatasetAdapter):  # type: ignore[misc, valid-type]
    """Keras' own adapter for a PyDataset, but for the two things that `EpochFeed.for_keras` names."""

    def _get_iterator(self) -> Iterator[tuple[Any, ...]]:
        feed: EpochFeed = self.py_dataset
        batches: Iterator[tuple[Any, ...]] = iter(feed) if feed.may_end_early else super()._get_iterator()
        return batches

    def get_tf_dataset(self) -> Any:
        """The batches as a `tf.data.Dataset`, which TensorFlow does not tune."""
        options = import_module("tensorflow").data.Options()
        options.autotune.enabled = False
        return super().get_tf_dataset().with_options(options)


def _keras_batch(feed: Feed, weights: SampleWeights) -> tuple[Any, ...]:
    if feed.targets is None:
        # A layer may add a loss of its own, which nobody weighs.
        return (feed.inputs,)
    if weights is None:
        return feed.inputs, feed.targets
    chosen = chosen_weights(weights, feed.indices)
    if isinstance(feed.targets, dict):
        by_output = chosen if isinstance(chosen, dict) else dict.fromkeys(feed.targets, chosen)
        return feed.inputs, feed.targets, {name: _spread(by_output[name], part) for name, part in feed.targets.items()}
    return feed.inputs, feed.targets, _spread(chosen, feed.targets)


def _spread(weights: Any, targets: np.ndarray) -> np.ndarray:
    """Weights that meet each pixel's loss where targets are maps: Keras' losses of a map are (n, height, width)."""
    spread: np.ndarray = weights.reshape(-1, *[1] * max(targets.ndim - 2, 0))
    return spread
