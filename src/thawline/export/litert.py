"""LiteRT, formerly TensorFlow Lite: for phones and small devices. Takes "images", uint8, any number of them."""

import json
import tempfile
import zipfile
from pathlib import Path

from thawline.export.saved_model import quiet
from thawline.export.servable import Servable, import_tensorflow, refusing, traced
from thawline.printable import lines_of

FILE = "model.tflite"


def write(servable: Servable, folder: Path) -> None:
    """Writes the model into a folder; weights stay float32.

    Raises:
        ExportError: a layer does what LiteRT's own operations cannot.
    """
    tensorflow = import_tensorflow()
    advice = "Export as saved_model, which holds whatever TensorFlow computes."
    with refusing("litert", advice), quiet(), tempfile.TemporaryDirectory() as graph:
        module = tensorflow.Module()
        module.answers = traced(servable)
        tensorflow.saved_model.save(module, graph, signatures=module.answers.get_concrete_function())
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(graph)
        (folder / FILE).write_bytes(converter.convert())
    # As LiteRT's own metadata tools keep files in a model: in a zip archive behind it.
    with zipfile.ZipFile(folder / FILE, "a") as archive:
        archive.writestr("labels.txt", lines_of(servable.class_names))
        archive.writestr("reading.json", json.dumps(servable.reading))
