"""ONNX: what most runtimes read. Takes "images", uint8 (any number, height, width, channels)."""

import json
import logging
from importlib import import_module
from pathlib import Path

from thawline import __version__
from thawline.errors import MissingDependencyError
from thawline.export.servable import Servable, import_tensorflow, refusing, traced

FILE = "model.onnx"

# The newest one that ONNX Runtime 1.14 of 2023 reads.
_OPSET = 18


def write(servable: Servable, folder: Path) -> None:
    """Writes the model into a folder.

    Raises:
        MissingDependencyError: tf2onnx is not installed.
        ExportError: a layer does what ONNX cannot say.
    """
    import_tensorflow()
    try:
        tf2onnx, onnx = import_module("tf2onnx"), import_module("onnx")
    except ImportError as error:
        raise MissingDependencyError(
            f"Export as onnx needs the package {error.name!r}: run  pip install 'thawline[onnx]'."
        ) from error
    # It tells of every step.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with refusing("onnx", "Export as saved_model, which holds whatever TensorFlow computes."):
        function = traced(servable)
        model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=_OPSET)
        model.producer_name, model.producer_version = "thawline", __version__
        onnx.helper.set_model_props(
            model, {"class_names": json.dumps(servable.class_names), "reading": json.dumps(servable.reading)}
        )
        onnx.save_model(model, folder / FILE)
