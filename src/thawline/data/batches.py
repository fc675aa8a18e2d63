"""Records in the order of an epoch -> batches, read ahead by threads through Grain.

The order is a pure function of (seed, epoch); which thread loads what changes nothing.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from blake3 import blake3

from thawline.data.labels import Targets
from thawline.errors import ArgumentError, DataError, ImageChangedError, UnreadableImageError

# Grain asks for JAX's profiler at import and complains, through absl, that it is not there.
_absl = logging.getLogger("absl")
_absl_level = _absl.level
_absl.setLevel(logging.ERROR)
import grain  # noqa: E402

_absl.setLevel(_absl_level)

# Batches that are ready before they are asked for: enough to bridge a hiccup, few enough to stay small.
_READ_AHEAD = 4

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
        weights: float32 (n,), how much each image counts in the loss; None where all count the same.
    """

    images: np.ndarray
    targets: Targets
    indices: np.ndarray
    paths: tuple[Path, ...]
    view: int
    weights: np.ndarray | None = None


class Records(Protocol):
    """What batches are made of; a source is one."""

    paths: tuple[Path, ...]
    weights: np.ndarray | None
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

    def image(self, index: int, view: int = 0) -> np.ndarray:
        """One view of one image."""

    def targets(self, indices: np.ndarray, view: int = 0, images: np.ndarray | None = None) -> Targets:
        """What a model should answer for one view of these images."""


def epoch_order(count: int, seed: int, epoch: int, *, shuffle: bool = True) -> "grain.MapDataset[int]":
    """The indices 0 to count - 1 in the order of an epoch, as a Grain data set with random access.

    Example:
        >>> list(epoch_order(3, seed=0, epoch=5, shuffle=False))
        [0, 1, 2]
    """
    indices = grain.MapDataset.range(count)
    if not shuffle:
        return indices
    # Grain's own repetitions add the epoch to the seed: seed 1 would be seed 0 one epoch later.
    key = seed.to_bytes(8, "little") + epoch.to_bytes(8, "little")
    return indices.shuffle(seed=int.from_bytes(blake3(key, derive_key_context="thawline order").digest(length=4)))


def view_of_epoch(epoch: int, views: int | None) -> int:
    """The view that an epoch shows: the epoch itself, or epoch mod views when the views are counted."""
    if views is not None and views < 1:
        raise ArgumentError(f"views is a whole number from 1 up, or None for a new one each epoch; got {views!r}.")
    return epoch if views is None else epoch % views


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

    def load(indices: Sequence[int]) -> list[Batch]:
        made = [records.attempt(records.image, index, view) for index in indices]
        found = [image for image in made if image is not None]
        if not found:
            return []
        chosen = np.array([index for index, image in zip(indices, made, strict=True) if image is not None], np.int64)
        images: np.ndarray | None
        chosen, images, targets = with_targets(records, chosen, view, np.stack(found))
        if images is None or not len(chosen):
            return []
        batch = Batch(
            images=images,
            targets=targets,
            indices=chosen,
            paths=tuple(records.paths[index] for index in chosen),
            view=view,
            weights=None if records.weights is None else records.weights[chosen],
        )
        return [batch]

    index, count = shard
    order = epoch_order(len(records), records.seed, epoch, shuffle=shuffle)[index::count]
    chunks = order.batch(records.batch_size, batch_fn=list)[start:]
    return EpochBatches(records, read_ahead(chunks, load) if len(chunks) else iter(()), epoch, start)


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


def read_ahead(chunks: "grain.MapDataset[Sequence[int]]", load: Callable[[Sequence[int]], Loaded]) -> Iterator[Loaded]:
    """Loads chunk after chunk in threads, ahead of who asks for them, and gives them in their order.

    What there may be none of is loaded as a list of one or none: Grain takes None as a sign to pass over a chunk.
    """
    options = grain.ReadOptions(num_threads=os.cpu_count() or 1, prefetch_buffer_size=_READ_AHEAD)
    return iter(chunks.map(load).to_iter_dataset(options))
