"""A .keras file, run by Keras in safe mode."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


class Runtime:
    """Runs the model of a folder by Keras."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        keras = import_module("keras")
        self._flatten = keras.tree.flatten
        self._names = [output["name"] for output in facts["outputs"]]
        self._model = keras.saving.load_model(folder / facts["model"], compile=False, safe_mode=True)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for uint8 images (n, height, width, channels), by output."""
        answers = self._model.predict_on_batch(images)
        # Keras sorts dictionaries by their keys, and so are the names.
        return dict(zip(self._names, self._flatten(answers), strict=True))
