"""Who is told how a training goes, epoch by epoch: the history in the run folder, TensorBoard, MLflow."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Curves:
    """Figures of all epochs so far.

    Attributes:
        history: losses and metrics by name, one value per epoch, NaN where a phase lacks a figure.
        phases: the number of each epoch's phase, counted from 1.
    """

    history: Mapping[str, Sequence[float]]
    phases: Sequence[int]

    def __len__(self) -> int:
        return len(self.phases)

    def figures(self, epoch: int) -> dict[str, float]:
        """Those of one epoch, counted from 0, that are numbers."""
        return {name: values[epoch] for name, values in self.history.items() if np.isfinite(values[epoch])}


class Tracker:
    """Does nothing with what it is told; others do.

    A training that is killed tells the epoch that was under way once more when it goes on, after `begin` with what was
    kept. What was told before of later epochs does not count.
    """

    def begin(self, curves: Curves) -> None:
        """Training begins, or goes on after these epochs. What is missing for the work is an error here."""

    def epoch(self, curves: Curves) -> None:
        """An epoch is over; it is the last one of the curves."""

    def settings(self, settings: Mapping[str, Any]) -> None:
        """What the training was asked for, by dotted names. Told before `begin`."""

    def pictures(self, title: str, pictures: Sequence[tuple[str, np.ndarray]]) -> None:
        """Pictures, each with a name: uint8 (height, width, 3), or (height, width, 1) for grey ones."""

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """The run is over: figures of the trained stack, and files worth keeping."""


class Trackers:
    """Several trackers as one. One that fails in the middle of a training does not end it: it is told no more."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)

    def begin(self, curves: Curves) -> None:
        """Errors are not caught here: nothing was trained yet."""
        for tracker in self._trackers:
            tracker.begin(curves)

    def epoch(self, curves: Curves) -> None:
        """Tells all of them."""
        self._tell("epoch", curves)

    def pictures(self, title: str, pictures: Sequence[tuple[str, np.ndarray]]) -> None:
        """Tells all of them."""
        self._tell("pictures", title, pictures)

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Tells all of them."""
        self._tell("finish", figures, files)

    def _tell(self, what: str, *told: Any) -> None:
        for tracker in list(self._trackers):
            try:
                getattr(tracker, what)(*told)
            # Whatever a server or a disk elsewhere answers, hours of training are worth more than its curves.
            except Exception as error:
                self._trackers.remove(tracker)
                warnings.warn(
                    f"{type(tracker).__name__} failed and is told no more in this training: {error}", stacklevel=3
                )
