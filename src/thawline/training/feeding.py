"""From a strategy to what `keras.Model.fit` takes."""

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from thawline.backend import keras
from thawline.data.batches import view_of_epoch
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.features.cache import FeatureCache
from thawline.stack.cut import Cut
from thawline.training.joint import Joint, JointModel
from thawline.training.precomputed import Precomputed
from thawline.training.strategy import Feed, Strategy
from thawline.training.streamed import Streamed

# Batches that Keras looks at before the first epoch, to learn their shapes.
_LOOKED_AT = 2


def make_strategy(name: str, cut: Cut, batch_size: int, cache: FeatureCache | None) -> Strategy:
    """The strategy of this name. The default cache is opened only by who needs it."""
    makers: dict[str, Callable[[], Strategy]] = {
        "joint": lambda: Joint(JointModel(cut, batch_size)),
        "precomputed": lambda: Precomputed(cut, cache or FeatureCache(), batch_size=batch_size),
        "streamed": lambda: Streamed(cut),
    }
    return makers[name]()


class EpochFeed(keras.utils.PyDataset):  # type: ignore[misc]
    """A source's batches as Keras takes them, epoch after epoch.

    A generator would not do: Keras reads ahead in it, and starts it anew, without saying so. Used as a context, the
    feed also brings back what went wrong in it: TensorFlow turns an error of ours into one of its own, with a page of
    traces; ours says what to do.

    Args:
        strategy: gives the inputs of the model.
        source: the images.
        epoch: the first epoch, from 0; `epoch` may be set at the beginning of each.
        views: distinct views of each image.
        shuffle: whether each epoch has an order of its own.
        class_weight: weights of the loss by class number, multiplied with the images' own weights.
    """

    def __init__(
        self,
        strategy: Strategy,
        source: ImageSource,
        *,
        epoch: int = 0,
        views: int = 1,
        shuffle: bool = False,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        self.epoch = epoch
        self._strategy = strategy
        self._source = source
        self._views = views
        self._shuffle = shuffle
        self._weights = _image_weights(source, class_weight)
        self._opened = -1
        self._position = 0
        self._batches: Iterator[Feed]
        self._kept: list[tuple[Any, ...]] = []
        self._error: Exception | None = None

    @property
    def num_batches(self) -> int:
        """Batches per epoch, the short last one included."""
        return -(-len(self._source) // self._source.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The next batch of the epoch; index 0 begins it. Keras asks in order, from one thread at a time."""
        try:
            if index == 0 and not self._is_still_at_the_beginning():
                self._open()
            if index < len(self._kept):
                return self._kept[index]
            batch = _keras_batch(next(self._batches), self._weights)
        except Exception as error:
            self._error = error
            raise
        if index < _LOOKED_AT:
            self._kept.append(batch)
        self._position = index + 1
        return batch

    def _is_still_at_the_beginning(self) -> bool:
        """Whether Keras only looked at the first batches of this epoch, so that they serve again."""
        return self._opened == self.epoch and self._position <= len(self._kept)

    def _open(self) -> None:
        view = view_of_epoch(self.epoch, self._views)
        self._batches = self._strategy.feeds(self._source, epoch=self.epoch, view=view, shuffle=self._shuffle)
        self._opened, self._position, self._kept = self.epoch, 0, []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and self._error is not None and error is not self._error:
            raise self._error from None


def _keras_batch(feed: Feed, weights: np.ndarray | None) -> tuple[Any, ...]:
    if weights is None:
        return feed.inputs, feed.targets
    chosen = weights[feed.indices]
    if isinstance(feed.targets, dict):
        return feed.inputs, feed.targets, {name: _spread(chosen, part) for name, part in feed.targets.items()}
    return feed.inputs, feed.targets, _spread(chosen, feed.targets)


def _spread(weights: np.ndarray, targets: np.ndarray | None) -> np.ndarray:
    """Weights that meet each pixel's loss where targets are maps: Keras' losses of a map are (n, height, width)."""
    axes = 0 if targets is None else max(targets.ndim - 2, 0)
    return weights.reshape(-1, *[1] * axes)


def _image_weights(source: ImageSource, class_weight: Mapping[int, float] | None) -> np.ndarray | None:
    """How much each image counts in the loss, float32 (n,): its own weight times its class's; None when all are 1."""
    if class_weight is None:
        return source.weights
    weights = _label_weights(source, class_weight)
    return weights if source.weights is None else weights * source.weights


def _label_weights(source: ImageSource, class_weight: Mapping[int, float]) -> np.ndarray:
    """The weight of each image, float32, from the weight of its class; classes that are not named weigh 1."""
    labels = source.labels
    if labels is None or labels.ndim != 1:
        raise ArgumentError(
            "class_weight needs one class per image, but these have none, several, or numbers. "
            "Give the source sample weights instead."
        )
    unknown = [label for label in class_weight if label not in range(len(source.class_names))]
    if unknown:
        raise ArgumentError(
            f"class_weight names class {unknown[0]!r}; classes are the numbers 0 to {len(source.class_names) - 1}."
        )
    table = np.array([class_weight.get(label, 1.0) for label in range(len(source.class_names))], np.float32)
    weights: np.ndarray = table[labels]
    return weights
