"""thawline train: from a recipe to a run folder."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thawline.cli import STARTED
from thawline.cli.output import print_json, print_line, print_table, say
from thawline.data.sources import ImageSource
from thawline.facade import Stack
from thawline.recipe import Recipe, load_recipe
from thawline.training.report import Picture, Report, Timing, write_report
from thawline.training.run import RunFolder
from thawline.training.scores import accuracy, class_results, confusion_matrix, predicted_classes

# Pictures in the report: enough to judge an augmentation by, small enough to mail.
_SHEET_IMAGES, _SHEET_VIEWS, _MISTAKES = 6, 4, 12


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
    clock: "Clock"

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
        return {
            "accuracy": accuracy(self.confusion),
            "classes": [asdict(result) for result in class_results(self.confusion, self.train.class_names)],
            "confusion": self.confusion.tolist(),
            "last_epoch": {name: values[-1] for name, values in self.history.history.items()},
            "epochs": len(self.history.epoch),
            "images": {"train": len(self.train), "validation": len(self.validation)},
            "extracted": extracted,
            "needed": needed,
            "seconds": {timing.label: round(timing.seconds, 3) for timing in self.timings},
        }


def train(path: Path, overrides: Sequence[str], *, as_json: bool, quiet: bool) -> None:
    """Trains what a recipe says and prints the figures on the validation images."""
    training = run_training(load_recipe(path, overrides), quiet=quiet)
    finish(training, repeat=f"thawline train {training.run.recipe_path}")
    if as_json:
        print_json({"run": str(training.run.path), **training.metrics()})
        return
    print_accuracy(training)
    print_files(training)


def run_training(recipe: Recipe, *, quiet: bool) -> Training:
    """Trains and measures; the run folder holds the state until `finish` writes the results."""
    clock = Clock(STARTED)
    clock.lap("loading Keras")
    train_images, validation = recipe.open_images()
    run = RunFolder.begin(Path(recipe.run.folder), recipe.run.name, recipe.to_yaml())
    say(f"{len(train_images):,} training and {len(validation):,} validation images -> {run.path}", quiet=quiet)
    clock.lap("reading images")
    stack = recipe.build_stack(len(train_images.class_names))
    clock.lap("building the stack")
    history = stack.fit(
        train_images,
        validation_data=validation,
        phases=recipe.build_phases(),
        verbose=0 if quiet else "auto",
        checkpoint=run.checkpoints,
    )
    record = history.record
    extract_s = sum(done["seconds"] for done in record.extractions)
    clock.split(("extracting features", extract_s), ("training", record.train_s), rest="preparing")
    answers = stack.predict(validation, strategy="auto", verbose=0)
    assert validation.labels is not None  # open_images reads labelled folders only
    confusion = confusion_matrix(validation.labels, predicted_classes(answers), len(train_images.class_names))
    clock.lap("measuring")
    return Training(recipe, run, train_images, validation, stack, history, answers, confusion, clock)


def finish(training: Training, *, repeat: str, estimate_note: str = "") -> None:
    """Saves the stack, writes the report and the figures; after that the run is finished."""
    training.stack.save(training.run.stack_path)
    if write_report is not None:
        write_report(training.run.report_path, _report(training, repeat, estimate_note))
    training.clock.lap("writing the run folder")
    training.run.finish(
        history=training.history.history,
        plans=[plan.as_dict() for plan in training.history.record.plans],
        class_names=training.train.class_names,
        metrics=training.metrics(),
    )


def print_accuracy(training: Training) -> None:
    """Recall and precision of each class on the validation images."""
    results = class_results(training.confusion, training.train.class_names)
    rows = [
        [result.name, str(result.support), _percent(result.recall), _percent(result.precision)] for result in results
    ]
    rows.append(["all", str(int(training.confusion.sum())), _percent(accuracy(training.confusion)), ""])
    print_table(["class", "images", "accuracy", "precision"], rows, title="On held-out images")


def print_files(training: Training) -> None:
    """Where everything lies."""
    print_line(f"\nRun folder: {training.run.path}")
    if write_report is not None:
        print_line(f"Report:     {training.run.report_path}")
    else:
        print_line("No report: it needs  pip install 'thawline[report]'")


class Clock:
    """Notes where the time goes, from `started` on, in seconds of `time.perf_counter`."""

    def __init__(self, started: float) -> None:
        self.timings: list[Timing] = []
        self._last = started

    def lap(self, label: str) -> None:
        """The time since the last lap went into this."""
        now = time.perf_counter()
        self.timings.append(Timing(label, now - self._last))
        self._last = now

    def split(self, *known: tuple[str, float], rest: str) -> None:
        """The time since the last lap went into parts that were measured, and a rest."""
        now = time.perf_counter()
        parts = [*known, (rest, now - self._last - sum(seconds for _, seconds in known))]
        self.timings += [Timing(label, seconds) for label, seconds in parts]
        self._last = now


def _report(training: Training, repeat: str, estimate_note: str) -> Report:
    extracted, needed = training.extracted
    record = training.history.record
    sheet = [
        Picture(training.train.image(index, view), f"{training.train.paths[index].name}, view {view}")
        for index in range(0, len(training.train), -(-len(training.train) // _SHEET_IMAGES))
        for view in range(_SHEET_VIEWS)
    ]
    return Report(
        title=training.run.path.name,
        facts={
            "Images": f"{len(training.train):,} for training, {len(training.validation):,} held out",
            "Classes": ", ".join(f"{name} ({count:,})" for name, count in training.train.class_counts.items()),
            "Stack": ", ".join(
                f"{stage.name} ({stage.model.count_params():,} weights{', frozen' if stage.is_frozen else ''})"
                for stage in training.stack.stages
            ),
            "Plan": "; ".join(map(str, record.plans)) or "continued after the last epoch",
            "Features": f"{extracted:,} of {needed:,} had to be extracted",
        },
        history=training.history.history,
        class_names=training.train.class_names,
        confusion=training.confusion,
        timings=training.timings,
        estimate_note=estimate_note,
        augmented=sheet if training.train.augmentation is not None else (),
        mistakes=_mistakes(training),
        recipe=training.recipe.to_yaml(),
        repeat=repeat,
    )


def _mistakes(training: Training) -> list[Picture]:
    """Held-out images that were called wrong with the greatest confidence."""
    labels, names = training.validation.labels, training.train.class_names
    predicted = predicted_classes(training.answers)
    confidence = training.answers.max(axis=-1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MISTAKES]
    return [
        Picture(
            training.validation.image(int(index)),
            f"{training.validation.paths[index].name}: {names[training.validation.labels[index]]}, "
            f"called {names[predicted[index]]} ({confidence[index]:.0%})",
        )
        for index in worst
    ]


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.1%}"
