"""thawline compare: runs beside each other."""

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from thawline.check.naming import short
from thawline.cli.output import percent, print_json, print_line, print_table
from thawline.progress import format_seconds
from thawline.report.comparison import Comparison, compare_runs, describe_images, read_run
from thawline.training.run_folder.run import RunFolder

# Images on which runs disagree that are named; --json and the page have more.
_NAMED = 10


def compare(paths: Sequence[Path], *, report: Path | None, as_json: bool) -> None:
    """Prints what differs between finished runs: recipes, results, speed, answers."""
    pages = None if report is None else import_module("thawline.report.comparison_page")
    runs = [RunFolder.open(path) for path in paths]
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    found = compare_runs([read_run(run, name) for run, name in zip(runs, names, strict=True)])
    if pages is not None:
        pages.write_comparison(report, found)
    if as_json:
        print_json(found.as_dict())
        return
    _print(found)
    if report is not None:
        print_line(f"\nReport: {report}")


def _print(found: Comparison) -> None:
    if found.recipe:
        print_table(["recipe", *found.names], [[key, *values] for key, values in found.recipe])
    else:
        print_line("The recipes say the same.")
    print_line()
    _print_numbers("result", found, found.result, lambda value: f"{value:.4f}")
    print_line()
    _print_numbers("recall", found, found.recall, percent)
    print_line()
    _print_numbers("time", found, found.speed, format_seconds)
    print_line(f"\n{describe_images(found)}")
    if not found.common:
        return
    rows = [
        ["right", *map(percent, found.accuracy)],
        [f"right where {found.names[0]} is wrong", "", *map(str, found.only_right[1:])],
        [f"wrong where {found.names[0]} is right", "", *map(str, found.only_wrong[1:])],
        ["probability of that by chance", "", *map(percent, found.chance[1:])],
    ]
    print_table(["on these images", *found.names], rows)
    print_line(f"\nThey disagree on {len(found.disagreements):,} images.")
    if found.disagreements:
        images = [
            [
                short(Path(each.path)),
                each.label,
                *(f"{answer} {sure:.0%}" for answer, sure in zip(each.answers, each.probabilities, strict=True)),
            ]
            for each in found.disagreements[:_NAMED]
        ]
        print_table(["image", "is", *found.names], images)
        if len(found.disagreements) > _NAMED:
            print_line(f"... and {len(found.disagreements) - _NAMED:,} more: --json or --report names them.")


def _print_numbers(
    title: str,
    found: Comparison,
    rows: Sequence[tuple[str, Sequence[float]]],
    form: Callable[[float], str],
) -> None:
    print_table(
        [title, *found.names],
        [[key, *("-" if math.isnan(value) else form(value) for value in values)] for key, values in rows],
    )
