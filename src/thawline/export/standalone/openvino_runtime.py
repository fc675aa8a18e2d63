"""An OpenVINO model, run on the processor in float32."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_TELEMETRY = "openvino_telemetry"


class Runtime:
    """Runs the model of a folder by OpenVINO."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        openvino = _import_openvino()
        core = openvino.Core()
        # Left to itself OpenVINO computes in bfloat16 wherever the processor can.
        self._compiled = core.compile_model(folder / facts["model"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self._names = [output["name"] for output in facts["outputs"]]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for uint8 images (n, height, width, channels), by output."""
        answers = self._compiled({"images": images})
        return {name: np.array(answers[name]) for name in self._names}


def _import_openvino() -> Any:
    """OpenVINO without its telemetry, which would write into the user's home and send events."""
    known = sys.modules.get(_TELEMETRY)
    # What Python's import system documents for a module that must not be found.
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        if known is not None:
            sys.modules[_TELEMETRY] = known
