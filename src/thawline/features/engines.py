"""Engines: who runs the frozen prefix over a batch of images.

An engine takes any number of images and always computes at one fixed batch shape, the last part filled up with zeros:
the shape moves the last bits of a convolution, the neighbours in a batch do not. An image's position in the batch moves
them in one case: TensorFlow's mean over height and width, where the number of channels is no multiple of 16.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from thawline.errors import ArgumentError

# Images per call of the prefix. Changing it changes the last bits of features, so it is part of their fingerprint; it
# does not follow the training's batch size, so that another batch size finds the features it needs.
ENGINE_BATCH = 32


class Engine(Protocol):
    """What every engine can do."""

    def describe(self) -> dict[str, Any]:
        """What its answers depend on besides graph and weights, for the fingerprint."""

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Features of images, one array per crossing tensor, each with one row per image."""


class KerasEngine:
    """Runs the prefix as a compiled Keras function in inference mode, without XLA.

    Args:
        prefix: Keras model from images to crossing tensors.
    """

    def __init__(self, prefix: Any) -> None:
        self._prefix = prefix
        # XLA would move the last bits against the same prefix inside a training step.
        prefix.compile(jit_compile=False)

    def describe(self) -> dict[str, Any]:
        """The engine's name and its batch shape."""
        return {"name": "keras", "batch": ENGINE_BATCH}

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Features of uint8 or float images (n, height, width, channels), one array (n, ...) per crossing tensor."""
        parts = [
            self._run_padded(images[start : start + ENGINE_BATCH]) for start in range(0, len(images), ENGINE_BATCH)
        ]
        return parts[0] if len(parts) == 1 else [np.concatenate(rows) for rows in zip(*parts, strict=True)]

    def _run_padded(self, images: np.ndarray) -> list[np.ndarray]:
        count = len(images)
        if count < ENGINE_BATCH:
            filler = np.zeros((ENGINE_BATCH - count, *images.shape[1:]), images.dtype)
            images = np.concatenate([images, filler])
        answers = self._prefix.predict_on_batch(images)
        return [answer[:count] for answer in (answers if isinstance(answers, list) else [answers])]


ENGINES: dict[str, Callable[[Any], Engine]] = {"keras": KerasEngine}


def make_engine(name: str, prefix: Any) -> Engine:
    """The engine of this name for a prefix.

    Raises:
        ArgumentError: there is no such engine.
    """
    if name not in ENGINES:
        raise ArgumentError(f"engine is one of {', '.join(map(repr, ENGINES))}; got {name!r}.")
    return ENGINES[name](prefix)
