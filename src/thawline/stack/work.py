"""How much work a graph is: multiply-adds for one image, counted from shapes.

The convention is that of the papers on MobileNet and ResNet: one multiply-add is one product that goes into a sum, in
convolutions, dense layers, matrix products, attention and recurrent layers. What works on each value by itself counts
as 0: BatchNorm, activations, pooling, sums, biases, look-ups in an embedding. So 0 does not mean free, only that the
layers with products beside it cost far more.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from thawline.backend import keras
from thawline.stack.graph import Node

layers = keras.layers


@dataclass(frozen=True)
class Work:
    """The work of calls of layers for one image.

    Attributes:
        multiply_adds: products that go into sums.
        is_estimate: whether something in it is estimated: a layer that is not known, or a size that is not fixed.
    """

    multiply_adds: int
    is_estimate: bool = False

    def __add__(self, other: "Work") -> "Work":
        return Work(self.multiply_adds + other.multiply_adds, self.is_estimate or other.is_estimate)


def count_work(nodes: Iterable[Node]) -> Work:
    """The work of some calls together.

    Example:
        >>> from thawline.stack.graph import flatten
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.ReLU()])
        >>> count_work(flatten(model).nodes)  # 6 x 6 places, 3 x 3 x 3 x 4 products in each
        Work(multiply_adds=3888, is_estimate=False)
    """
    return sum(map(work_of, nodes), Work(0))


def work_of(node: Node) -> Work:
    """The work of one call for one image.

    A layer that is not known is estimated: each of its weights, those of a single axis left out, meets every place of
    its output once. That is exact for dense layers and convolutions inside a wrapper such as TimeDistributed, and too
    little for a subclassed model that makes its images smaller.
    """
    has_open_size = any(size is None for tensor in node.inputs + list(node.outputs) for size in tensor.shape[1:])
    if not isinstance(node.layer, layers.Layer):
        counter = _OPERATIONS.get(type(node.layer).__name__)
        return Work(counter(node) if counter else 0, has_open_size and counter is not None)
    for kinds, count in _LAYERS:
        if isinstance(node.layer, kinds):
            return Work(count(node), has_open_size and count is not _nothing)
    kernels = _kernels(node.layer.weights)
    return Work(kernels * _places(node.outputs[0].shape, node.layer), kernels > 0)


def _size(shape: Sequence[int | None]) -> int:
    """The product of sizes; one that is not known counts as 1."""
    return math.prod(1 if size is None else size for size in shape)


def _kernels(weights: Iterable[Any]) -> int:
    """How many numbers are in weights of two axes and more, biases left out; scales have one axis."""
    return sum(math.prod(weight.shape) for weight in weights if len(weight.shape) > 1 and weight.name != "bias")


def _places(shape: Sequence[int | None], layer: Any) -> int:
    """For one image, the places of a map: height times width, or whatever axes lie beside the channels."""
    is_channels_first = getattr(layer, "data_format", None) == "channels_first" and len(shape) > 2
    return _size(shape[2:] if is_channels_first else shape[1:-1])


def _nothing(node: Node) -> int:
    return 0


def _convolution(node: Node) -> int:
    """Every weight of the kernels meets every place of the output once; groups have smaller kernels."""
    return _kernels(node.layer.weights) * _places(node.outputs[0].shape, node.layer)


def _transposed(node: Node) -> int:
    """Every weight of the kernel meets every place of the input once."""
    return _kernels(node.layer.weights) * _places(node.inputs[0].shape, node.layer)


def _dense(node: Node) -> int:
    units: int = node.layer.units
    return _size(node.inputs[0].shape[1:]) * units


def _einsum_dense(node: Node) -> int:
    """Every value of the input meets the kernel along the axes that only the kernel has."""
    terms, _, _ = node.layer.equation.replace(" ", "").partition("->")
    values, _, kernel = terms.partition(",")
    own = [size for letter, size in zip(kernel, node.layer.kernel.shape, strict=True) if letter not in values]
    return _size(node.inputs[0].shape[1:]) * _size(own)


def _argument(node: Node, position: int, name: str) -> Any:
    """An argument of a call, given by position or by name; None when it was not given."""
    positional, named = node.arguments
    return positional[position] if position < len(positional) else named.get(name)


def _attention_of_heads(node: Node) -> int:
    """Projections of query, key, value and answer; then each query meets the keys and values along its axes."""
    query, value, key = (_argument(node, *place) for place in ((0, "query"), (1, "value"), (2, "key")))
    key = value if key is None else key
    queries, keys, values = (_size(tensor.shape[1:-1]) for tensor in (query, key, value))
    layer = node.layer
    config = layer.get_config()
    heads = config.get("num_heads") or config["num_query_heads"]
    key_dim = config.get("key_dim") or config["head_dim"]
    value_dim = config.get("value_dim") or key_dim
    axes = config.get("attention_axes")
    met = _size([key.shape[axis] for axis in axes]) if axes else keys
    # Keras gives three of these four by public names, and the output's only by this one.
    parts = (
        (queries, layer._query_dense),
        (keys, layer._key_dense),
        (values, layer._value_dense),
        (queries, layer._output_dense),
    )
    projections = sum(places * _kernels(projection.weights) for places, projection in parts)
    return projections + queries * met * int(heads * (key_dim + value_dim))


def _attention(node: Node) -> int:
    """Each query meets each key and each value."""
    query, value, *rest = node.arguments[0][0]
    key = rest[0] if rest else value
    return _size(query.shape[1:-1]) * _size(value.shape[-2:-1]) * (_size(key.shape[-1:]) + _size(value.shape[-1:]))


def _recurrent(node: Node) -> int:
    """Every weight of the kernels, those for the state among them, in each step; convolutional ones at each place."""
    sequence = node.inputs[0].shape
    places = _places(node.outputs[0].shape[-len(sequence) + 1 :], node.layer) if len(sequence) > 3 else 1
    return _size(sequence[1:2]) * places * _kernels(node.layer.weights)


def _dot_layer(node: Node) -> int:
    axes = node.layer.axes
    axis = axes if isinstance(axes, int) else axes[0]
    return _size(node.outputs[0].shape[1:]) * _size([node.inputs[0].shape[axis]])


def _product(node: Node) -> int:
    """A matrix product: every value of the output is a sum along the first factor's last axis."""
    return _size(node.outputs[0].shape[1:]) * _size(node.arguments[0][0].shape[-1:])


