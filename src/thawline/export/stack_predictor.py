"""A whole stack as a predictor: run by the fastest engine that agrees with Keras."""

from collections.abc import Generator, Iterable
from itertools import chain, islice
from pathlib import Path

import numpy as np
from blake3 import blake3

from thawline.data.reading import as_augmentation, as_decoding
from thawline.errors import ArgumentError
from thawline.features.engines.choice import choose_engine
from thawline.features.engines.engine import Engine
from thawline.features.engines.make import make_engine
from thawline.features.fingerprint import numeric_profile
from thawline.features.identity import canonical
from thawline.features.options import CHOICES_NAME
from thawline.stack.series import StageSeries
from thawline.store import default_cache_path

# For fewer batches than these an engine is not worth being tried: Keras answers them in that time.
_FEW_BATCHES = 8


class StackPredictor:
    """Answers by a stack; see `thawline.export.predict.Predictor`.

    Which engine runs it is tried on the first images, unless it is remembered for this file of a stack; a few images
    are left to Keras.

    Args:
        series: the stack.
        file: where it was loaded from; its content stands for it.
        engine: "auto", "keras" or "openvino", as `Stack.fit` takes it.
        precision: "float32" or "bfloat16".

    Attributes:
        reason: which engine was taken and why, once it was.

    Raises:
        ArgumentError: the stack has several outputs, or nobody knows how it reads images.
    """

    def __init__(
        self,
        series: StageSeries,
        file: Path,
        *,
        engine: str = "auto",
        precision: str = "float32",
    ) -> None:
        if len(series.model.outputs) > 1:
            raise ArgumentError(
                f"A prediction is one answer per image, but the stack gives {len(series.model.outputs)}. "
                "Use stack.predict() or stack.model in Python."
            )
        if series.reading is None:
            raise ArgumentError(f"Nothing is known of how {str(file)!r} reads images: it was saved before a training.")
        self.class_names = series.class_names
        self.decoding = as_decoding(series.reading)
        self.reason = ""
        self._series = series
        self._file = file
        self._scaling = as_augmentation(series.reading)
        self._wanted = engine, precision
        self._engine: Engine | None = None

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[np.ndarray, None, None]:
        """For each batch of pixels the answers, computed ahead."""
        images = map(self._scaled, batches)
        first = list(islice(images, _FEW_BATCHES))
        if not first:
            return
        if self._engine is None:
            self._engine = self._choose(first[0], is_little=len(first) < _FEW_BATCHES)
        for answer in self._engine.answers(chain(first, images)):
            yield answer[0]

    def _scaled(self, pixels: np.ndarray) -> np.ndarray:
        if self._scaling is None:
            return pixels
        return np.stack([self._scaling.standardize(picture) for picture in pixels])

    def _choose(self, images: np.ndarray, *, is_little: bool) -> Engine:
        name, precision = self._wanted
        if is_little and self._wanted == ("auto", "float32"):
            name = "keras"
        identity = canonical([blake3(self._file.read_bytes()).hexdigest(), self.decoding.identity(), numeric_profile()])
        choice, engine = choose_engine(
            name, self._series.model, precision, images, default_cache_path() / CHOICES_NAME, identity
        )
        self.reason = str(choice)
        return engine or make_engine(choice.engine, self._series.model, choice.precision)
