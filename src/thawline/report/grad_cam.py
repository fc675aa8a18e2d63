"""Grad-CAM: which places of an image spoke for an answer.

Source: Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra (2017), Grad-CAM: Visual Explanations from Deep Networks
via Gradient-based Localization. With A the last feature map and s the score of an answer before its softmax, each
channel k weighs a_k, the mean of ds/dA_k over all places, and a place counts ReLU(sum over k of a_k A_k).
"""

from importlib import import_module
from typing import Any

import cv2
import numpy as np

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.stack.graph import Graph, Node, build_model, connect, flatten

# What is laid over an image where it spoke most: enough colour to be seen, little enough to see the image.
_STRONGEST = 0.65

# Activations of a last layer that scores go through; a difference of scores vanishes behind them once it is large.
_SQUASHING = ("softmax", "sigmoid")


def heat_maps(model: Any, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Which places of the images spoke for the classes.

    Args:
        model: a built functional Keras model, like `StageSeries.model`, which is not changed.
        images: as the model takes them, (n, height, width, channels).
        classes: the class number whose score is explained, int (n,).

    Returns:
        float32 (n, rows, columns), from 0 to 1, as large as the last feature map; the strongest place of each image is
        1, or all are 0 where none spoke for the class.

    Raises:
        ArgumentError: the model has no such map, or Keras does not run on TensorFlow; the message says which.
    """
    if keras.backend.backend() != "tensorflow":
        raise ArgumentError(f"Gradients are taken by TensorFlow, but Keras runs on {keras.backend.backend()!r}.")
    below, above = _split(model)
    tensorflow = import_module("tensorflow")
    maps = below(keras.ops.convert_to_tensor(images), training=False)
    with tensorflow.GradientTape() as tape:
        tape.watch(maps)
        scores = above(maps, training=False)
        if scores.shape[-1] == 1:
            # One answer that says how likely class 1 is.
            wanted = scores[:, 0] * np.where(classes == 1, 1.0, -1.0).astype(np.float32)
        else:
            wanted = keras.ops.take_along_axis(scores, np.asarray(classes, np.int64)[:, None], axis=1)[:, 0]
    gradients = tape.gradient(wanted, maps)
    if gradients is None:
        raise ArgumentError("The answers do not depend on the last feature map.")
    weights = keras.ops.mean(gradients, axis=(1, 2), keepdims=True)
    heat = keras.ops.convert_to_numpy(keras.ops.relu(keras.ops.sum(weights * maps, axis=-1))).astype(np.float32)
    strongest = heat.max(axis=(1, 2), keepdims=True)
    scaled: np.ndarray = np.divide(heat, strongest, out=np.zeros_like(heat), where=strongest > 0)
    return scaled


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image with its heat map laid over it.

    Args:
        pixels: uint8 (height, width, 1 or 3), 0 to 255.
        heat: float32 (rows, columns), 0 to 1.

    Returns:
        uint8 (height, width, 3): the image where the heat is 0; purple, red and yellow the more it is.
    """
    height, width = pixels.shape[:2]
    wide = np.clip(cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    # OpenCV gives blue first.
    colours = cv2.applyColorMap((wide * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = _STRONGEST * np.sqrt(wide)[..., None]
    mixed: np.ndarray = (pixels * (1 - share) + colours * share).round().astype(np.uint8)
    return mixed


def _split(model: Any) -> tuple[Any, Any]:
    """The model as two: from the images to the last feature map, and from that to the scores.

    The map is the last tensor of four axes, more than one place large, that all answers go through.
    """
    graph = flatten(model)
    outputs = keras.tree.flatten(graph.outputs)
    if len(outputs) != 1 or len(outputs[0].shape) != 2:
        raise ArgumentError("The stack does not give one row of answers per image.")
    for place in range(len(graph.nodes), 0, -1):
        crossing = _crossing(graph, place)
        if len(crossing) == 1 and len(crossing[0].shape) == 4 and _places(crossing[0]) != 1:
            below = connect(list(graph.inputs), graph.nodes[:place], crossing[0], "below_map")
            nodes = graph.nodes[place:]
            return below, _scores(crossing[0], nodes, outputs[0])
    raise ArgumentError("The stack has no feature map (height, width, channels) that all answers go through.")


def _crossing(graph: Graph, place: int) -> list[Any]:
    """What the calls from `place` on take from those before it, images included."""
    known = {id(tensor): tensor for tensor in graph.inputs}
    known.update({id(tensor): tensor for node in graph.nodes[:place] for tensor in node.outputs})
    wanted = {id(tensor) for node in graph.nodes[place:] for tensor in node.inputs}
    wanted |= {id(tensor) for tensor in keras.tree.flatten(graph.outputs)}
    return [tensor for key, tensor in known.items() if key in wanted]


def _places(tensor: Any) -> int:
    """Height times width; 0 where it is not known."""
    height, width = tensor.shape[1:3]
    return 0 if height is None or width is None else height * width


def _scores(tensor: Any, nodes: tuple[Node, ...], answers: Any) -> Any:
    """The model from the map to the answers, before their softmax or sigmoid where a last layer has one."""
    last = nodes[-1]
    is_last = any(output is answers for output in last.outputs)
    activation = getattr(getattr(last.layer, "activation", None), "__name__", "")
    if is_last and isinstance(last.layer, keras.layers.Dense) and activation in _SQUASHING:
        inner = build_model([tensor], nodes[:-1], last.inputs[0], "above_map")
        return _Scores(inner, last.layer)
    if is_last and (isinstance(last.layer, keras.layers.Softmax) or _is_plain(last.layer, activation)):
        answers = last.inputs[0]
        nodes = nodes[:-1]
    return build_model([tensor], nodes, answers, "above_map")


def _is_plain(layer: Any, activation: str) -> bool:
    return isinstance(layer, keras.layers.Activation) and activation in _SQUASHING


class _Scores:
    """A last Dense layer without its activation, called as the model that it ends."""

    def __init__(self, inner: Any, dense: Any) -> None:
        self._inner = inner
        self._dense = dense

    def __call__(self, maps: Any, training: bool = False) -> Any:
        values = keras.ops.matmul(self._inner(maps, training=training), self._dense.kernel)
        return values if self._dense.bias is None else values + self._dense.bias
