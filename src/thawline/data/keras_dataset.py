"""KerasDataset: a source of images for `keras.Model.fit`, `evaluate` and `predict`."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from thawline.arguments import whole_number
from thawline.backend import keras
from thawline.data.batches import Batch, epoch_order, load_batch, view_of_epoch
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError

# What Keras takes as a batch: images, with targets and sample weights where there are any.
KerasBatch = tuple[Any, ...]


class KerasDataset(keras.utils.PyDataset):  # type: ignore[misc]
    """A source as a `keras.utils.PyDataset`, for models that are trained without a `Stack`.

    Images are float32 (n, height, width, channels), pixels from 0 to 255 unless the source standardizes them. Every
    image comes exactly once per epoch, the last batch as short as it is. Order and views are those of
    `source.batches(epoch)`; epochs are counted by Keras, so that every epoch shows new views. What Keras reads before
    an epoch to learn shapes counts for nothing. Threads decode the images of a batch.

    `keras.Model.fit` draws the order of batches once more, with Python's random numbers, unless it is given
    `shuffle=False`.

    Args:
        source: the images.
        shuffle: whether each epoch has an order of its own: True for `fit`; False for `evaluate` and `predict`, whose
            answers come in the order of the images then.
        views: how many views there are; epoch e shows view e mod views. None: every epoch a new one.

    Attributes:
        epoch: the epoch that comes next, or is going on; set it to go on from a later one.

    Raises:
        ArgumentError: `source` is no source, or `views` is below 1.

    Example:
        >>> model.fit(tl.KerasDataset(train, shuffle=True), epochs=5)  # doctest: +SKIP
        >>> answers = model.predict(tl.KerasDataset(validation, shuffle=False))  # doctest: +SKIP
    """

    def __init__(self, source: ImageSource, *, shuffle: bool, views: int | None = None) -> None:
        if not isinstance(source, ImageSource):
            raise ArgumentError(
                f"KerasDataset takes a source, like tl.ImageFolder('flowers'); got {type(source).__name__}. What "
                "tl.ImageDataGenerator gives goes into keras.Model.fit as it is."
            )
        super().__init__()
        self.source = source
        self.shuffle = shuffle
        self.views = None if views is None else whole_number("views", views)
        self.epoch = 0
        # Keras also ends epochs that never began, after it looked at the first batches to build a model.
        self._is_within_epoch = False
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))
        self._pool = _threads()

    def __len__(self) -> int:
        return -(-len(self.source) // self.source.batch_size)

    def __getitem__(self, index: int) -> KerasBatch:
        """Batch number `index` of the epoch: (images,), (images, targets) or (images, targets, sample weights).

        Raises:
            ArgumentError: there is no such batch.
            UnreadableImageError, ImageChangedError: an image is bad and the source's on_error is "raise".
            DataError: the source's on_error is "skip", and every image of the batch is bad.
        """
        if not -len(self) <= index < len(self):
            raise ArgumentError(f"There are {len(self)} batches, 0 to {len(self) - 1}; got {index}.")
        start = (index % len(self)) * self.source.batch_size
        chosen = self._epoch_order()[start : start + self.source.batch_size]
        loaded = load_batch(self.source, chosen, view_of_epoch(self.epoch, self.views), self._pool)
        if not loaded:
            raise self.source.select(chosen).nothing_left()
        return _as_keras(loaded[0])

    def on_epoch_begin(self) -> None:
        """Begins an epoch; Keras calls it."""
        self._is_within_epoch = True

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch, when one has begun."""
        self.epoch += self._is_within_epoch
        self._is_within_epoch = False

    def __getstate__(self) -> dict[str, Any]:
        # Threads cannot be pickled.
        return {name: value for name, value in self.__dict__.items() if name != "_pool"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _pool=_threads())

    def _epoch_order(self) -> np.ndarray:
        """The order of the epoch, kept for its other batches."""
        epoch, (kept, order) = self.epoch, self._order
        if kept != epoch:
            order = epoch_order(len(self.source), self.source.seed, epoch, shuffle=self.shuffle)
            self._order = (epoch, order)
        return order


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="thawline")


def _as_keras(batch: Batch) -> KerasBatch:
    # Subclassed models do not cast whole numbers; Keras' own loaders give float32, too.
    images = batch.images.astype(np.float32, copy=False)
    if batch.targets is None:
        return (images,)
    return (images, batch.targets) if batch.weights is None else (images, batch.targets, batch.weights)
