"""Batches that `ImageDataGenerator.flow*` return, as `keras.utils.PyDataset`, in two orders.

`LegacyIterator` draws what Keras' iterators draw; `ImageIterator` draws from (seed, place in the listing, view). Both
are an `Iterator`, which has the attributes that users of Keras' iterators read.
"""

import operator
import os
import threading
import warnings
from typing import Any, Protocol, Self

import numpy as np

from thawline.arguments import whole_number
from thawline.backend import keras
from thawline.data.batches import epoch_order
from thawline.data.generator.epochs import Epochs, Shown
from thawline.data.generator.rows import KerasBatch, Rows
from thawline.data.generator.unseeded import take_seed
from thawline.data.legacy import KERAS_ENDINGS
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError

_HIGHEST_SEED = 2**32 - 1


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
    """Pixels that come from (seed, place, view)."""

    def images(self, indices: np.ndarray, seed: int, view: int, threads: int) -> np.ndarray:
        """One view of the images of these rows."""

    def source(self, batch_size: int, seed: int) -> ImageSource:
        """The same images for a Stack."""


class Iterator(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of a generator: goes into `keras.Model.fit`, `evaluate` and `predict`.

    `for`, `zip` and `next()` never end, as with Keras' iterators; `len()` batches are one pass over the images.

    Attributes:
        n, samples: the number of images.
        batch_size, shuffle, seed: as given to `flow*`.
        image_shape: the shape of every image.
        filenames, filepaths: each file as listed and as opened; empty lists for arrays.
        classes, labels: what is known of each image: class numbers, lists of them, or answers.
        class_indices: the number of each class by its name.
        class_mode: what the answers are.
        batch_index: the batch that `next()` gives next.
        image_data_generator, directory, target_size, color_mode, interpolation, keep_aspect_ratio, data_format, dtype,
            save_to_dir, save_prefix, save_format, subset, split: as given to the generator and to `flow*`.
        x, y, x_misc: arrays as given to `flow`; they are there with arrays only.
        white_list_formats: the endings of files that Keras lists.
    """

    white_list_formats = KERAS_ENDINGS

    def __init__(
        self,
        rows: Rows,
        looks: Looks,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.rows = rows
        self.looks: Any = looks
        self.n = self.samples = len(rows)
        self.batch_size = whole_number("batch_size", batch_size)
        self.shuffle = shuffle
        self.seed = None if seed is None else whole_number("seed", seed, least=0, most=_HIGHEST_SEED)
        self.image_shape = looks.image_shape
        self.dtype = looks.dtype
        self.filenames, self.filepaths = list(rows.filenames), list(rows.filepaths)
        self.class_mode = rows.class_mode
        self.class_indices = rows.class_indices
        self.num_classes = len(rows.class_indices)
        self.labels = self.classes = rows.labels
        self.sample_weight = rows.weights
        self.lock = threading.Lock()
        # How many batches were asked for.
        self.total_batches_seen = 0
        self.__dict__.update(settings or {})

    def __repr__(self) -> str:
        classes = f" in {self.num_classes:,} classes" if self.num_classes else ""
        shape = " x ".join(map(str, self.image_shape))
        return f"{type(self).__name__}({self.n:,} images{classes}, batches of {self.batch_size:,} of {shape})"

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    @property
    def num_batches(self) -> int:
        """Batches per epoch, the short last one included."""
        return len(self)

    def __iter__(self) -> Self:
        """The iterator itself: batches without end."""
        return self

    def __next__(self) -> KerasBatch:
        raise NotImplementedError

    def next(self) -> KerasBatch:
        """The next batch, as `next()` gives it; what it was called before Keras 3."""
        return next(self)

    def __getstate__(self) -> dict[str, Any]:
        # Locks cannot be pickled.
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.Lock()

    def _position(self, index: int) -> int:
        """A batch's number from 0; negative numbers count from the end."""
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise ArgumentError(f"There are {len(self)} batches, 0 to {len(self) - 1}; got {index}.")
        return index % len(self)

    def _chunk(self, position: int) -> slice:
        return slice(position * self.batch_size, (position + 1) * self.batch_size)

    def _check_not_empty(self) -> None:
        if not self.n:
            raise ArgumentError("There are no images to go through.")


class LegacyIterator(Iterator):
    """Batches with the order and the draws of Keras' iterators for the same seed.

    Every request, by index or by `next()`, starts a stream of numbers from seed + total_batches_seen and counts on, as
    in Keras. `keras.Model.fit` asks for two batches first, to learn their shapes, and throws them away: it does so
    with Keras' iterators too, so that training sees the same pixels with either.

    Without a seed Keras goes on from wherever NumPy's global generator is; here a seed is taken from where it is, and
    the generator stays there.

    Attributes:
        total_batches_seen: how many batches were asked for.
        index_array: int64 (n,), the order of the present epoch, or None before the first batch.
    """

    def __init__(self, rows: Rows, looks: LegacyLooks, **options: Any) -> None:
        super().__init__(rows, looks, **options)
        self.batch_index = 0
        self.index_array: np.ndarray | None = None
        self._start = take_seed() if self.seed is None else self.seed
        self._random = np.random.RandomState(self._start)

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

    def reset(self) -> None:
        """Makes `next()` begin with the first batch again."""
        self.batch_index = 0

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
        self._check_not_empty()
        with self.lock:
            position = self.batch_index
            self.batch_index = (position + 1) % len(self)
            random = self._next_stream()
            if position == 0:
                self._set_order()
            assert self.index_array is not None
            chosen = self.index_array[self._chunk(position)]
        return self._batch(chosen, random)

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch, from where the last batch left the numbers."""
        with self.lock:
            self._set_order()

    def _next_stream(self) -> np.random.RandomState:
        self._random = np.random.RandomState((self._start + self.total_batches_seen) % 2**32)
        self.total_batches_seen += 1
        return self._random

    def _set_order(self) -> None:
        self.index_array = self._random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _batch(self, chosen: np.ndarray, random: np.random.RandomState) -> KerasBatch:
        return self.rows.batch(chosen, self.looks.images(chosen, random), self.looks.dtype)


class ImageIterator(Iterator):
    """Batches whose random numbers come from (seed, place in the listing, view).

    Two iterators with one seed and one length move in step, an image's and its mask's. The order of requests, threads
    and the size of batches change nothing. An image that is asked for again shows a new view. While Keras trains, the
    view is the number of the epoch: what Keras peeks at and reads ahead counts for nothing (see `Epochs`). The order
    changes with each epoch of Keras, with each pass of `next()`, and with `on_epoch_end`.

    Leave `steps_per_epoch` out of `fit`: where it is smaller than `len()`, Keras 3 makes one epoch of the steps and
    the next one of what is left.

    `keras.Model.fit` shuffles the order of batches once more by Python's `random`, unless it is told `shuffle=False`.

    Attributes:
        seed: decides order and views; taken by `take_seed` when none was given.
        epoch: the epoch that comes next, or is going on, from 0; set it to go on from a later one.
        index_array: int64 (n,), the order of the batch that was given last.
        workers: set it to the number of threads that make a batch (by default as many as there are cores). It reads 1:
            Keras' own queue of workers forgets batches between epochs, and is not used.
    """

    def __init__(self, rows: Rows, looks: ViewLooks, **options: Any) -> None:
        super().__init__(rows, looks, **options)
        self._seed: int = take_seed() if self.seed is None else self.seed
        self.seed = self._seed
        self._epochs = Epochs(len(self))
        self._threads = os.cpu_count() or 1
        # The last view of each image outside Keras' epochs.
        self._last_views = np.full(self.n, -1, np.int64)
        self._last_order: int | None = None
        self._has_warned = False
        # Set later, `shuffle` and `batch_size` count from the next batch on.
        self._order: tuple[tuple[int, bool], np.ndarray] = ((-1, False), np.arange(0))

    @property
    def source(self) -> ImageSource:
        """The same images as an ImageSource, for `Stack.fit`: same files, answers and order.

        Views of a source belong to the content of the images, not to their places: features are found again that way.

        Raises:
            ArgumentError: these images cannot be a source; the message says why.
        """
        source: ImageSource = self.looks.source(self.batch_size, self._seed)
        return source

    # -- where it is -----------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch that comes next, or is going on, from 0."""
        return self._epochs.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epochs.start_at(whole_number("epoch", epoch, least=0))
        self._last_views[:] = -1

    @property
    def batch_index(self) -> int:
        """The batch that `next()` gives next."""
        return self._epochs.batch_index

    @batch_index.setter
    def batch_index(self, index: int) -> None:
        self._epochs.go_to(whole_number("batch_index", index, least=0))

    @property
    def index_array(self) -> np.ndarray:
        """The order of the batch that was given last, int64 (n,): image `index_array[i]` comes at place i."""
        return self._order_of(self._epochs.order if self._last_order is None else self._last_order)

    def reset(self) -> None:
        """Makes `next()` begin with the first batch again, of another order."""
        self._epochs.go_to(0)

    # -- what Keras reads and calls --------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Always 1 (see the class). Keras' adapter reads it once for each `fit`, `evaluate` and `predict`."""
        self.rows.check_for_keras()
        with self.lock:
            self._epochs.prepare()
        return 1

    @workers.setter
    def workers(self, count: int) -> None:
        self._threads = whole_number("workers", count)

    @property
    def use_multiprocessing(self) -> bool:
        """Always False: threads make the batches, and processes would each count requests of their own."""
        return False

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        """Taken and passed over."""

    def on_epoch_begin(self) -> None:
        """Begins an epoch; Keras calls it."""
        with self.lock:
            self._epochs.begin()

    def on_epoch_end(self) -> None:
        """Ends an epoch that has begun; otherwise shuffles."""
        with self.lock:
            if not self._epochs.is_driven:
                self._last_order = None
            is_over_several = self._epochs.end()
        if self._has_warned or not is_over_several:
            return
        self._has_warned = True
        warnings.warn(
            f"steps_per_epoch is smaller than the {len(self)} batches of these {self.n} images: Keras 3 gives what an "
            "epoch leaves to the next one, which then may end early. Leave steps_per_epoch out, and every epoch has "
            f"all {len(self)} batches.",
            stacklevel=2,
        )

    # -- batches ---------------------------------------------------------------------------------------------

    def __getitem__(self, index: int) -> KerasBatch:
        """Batch number `index`, in the order at hand."""
        position = self._position(index)
        with self.lock:
            self.total_batches_seen += 1
            self._epochs.batches = len(self)
            chosen, view = self._shown(position, self._epochs.request(position))
        return self._batch(chosen, view)

    def __next__(self) -> KerasBatch:
        self._check_not_empty()
        with self.lock:
            self.total_batches_seen += 1
            self._epochs.batches = len(self)
            chosen, view = self._shown(*self._epochs.next_request())
        return self._batch(chosen, view)

    def _shown(self, position: int, shown: Shown) -> tuple[np.ndarray, int]:
        """The images of a batch and their view: the first that none of them has shown, where none is given."""
        self._last_order = shown.order
        chosen = self._order_of(shown.order)[self._chunk(position)]
        if shown.view is not None:
            return chosen, shown.view
        view = int(self._last_views[chosen].max()) + 1
        self._last_views[chosen] = view
        return chosen, view

    def _batch(self, chosen: np.ndarray, view: int) -> KerasBatch:
        images = self.looks.images(chosen, self._seed, view, self._threads)
        # Answers stay float32 whatever the images are: uint8 would wrap above 255 classes.
        return self.rows.batch(chosen, images, "float32")

    def _order_of(self, number: int) -> np.ndarray:
        """An order of the images, kept for its other batches."""
        kept, order = self._order
        if kept != (number, self.shuffle):
            order = epoch_order(self.n, self._seed, number, shuffle=self.shuffle)
            self._order = ((number, self.shuffle), order)
        return order
