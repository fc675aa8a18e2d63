"""streamed: an engine runs the prefix for each batch; its features are used and forgotten."""

from collections.abc import Iterator
from typing import Any

from thawline.data.batches import iterate
from thawline.data.sources.source import ImageSource
from thawline.features.engines.make import make_engine
from thawline.stack.cut import Cut
from thawline.training.strategy import Feed, unwrap


class Streamed:
    """Feeds features that are computed while the batch before is trained on.

    Args:
        cut: the thaw line.
        engine: the name of the engine that computes the features.
    """

    def __init__(self, cut: Cut, engine: str = "keras") -> None:
        self.model = cut.suffix
        self._engine = make_engine(engine, cut.prefix)

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> dict[str, Any]:
        """Nothing has to be done before training."""
        return {}

    def feeds(self, source: ImageSource, *, epoch: int, view: int, shuffle: bool) -> Iterator[Feed]:
        """The features of one epoch."""
        for batch in iterate(source, view, epoch=epoch, shuffle=shuffle):
            yield Feed(unwrap(self._engine.run(batch.images)), batch.targets, batch.indices)
