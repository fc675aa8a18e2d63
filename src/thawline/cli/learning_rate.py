"""thawline find-learning-rate: which rate a phase of a recipe bears."""

from collections.abc import Sequence
from pathlib import Path

from thawline.cli.images import open_images
from thawline.cli.output import print_json, print_line, say
from thawline.errors import ArgumentError
from thawline.recipe import load_recipe
from thawline.training.learning_rate import check_plot


def find_learning_rate(
    path: Path,
    overrides: Sequence[str],
    *,
    phase: int,
    steps: int,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Prints what a sweep over learning rates finds for one phase; the phases before it are trained first."""
    if plot is not None:
        check_plot(plot)
    recipe = load_recipe(path, overrides)
    if phase > len(recipe.phases):
        raise ArgumentError(f"The recipe has {len(recipe.phases)} phases; got --phase {phase}. Phases count from 1.")
    train, _ = open_images(recipe, quiet=quiet)
    class_count = len(train.class_names)
    stack, phases = recipe.build_stack(class_count), recipe.build_phases(class_count)
    features, verbose = recipe.features.model_dump(), 0 if quiet else "auto"
    earlier = phases[: phase - 1]
    if earlier:
        say(f"training what comes before phase {phase}, because that decides which rates it bears", quiet=quiet)
        stack.fit(train, phases=earlier, **features, verbose=verbose)
    sweep = stack.find_learning_rate(train, phase=phases[phase - 1], steps=steps, **features, verbose=verbose)
    if plot is not None:
        sweep.plot(plot)
    if as_json:
        print_json({"phase": phase, **sweep.as_dict()})
    else:
        print_line(str(sweep))
