"""How a reader reads files where the model takes pixels: with OpenCV and Pillow, as in the training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.data.decode import Decoding, decode
from thawline.export.standalone.onnx_runtime import Runtime


def answer_files(runtime: Runtime, facts: dict[str, Any], paths: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """Answers for a batch of image files, by output."""
    return runtime.run(np.stack([read_pixels(runtime, facts, path) for path in paths]))


def read_pixels(runtime: Runtime, facts: dict[str, Any], path: str | Path) -> np.ndarray:
    """The pixels of one file as the model takes them, uint8 (height, width, channels)."""
    reading = facts["reading"]
    decoding = Decoding(
        tuple(reading["image_size"]),
        reading["color_mode"],
        reading["interpolation"],
        resize=reading["resize"],
        background=tuple(reading["background"]),
        fast_jpeg=reading["fast_jpeg"],
        file_range=reading.get("file_range"),
    )
    return decode(Path(path).read_bytes(), decoding, name=str(path))
