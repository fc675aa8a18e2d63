"""thawline evaluate: how well a finished run's stack does on labelled images."""

import warnings
from pathlib import Path

from thawline.cli.images import open_other
from thawline.cli.output import print_json, print_line, print_table
from thawline.data.sources.source import ImageSource
from thawline.facade.stack import load
from thawline.recipe import load_recipe
from thawline.training.common_images import tell_common_images
from thawline.training.run_folder.run import RunFolder


def evaluate(path: Path, data: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Prints loss and metrics of a run's stack on a folder of classes, or on the run's validation images."""
    run = RunFolder.open(path)
    recipe, stack = load_recipe(run.recipe_path), load(run.stack_path)
    if data is None:
        _, images = recipe.open_images()
    else:
        images = open_other(recipe, data, stack.class_names, quiet=quiet)
    _warn_of_trained_images(run, images)
    features = recipe.features.model_dump()
    figures = stack.evaluate(images, return_dict=True, verbose=0 if quiet else "auto", **features)
    if as_json:
        print_json({"run": str(run.path), "images": len(images), **figures})
    else:
        print_table(["figure", "value"], [[name, f"{value:.4f}"] for name, value in figures.items()])
        print_line(f"\non {len(images):,} images")


def _warn_of_trained_images(run: RunFolder, images: ImageSource) -> None:
    """Warns of images whose content the run was trained on."""
    learned = run.trained_digests()
    digests = images.content_digests() if learned else []
    common = [path for path, digest in zip(images.paths, digests, strict=False) if digest.hex() in learned]
    if common:
        warnings.warn(tell_common_images(common, len(images), "images"), stacklevel=2)
