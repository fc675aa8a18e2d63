"""A .keras file that takes uint8 pixels: for whoever works with Keras."""

import json
import zipfile
from pathlib import Path

from thawline.errors import ExportError
from thawline.export.servable import Servable, refusing

FILE = "model.keras"

# The entry in the .keras file (a zip archive) with the class names and the reading. Keras passes over it.
_ENTRY = "thawline-artefact.json"


def write(servable: Servable, folder: Path) -> None:
    """Writes the model into a folder.

    Raises:
        ExportError: a layer is not one of Keras', or holds Python code.
    """
    for layer in servable.model._flatten_layers():
        module = type(layer).__module__
        if not module.startswith("keras.") or type(layer).__name__ == "Lambda":
            raise ExportError(
                f"The stack has the layer {layer.name!r}, a {type(layer).__name__} of {module!r}: a .keras file would "
                "name it without its code, and nobody could open it safely. Export as saved_model, onnx, litert or "
                "openvino, which hold what a layer computes."
            )
    target = folder / FILE
    with refusing("keras", "Export as saved_model."):
        servable.model.save(target)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(_ENTRY, json.dumps({"class_names": servable.class_names, "reading": servable.reading}))
