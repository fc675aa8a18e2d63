"""thawline export: from a finished run to models that others use."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from thawline.cli.output import print_json, print_line, say
from thawline.data.reading import describe_reading
from thawline.data.sources.source import ImageSource
from thawline.errors import DataError
from thawline.export.export import ExportOptions, export
from thawline.export.golden import source_images
from thawline.facade.stack import load
from thawline.recipe import Recipe, load_recipe
from thawline.training.run_folder.run import RunFolder

# Where artefacts go in a run folder.
_FOLDER = "export"


def export_run(
    path: Path, formats: Sequence[str], to: Path | None, *, verifies: bool, as_json: bool, quiet: bool
) -> None:
    """Exports a run's stack; ends with exit code 1 when an artefact does not answer as the stack does."""
    run = RunFolder.open(path)
    recipe, stack = load_recipe(run.recipe_path), load(run.stack_path)
    held_out = _held_out(recipe, quiet=quiet)
    reading = stack.reading or (None if held_out is None else describe_reading(held_out))
    if reading is None:
        raise DataError(
            f"The run {str(path)!r} does not say how its images were read, and they are not where its recipe says. "
            "Train anew, or put the images back."
        )
    options = ExportOptions(
        golden=[] if held_out is None or not verifies else source_images(held_out),
        verifies=verifies,
        facts=_facts(run, recipe),
        announce=None if as_json or quiet else print_line,
    )
    exported = export(stack, to or run.path / _FOLDER, formats, reading=reading, options=options)
    if as_json:
        print_json([each.as_dict() for each in exported])
    if not all(each.is_good for each in exported):
        raise typer.Exit(1)


def _held_out(recipe: Recipe, *, quiet: bool) -> ImageSource | None:
    """The run's validation images; None where they are not there any more."""
    try:
        return recipe.open_images()[1]
    except DataError as error:
        say(f"verifying on made images only, because the run's are not there: {error}", quiet=quiet)
        return None


def _facts(run: RunFolder, recipe: Recipe) -> dict[str, Any]:
    """What a model card says of a run: only what its folder holds."""
    metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    images, data, error = metrics.get("images", {}), recipe.data, metrics.get("calibration_error")
    validation = data.validation
    split = f"held out: {_held_out_place(run) or validation}"
    if isinstance(validation, float) and not _held_out_place(run):
        split = f"{validation:.0%} held out by content"
    return {
        "name": recipe.run.name,
        "dataset": Path(data.train).name,
        "data": {
            "folder": Path(data.train).name,
            "training images": images.get("train"),
            "held-out images": images.get("validation"),
            "classes": len(metrics.get("classes", [])),
            "augmentation": ", ".join(f"{name}={value}" for name, value in recipe.augment.items()) or "none",
        },
        "split": {"how": split, "seed": data.seed, "groups": data.groups or "none", "exact shares": data.exact},
        "phases": _phases(recipe, metrics),
        "metrics": {"accuracy": metrics["accuracy"], **_last_epoch(metrics)},
        "classes": metrics.get("classes"),
        "calibration": {} if error is None else {"expected calibration error": error},
        "limits": _unseen(metrics),
        "repeat": "thawline train recipe.yaml",
    }


def _held_out_place(run: RunFolder) -> str:
    """The folder of the run's validation images, where it is not that of the training images; else empty."""
    path = run.path / "data.json"
    sides = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    train, validation = (
        sides.get(name, {}).get("table") or sides.get(name, {}).get("folder", "") for name in ("train", "validation")
    )
    return "" if train == validation else validation


def _phases(recipe: Recipe, metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{mark['name']}: {', '.join(mark['learned'])} learned in epochs {mark['first_epoch'] + 1} to "
        f"{mark['last_epoch'] + 1}, strategy {mark['strategy']}, {mark['views']} views of each image"
        for mark in metrics.get("phases", [])
    ]
    backbones = [stage for stage in recipe.stack if stage.backbone is not None]
    return lines + [f"{stage.name}: {stage.backbone}, weights {Path(str(stage.weights)).name}" for stage in backbones]


def _last_epoch(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Losses and metrics of the last epoch, by which images they are on."""
    last: Mapping[str, float] = metrics.get("last_epoch", {})
    sides = {name: ("validation" if name.startswith("val_") else "training") for name in last}
    return {f"{sides[name]} {name.removeprefix('val_')}, last epoch": value for name, value in last.items()}


def _unseen(metrics: Mapping[str, Any]) -> list[str]:
    """Classes of which not one held-out image was recognised."""
    unseen = [each["name"] for each in metrics.get("classes", []) if each["recall"] == 0]
    return [f"No held-out image of {', '.join(map(repr, unseen))} was recognised."] if unseen else []
