"""The prefix as a compiled Keras function: runs wherever Keras does, and is what other engines are measured by.

It always computes at one fixed batch shape, the last part filled up with zeros: the shape moves the last bits of a
convolution, the neighbours in a batch do not. An image's position in the batch moves them in one case: TensorFlow's
mean over height and width, where the number of channels is no multiple of 16.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.errors import EngineError
from thawline.features.engines.engine import ENGINE_BATCH, check_precision, in_parts, joined
from thawline.stack.graph import build_model, flatten

_HALF_PRECISION = "mixed_bfloat16"


class KerasEngine:
    """Runs the prefix as a compiled Keras function in inference mode, without XLA.

    Args:
        prefix: Keras model from images to crossing tensors.
        precision: "float32" runs the layers in the precision that they were built with; "bfloat16" runs a copy of the
            prefix in which all layers of float32 compute in bfloat16, which pays on GPUs that have it. The prefix
            itself stays as it is.

    Raises:
        ArgumentError: there is no such precision.
        EngineError: the prefix cannot be copied for another precision.
    """

    def __init__(self, prefix: Any, precision: str = "float32") -> None:
        check_precision(precision)
        self._precision = precision
        self._prefix = prefix if precision == "float32" else _in_half_precision(prefix)
        self._dtypes = None if precision == "float32" else [np.dtype(tensor.dtype) for tensor in prefix.outputs]
        # XLA would move the last bits against the same prefix inside a training step.
        self._prefix.compile(jit_compile=False)

    def describe(self) -> dict[str, Any]:
        """Name, precision and batch shape."""
        return describe(self._precision)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Features of uint8 or float images (n, height, width, channels), one array (n, ...) per crossing tensor."""
        return joined([self._run_padded(part) for part in in_parts(images)])

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[list[np.ndarray], None, None]:
        """What `run` gives for each batch, in order, one after another."""
        for images in batches:
            yield self.run(images)

    def _run_padded(self, images: np.ndarray) -> list[np.ndarray]:
        count = len(images)
        if count < ENGINE_BATCH:
            filler = np.zeros((ENGINE_BATCH - count, *images.shape[1:]), images.dtype)
            images = np.concatenate([images, filler])
        answers = self._prefix.predict_on_batch(images)
        rows = [answer[:count] for answer in (answers if isinstance(answers, list) else [answers])]
        if self._dtypes is None:
            return rows
        return [row.astype(dtype) for row, dtype in zip(rows, self._dtypes, strict=True)]


def describe(precision: str) -> dict[str, Any]:
    """What the answers of a `KerasEngine` depend on."""
    return {"name": "keras", "precision": precision, "batch": ENGINE_BATCH}


def _in_half_precision(prefix: Any) -> Any:
    """A copy of the prefix with the same weights whose float32 layers compute in bfloat16."""

    def copy(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer
        config = layer.get_config()
        if layer.dtype_policy.name == "float32":
            config["dtype"] = _HALF_PRECISION
        return type(layer).from_config(config)

    try:
        copied = _with_layers(prefix, copy)
        copied.set_weights(prefix.get_weights())
    # A layer of the user's own may fail in any way.
    except Exception as error:
        raise EngineError(
            "The frozen part cannot be run in bfloat16 by keras, because a layer cannot be made anew from its "
            f"configuration ({' '.join(str(error).split())}). Use precision='float32', or give the layer a "
            "get_config()."
        ) from error
    return copied


def _with_layers(prefix: Any, copy: Callable[[Any], Any]) -> Any:
    """The same graph of copied layers; a layer that is called twice is copied once."""
    graph = flatten(prefix)
    layers = {id(node.layer): node.layer for node in graph.nodes}
    copies = {key: copy(layer) for key, layer in layers.items()}
    nodes = [replace(node, layer=copies[id(node.layer)]) for node in graph.nodes]
    return build_model(list(graph.inputs), nodes, graph.outputs, prefix.name)
