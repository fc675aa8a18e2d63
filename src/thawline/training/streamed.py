"""streamed: an engine runs the prefix for each batch; its features are used and forgotten."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from thawline.data.batches import Batch, iterate
from thawline.data.sources.source import ImageSource
from thawline.features.prefix import Prefix
from thawline.training.strategy import Feed, unwrap


class Streamed:
    """Feeds features that are computed while the batch before is trained on.

    Args:
        prefix: the frozen part.
    """

    def __init__(self, prefix: Prefix) -> None:
        self.model = prefix.cut.suffix
        self._prefix = prefix

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> dict[str, Any]:
        """Chooses the engine."""
        self._prefix.choose(source)
        return {}

    def feeds(self, source: ImageSource, *, epoch: int, view: int, shuffle: bool) -> Iterator[Feed]:
        """The features of one epoch."""
        waiting: deque[Batch] = deque()

        def images() -> Generator[np.ndarray, None, None]:
            for batch in iterate(source, view, epoch=epoch, shuffle=shuffle):
                waiting.append(batch)
                yield batch.images

        with closing(images()) as batches, closing(self._prefix.answers(batches)) as answers:
            for tensors in answers:
                batch = waiting.popleft()
                yield Feed(unwrap(tensors), batch.targets, batch.indices)
