"""A SavedModel, run by TensorFlow."""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


class Runtime:
    """Runs the model of a folder by TensorFlow."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self._tensorflow = import_module("tensorflow")
        self._model = self._tensorflow.saved_model.load(str(folder / facts["model"]))

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for uint8 images (n, height, width, channels), by output."""
        return self._call("pixels", images=images)

    def run_bytes(self, contents: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Answers for the contents of image files, by output."""
        return self._call("serving_default", image_bytes=list(contents))

    def decode(self, contents: Sequence[bytes]) -> np.ndarray:
        """The pixels that the model makes of image files, uint8 (n, height, width, channels)."""
        return self._call("decode", image_bytes=list(contents))["pixels"]

    def _call(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        tensors = {name: self._tensorflow.constant(value) for name, value in inputs.items()}
        answers = self._model.signatures[signature](**tensors)
        return {name: answer.numpy() for name, answer in answers.items()}
