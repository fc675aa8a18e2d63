"""RunFolder: a folder with everything one training left behind.

recipe.yaml       what was asked for, every value written out
plan.json         the strategy of each phase, why, and what it was expected to take; written before training
history.csv       losses and metrics, one line per epoch
metrics.json      figures on the validation images; written last, it marks the run as finished
stack.keras       the trained stack
labels.txt        the class names in the order of the answers
environment.json  versions and machine
checkpoints/      the state after the last epoch, while the run is not finished
report.html       the page to look at, when the extra `report` is installed
skipped.csv       images that were left out and why, when there are any (data.on_error: skip)
"""

import csv
import io
import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from thawline.errors import RunError
from thawline.files import write_text

_PACKAGES = ("thawline", "keras", "tensorflow", "tensorflow-cpu", "numpy", "opencv-python-headless", "lmdb")


class RunFolder:
    """The folder of one run.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def begin(cls, parent: Path, name: str, recipe: str) -> Self:
        """The folder to train in: that of an unfinished run of the same recipe, or a new one.

        A finished run is never overwritten: the next one of the same name gets a number, `flowers-2`.

        Raises:
            RunError: the name cannot be a folder's, or an unfinished run holds another recipe.
        """
        if not re.fullmatch(r"[\w][\w .-]*", name):
            raise RunError(f"A run's name is made of letters, digits, '-', '_' and '.'; got {name!r}. Change run.name.")
        number = 1
        while True:
            run = cls(parent / (name if number == 1 else f"{name}-{number}"))
            if not run.path.exists():
                write_text(run.path / "recipe.yaml", recipe)
                return run
            if not run.is_finished:
                run._check_recipe(recipe)
                return run
            number += 1

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The folder of a finished run.

        Raises:
            RunError: there is no such folder, or the run is not finished.
        """
        run = cls(Path(path))
        if not run.recipe_path.exists():
            raise RunError(
                f"No run in {str(path)!r}: expected a folder that  thawline train  wrote, like runs/flowers."
            )
        if not run.is_finished:
            raise RunError(f"The run {str(path)!r} is not finished. Continue it with  thawline train  and its recipe.")
        return run

    @property
    def is_finished(self) -> bool:
        """Whether everything was written."""
        return (self.path / "metrics.json").exists()

    @property
    def recipe_path(self) -> Path:
        """The effective recipe."""
        return self.path / "recipe.yaml"

    @property
    def plan_path(self) -> Path:
        """The plan, which is there before training begins."""
        return self.path / "plan.json"

    @property
    def stack_path(self) -> Path:
        """The trained stack."""
        return self.path / "stack.keras"

    @property
    def report_path(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @property
    def skipped_path(self) -> Path:
        """The images that were left out because they could not be decoded, or went bad during the training."""
        return self.path / "skipped.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder for the state after the last epoch."""
        return self.path / "checkpoints"

    def finish(
        self,
        *,
        history: Mapping[str, Sequence[float]],
        phase_epochs: Sequence[int],
        class_names: Sequence[str],
        metrics: Mapping[str, Any],
    ) -> None:
        """Writes what the training gave, the metrics last, and takes the checkpoint away."""
        write_text(self.path / "history.csv", _history_csv(history, phase_epochs))
        write_text(self.path / "labels.txt", "".join(f"{name}\n" for name in class_names))
        write_text(self.path / "environment.json", _json(describe_environment()))
        write_text(self.path / "metrics.json", _json(metrics))
        for file in self.checkpoints.glob("*"):
            file.unlink()
        if self.checkpoints.exists():
            self.checkpoints.rmdir()

    def _check_recipe(self, recipe: str) -> None:
        if not self.recipe_path.exists():
            raise RunError(f"{str(self.path)!r} exists, but holds no run. Choose another run.name, or move the folder.")
        stored = self.recipe_path.read_text(encoding="utf-8")
        if stored == recipe:
            return
        changes = [
            f"{old.strip()!r} is now {new.strip()!r}"
            for old, new in zip(stored.splitlines(), recipe.splitlines(), strict=False)
            if old != new
        ]
        raise RunError(
            f"The unfinished run {str(self.path)!r} has another recipe "
            f"({changes[0] if changes else 'lines were added or taken out'}). "
            "Continue it with its own recipe, delete the folder, or choose another run.name."
        )


def describe_environment() -> dict[str, Any]:
    """Versions and machine, for repeating a run."""
    packages = {}
    for package in _PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "packages": packages,
    }


def _history_csv(history: Mapping[str, Sequence[float]], phase_epochs: Sequence[int]) -> str:
    """One line per epoch, counted from 1, with the number of its phase; a figure that the phase lacks is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "phase", *history])
    phases = [number for number, count in enumerate(phase_epochs, start=1) for _ in range(count)]
    for epoch, (phase, *row) in enumerate(zip(phases, *history.values(), strict=True), start=1):
        writer.writerow([epoch, phase, *("" if math.isnan(value) else value for value in row)])
    return text.getvalue()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
