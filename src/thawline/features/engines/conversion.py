"""From a Keras prefix to an OpenVINO model, without a word to anybody.

`import openvino` writes a client id into the user's home and sends an event, `openvino.convert_model` sends more: both
belong to a package of their own, openvino_telemetry, for which OpenVINO has a silent stand-in. It is made to take that
here, and the conversion goes through its TensorFlow frontend, which tells nobody.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from thawline.backend import keras
from thawline.errors import EngineError

_TELEMETRY = "openvino_telemetry"
_HALVES = {"float16", "bfloat16"}

# How lines begin with which OpenVINO's errors do.
_HEADINGS = ("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't", "Summary:", "To facilitate the")
# Keras colours its errors.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def openvino_version() -> str | None:
    """The version of OpenVINO; None where it is not installed. Imports nothing.

    Example:
        >>> openvino_version() in (None, "0")
        False
    """
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


@cache
def import_openvino() -> Any:
    """The openvino package.

    Raises:
        EngineError: it is not installed.
    """
    try:
        with _without_telemetry():
            return import_module("openvino")
    except ImportError as error:
        raise EngineError(
            "The engine 'openvino' is not installed: run  pip install 'thawline[openvino]'  or use engine='keras'."
        ) from error


def convert(prefix: Any, batch: int) -> Any:
    """An `openvino.Model` that answers as the prefix does in inference mode.

    Args:
        prefix: Keras model from images to crossing tensors; it stays as it is, and its weights are copied.
        batch: how many images the model takes at a time; a fixed number.

    Returns:
        The model, from images as the prefix takes them to one output per crossing tensor, in their order.

    Raises:
        EngineError: OpenVINO is not installed, or the prefix is not one that it can run.
    """
    openvino = import_openvino()
    if keras.backend.backend() != "tensorflow":
        raise EngineError(
            f"The engine 'openvino' reads TensorFlow's graphs, but Keras runs on {keras.backend.backend()!r}. "
            "Use engine='keras', or set KERAS_BACKEND=tensorflow."
        )
    sizes = [size for tensor in (*prefix.inputs, *prefix.outputs) for size in tensor.shape[1:]]
    if len(prefix.inputs) != 1 or None in sizes:
        raise EngineError(
            "The engine 'openvino' takes one input of a fixed size, but the frozen part has "
            f"{', '.join(str(tuple(tensor.shape)) for tensor in prefix.inputs)}. "
            "Build it for one image size (input_shape=), or use engine='keras'."
        )
    with refusing():
        function = _trace(prefix, batch)
    halves = {tensor.dtype.name for call in function.graph.get_operations() for tensor in call.outputs} & _HALVES
    if halves:
        raise EngineError(
            f"The frozen part has layers that compute in {' and '.join(sorted(halves))} by their own dtype, which the "
            "engine 'openvino' would not do. Use engine='keras', or build the layers with dtype='float32' and give "
            "precision='bfloat16'."
        )
    with refusing():
        return _read(openvino, function)


@contextmanager
def refusing() -> Iterator[None]:
    """Makes an EngineError of whatever goes wrong in a layer of the user's own, in TensorFlow or in OpenVINO."""
    try:
        yield
    except Exception as error:
        raise EngineError(
            f"OpenVINO cannot run the frozen part: {_what_went_wrong(error)} Use engine='keras'."
        ) from error


def _trace(prefix: Any, batch: int) -> Any:
    """The prefix as a TensorFlow function in inference mode, with named outputs."""
    tensorflow = import_module("tensorflow")
    (images,) = prefix.inputs
    # OpenVINO would look for each weight that the function captures among all of them: ResNet152 took 13 s.
    values = [(each, keras.ops.convert_to_numpy(each)) for each in prefix.variables]

    def answer(pixels: Any) -> dict[str, Any]:
        constants = [(each, tensorflow.constant(value)) for each, value in values]
        with keras.StatelessScope(state_mapping=constants):
            answers = keras.tree.flatten(prefix(pixels, training=False))
        # The names sort as the outputs stand. OpenVINO forgets them where an output is the input or another output,
        # but not where something is done to it.
        return {f"crossing_{at:06d}": tensorflow.reshape(each, each.shape) for at, each in enumerate(answers)}

    signature = [tensorflow.TensorSpec((batch, *images.shape[1:]), images.dtype)]
    # Keras does not let AutoGraph rewrite its layers either.
    return tensorflow.function(answer, input_signature=signature, autograph=False).get_concrete_function()


def _read(openvino: Any, function: Any) -> Any:
    """What OpenVINO makes of a concrete TensorFlow function with named outputs."""
    reader = import_module("openvino.frontend.tensorflow.graph_iterator")
    names = sorted(function.structured_outputs)
    external = {tensor.name: name for tensor, name in zip(function.outputs, names, strict=True)}
    # Weights are not shared: what is compiled has to stay what it is when the user's variables change.
    graph = reader.GraphIteratorTFGraph(function.graph, False, False, {}, external)
    frontend = import_module("openvino.frontend").FrontEndManager().load_by_framework("tf")
    model = frontend.convert(frontend.load(graph, False))
    # The frontend has the outputs in an order of its own.
    outputs = [model.output(name).get_node() for name in names]
    return openvino.Model(outputs, model.get_parameters(), "prefix")


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """While this lasts, openvino_telemetry cannot be imported, so that OpenVINO does without."""
    known = sys.modules.get(_TELEMETRY)
    # What Python's import system documents for a module that must not be found.
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
        if known is not None:
            sys.modules[_TELEMETRY] = known


def _what_went_wrong(error: Exception) -> str:
    """The lines of an error that say something, two at most, among those in which OpenVINO names its own files."""
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_HEADINGS)]
    return (" ".join(telling[:2]) or type(error).__name__).rstrip(".") + "."
