"""The report of a training: from its results to the page in the run folder."""

import itertools
from collections.abc import Sequence

import numpy as np

from thawline.cli.train import Training
from thawline.data.sources.source import ImageSource
from thawline.report.page import write_report
from thawline.report.scores import predicted_classes
from thawline.report.value import Picture, Report
from thawline.training.clock import Timing

# Pictures in the report: enough to judge an augmentation by, small enough to mail.
_SHEET_IMAGES, _SHEET_VIEWS, _MISTAKES = 6, 4, 12


def write_page(training: Training, *, repeat: str, estimates: Sequence[Timing], note: str) -> None:
    """Writes `report.html` into the run folder.

    Args:
        training: what was trained, and what it gave.
        repeat: the command that trains it again.
        estimates: what other ways would have taken.
        note: how that was estimated.
    """
    extracted, needed = training.extracted
    record = training.history.record
    sheet = [
        picture
        for index in range(0, len(training.train), -(-len(training.train) // _SHEET_IMAGES))
        for view in range(_SHEET_VIEWS)
        for picture in _pictures(training.train, index, f"{training.train.paths[index].name}, view {view}", view)
    ]
    report = Report(
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
        phase_ends=list(itertools.accumulate(mark.epochs for mark in training.history.phases)),
        class_names=training.train.class_names,
        confusion=training.confusion,
        timings=[*training.timings, *estimates],
        estimate_note=note,
        augmented=sheet if training.train.augmentation is not None else (),
        mistakes=_mistakes(training),
        recipe=training.recipe.to_yaml(),
        repeat=repeat,
    )
    write_report(training.run.report_path, report)


def _mistakes(training: Training) -> list[Picture]:
    """Held-out images that were called wrong with the greatest confidence."""
    labels, names = training.validation.known_labels, training.train.class_names
    predicted = predicted_classes(training.answers)
    confidence = training.answers.max(axis=-1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MISTAKES]
    return [
        picture
        for index in worst
        for picture in _pictures(
            training.validation,
            int(index),
            f"{training.validation.paths[index].name}: {names[labels[index]]}, "
            f"called {names[predicted[index]]} ({confidence[index]:.0%})",
        )
    ]


def _pictures(source: ImageSource, index: int, caption: str, view: int = 0) -> list[Picture]:
    """One picture, or none where the image went bad and is left out."""
    made = source.attempt(source.picture, index, view)
    return [] if made is None else [Picture(made[0], caption)]
