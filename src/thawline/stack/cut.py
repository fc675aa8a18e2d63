"""The thaw line: a model and its frozen layers -> prefix, crossing tensors, suffix.

The model's graph is flattened to single layers (nested models are walked through), then every layer whose answer for
an image is always the same goes below the line: frozen layers, which run in inference mode there, and layers without
weights and chance (pooling, activations) that follow them. What crosses from below to above is the cut. Prefix and
suffix are Keras models that share the layers, and with them the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thawline.backend import keras
from thawline.errors import NothingToLearnError
from thawline.specs import TensorSpec


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one layer in the flattened graph.

    Attributes:
        layer: the Keras layer or operation.
        arguments: positional and keyword arguments of the call, with KerasTensors in them.
        outputs: the KerasTensors it gives.
    """

    layer: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: tuple[Any, ...]

    @property
    def inputs(self) -> list[Any]:
        """The KerasTensors among the arguments."""
        return [leaf for leaf in keras.tree.flatten(self.arguments) if isinstance(leaf, keras.KerasTensor)]


@dataclass(frozen=True, eq=False)
class Cut:
    """Where a model is cut, and the two parts.

    Attributes:
        prefix: Keras model from the images to the crossing tensors; run it in inference mode only.
        suffix: Keras model from the crossing tensors to the answers; what Keras trains.
        crossing: what crosses the line, one TensorSpec per tensor.
        below: the calls below the line, in the order of execution.
        inputs: the KerasTensors that the images enter by, for describing the graph.
    """

    prefix: Any
    suffix: Any
    crossing: tuple[TensorSpec, ...]
    below: tuple[Node, ...]
    inputs: tuple[Any, ...]

    @property
    def has_frozen_weights(self) -> bool:
        """Whether there is anything below the line that is worth computing once."""
        return bool(self.prefix.weights)

    @property
    def row_bytes(self) -> int:
        """Bytes of the crossing tensors for one image."""
        return sum(spec.row_bytes for spec in self.crossing)


def find_cut(model: Any) -> Cut:
    """Cuts a functional or sequential Keras model at its thaw line.

    Args:
        model: a built model; each layer's `trainable` says whether it is frozen.

    Returns:
        The cut; with nothing frozen the images themselves (scaled, where the model does) cross.

    Raises:
        NothingToLearnError: every weight of the model is frozen.

    Example:
        >>> import keras
        >>> base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        >>> base.trainable = False
        >>> head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> print(find_cut(keras.Sequential([base, *head])).crossing[0])
        float32 (None, 4)
    """
    if not model.trainable_variables:
        raise NothingToLearnError(
            f"Nothing would learn: all {model.count_params():,} weights of {model.name!r} are frozen. "
            "Make a stage trainable, or add one."
        )
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in model.inputs]
    nodes: list[Node] = []
    entry = _alone_or_all(inputs)
    outputs = _walk(model, entry, nodes)
    settled = {id(tensor) for tensor in inputs}
    below: list[Node] = []
    above: list[Node] = []
    crossing: dict[int, Any] = {}
    for node in nodes:
        if _gives_the_same_answer_always(node.layer) and all(id(tensor) in settled for tensor in node.inputs):
            below.append(node)
            settled.update(id(tensor) for tensor in node.outputs)
        else:
            above.append(node)
            crossing.update({id(tensor): tensor for tensor in node.inputs if id(tensor) in settled})
    crossing.update({id(tensor): tensor for tensor in keras.tree.flatten(outputs) if id(tensor) in settled})
    tensors = list(crossing.values())
    return Cut(
        prefix=keras.Model(entry, _alone_or_all(tensors), name="prefix"),
        suffix=_suffix(tensors, above, outputs),
        crossing=tuple(TensorSpec(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors),
        below=tuple(below),
        inputs=tuple(inputs),
    )


def _suffix(crossing: list[Any], above: list[Node], outputs: Any) -> Any:
    """The model from the crossing tensors to the outputs, by calling what lies above on new inputs.

    `keras.Model(crossing, outputs)` would do the same, but fails where a layer is called on both sides of the line or
    a crossing tensor is an output.
    """
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in crossing]
    renewed = {id(old): new for old, new in zip(crossing, inputs, strict=True)}

    def renew(leaf: Any) -> Any:
        return renewed.get(id(leaf), leaf)

    for node in above:
        arguments, options = keras.tree.map_structure(renew, node.arguments)
        given = keras.tree.flatten(node.layer(*arguments, **options))
        renewed.update({id(old): new for old, new in zip(node.outputs, given, strict=True)})
    return keras.Model(_alone_or_all(inputs), keras.tree.map_structure(renew, outputs), name="suffix")


def _alone_or_all(tensors: list[Any]) -> Any:
    """A single tensor by itself: Keras warns when a model that was built on a list is called with one array."""
    return tensors[0] if len(tensors) == 1 else tensors


def _walk(model: Any, tensors: Any, nodes: list[Node]) -> Any:
    """Calls the layers of a model on new tensors, one by one, and notes every call."""

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        # Keras notes `training=False` of a nested call but overrides it in `fit`; frozen layers say so themselves.
        options.pop("training", None)
        if _is_graph(layer):
            return _walk(layer, arguments[0], nodes)
        outputs = layer(*arguments, **options)
        nodes.append(Node(layer, (arguments, options), tuple(keras.tree.flatten(outputs))))
        return outputs

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            tensors = call(layer, tensors)
        return tensors
    # Keras has no public walk over a graph with shared layers; `keras.models.clone_model` stands on this one.
    walk: Callable[..., Any] = model._run_through_graph
    return walk(tensors, operation_fn=lambda layer: layer, call_fn=call)


def _is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose inside is known; a model with a `call` of its own is opaque."""
    if isinstance(layer, keras.Sequential):
        return True
    is_functional = isinstance(layer, keras.Model) and hasattr(layer, "_run_through_graph")
    return is_functional and type(layer).call.__module__.startswith("keras.")


def _gives_the_same_answer_always(layer: Any) -> bool:
    """Whether a layer may run once per image: frozen, or without weights, chance and losses."""
    if not isinstance(layer, keras.layers.Layer) or not layer.trainable:
        return True
    is_known = type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.layers.Lambda)
    # `variables` holds the states of random generators, too, which `weights` does not.
    return is_known and not layer.variables and layer.activity_regularizer is None
