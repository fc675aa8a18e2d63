"""What `ImageDataGenerator.flow*` returns: batches as `keras.utils.PyDataset`, in two orders.

`LegacyIterator` draws what Keras' iterators draw; `ImageIterator` is a pure function of (seed, epoch, index). Both are
an `Iterator`, which has the attributes that users of Keras' iterators read.
"""

import secrets
import threading
from collections.abc import Iterator as Iteration
from typing import Any, Protocol, Self

import numpy as np

from thawline.backend import keras
from thawline.data.batches import epoch_order
from thawline.data.generator.rows import KerasBatch, Rows
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError


class Looks(Protocol):
    """Where an iterator's pixels come from."""

    @property
    def dtype(self) -> str:
        """Of every image."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image."""


class LegacyLooks(Looks, Protocol):
    """Pixels that come from a stream of random numbers."""

    def images(self, indices: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """The images of these rows, with the next numbers of the stream."""


class ViewLooks(Looks, Protocol):
    """Pixels that come from (seed, image, view)."""

    def images(self, indices: np.ndarray, seed: int, view: int) -> np.ndarray:
        """One view of the images of these rows."""

    def source(self, batch_size: int, seed: int) -> ImageSource:
        """The same images for a Stack."""


class Iterator(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of a generator: goes into `keras.Model.fit`, `evaluate` and `predict`.

    Attributes:
        n, samples: the number of images.
        batch_size, shuffle, seed: as given to `flow*`.
        image_shape: the shape of every image.
        filenames, filepaths: each file as listed and as opened; empty lists for arrays.
        classes, labels: what is known of each image: class numbers, lists of them, or answers.
        class_indices: the number of each class by its name.
        class_mode: what the answers are.
        batch_index: the batch that `next()` gives next.
    """

    def __init__(self, rows: Rows, looks: Looks, *, batch_size: int, shuffle: bool, seed: int | None) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size is a whole number from 1 up; got {batch_size!r}.")
        self.rows = rows
        self.looks: Any = looks
        self.n = self.samples = len(rows)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.image_shape = looks.image_shape
        self.filenames, self.filepaths = list(rows.filenames), list(rows.filepaths)
        self.class_mode = rows.class_mode
        self.class_indices = rows.class_indices
        self.num_classes = len(rows.class_indices)
        self.labels = self.classes = rows.labels
        self.sample_weight = rows.weights
        self.batch_index = 0
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    @property
    def num_batches(self) -> int:
        """Batches per epoch, the short last one included."""
        return len(self)

    def reset(self) -> None:
        """Makes `next()` begin with the first batch again."""
        self.batch_index = 0

    def __getstate__(self) -> dict[str, Any]:
        # Locks cannot be pickled.
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.Lock()

    def _position(self, index: int) -> int:
        """A batch's number from 0; negative numbers count from the end."""
        if not -len(self) <= index < len(self):
            raise ArgumentError(f"There are {len(self)} batches, 0 to {len(self) - 1}; got {index}.")
        return index % len(self)

    def _chunk(self, position: int) -> slice:
        return slice(position * self.batch_size, (position + 1) * self.batch_size)

    def _take_position(self) -> int:
        """The batch that `next()` gives; the one after it comes next."""
        if not self.n:
            raise ArgumentError("There are no images to go through.")
        position = self.batch_index
        self.batch_index = (position + 1) % len(self)
        return position


class LegacyIterator(Iterator):
    """Batches with the order and the draws of Keras' iterators for the same seed.

    Every request, by index or by `next()`, starts a stream of numbers from seed + total_batches_seen and counts on, as
    in Keras. `keras.Model.fit` asks for two batches first, to learn their shapes, and throws them away: it does so
    with Keras' iterators too, so that training sees the same pixels with either. `for` never ends, as in Keras.

    Without a seed Keras goes on from wherever NumPy's global generator is; here the numbers are fresh.

    Attributes:
        total_batches_seen: how many batches were asked for.
        index_array: int64 (n,), the order of the present epoch, or None before the first batch.
    """

    def __init__(self, rows: Rows, looks: LegacyLooks, *, batch_size: int, shuffle: bool, seed: int | None) -> None:
        super().__init__(rows, looks, batch_size=batch_size, shuffle=shuffle, seed=seed)
        self.total_batches_seen = 0
        self.index_array: np.ndarray | None = None
        self._random = np.random.RandomState(seed)

    @property
    def source(self) -> ImageSource:
        """Never: what legacy=True draws depends on the order of the calls, which a Stack does not promise.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError(
            "A Stack shows views that depend on (seed, image, view) only; legacy=True draws depend on the order of the "
            "calls. Use ImageDataGenerator without legacy=True, or keras.Model.fit."
        )

    def __getitem__(self, index: int) -> KerasBatch:
        """Batch number `index` of the order at hand."""
        position = self._position(index)
        with self.lock:
            random = self._next_stream()
            if self.index_array is None:
                self._set_order()
            assert self.index_array is not None
            chosen = self.index_array[self._chunk(position)]
        return self._batch(chosen, random)

    def __next__(self) -> KerasBatch:
        with self.lock:
            position = self._take_position()
            random = self._next_stream()
            if position == 0:
                self._set_order()
            assert self.index_array is not None
            chosen = self.index_array[self._chunk(position)]
        return self._batch(chosen, random)

    def __iter__(self) -> Self:
        return self

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch, from where the last batch left the numbers."""
        with self.lock:
            self._set_order()

    def _next_stream(self) -> np.random.RandomState:
        self._random = np.random.RandomState(None if self.seed is None else self.seed + self.total_batches_seen)
        self.total_batches_seen += 1
        return self._random

    def _set_order(self) -> None:
        self.index_array = self._random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _batch(self, chosen: np.ndarray, random: np.random.RandomState) -> KerasBatch:
        return self.rows.batch(chosen, self.looks.images(chosen, random), self.looks.dtype)


class ImageIterator(Iterator):
    """Batches that depend on (seed, epoch, index) only: any order of requests, any number of workers.

    Every image comes exactly once per epoch, the last batch as short as it is. An epoch ends with Keras'
    `on_epoch_end`, with the end of a `for` loop, or when `next()` has given the last batch; then `epoch` counts on,
    which changes order and views. Leave `steps_per_epoch` out: Keras would cut epochs elsewhere.

    `keras.Model.fit` shuffles the order of batches once more by Python's `random`, unless it is told `shuffle=False`.

    Attributes:
        seed: decides order and views; drawn when none was given.
        epoch: the present epoch, from 0; set it to go on from a later one.
    """

    def __init__(self, rows: Rows, looks: ViewLooks, *, batch_size: int, shuffle: bool, seed: int | None) -> None:
        seed = secrets.randbits(32) if seed is None else seed
        if not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ArgumentError(f"seed is a whole number from 0 to {2**32 - 1}, or None; got {seed!r}.")
        super().__init__(rows, looks, batch_size=batch_size, shuffle=shuffle, seed=seed)
        self._seed = seed
        self.epoch = 0
        # Keras also ends epochs that never began, after it looked at the first batches to build a model.
        self._is_within_epoch = False
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))

    @property
    def source(self) -> ImageSource:
        """The same images as an ImageSource, for `Stack.fit`, with the same views.

        Raises:
            ArgumentError: these images cannot be a source; the message says why.
        """
        source: ImageSource = self.looks.source(self.batch_size, self._seed)
        return source

    def __getitem__(self, index: int) -> KerasBatch:
        """Batch number `index` of the present epoch."""
        return self._batch(self._position(index), self.epoch)

    def __next__(self) -> KerasBatch:
        with self.lock:
            position, epoch = self._take_position(), self.epoch
            if self.batch_index == 0:
                self.epoch += 1
        return self._batch(position, epoch)

    def __iter__(self) -> Iteration[KerasBatch]:
        """The batches of the present epoch, which is over then."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        for position in range(len(self)):
            yield self._batch(position, epoch)

    def on_epoch_begin(self) -> None:
        """What Keras calls before an epoch."""
        self._is_within_epoch = True

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch, when one has begun by `on_epoch_begin`."""
        self.epoch += self._is_within_epoch
        self._is_within_epoch = False

    def _batch(self, position: int, epoch: int) -> KerasBatch:
        chunk = self._chunk(position)
        chosen = self._epoch_order(epoch)[chunk.start : chunk.stop]
        # Answers stay float32 whatever the images are: uint8 would wrap above 255 classes.
        return self.rows.batch(chosen, self.looks.images(chosen, self._seed, epoch), "float32")

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """The order of an epoch, kept for its other batches."""
        kept, order = self._order
        if kept != epoch:
            order = epoch_order(self.n, self._seed, epoch, shuffle=self.shuffle)
            self._order = (epoch, order)
        return order
