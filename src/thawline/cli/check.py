"""thawline check: what would spoil a training, found before it runs."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import typer

from thawline.check.check import Check, check
from thawline.check.finding import Finding
from thawline.cli.images import open_images
from thawline.cli.output import print_json, print_line, say
from thawline.errors import JointError
from thawline.features.options import FeatureOptions
from thawline.recipe import Recipe, load_recipe


def check_recipe(path: Path, overrides: Sequence[str], *, report: Path | None, as_json: bool, quiet: bool) -> None:
    """Prints what a check of a recipe finds; ends with exit code 1 when a finding is an error.

    With `report` the findings are also written there as a page with pictures of the files that they name.
    """
    # What the page needs may not be installed; that is told before the work.
    pages = None if report is None else import_module("thawline.cli.check_page")
    recipe = load_recipe(path, overrides)
    found = run_check(recipe, quiet=quiet)
    if pages is not None:
        pages.write_check_page(report, found, recipe, repeat=" ".join(["thawline check", str(path), *overrides]))
        say(f"report: {report}", quiet=quiet)
    _print(found, as_json=as_json)
    if found.has_errors:
        raise typer.Exit(1)


def passed_check(recipe: Recipe, *, as_json: bool, quiet: bool) -> tuple[Finding, ...]:
    """What a check of a recipe finds; one with errors is printed, and ends the command with exit code 1."""
    found = run_check(recipe, quiet=quiet)
    if found.has_errors:
        _print(found, as_json=as_json)
        say("nothing was trained: mend the errors, or train without --check", quiet=quiet)
        raise typer.Exit(1)
    for finding in found.findings:
        say(str(finding), quiet=quiet)
    return found.findings


def run_check(recipe: Recipe, *, quiet: bool) -> Check:
    """Checks the images and the stack of a recipe."""
    train, validation = open_images(recipe, quiet=quiet)
    class_count, groups = len(train.class_names), recipe.data.groups
    phases = recipe.build_phases(class_count)
    engine, verbose = recipe.features.engine, 0 if quiet else "auto"
    try:
        stack = recipe.build_stack(class_count)
    except JointError:
        # All that does not fit is to be told, not the first thing only.
        return check(
            recipe.build_stages(class_count),
            train,
            validation,
            compiled=None,
            groups=groups,
            features=FeatureOptions(engine=engine),
            show_progress=not quiet,
        )
    return stack.check(train, validation, phases=phases, groups=groups, engine=engine, verbose=verbose)


def _print(found: Check, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dict())
    else:
        print_line(str(found))
