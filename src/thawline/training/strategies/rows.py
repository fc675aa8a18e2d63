"""From rows of features to the batches of an epoch, loaded many batches at a time."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from thawline.data.batches import epoch_order, in_batches, read_ahead, with_targets
from thawline.data.labels import Targets
from thawline.data.sources.source import ImageSource
from thawline.training.strategies.strategy import Feed, unwrap

# What a thread loads at once. Small rows cost more to hand over batch by batch than to read: with 5 kB each, 25 batches
# of 32 at a time take half the processor time. Rows of megabytes come one batch at a time, so that few are in memory.
_CHUNK_BYTES = 4 << 20

ReadRows = Callable[[np.ndarray], list[np.ndarray]]


def row_feeds(
    source: ImageSource, read: ReadRows, row_bytes: int, *, epoch: int, view: int, shuffle: bool, start: int = 0
) -> Iterator[Feed]:
    """The batches of one epoch, loaded ahead by threads.

    An image that is left out stays out, also where there are features of it.

    Args:
        source: the images.
        read: features of images by their indices, one array (n, ...) per crossing tensor; threads call it.
        row_bytes: bytes of features per image.
        epoch: decides the order.
        view: the view that all images show.
        shuffle: False gives the order of the indices.
        start: batches to pass over; they are not loaded.

    Raises:
        DataError: with on_error="skip", every image is left out.
    """
    size = source.batch_size

    def load(indices: np.ndarray) -> list[Feed]:
        chosen, _, targets = with_targets(source, present(source, indices), view)
        if not len(chosen):
            return []
        rows = read(chosen)
        # Images that are left out make their own batch shorter, not the next one.
        places = np.flatnonzero(np.isin(indices, chosen))
        bounds = np.searchsorted(places, np.arange(0, len(indices) + size, size)).tolist()
        return [
            Feed(unwrap([tensor[start:end] for tensor in rows]), _part(targets, start, end), chosen[start:end])
            for start, end in pairwise(bounds)
            if start < end
        ]

    order = epoch_order(len(source), source.seed, epoch, shuffle=shuffle)[start * size :]
    batches_at_once = max(_CHUNK_BYTES // (size * (row_bytes + _target_bytes(source))), 1)
    is_empty = True
    for feeds in read_ahead(in_batches(order, batches_at_once * size), load):
        is_empty = is_empty and not feeds
        yield from feeds
    if is_empty and not start:
        raise source.nothing_left()


def present(source: ImageSource, indices: np.ndarray) -> np.ndarray:
    """Those of the indices whose images are not left out, int64 (k,)."""
    if source.on_error == "raise":
        return indices
    return np.array([index for index in indices if not source.is_left_out(index)], np.int64)


def _target_bytes(source: ImageSource) -> int:
    """Bytes of targets per image: where they are made of pixels, they take more than features."""
    spec = source.target_spec
    if spec is None:
        return 0
    return sum(part.row_bytes for part in spec.values()) if isinstance(spec, dict) else spec.row_bytes


def _part(targets: Targets, start: int, end: int) -> Targets:
    if targets is None:
        return None
    if isinstance(targets, dict):
        return {name: part[start:end] for name, part in targets.items()}
    return targets[start:end]
