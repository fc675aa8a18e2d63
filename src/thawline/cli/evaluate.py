"""thawline evaluate: how well a finished run's stack does on labelled images."""

from pathlib import Path

from thawline.cli.output import print_json, print_line, print_table
from thawline.facade.stack import load
from thawline.recipe import load_recipe
from thawline.training.run_folder.run import RunFolder


def evaluate(path: Path, data: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Prints loss and metrics of a run's stack on a folder of classes, or on the run's validation images."""
    run = RunFolder.open(path)
    recipe, stack = load_recipe(run.recipe_path), load(run.stack_path)
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
