"""An exported model as a predictor."""

from collections.abc import Generator, Iterable

import numpy as np

from thawline.data.reading import as_decoding
from thawline.errors import ArgumentError
from thawline.export.artefact import Artefact


class ArtefactPredictor:
    """Answers by an artefact in its own runtime; see `thawline.export.predict.Predictor`.

    Args:
        artefact: the exported model.

    Raises:
        ArgumentError: it has several outputs.
    """

    def __init__(self, artefact: Artefact) -> None:
        count = len(artefact.facts["outputs"])
        if count > 1:
            raise ArgumentError(
                f"A prediction is one answer per image, but {artefact} gives {count}. Use its predict() in Python."
            )
        self.class_names = artefact.class_names
        self.decoding = as_decoding(artefact.reading)
        self._artefact = artefact

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[np.ndarray, None, None]:
        """For each batch of pixels the answers."""
        for pixels in batches:
            yield self._artefact.predict(pixels)