def _einsum(node: Node) -> int:
    """Every combination of the letters' sizes is a product; the first letter of the first term is the image."""
    terms = node.layer.subscripts.replace(" ", "").partition("->")[0].replace("...", "").split(",")
    sizes = {
        letter: size
        for term, operand in zip(terms, node.arguments[0], strict=True)
        for letter, size in zip(reversed(term), reversed(operand.shape), strict=False)
    }
    return _size([size for letter, size in sizes.items() if letter != terms[0][:1]])


def _free_convolution(node: Node) -> int:
    return _size(node.arguments[0][1].shape) * _size(node.outputs[0].shape[1:-1])


# The first that fits counts.
_LAYERS: tuple[tuple[Any, Callable[[Node], int]], ...] = (
    ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    (
        (
            layers.Conv1D,
            layers.Conv2D,
            layers.Conv3D,
            layers.DepthwiseConv1D,
            layers.DepthwiseConv2D,
            layers.SeparableConv1D,
            layers.SeparableConv2D,
        ),
        _convolution,
    ),
    (layers.Dense, _dense),
    (layers.EinsumDense, _einsum_dense),
    ((layers.MultiHeadAttention, layers.GroupQueryAttention), _attention_of_heads),
    (layers.Attention, _attention),
    ((layers.RNN, layers.Bidirectional), _recurrent),
    (layers.Dot, _dot_layer),
    (
        (
            layers.BatchNormalization,
            layers.LayerNormalization,
            layers.GroupNormalization,
            layers.UnitNormalization,
            layers.Normalization,
            layers.Embedding,
            layers.PReLU,
        ),
        _nothing,
    ),
)

_OPERATIONS: dict[str, Callable[[Node], int]] = {
    "Matmul": _product,
    "Dot": _product,
    "Einsum": _einsum,
    "Conv": _free_convolution,
    "DepthwiseConv": _free_convolution,
}
