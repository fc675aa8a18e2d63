"""Who else is told of a run, as its recipe says: TensorBoard, MLflow."""

from collections.abc import Sequence

import numpy as np

from thawline.cli.training import Training
from thawline.data.captions import caption
from thawline.data.sources.source import ImageSource
from thawline.recipe import Recipe
from thawline.report.scores import accuracy, predicted_classes
from thawline.report.selection import worst_mistakes
from thawline.report.settings import dotted
from thawline.training.run_folder.run import RunFolder
from thawline.training.tracking.mlflow import MLflow
from thawline.training.tracking.tensorboard import TensorBoard
from thawline.training.tracking.tracker import Tracker, Trackers

# Enough to judge an augmentation and a model by.
_AUGMENTED, _MISTAKES = 8, 16


def open_trackers(recipe: Recipe, run: RunFolder) -> list[Tracker]:
    """The trackers that a recipe names, told of its settings.

    Raises:
        MissingDependencyError: a package is not installed.
    """
    made: dict[str, Tracker] = {}
    if "tensorboard" in recipe.run.tracking:
        made["tensorboard"] = TensorBoard(run.path / "tensorboard")
    if "mlflow" in recipe.run.tracking:
        made["mlflow"] = MLflow(
            run.path.parent / "mlruns", run.path.name, experiment=recipe.run.name, note=run.path / "mlflow.txt"
        )
    settings = dict(dotted(recipe.model_dump(mode="json")))
    for tracker in made.values():
        tracker.settings(settings)
    return list(made.values())


def tell_results(training: Training, trackers: Sequence[Tracker]) -> None:
    """Tells trackers what came of a training: pictures, figures and the files of the run folder."""
    told = Trackers(trackers)
    if trackers:
        told.pictures("augmented", _augmented(training.train))
        told.pictures("mistakes", _mistakes(training))
    figures = {"accuracy": accuracy(training.confusion)}
    names = ("recipe.yaml", "labels.txt", "environment.json", "data.json", "history.csv", "report.html")
    told.finish(figures, [path for path in (training.run.path / name for name in names) if path.exists()])


def _augmented(source: ImageSource) -> list[tuple[str, np.ndarray]]:
    """Training images as they are trained on, from all over the classes."""
    indices = np.unique(np.linspace(0, len(source) - 1, _AUGMENTED).astype(int))
    return [picture for index in indices for picture in _picture(source, int(index), caption(source, index))]


def _mistakes(training: Training) -> list[tuple[str, np.ndarray]]:
    """Held-out images that were called wrong with the greatest confidence."""
    source, names = training.validation, training.train.class_names
    labels, predicted = source.known_labels, predicted_classes(training.answers)
    worst = worst_mistakes(training.answers, labels, _MISTAKES)
    return [
        picture
        for place, index in enumerate(worst, start=1)
        for picture in _picture(
            source,
            index,
            f"{place:02} {names[labels[index]]} called {names[predicted[index]]}: {caption(source, index)}",
        )
    ]


def _picture(source: ImageSource, index: int, name: str) -> list[tuple[str, np.ndarray]]:
    """One picture with its name, or none where the image went bad and is left out."""
    made = source.attempt(source.picture, index, 0)
    return [] if made is None else [(name, made[0])]
