"""Records in the order of an epoch -> batches, read ahead by threads.

The order is a pure function of (seed, epoch); which thread loads what changes nothing.
"""

import operator
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from blake3 import blake3

from thawline.arguments import as_whole
from thawline.data.labels import SampleWeights, Targets, chosen_weights
from thawline.errors import ArgumentError, DataError, ImageChangedError, UnreadableImageError

# Batches that are ready before they are asked for: enough to bridge a hiccup, few enough to stay small.
_READ_AHEAD = 4

Chunk = TypeVar("Chunk")
Loaded = TypeVar("Loaded")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Batch:
    """Images that belong together with all that is known of them.

    Attributes:
        images: (n, height, width, channels), as the source's `spec` says: uint8 from 0 to 255, or float32.
        targets: what the model should answer, as the source's `target_spec` says: an array, a dictionary of arrays for
            several outputs, None without labels.
        indices: int64 (n,), each image's index in its source.
        paths: each image's file.
        view: the view that all images show.
        weights: float32 (n,), how much each image counts in the loss, for several outputs maybe a dictionary; None
            where all count the same.
    """

    images: np.ndarray
    targets: Targets
    indices: np.ndarray
    paths: tuple[Path, ...]
    view: int
    weights: SampleWeights = None


class Records(Protocol):
    """What batches are made of; a source is one."""

    paths: tuple[Path, ...]
    weights: SampleWeights
    batch_size: int
    seed: int

    def __len__(self) -> int: ...

    @property
    def on_error(self) -> Literal["raise", "skip"]:
        """What happens with an image that is bad: an error, or it is left out."""

    def is_left_out(self, index: int) -> bool:
        """Whether an image is bad and left out."""

    def attempt(self, make: Callable[..., Made], index: int, *arguments: Any) -> Made | None:
        """What `make(index, *arguments)` gives; None where the image is bad and left out."""

    def nothing_left(self) -> DataError:
        """The error for when every image is bad."""

    def picture(self, index: int, view: int = 0) -> tuple[np.ndarray, Any]:
        """One view of one image, uint8 (height, width, channels), with what is known of the view."""

    def standardized(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Pictures as a model sees them, (n, height, width, channels)."""

    def targets(self, indices: np.ndarray, view: int = 0, images: np.ndarray | None = None) -> Targets:
        """What a model should answer for one view of these images."""


def epoch_order(count: int, seed: int, epoch: int, *, shuffle: bool = True) -> np.ndarray:
    """The indices 0 to count - 1 in the order of an epoch, int64 (count,).

    Every index gets 64 bits of BLAKE3(seed, epoch), and they are sorted by them: every order is equally likely, and
    stays what it is whatever version of NumPy sorts.

    Example:
        >>> epoch_order(3, seed=0, epoch=5, shuffle=False)
        array([0, 1, 2])
        >>> sorted(epoch_order(3, seed=0, epoch=5).tolist())
        [0, 1, 2]
    """
    if not shuffle:
        return np.arange(count)
    key = operator.index(seed).to_bytes(8, "little") + operator.index(epoch).to_bytes(8, "little")
    bits = blake3(key, derive_key_context="thawline order").digest(length=8 * count)
    return np.argsort(np.frombuffer(bits, "<u8"), kind="stable")


def in_batches(order: Sequence[Any] | np.ndarray, size: int) -> list[Any]:
    """What is to be done, so many at a time; the last batch as short as it is."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def view_of_epoch(epoch: int, views: int | None) -> int:
    """The view that an epoch shows: the epoch itself, or epoch mod views when the views are counted."""
    if views is not None and (as_whole(views) or 0) < 1:
        raise ArgumentError(f"views is a whole number from 1 up, or None for a new one each epoch; got {views!r}.")
    return operator.index(epoch if views is None else epoch % views)


class EpochBatches(Iterator[Batch]):
    """The batches of one epoch, which knows where it is.

    Example:
        >>> batches = source.batches(epoch=2)  # doctest: +SKIP
        >>> first = next(batches)  # doctest: +SKIP
        >>> batches.state()  # doctest: +SKIP
        {'epoch': 2, 'start': 1}
        >>> rest = source.batches(**batches.state())  # doctest: +SKIP
    """

    def __init__(self, records: Records, batches: Iterator[list[Batch]], epoch: int, start: int) -> None:
        self._records = records
        self._batches = batches
        self._epoch = epoch
        self._start = start
        self._is_empty = True

    def __next__(self) -> Batch:
        for loaded in self._batches:
            # A batch without images is passed over, but counts: the next one keeps its place.
            self._start += 1
            if loaded:
                self._is_empty = False
                return loaded[0]
        count = len(self._records)
        if count and self._is_empty and all(map(self._records.is_left_out, range(count))):
            raise self._records.nothing_left()
        raise StopIteration

    def state(self) -> dict[str, int]:
        """Plain numbers from which `source.batches(**state)` goes on with the next batch, in another process, too."""
        return {"epoch": self._epoch, "start": self._start}


def iterate(
    records: Records,
    view: int,
    *,
    epoch: int = 0,
    shuffle: bool = True,
    start: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> EpochBatches:
    """The batches of one epoch, loaded ahead by as many threads as there are cores.

    Args:
        records: what batches are made of.
        view: the view that all images show.
        epoch: decides the order.
        shuffle: False gives the order of the indices.
        start: batches to pass over; they are not loaded.
        shard: (index, count): every count-th image of the epoch's order, from the index-th on.
    """

    def load(indices: np.ndarray) -> list[Batch]:
        return load_batch(records, indices, view)

    index, count = shard
    order = epoch_order(len(records), records.seed, epoch, shuffle=shuffle)[index::count]
    return EpochBatches(records, read_ahead(in_batches(order, records.batch_size)[start:], load), epoch, start)


def load_batch(records: Records, indices: np.ndarray, view: int, pool: ThreadPoolExecutor | None = None) -> list[Batch]:
    """One batch in a list, which is empty where every image of it is bad and left out.

    Args:
        records: what the batch is made of.
        indices: int64 (n,), the images' indices.
        view: the view that they show.
        pool: threads that load the images; None loads one after another.
    """

    def picture(index: int) -> tuple[np.ndarray, Any] | None:
        return records.attempt(records.picture, index, view)

    made = list((map if pool is None else pool.map)(picture, indices))
    found = [each[0] for each in made if each is not None]
    if not found:
        return []
    chosen = indices[[each is not None for each in made]]
    images: np.ndarray | None
    chosen, images, targets = with_targets(records, chosen, view, records.standardized(found))
    if images is None or not len(chosen):
        return []
    batch = Batch(
        images=images,
        targets=targets,
        indices=chosen,
        paths=tuple(records.paths[index] for index in chosen),
        view=view,
        weights=chosen_weights(records.weights, chosen),
    )
    return [batch]


def with_targets(
    records: Records, indices: np.ndarray, view: int, images: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None, Targets]:
    """Images of a batch with their targets, without those whose targets cannot be made, of masks that went bad, say.

    Args:
        records: what the batch is made of.
        indices: int64 (n,), the images' indices.
        view: the view that they show.
        images: (n, height, width, channels), or None where they are not there.

    Returns:
        The indices, images and targets that are left, maybe none; targets are None then.
    """
    while len(indices):
        try:
            return indices, images, records.targets(indices, view, images)
        except (UnreadableImageError, ImageChangedError):
            if records.on_error == "raise":
                raise
            for index in indices:
                records.attempt(lambda index: records.targets(np.array([index]), view), int(index))
            is_kept = np.array([not records.is_left_out(int(index)) for index in indices])
            indices, images = indices[is_kept], None if images is None else images[is_kept]
    return indices, images, None


def read_ahead(chunks: Iterable[Chunk], load: Callable[[Chunk], Loaded]) -> Generator[Loaded, None, None]:
    """Loads chunk after chunk in threads, ahead of who asks for them, and gives them in their order."""
    waiting: deque[Future[Loaded]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="thawline")
    try:
        for chunk in chunks:
            waiting.append(pool.submit(load, chunk))
            if len(waiting) > _READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Whoever stops in the middle of an epoch does not wait for what nobody wants any more.
        pool.shutdown(wait=False, cancel_futures=True)
