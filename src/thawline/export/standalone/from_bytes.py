"""How a reader reads files where the model decodes them itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.export.standalone.saved_model_runtime import Runtime


def answer_files(runtime: Runtime, facts: dict[str, Any], paths: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """Answers for a batch of image files, by output."""
    return runtime.run_bytes([Path(path).read_bytes() for path in paths])


def read_pixels(runtime: Runtime, facts: dict[str, Any], path: str | Path) -> np.ndarray:
    """The pixels of one file as the model sees them, uint8 (height, width, channels)."""
    pixels: np.ndarray = runtime.decode([Path(path).read_bytes()])[0]
    return pixels
