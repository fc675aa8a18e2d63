"""A training on its way from recipe to run folder: what the commands and the report hand on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from thawline.check.finding import Finding
from thawline.data.sources.source import ImageSource
from thawline.facade.stack import Stack
from thawline.recipe import Recipe
from thawline.report.calibration import calibrate
from thawline.report.scores import accuracy, class_results
from thawline.training.clock import Clock, Timing
from thawline.training.run_folder.run import RunFolder
from thawline.training.tracking.tracker import Tracker


@dataclass
class Training:
    """A training on its way from recipe to run folder, with what it gave so far."""

    recipe: Recipe
    run: RunFolder
    train: ImageSource
    validation: ImageSource
    stack: Stack
    history: Any
    answers: np.ndarray
    confusion: np.ndarray
    clock: Clock
    findings: Sequence[Finding] = ()
    trackers: Sequence[Tracker] = ()

    @property
    def timings(self) -> list[Timing]:
        """Where the time went so far."""
        return self.clock.timings

    @property
    def extracted(self) -> tuple[int, int]:
        """How many views of images had to be run through the frozen part, and how many were needed."""
        extractions = self.history.record.extractions
        return sum(done["extracted"] for done in extractions), sum(done["total"] for done in extractions)

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        extracted, needed = self.extracted
        calibration = calibrate(self.answers, self.validation.known_labels)
        return {
            "accuracy": accuracy(self.confusion),
            "calibration_error": None if calibration is None else calibration.error,
            "classes": [result.as_dict() for result in class_results(self.confusion, self.train.class_names)],
            "confusion": self.confusion.tolist(),
            # A figure that the last phase does not have is NaN, which JSON cannot say.
            "last_epoch": {
                name: values[-1] for name, values in self.history.history.items() if np.isfinite(values[-1])
            },
            "phases": [asdict(mark) for mark in self.history.phases],
            "epochs": len(self.history.epoch),
            "images": {"train": len(self.train), "validation": len(self.validation)},
            "epoch_seconds": [round(seconds, 3) for seconds in self.history.record.epoch_s],
            "extracted": extracted,
            "needed": needed,
            "seconds": {timing.label: round(timing.seconds, 3) for timing in self.timings},
        }
