"""Calls that work over the batch axis: an image's answer depends on the other images of its batch.

Below the thaw line each image is computed once, among whatever others, so such a call must stay above. Layers of Keras'
own work image by image unless they are told an axis; operations and code of the user's own are tried: a small batch,
and the same with other images between those that are looked at, have to give the same bits.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.source_code import has_own_code
from thawline.stack.graph import Graph, Node

MIXES = "works over the batch axis"
DRAWS = "does not answer the same twice"

# Images that are tried.
_TRIED = 4
# For sides of maps that are left open.
_OPEN_SIZE = 8
# Two answers to the same batch that are further apart than by rounding were drawn, or counted.
_ROUNDING = 1e-3

# Operations that work on each value by itself, by the names of their classes.
_BY_VALUE = (
    *("Absolute", "Add", "Cast", "Clip", "Divide", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSilu", "HardSwish"),
    *("Identity", "LeakyRelu", "Log", "Maximum", "Minimum", "Multiply", "Negative", "Power", "Relu", "Relu6", "Rsqrt"),
    *("Sigmoid", "Silu", "Sqrt", "Square", "Subtract", "Swish", "Tanh", "TrueDivide"),
)


def find_mixing(graph: Graph, free: Iterable[Node]) -> dict[int, str]:
    """The calls that would lie below the thaw line, but must not, by their `id`, with what they do.

    A call may move images from the batch axis and a later one move them back: where what crosses the line is right for
    each image, nothing has to stay above.

    Args:
        graph: the flattened model.
        free: the calls that nothing else keeps above the line.
    """
    below, crossing = _below(graph, {id(node) for node in free})
    found = {id(node): problem for node in below if (problem := _problem(node))}
    if found and DRAWS not in found.values() and _crosses_by_image(graph, below, crossing):
        return {}
    return found


def with_other_neighbours(images: np.ndarray, kept: int = 0) -> np.ndarray:
    """A batch in which every second image is another one: brighter or, where numbers may be negative, darker than all.

    The others keep their places, so that only what looks at the whole batch gives them other answers.

    Args:
        images: the batch.
        kept: 0 keeps images 0, 2, 4 ..., and 1 keeps images 1, 3, 5 ...

    Example:
        >>> with_other_neighbours(np.array([1.0, 2.0, 3.0, 2.0]))
        array([ 1.,  4.,  3., -5.])
    """
    others, changed = images.copy(), 1 - kept
    if images.dtype.kind == "f":
        largest = np.abs(images).max()
        others[changed::4] = 2 * largest - images[changed::4]
        others[changed + 2 :: 4] = -largest - images[changed + 2 :: 4]
    elif images.dtype.kind == "b":
        others[changed::2] = ~images[changed::2]
    else:
        others[changed::2] = images.max() - images[changed::2]
    return others


def _below(graph: Graph, free: set[int]) -> tuple[list[Node], list[Any]]:
    """The free calls whose inputs come from such calls only, and the tensors that others take from them."""
    settled = {id(tensor): tensor for tensor in graph.inputs}
    below: list[Node] = []
    wanted = [*keras.tree.flatten(graph.outputs)]
    for node in graph.nodes:
        if id(node) in free and all(id(tensor) in settled for tensor in node.inputs):
            below.append(node)
            settled.update({id(tensor): tensor for tensor in node.outputs})
        else:
            wanted += node.inputs
    return below, [settled[key] for key in {id(tensor) for tensor in wanted} if key in settled]


def _problem(node: Node) -> str:
    """What keeps a call above the line, tried on made-up values; empty where it works on each image by itself."""
    if not node.inputs or not _is_to_be_tried(node.layer):
        return ""
    values = [_made_up(tensor) for tensor in node.inputs]

    def answer(given: list[np.ndarray]) -> list[Any]:
        return _run([node], dict(zip(map(id, node.inputs), given, strict=True)))

    # Code of the user's own may want other values, and fail on these in any way. Features are looked at once more, when
    # an engine computes the first of them.
    with keras.StatelessScope(), suppress(Exception):
        if not _is_by_image(answer, values):
            return DRAWS if any(map(_is_far, answer(values), answer(values))) else MIXES
    return ""


def _is_to_be_tried(layer: Any) -> bool:
    if not isinstance(layer, keras.layers.Layer):
        return type(layer).__name__ not in _BY_VALUE
    return has_own_code(layer, layer._flatten_layers()) or _names_batch_axis(layer)


def _names_batch_axis(layer: Any) -> bool:
    """Tells whether a layer of Keras' own was told to work along axis 0, as Concatenate(axis=0) is."""
    named = [value for name, value in vars(layer).items() if name in ("axis", "axes")]
    return 0 in keras.tree.flatten(named)


