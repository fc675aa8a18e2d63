"""joint: the prefix runs inside the training step, in inference mode."""

from collections.abc import Iterator
from typing import Any

from thawline.backend import keras
from thawline.data.batches import iterate
from thawline.data.sources.source import ImageSource
from thawline.stack.cut import Cut
from thawline.training.strategy import Feed


class Joint:
    """Feeds images to the whole stack in every step.

    Args:
        model: Keras model from images to answers; for training a `JointModel`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> dict[str, Any]:
        """Nothing has to be done before training."""
        return {}

    def feeds(self, source: ImageSource, *, epoch: int, view: int, shuffle: bool) -> Iterator[Feed]:
        """The images of one epoch."""
        for batch in iterate(source, view, epoch=epoch, shuffle=shuffle):
            yield Feed(batch.images, batch.targets, batch.indices)


class JointModel(keras.Model):  # type: ignore[misc]
    """Prefix and suffix in one step: the prefix in inference mode always, the suffix as Keras says.

    Args:
        cut: the thaw line.
        batch_size: images per batch; a short last batch is filled up to it below the line, so that the prefix
            computes the same bits as in every other batch.
    """

    def __init__(self, cut: Cut, batch_size: int) -> None:
        super().__init__(name="joint")
        self.prefix = cut.prefix
        self.suffix = cut.suffix
        self.batch_size = batch_size
        self.built = True

    @property
    def losses(self) -> list[Any]:
        """What layers above the line add to the loss. A frozen layer's would be a constant that only joint has."""
        losses: list[Any] = self.suffix.losses
        return losses

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Answers for images (n, height, width, channels)."""
        count = keras.ops.shape(images)[0]
        lacking = keras.ops.maximum(self.batch_size - count, 0)
        filler = keras.ops.zeros((lacking, *images.shape[1:]), images.dtype)
        features = self.prefix(keras.ops.concatenate([images, filler]), training=False)
        features = keras.tree.map_structure(lambda tensor: keras.ops.stop_gradient(tensor[:count]), features)
        return self.suffix(features, training=training)
