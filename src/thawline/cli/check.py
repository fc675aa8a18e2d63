"""thawline check: what would spoil a training, found before it runs."""

from collections.abc import Sequence
from pathlib import Path

import typer

from thawline.check.check import check
from thawline.cli.output import print_json, print_line
from thawline.errors import JointError
from thawline.features.options import FeatureOptions
from thawline.recipe import load_recipe


def check_recipe(path: Path, overrides: Sequence[str], *, as_json: bool, quiet: bool) -> None:
    """Prints what a check of a recipe finds; ends with exit code 1 when a finding is an error."""
    recipe = load_recipe(path, overrides)
    train, validation = recipe.open_images()
    class_count, groups = len(train.class_names), recipe.data.groups
    phases = recipe.build_phases(class_count)
    engine, verbose = recipe.features.engine, 0 if quiet else "auto"
    try:
        stack = recipe.build_stack(class_count)
    except JointError:
        # All that does not fit is to be told, not the first thing only.
        found = check(
            recipe.build_stages(class_count),
            train,
            validation,
            compiled=None,
            groups=groups,
            features=FeatureOptions(engine=engine),
            show_progress=not quiet,
        )
    else:
        found = stack.check(train, validation, phases=phases, groups=groups, engine=engine, verbose=verbose)
    if as_json:
        print_json(found.as_dict())
    else:
        print_line(str(found))
    if found.has_errors:
        raise typer.Exit(1)
