"""RunFolder: a folder with everything one training left behind.

Written before the training begins:
recipe.yaml       what was asked for, every value written out
environment.json  versions and machine
data.json         the images of each side: folder or table, classes, and a digest of their content; the files that were
                  passed over, by ending
split.csv         which file is on which side, its label, and a digest of its content
labels.txt        the class names in the order of the answers
plan.json         the strategy of each phase, why, and what it was expected to take

While it runs:
history.csv       losses and metrics, one line per epoch
checkpoints/      phase-1-best.keras and phase-1-last.keras for each phase that is over; last.npz is the state after the
                  last epoch, while the run is not finished

At its end:
stack.keras       the trained stack
predictions.csv   what the stack answered for each held-out image
report.html       the page to look at, when the extra `report` is installed
skipped.csv       images that were left out and why, when there are any (data.on_error: skip)
metrics.json      figures on the validation images; written last, it marks the run as finished
"""

import contextlib
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from thawline.errors import RunError
from thawline.files import remove_left_over, write_json, write_text
from thawline.printable import lines_of
from thawline.training.checkpoints.checkpoint import STATE_FILE
from thawline.training.planning.plan import Plan
from thawline.training.run_folder.finished import METRICS, RECIPE, check_finished
from thawline.training.run_folder.history_file import HistoryFile
from thawline.training.run_folder.run_data import Side, data_changes, trained_digests, write_data

_PACKAGES = (
    "thawline",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "openvino",
    "lmdb",
)


_HISTORY = "history.csv"

# What is written before the first epoch.
_EARLY_FILES = ("plan.json", "labels.txt", "split.csv", "data.json", "environment.json", "recipe.yaml")


