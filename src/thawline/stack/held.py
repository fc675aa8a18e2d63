"""HeldModel: two parts in one training step, of which the first only answers."""

from typing import Any

from thawline.backend import keras


class HeldModel(keras.Model):  # type: ignore[misc]
    """A frozen part and a learning part: the first in inference mode always, the second as Keras says.

    A `training=False` in the call of a layer would not do: Keras overrides it in `fit`.

    Args:
        held: Keras model whose answers the second part takes.
        above: Keras model from these to the answers.
        batch_size: rows per batch; a short last batch is filled up to it in the first part, so that this computes the
            same bits as in every other batch. 0 leaves batches as they are.
    """

    def __init__(self, held: Any, above: Any, batch_size: int = 0, name: str = "suffix") -> None:
        super().__init__(name=name)
        self.held = held
        self.above = above
        self.batch_size = batch_size
        self.built = True

    @property
    def output_names(self) -> list[str] | None:
        """Keras' names of the figures of several outputs by: as without the first part."""
        return getattr(self.above, "output_names", None)

    @property
    def losses(self) -> list[Any]:
        """What the learning part adds to the loss. A frozen layer's would be a constant that is nowhere else."""
        losses: list[Any] = self.above.losses
        return losses

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Answers for a batch of what the first part takes: a tensor, or a list or tuple of several."""
        tensors = keras.tree.flatten(inputs)
        count = keras.ops.shape(tensors[0])[0]
        lacking = keras.ops.maximum(self.batch_size - count, 0)
        filled = [
            keras.ops.concatenate([tensor, keras.ops.zeros((lacking, *tensor.shape[1:]), tensor.dtype)])
            for tensor in tensors
        ]
        features = self.held(filled[0] if len(filled) == 1 else filled, training=False)
        features = keras.tree.map_structure(lambda tensor: keras.ops.stop_gradient(tensor[:count]), features)
        return self.above(features, training=training)
