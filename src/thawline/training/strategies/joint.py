"""joint: the prefix runs inside the training step, in inference mode."""

from collections.abc import Iterator
from typing import Any

from thawline.data.batches import iterate
from thawline.data.sources.source import ImageSource
from thawline.stack.cut import Cut
from thawline.stack.held import HeldModel
from thawline.training.strategies.kept import RamFeatures
from thawline.training.strategies.strategy import Feed, Preparation


class Joint:
    """Feeds images to the whole stack in every step.

    Args:
        model: Keras model from images to answers; for training a `JointModel`.
    """

    gives_features = False
    is_ready = False

    def __init__(self, model: Any) -> None:
        self.model = model

    def waits_for(self) -> dict[str, float]:
        """Images; what is decoded and augmented in time is not waited for."""
        return {"images": 1.0}

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> Preparation:
        """Nothing has to be done before training."""
        return Preparation()

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
        """The images of one epoch; there are no features to keep."""
        for batch in iterate(source, view, epoch=epoch, shuffle=shuffle, start=start):
            yield Feed(batch.images, batch.targets, batch.indices)


class JointModel(HeldModel):
    """Prefix and suffix in one step: the prefix in inference mode always, the suffix as Keras says.

    Args:
        cut: the thaw line.
        batch_size: images per batch; see `HeldModel`.
    """

    def __init__(self, cut: Cut, batch_size: int) -> None:
        super().__init__(cut.prefix, cut.suffix, batch_size, name="joint")