class RunFolder:
    """The folder of one run.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None
        # Whether this process began the run.
        self._is_new = False
        # Whether another recipe's run without an epoch lay here.
        self._replaces = False

    @classmethod
    def begin(cls, parent: Path, name: str, recipe: str) -> Self:
        """The folder to train in: that of an unfinished run of the same recipe, or a new one.

        A finished run is never overwritten: the next one of the same name gets a number, `flowers-2`. A run of another
        recipe that did not finish an epoch is replaced.

        Raises:
            RunError: the name cannot be a folder's, an unfinished run that has epochs holds another recipe, or another
                process trains in it.
        """
        if not re.fullmatch(r"[\w][\w .-]*", name):
            raise RunError(f"A run's name is made of letters, digits, '-', '_' and '.'; got {name!r}. Change run.name.")
        number = 1
        while True:
            run = cls(parent / (name if number == 1 else f"{name}-{number}"))
            if not run.is_finished and run._take(recipe):
                return run
            # What a process that was killed at the very end did not come to.
            run._remove_state()
            number += 1

    def _take(self, recipe: str) -> bool:
        """Makes the folder this process's own, until `release`; False where another process finished it meanwhile."""
        is_new = not self.recipe_path.exists()
        if is_new and self.path.exists() and not all(path.name.startswith(".") for path in self.path.iterdir()):
            raise RunError(f"{str(self.path)!r} exists, but holds no run. Choose another run.name, or move the folder.")
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"Another process trains in {str(self.path)!r}. Wait for it, or choose another run.name."
            ) from None
        self._lock = lock
        if self.is_finished:
            self.release()
            return False
        for folder in (self.path, self.checkpoints):
            remove_left_over(folder)
        self._is_new = is_new
        if not is_new and not self.has_epochs and self.recipe_path.read_text(encoding="utf-8") != recipe:
            self._remove_early_files()
            self._is_new = self._replaces = True
        if self._is_new:
            write_text(self.recipe_path, recipe)
            return True
        try:
            self._check_recipe(recipe)
        except RunError:
            self.release()
            raise
        return True

    def discard(self) -> None:
        """Takes a run away that this process began and that has no epoch; releases any other as it is."""
        if self._is_new and self._lock is not None and not self.has_epochs:
            self._remove_state()
            with contextlib.suppress(OSError):
                self.checkpoints.rmdir()
            own = {".lock", *_EARLY_FILES}
            # A folder with files of others stays a run, which the next one of this name may replace.
            if own.issuperset(path.name for path in self.path.iterdir()):
                self._remove_early_files()
                (self.path / ".lock").unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self.path.rmdir()
        self.release()

    def _remove_early_files(self) -> None:
        """Removes what is written before the first epoch is over."""
        self._remove_state()
        for name in _EARLY_FILES:
            (self.path / name).unlink(missing_ok=True)

    def release(self) -> None:
        """Lets other processes train in the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The folder of a finished run.

        Raises:
            RunError: there is no such folder, or the run is not finished.
        """
        check_finished(Path(path))
        return cls(Path(path))

    @property
    def is_finished(self) -> bool:
        """Whether everything was written."""
        return self.metrics_path.exists()

    @property
    def recipe_path(self) -> Path:
        """The effective recipe."""
        return self.path / RECIPE

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
    def predictions_path(self) -> Path:
        """What the stack answered for each held-out image."""
        return self.path / "predictions.csv"

    @property
    def metrics_path(self) -> Path:
        """The figures on the validation images."""
        return self.path / METRICS

    @property
    def skipped_path(self) -> Path:
        """The images that were left out because they could not be decoded, or went bad during the training."""
        return self.path / "skipped.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder for the state after the last epoch."""
        return self.path / "checkpoints"

    @property
    def has_state(self) -> bool:
        """Whether there is the state of a training to go on from."""
        return (self.checkpoints / STATE_FILE).exists()

    @property
    def has_epochs(self) -> bool:
        """Tells whether an epoch was finished. A state may be there before: training keeps one when it begins."""
        return (self.path / _HISTORY).exists()

    @property
    def history(self) -> HistoryFile:
        """Who writes history.csv."""
        return HistoryFile(self.path / _HISTORY)

    def note_start(self, sides: list[Side], class_names: Sequence[str]) -> list[str]:
        """Writes what is known before the training: environment, images and labels.

        Args:
            sides: the images of training and validation.
            class_names: the class names in the order of the answers.

        Returns:
            What there is to say about a run that goes on, or replaces one.

        Raises:
            RunError: the run is to go on, but with other images.
        """
        changes = data_changes(self.path, sides)
        if changes and not self.has_epochs:
            self._remove_state()
        elif changes and self.has_state:
            raise RunError(
                f"The images of the unfinished run {str(self.path)!r} are others now: {changes}. Put them back, delete "
                "the folder, or choose another run.name."
            )
        if changes or not (self.path / "data.json").exists():
            write_data(self.path, sides)
        write_text(self.path / "labels.txt", lines_of(class_names))
        replaced = f"an earlier try in {self.path} finished no epoch; this run replaces it"
        return [*([replaced] if self._replaces else []), *self._note_environment()]

    def trained_digests(self) -> set[str]:
        """The digests of the files that the run was trained on, in hexadecimal digits; none where it kept none."""
        return trained_digests(self.path)

    def check_plan(self, plan: Plan) -> None:
        """Raises RunError where the run goes on, but began with another plan."""
        if self.has_state and self.plan_path.exists() and Plan.load(self.plan_path) != plan:
            raise RunError(
                f"The unfinished run {str(self.path)!r} follows another plan. Continue it without --plan, delete the "
                "folder, or choose another run.name."
            )

    def _note_environment(self) -> list[str]:
        path, now = self.path / "environment.json", describe_environment()
        if not path.exists():
            write_json(path, now)
            return []
        begun = json.loads(path.read_text(encoding="utf-8"))
        continued = begun.pop("continued", [])
        if (continued or [begun])[-1] == now:
            return []
        write_json(path, {**begun, "continued": [*continued, now]})
        different = ", ".join(f"{key} {was} is {is_now} now" for key, was, is_now in _differences(begun, now))
        return [f"going on where versions or machine are others ({different}): the last bits may differ"]

    def finish(self, *, metrics: Mapping[str, Any], keep_phases: bool = True) -> None:
        """Writes what the training gave, the metrics last, and takes the state of the training away.

        Args:
            metrics: what `metrics.json` holds.
            keep_phases: whether the stacks of the phases stay.
        """
        write_json(self.metrics_path, metrics)
        self._remove_state()
        if not keep_phases:
            for file in self.checkpoints.glob("phase-*.keras"):
                file.unlink()
            # A callback of the user's may keep files there, too.
            if self.checkpoints.exists() and not any(self.checkpoints.iterdir()):
                self.checkpoints.rmdir()
        self.release()
        (self.path / ".lock").unlink(missing_ok=True)

    def _remove_state(self) -> None:
        (self.checkpoints / STATE_FILE).unlink(missing_ok=True)

    def _check_recipe(self, recipe: str) -> None:
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


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs: its name, and both values; None where there is none."""
    flat, other_flat = ({**each, **each["packages"]} for each in (one, other))
    names = [name for name in {**flat, **other_flat} if name != "packages"]
    return [(name, flat.get(name), other_flat.get(name)) for name in names if flat.get(name) != other_flat.get(name)]
