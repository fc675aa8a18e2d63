"""Strategies' feeds as the generators that Keras takes, over many epochs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from thawline.data.sources import ImageSource, view_of_epoch
from thawline.errors import ArgumentError
from thawline.features.cache import FeatureCache
from thawline.stack.cut import Cut
from thawline.training.joint import Joint
from thawline.training.precomputed import Precomputed
from thawline.training.strategy import Feed, Strategy
from thawline.training.streamed import Streamed


def make_strategy(name: str, cut: Cut, batch_size: int, cache: FeatureCache | None) -> Strategy:
    """The strategy of this name. The default cache is opened only by who needs it."""
    makers: dict[str, Callable[[], Strategy]] = {
        "joint": lambda: Joint(cut, batch_size),
        "precomputed": lambda: Precomputed(cut, cache or FeatureCache()),
        "streamed": lambda: Streamed(cut),
    }
    return makers[name]()


class Guard:
    """Brings back what went wrong in a generator that TensorFlow runs in a thread of its own.

    TensorFlow turns an error of ours into one of its own, with a page of traces; ours says what to do.

    Example:
        >>> guard = Guard()
        >>> with guard:
        ...     list(guard.watch([1, 2]))
        [1, 2]
    """

    def __init__(self) -> None:
        self._error: Exception | None = None

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches; an error on the way is kept, to be raised at the end of the `with` block."""
        try:
            yield from batches
        except Exception as error:
            self._error = error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and self._error is not None and error is not self._error:
            raise self._error from None


def keras_batches(
    strategy: Strategy,
    source: ImageSource,
    epochs: range,
    views: int,
    shuffle: bool,
    class_weight: Mapping[int, float] | None,
) -> Iterator[tuple[Any, ...]]:
    """The batches of many epochs as Keras takes them: (inputs, targets) or (inputs, targets, weights)."""
    weights = None if class_weight is None else _label_weights(source, class_weight)
    for epoch in epochs:
        for feed in strategy.feeds(source, epoch=epoch, view=view_of_epoch(epoch, views), shuffle=shuffle):
            yield _keras_batch(feed, weights)


def _keras_batch(feed: Feed, weights: np.ndarray | None) -> tuple[Any, ...]:
    return (feed.inputs, feed.targets) if weights is None else (feed.inputs, feed.targets, weights[feed.indices])


def _label_weights(source: ImageSource, class_weight: Mapping[int, float]) -> np.ndarray:
    """The weight of each image, float32, from the weight of its class; classes that are not named weigh 1."""
    unknown = [label for label in class_weight if label not in range(len(source.class_names))]
    if unknown:
        raise ArgumentError(
            f"class_weight names class {unknown[0]!r}; classes are the numbers 0 to {len(source.class_names) - 1}."
        )
    table = np.array([class_weight.get(label, 1.0) for label in range(len(source.class_names))], np.float32)
    weights: np.ndarray = table[source.labels]
    return weights


def batch_count(source: ImageSource) -> int:
    """Batches per epoch, the short last one included."""
    return -(-len(source) // source.batch_size)
