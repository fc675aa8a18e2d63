"""The contract of the strategies: how the learning part gets its inputs.

A strategy has a Keras model to fit and gives that model's inputs for every batch. Which images are in a batch, in
which order and view, is the same for all of them, so that all of them train the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from thawline.data.labels import Targets
from thawline.data.sources.source import ImageSource
from thawline.training.strategies.kept import RamFeatures


@dataclass(frozen=True)
class Feed:
    """One batch as the strategy's model takes it.

    Attributes:
        inputs: an array, or a tuple of arrays where several tensors cross the line.
        targets: as the source's `target_spec` says; None without labels.
        indices: int64 (n,), the images' indices in their source.
    """

    inputs: Any
    targets: Targets
    indices: np.ndarray


@dataclass(frozen=True)
class Preparation:
    """What was done before training.

    Attributes:
        lines: what there is to say about it.
        extraction: what was computed, where something could be: total, extracted, seconds, busy.
    """

    lines: Sequence[str] = ()
    extraction: dict[str, Any] | None = None


class Strategy(Protocol):
    """What every strategy can do."""

    model: Any
    """The Keras model that is fitted; it shares the stack's weights."""

    gives_features: bool
    """Whether features are fed, not images; then those of validation images are worth keeping in memory."""

    is_ready: bool
    """Whether features are there before training begins, so that a batch takes no more than reading it; then those of
    training images are worth keeping in memory, too."""

    def waits_for(self) -> dict[str, float]:
        """What a training step that waits for its batch waits for, and what share of the waiting each takes."""

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> Preparation:
        """Does what has to be done once before training on a source."""

    def feeds(
        self,
        source: ImageSource,
        *,
        epoch: int,
        view: int,
        shuffle: bool,
        kept: RamFeatures | None = None,
        start: int = 0,
    ) -> Iterator[Feed]:
        """The batches of one epoch; every image once, the last batch as short as it is.

        Features that `kept` holds already are taken from there, others are added to it. The first `start` batches are
        passed over.

        With the source's on_error="skip" bad images are left out of their batches, and a batch of bad images only is
        passed over.

        Raises:
            DataError: an image is bad, or with on_error="skip" all are.
        """


def unwrap(tensors: list[np.ndarray]) -> Any:
    """A single crossing tensor as an array, several as a tuple: as Keras takes a model's inputs from a generator."""
    return tensors[0] if len(tensors) == 1 else tuple(tensors)
