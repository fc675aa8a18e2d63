"""thawline evaluate and predict: what a finished run's stack says about images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.cli.output import print_json, print_line, print_table
from thawline.facade import Stack, load
from thawline.recipe import Recipe, load_recipe
from thawline.training.run import RunFolder


def evaluate(path: Path, data: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Prints loss and metrics of a run's stack on a folder of classes, or on the run's validation images."""
    run, recipe, stack = _open(path)
    if data is None:
        _, images = recipe.open_images()
    else:
        images = recipe.open_folder(str(data), classes=stack.class_names)
    features = recipe.features.model_dump()
    figures = stack.evaluate(images, return_dict=True, verbose=0 if quiet else "auto", **features)
    if as_json:
        print_json({"run": str(run.path), "images": len(images), **figures})
    else:
        print_table(["figure", "value"], [[name, f"{value:.4f}"] for name, value in figures.items()])
        print_line(f"\non {len(images):,} images")


def predict(path: Path, paths: Sequence[Path], *, top: int, as_json: bool, quiet: bool) -> None:
    """Prints the likeliest classes for each image."""
    _, recipe, stack = _open(path)
    images = recipe.open_files(paths)
    answers = stack.predict(images, verbose=0 if quiet else "auto")
    rows = describe_answers(images.paths, answers, stack.class_names, top)
    if as_json:
        print_json(rows)
    else:
        print_answers(rows)


def describe_answers(
    paths: Sequence[Path], answers: np.ndarray, class_names: Sequence[str], top: int
) -> list[dict[str, Any]]:
    """For each image its path and its likeliest classes with their probabilities, the likeliest first."""
    if answers.shape[-1] == 1:
        answers = np.concatenate([1 - answers, answers], axis=-1)
    best = np.argsort(-answers, axis=-1, kind="stable")[:, :top]
    return [
        {
            "path": str(path),
            "classes": [{"name": class_names[label], "probability": float(row[label])} for label in labels],
        }
        for path, row, labels in zip(paths, answers, best, strict=True)
    ]


def print_answers(rows: Sequence[dict[str, Any]]) -> None:
    """One line per image."""
    table = [
        [row["path"], ", ".join(f"{found['name']} {found['probability']:.1%}" for found in row["classes"])]
        for row in rows
    ]
    print_table(["image", "answer"], table)


def _open(path: Path) -> tuple[RunFolder, Recipe, Stack]:
    run = RunFolder.open(path)
    return run, load_recipe(run.recipe_path), load(run.stack_path)
