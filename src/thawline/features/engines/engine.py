"""What every engine can do, and how batches go through it."""

import os
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from thawline.errors import ArgumentError

# Images that are handed to an engine at a time where features are extracted. The Keras engine also computes at this
# shape, which moves the last bits of features, so it is part of their fingerprint; it does not follow the training's
# batch size, so that another batch size finds the features it needs.
ENGINE_BATCH = 32

PRECISIONS = ("float32", "bfloat16")


class Engine(Protocol):
    """What every engine can do. Its answers for an image depend on neither the batch nor the place in it."""

    def describe(self) -> dict[str, Any]:
        """What its answers depend on besides graph and weights, for the fingerprint."""

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Features of images (n, height, width, channels), one array (n, ...) per crossing tensor.

        Whatever the engine computes in, they have the dtypes of the prefix's outputs.
        """

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[list[np.ndarray], None, None]:
        """What `run` gives for each batch, in order.

        An engine may read ahead in the batches and compute several at once; an error in them comes after the answers
        for those before it. Closing the iterator gives up what is on its way.
        """


def check_precision(precision: str) -> None:
    """Raises an ArgumentError for a precision that no engine knows."""
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision is one of {', '.join(map(repr, PRECISIONS))}; got {precision!r}.")


def in_parts(images: np.ndarray) -> list[np.ndarray]:
    """Images in parts of `ENGINE_BATCH`, the last one as short as it is; one empty part of no images."""
    return [images[start : start + ENGINE_BATCH] for start in range(0, max(len(images), 1), ENGINE_BATCH)]


def joined(parts: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Answers for parts of a batch as answers for the batch."""
    return parts[0] if len(parts) == 1 else [np.concatenate(rows) for rows in zip(*parts, strict=True)]


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
