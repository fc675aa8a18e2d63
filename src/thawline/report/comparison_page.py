"""Runs beside each other, as a page."""

from collections.abc import Callable, Sequence
from pathlib import Path

from thawline.files import write_text
from thawline.report.comparison import Comparison, Disagreement, describe_images
from thawline.report.findings import readable_pictures
from thawline.report.pictures import show_sheet
from thawline.report.rendering import duration, figures, percent, render
from thawline.report.value import Sheet

# Images on which runs disagree that are shown.
_SHOWN = 24


def write_comparison(path: Path, found: Comparison) -> None:
    """Writes runs beside each other as one HTML file that needs nothing else, whole or not at all.

    Images on which they disagree are read from their files; those that are not there any more are left out.
    """
    shown = readable_pictures([(Path(each.path), _caption(each, found.names)) for each in found.disagreements[:_SHOWN]])
    sheet = Sheet("", f"Of {len(found.disagreements):,}, first those that some run answered right.", shown)
    page = render(
        "comparison.html.jinja",
        names=found.names,
        tables=[
            ("Recipe", "What the recipes say differently.", found.recipe),
            ("Result", "On the held-out images of each run.", _cells(found.result, figures)),
            ("Recall", "The share of the images of each class that was recognised.", _cells(found.recall, percent)),
            ("Time", "What each part of the run took.", _cells(found.speed, duration)),
            ("On the images that all were measured on", describe_images(found), _on_common(found)),
        ],
        disagreements=len(found.disagreements),
        sheet=show_sheet(sheet),
    )
    write_text(path, page)


def _cells(
    rows: Sequence[tuple[str, Sequence[float]]], form: Callable[[float], str]
) -> list[tuple[str, tuple[str, ...]]]:
    return [(key, tuple(map(form, values))) for key, values in rows]


def _on_common(found: Comparison) -> list[tuple[str, tuple[str, ...]]]:
    if not found.common:
        return []
    first = found.names[0]
    return [
        ("right", tuple(map(percent, found.accuracy))),
        (f"right where {first} is wrong", ("", *map(str, found.only_right[1:]))),
        (f"wrong where {first} is right", ("", *map(str, found.only_wrong[1:]))),
        ("probability of that by chance", ("", *map(percent, found.chance[1:]))),
    ]


def _caption(each: Disagreement, names: Sequence[str]) -> str:
    said = ", ".join(
        f"{name}: {answer} ({percent(sure, 0)})"
        for name, answer, sure in zip(names, each.answers, each.probabilities, strict=True)
    )
    return f"{Path(each.path).name} is {each.label}; {said}"