def _crosses_by_image(graph: Graph, below: Sequence[Node], crossing: Sequence[Any]) -> bool:
    """Tells whether what crosses is right for each image, whatever happens on the way there."""
    values = [_made_up(tensor) for tensor in graph.inputs]

    def answer(given: list[np.ndarray]) -> list[Any]:
        known = dict(zip(map(id, graph.inputs), given, strict=True))
        _run(below, known)
        return [known[id(tensor)] for tensor in crossing]

    with keras.StatelessScope(), suppress(Exception):
        return _is_by_image(answer, values)
    return False


def _is_by_image(answer: Callable[[list[Any]], list[Any]], values: list[np.ndarray]) -> bool:
    """Tells whether each image's answer is the same among other images."""
    answers = answer(values)
    for kept in (0, 1):
        others = answer([with_other_neighbours(each, kept) for each in values])
        if not all(_is_same_by_image(one, other, kept) for one, other in zip(answers, others, strict=True)):
            return False
    return True


def _run(nodes: Iterable[Node], known: dict[int, Any]) -> list[Any]:
    """Runs calls one after another in inference mode; gives what the last one answers.

    Args:
        nodes: the calls in the order of execution.
        known: by `id` of a KerasTensor, its value; those of all outputs are added.
    """
    answers: list[Any] = []
    known.update({key: keras.ops.convert_to_tensor(value) for key, value in known.items()})
    for node in nodes:
        arguments, options = keras.tree.map_structure(
            lambda leaf: known[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf, node.arguments
        )
        mode = {"training": False} if isinstance(node.layer, keras.layers.Layer) else {}
        answers = keras.tree.flatten(node.layer(*arguments, **options, **mode))
        known.update(zip(map(id, node.outputs), answers, strict=True))
    return answers


def _made_up(tensor: Any) -> np.ndarray:
    """Values of a tensor's shape and dtype, for four images."""
    batch, *sizes = tensor.shape if len(tensor.shape) else (None,)
    shape = [batch or _TRIED, *(_OPEN_SIZE if size is None else size for size in sizes)]
    random = np.random.default_rng(0)
    if tensor.dtype == "bool":
        return random.random(shape) > 0.5
    if not tensor.dtype.startswith(("float", "bfloat")):
        return random.integers(0, 2, shape).astype(tensor.dtype)
    return random.standard_normal(shape, np.float32)


def _is_same_by_image(one: Any, other: Any, kept: int) -> bool:
    """Tells whether every second image, from `kept` on, has the same bits in both; what has no batch axis, everything.

    An answer with a multiple of the batch's rows, as after a reshape of windows, has some of each image one after
    another.
    """
    left, right = (keras.ops.convert_to_numpy(each) for each in (one, other))
    if left.shape != right.shape:
        return False
    if left.ndim and len(left) and len(left) % _TRIED == 0:
        left, right = (values.reshape(_TRIED, -1)[kept::2] for values in (left, right))
    return bool(left.tobytes() == right.tobytes())


def _is_far(one: Any, other: Any) -> bool:
    left, right = (keras.ops.convert_to_numpy(each).astype(np.float64) for each in (one, other))
    return bool(np.abs(left - right).max(initial=0) > _ROUNDING * np.abs(left).max(initial=0))
