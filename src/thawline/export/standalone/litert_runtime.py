"""A .tflite file, run by LiteRT on the processor."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

# What LiteRT writes to stderr for each model, whatever one sets.
_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate"


class Runtime:
    """Runs the model of a folder by LiteRT."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        litert = import_module("ai_edge_litert.interpreter")
        with _without_greeting():
            interpreter = litert.Interpreter(str(folder / facts["model"]), num_threads=os.cpu_count() or 1)
            interpreter.allocate_tensors()
            self._run = interpreter.get_signature_runner("serving_default")

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for uint8 images (n, height, width, channels), by output."""
        answers: dict[str, np.ndarray] = self._run(images=images)
        return answers


@contextlib.contextmanager
def _without_greeting() -> Iterator[None]:
    """Takes the greeting out of what native code writes to stderr; everything else is passed on."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not line.startswith(_GREETING):
                    os.write(2, line)
