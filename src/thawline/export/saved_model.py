"""SavedModel: image bytes to answers, decoding, resizing and scaling inside.

Signatures: `serving_default` takes `image_bytes`, a batch of files as strings, of any size; `pixels` takes `images`, a
uint8 batch; `decode` gives the pixels that `serving_default` makes of files; `class_names` gives the names.
TensorFlow Serving takes the folder `model`, in which version 1 lies.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from thawline.errors import ExportError
from thawline.export.servable import INPUT, Servable, import_tensorflow, refusing
from thawline.printable import lines_of

FILE = "model/1"

_LABELS = "class_names.txt"


def write(servable: Servable, folder: Path) -> None:
    """Writes the model into a folder.

    Raises:
        ExportError: images have alpha or a file_range, or a layer cannot be saved.
    """
    if servable.decoding.color_mode == "rgba":
        raise ExportError(
            "A SavedModel decodes files inside, but not with color_mode='rgba': TensorFlow resizes colours under "
            "transparent pixels otherwise. Export as keras, onnx, litert or openvino, whose reader does it."
        )
    if servable.decoding.file_range is not None:
        raise ExportError(
            f"A SavedModel decodes files inside, but not with file_range={servable.decoding.file_range!r}: 16 bits are "
            "scaled by their whole range there. Export as keras, onnx, litert or openvino, whose reader does it."
        )
    tensorflow = import_tensorflow()
    labels = folder / _LABELS
    labels.write_text(lines_of(servable.class_names), encoding="utf-8")
    with refusing("saved_model", "Export the stages without it."), quiet():
        module = tensorflow.Module()
        # What is an attribute is saved.
        module.weights = [variable.value for variable in servable.model.variables]
        module.labels = tensorflow.saved_model.Asset(str(labels))
        signatures = _signatures(tensorflow, servable)
        tensorflow.saved_model.save(module, str(folder / FILE), signatures=signatures)
    labels.unlink()


def _signatures(tensorflow: Any, servable: Servable) -> dict[str, Any]:
    # The module is made of TensorFlow, which Keras' other backends do without.
    decode = import_module("thawline.export.in_graph_decode").decode
    decoding, shape = servable.decoding, servable.image_shape
    contents = tensorflow.TensorSpec((None,), tensorflow.string, name="image_bytes")
    images = tensorflow.TensorSpec((None, *shape), tensorflow.uint8, name=INPUT)

    def graph(function: Any, *inputs: Any) -> Any:
        return tensorflow.function(function, input_signature=inputs, autograph=False)

    def decode_all(image_bytes: Any) -> dict[str, Any]:
        kind = tensorflow.TensorSpec(shape, tensorflow.uint8)
        return {"pixels": tensorflow.map_fn(lambda data: decode(data, decoding), image_bytes, fn_output_signature=kind)}

    decoding_files = graph(decode_all, contents)
    answering = graph(lambda images: servable.answers(images), images)
    functions = {
        # Made of the two others, which are traced once.
        "serving_default": graph(lambda image_bytes: answering(decoding_files(image_bytes)["pixels"]), contents),
        "pixels": answering,
        "decode": decoding_files,
        "class_names": graph(lambda: {"class_names": tensorflow.constant(list(servable.class_names), "string")}),
    }
    return {name: function.get_concrete_function() for name, function in functions.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Without what TensorFlow tells of files that it wrote."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
