"""thawline plan: what a recipe's training would cost by each strategy, and which one it would take."""

from collections.abc import Sequence
from pathlib import Path

from thawline.cli.images import open_images
from thawline.cli.output import print_json, print_line, print_table, say
from thawline.data.sources.source import ImageSource
from thawline.facade.stack import Stack
from thawline.figures import format_bytes
from thawline.progress import format_seconds
from thawline.recipe import Recipe, load_recipe
from thawline.training.phase import Phase
from thawline.training.planning.phase_plan import STRATEGY_NAMES
from thawline.training.planning.plan import Plan, WhatIf
from thawline.training.planning.planner import Measuring


def plan_recipe(
    path: Path,
    overrides: Sequence[str],
    *,
    views: Sequence[int],
    epochs: Sequence[int],
    save: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Prints the plan of a recipe, and with other views or epochs what these would cost."""
    recipe = load_recipe(path, overrides)
    train, validation = open_images(recipe, quiet=quiet)
    stack = recipe.build_stack(len(train.class_names))
    say(f"{len(train):,} training and {len(validation):,} validation images", quiet=quiet)
    phases = recipe.build_phases(len(train.class_names))
    plan = make_plan(recipe, stack, train, validation, phases, measuring="always", quiet=quiet)
    others = None
    if views or epochs:
        others = plan.what_if(views, epochs)
    if save is not None:
        plan.save(save)
    if as_json:
        content = plan.as_dict()
        if others is not None:
            content["what_if"] = [[each.as_dict() for each in phase] for phase in others]
        print_json(content)
        return
    print_line(str(plan))
    for name, phase in zip(plan.names, others or (), strict=False):
        print_line()
        _print_what_ifs(phase, title=f"What other views and epochs would take, {name}")


def make_plan(
    recipe: Recipe,
    stack: Stack,
    train: ImageSource,
    validation: ImageSource,
    phases: Sequence[Phase],
    *,
    measuring: Measuring,
    quiet: bool,
) -> Plan:
    """The plan of a recipe's stack."""
    options = {**recipe.features.model_dump(), **recipe.limits}
    verbose = 0 if quiet else "auto"
    return stack.plan(train, validation_data=validation, phases=phases, measuring=measuring, verbose=verbose, **options)


def _print_what_ifs(rows: Sequence[WhatIf], *, title: str) -> None:
    strategies = [name for name in STRATEGY_NAMES if rows and name in rows[0].options]
    table = []
    for row in rows:
        disk_bytes = max(option.disk_bytes for option in row.options.values())
        times = [format_seconds(row.options[name].total_s) for name in strategies]
        disk = format_bytes(disk_bytes) if disk_bytes else "-"
        table.append([str(row.views), str(row.epochs), *times, disk, row.choice])
    print_table(["views", "epochs", *strategies, "disk", "fastest"], table, title=title)
