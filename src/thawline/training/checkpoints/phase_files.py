"""The stack as each phase left it, and as it was after the phase's best epoch, as files beside the checkpoint."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.files import linking
from thawline.stack.series import StageSeries
from thawline.training.untouched import assign, values_of


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps a copy of the weights that may change as they were after the epoch with the least loss.

    That is the loss on validation images where there are any. Nothing is set back: this is for phases without early
    stopping.

    Args:
        moving: the weights that may change.
        has_validation: whether there are figures on validation images.
    """

    def __init__(self, moving: Sequence[Any], *, has_validation: bool) -> None:
        super().__init__()
        self.values: list[np.ndarray] = []
        self.best_epoch = -1
        self._moving = moving
        self._monitor = "val_loss" if has_validation else "loss"
        self._least = math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judges the epoch."""
        loss = float((logs or {}).get(self._monitor, math.inf))
        if loss < self._least or not self.values:
            self._least, self.best_epoch, self.values = loss, epoch, values_of(self._moving)

    def state(self) -> dict[str, Any] | None:
        """Plain values to go on from; None before the first epoch."""
        return {"least": self._least, "best_epoch": self.best_epoch} if self.values else None

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights of the best epoch, by names that hold in the next process."""
        return {f"best/{index}": values for index, values in enumerate(self.values)}

    def resume(self, state: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` and `arrays` gave."""
        if state is not None:
            self._least, self.best_epoch = state["least"], state["best_epoch"]
            self.values = [arrays[f"best/{index}"] for index in range(len(self._moving))]


def phase_file(folder: Path, number: int, which: str) -> Path:
    """The file of a phase.

    Args:
        folder: the folder of the checkpoint.
        number: the phase, counted from 1.
        which: "best" or "last".
    """
    return folder / f"phase-{number}-{which}.keras"


def save_phase(
    series: StageSeries, folder: Path, number: int, *, moving: Sequence[Any], best: Sequence[np.ndarray] | None
) -> None:
    """Saves the stack as a phase left it and, where that is another, as it was after the best epoch.

    Where both are the same they are one file with two names.

    Args:
        series: the whole stack, compiled.
        folder: the folder of the checkpoint.
        number: the phase, counted from 1.
        moving: the weights that the phase may have changed.
        best: their values after the best epoch; None where those are the ones that the phase left.
    """
    last_file, best_file = (phase_file(folder, number, which) for which in ("last", "best"))
    series.save(last_file)
    last = values_of(moving)
    if best is None or all(np.array_equal(*pair, equal_nan=True) for pair in zip(best, last, strict=True)):
        linking(last_file, best_file)
        return
    assign(moving, best)
    try:
        series.save(best_file)
    finally:
        assign(moving, last)
