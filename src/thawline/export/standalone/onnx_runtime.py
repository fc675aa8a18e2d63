"""An ONNX model, run by ONNX Runtime on the processor."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


class Runtime:
    """Runs the model of a folder by ONNX Runtime."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        onnxruntime = import_module("onnxruntime")
        # On graphics cards: pip install onnxruntime-gpu, and put "CUDAExecutionProvider" in front.
        self._session = onnxruntime.InferenceSession(folder / facts["model"], providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for uint8 images (n, height, width, channels), by output."""
        answers = self._session.run(self._names, {"images": images})
        return dict(zip(self._names, answers, strict=True))
