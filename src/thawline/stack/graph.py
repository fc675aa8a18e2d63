"""The flattened graph of a Keras model: every call of every single layer, nested models walked through."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from thawline.backend import keras


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one layer in the flattened graph.

    Attributes:
        layer: the Keras layer or operation.
        arguments: positional and keyword arguments of the call, with KerasTensors in them.
        outputs: the KerasTensors it gives.
        path: the layer's name behind those of the models around it, like "base/block_16_expand".
    """

    layer: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: tuple[Any, ...]
    path: str = ""

    @property
    def inputs(self) -> list[Any]:
        """The KerasTensors among the arguments."""
        return [leaf for leaf in keras.tree.flatten(self.arguments) if isinstance(leaf, keras.KerasTensor)]


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as single calls, on KerasTensors of its own.

    Attributes:
        inputs: the KerasTensors that the images enter by.
        nodes: the calls in the order of execution.
        outputs: what the model answers, in the model's structure.
    """

    inputs: tuple[Any, ...]
    nodes: tuple[Node, ...]
    outputs: Any


def flatten(model: Any, stage_names: Mapping[int, str] | None = None) -> Graph:
    """A functional or sequential model as a flat graph; the model stays as it is, its layers are shared.

    Args:
        model: a built model.
        stage_names: by the `id` of a layer, what it is called in paths instead of its own name.
    """
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in model.inputs]
    nodes: list[Node] = []
    outputs = _walk(model, alone_or_all(inputs), nodes, "", stage_names or {})
    return Graph(tuple(inputs), tuple(nodes), outputs)


def build_model(inputs: list[Any], nodes: Sequence[Node], outputs: Any, name: str) -> Any:
    """The Keras model from some tensors of a graph to others, by calling the nodes between them on new inputs.

    `keras.Model(inputs, outputs)` would do the same, but fails where a layer is called on both sides of the inputs or
    one of them is an output.
    """
    fresh = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in inputs]
    renewed = {id(old): new for old, new in zip(inputs, fresh, strict=True)}

    def renew(leaf: Any) -> Any:
        return renewed.get(id(leaf), leaf)

    for node in nodes:
        arguments, options = keras.tree.map_structure(renew, node.arguments)
        given = keras.tree.flatten(node.layer(*arguments, **options))
        renewed.update({id(old): new for old, new in zip(node.outputs, given, strict=True)})
    return connect(fresh, nodes, keras.tree.map_structure(renew, outputs), name)


def connect(inputs: list[Any], nodes: Iterable[Node], outputs: Any, name: str) -> Any:
    """`keras.Model(inputs, outputs)` over calls of layers, some of which may have one name.

    Layers of nested models have names that are unique in their own model only. Keras refuses a model with two of one
    name because its configuration would not tell them apart; parts of a graph run, and are never saved.

    Args:
        inputs: the KerasTensors of new `keras.Input`s.
        nodes: the calls between inputs and outputs.
        outputs: the KerasTensors that the model gives, in its structure.
        name: the model's name.
    """
    operations = [tensor._keras_history.operation for tensor in inputs] + [node.layer for node in nodes]
    with _apart_by_name(operations):
        model = keras.Model(alone_or_all(inputs), outputs, name=name)
    # Keras took them from the layers, with the names of that moment.
    model.output_names = [tensor._keras_history.operation.name for tensor in model.outputs]
    return model


@contextmanager
def _apart_by_name(operations: Iterable[Any]) -> Iterator[None]:
    """While this lasts, each layer or operation has a name of its own."""
    names = [(operation, operation.name) for operation in {id(each): each for each in operations}.values()]
    taken: set[str] = {name for _, name in names}
    seen: set[str] = set()
    try:
        for operation, name in names:
            if name in seen:
                operation.name = next(new for n in count(1) if (new := f"{name}_{n}") not in taken)
                taken.add(operation.name)
            seen.add(name)
        yield
    finally:
        for operation, name in names:
            operation.name = name


def alone_or_all(tensors: list[Any]) -> Any:
    """A single tensor by itself: Keras warns when a model that was built on a list is called with one array."""
    return tensors[0] if len(tensors) == 1 else tensors


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose inside is known; a model with a `call` of its own is opaque."""
    if isinstance(layer, keras.Sequential):
        return True
    is_functional = isinstance(layer, keras.Model) and hasattr(layer, "_run_through_graph")
    return is_functional and type(layer).call.__module__.startswith("keras.")


def last_layer(model: Any) -> Any:
    """The innermost layer that comes last; a subclassed model itself, as nobody knows what its `call` does last."""
    while is_graph(model) and model.layers:
        model = model.layers[-1]
    return model


def _walk(model: Any, tensors: Any, nodes: list[Node], path: str, stage_names: Mapping[int, str]) -> Any:
    """Calls the layers of a model on new tensors, one by one, and notes every call."""

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        # Keras notes `training=False` of a nested call but overrides it in `fit`; frozen layers say so themselves.
        options.pop("training", None)
        own_path = path + stage_names.get(id(layer), layer.name)
        if is_graph(layer):
            return _walk(layer, arguments[0], nodes, f"{own_path}/", stage_names)
        outputs = layer(*arguments, **options)
        nodes.append(Node(layer, (arguments, options), tuple(keras.tree.flatten(outputs)), own_path))
        return outputs

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            tensors = call(layer, tensors)
        return tensors
    # Keras has no public walk over a graph with shared layers; `keras.models.clone_model` stands on this one.
    walk: Callable[..., Any] = model._run_through_graph
    return walk(tensors, operation_fn=lambda layer: layer, call_fn=call)
