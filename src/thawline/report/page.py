"""The one-page HTML report of a training run: how well it learned, what it mixes up, where the time went.

A `Report` is a value that holds everything the page shows; `write_report` turns it into one HTML file that needs
nothing else: no scripts, no fonts, nothing from elsewhere. The numbers come from `scores`; the page's text and looks
are in `templates/`, beside this file.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thawline.files import write_text
from thawline.progress import format_seconds
from thawline.report.calibration import Calibration
from thawline.report.charts import draw_calibration
from thawline.report.curves import chart_curves
from thawline.report.pictures import show_findings, show_sheet
from thawline.report.rendering import duration, render
from thawline.report.scores import accuracy, class_results
from thawline.report.sketch import draw_sketch
from thawline.report.value import Report, ShownFinding
from thawline.training.clock import Timing

# Up to this many classes the matrix fits a page at a readable size; beyond it, only the commonest confusions are shown.
MATRIX_CLASSES = 40


def write_report(path: Path, report: Report) -> None:
    """Writes the report as one HTML file that needs nothing else, whole or not at all.

    It takes about half a second; 24 pictures of 150 px make a file of some 300 kB.

    Args:
        path: where to; an existing file is replaced.
        report: what to show.

    Example:
        >>> import pathlib, tempfile
        >>> page = pathlib.Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(page, Report("flowers", {}, {"loss": [0.5, 0.3]}, ["rose"], np.array([[4]])))
        >>> page.read_text(encoding="utf-8").startswith("<!doctype html>")
        True
    """
    page = render(
        "report.html.jinja",
        report=report,
        headline=_headline(report),
        charts=chart_curves(report),
        matrix=_matrix(report),
        confusions=_confusions(report),
        classes=class_results(report.confusion, report.class_names),
        times=_times(report.timings),
        total_time=format_seconds(_measured_s(report.timings)),
        forecast=_forecast(report.forecast),
        calibration=_calibration(report.calibration),
        sketches=[{"title": each.title, "notes": each.notes, "svg": draw_sketch(each)} for each in report.sketches],
        findings=show_findings(report.findings),
        sheets=[show_sheet(sheet) for sheet in report.sheets],
    )
    write_text(path, page)


def check_page(
    *, title: str, summary: str, findings: Sequence[ShownFinding], recipe: str = "", repeat: str = ""
) -> str:
    """A page that shows only what a check found, as HTML that needs nothing else.

    Args:
        title: what was checked.
        summary: how much was found, in a sentence.
        findings: the findings in their order.
        recipe: the recipe that was checked, as YAML.
        repeat: the command that checks it again.

    Example:
        >>> "1,000 images" in check_page(title="flowers", summary="nothing in 1,000 images", findings=[])
        True
    """
    return render(
        "check.html.jinja",
        title=title,
        summary=summary,
        findings=show_findings(findings),
        recipe=recipe,
        repeat=repeat,
    )


def _headline(report: Report) -> dict[str, object]:
    """The few numbers at the top of the page."""
    images, right = int(report.confusion.sum()), int(np.trace(report.confusion))
    recalls = [result.recall for result in class_results(report.confusion, report.class_names) if result.support]
    return {
        "accuracy": accuracy(report.confusion),
        "interval": _wilson_interval(right, images),
        "images": images,
        "right": right,
        "mean_recall": _share(sum(recalls), len(recalls)),
        "epochs": max((len(values) for values in report.history.values()), default=0),
    }


def _wilson_interval(right: int, images: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share p of n: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Source: Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference.
    """
    if not images:
        return math.nan, math.nan
    p, n = right / images, images
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def _matrix(report: Report) -> list[dict[str, object]] | None:
    """The rows of the confusion matrix, or None where there are no classes or too many to be read."""
    if not 0 < len(report.class_names) <= MATRIX_CLASSES:
        return None
    return [
        {
            "name": name,
            "cells": [
                {"count": int(count), "share": _share(int(count), int(counts.sum())), "is_right": row == column}
                for column, count in enumerate(counts)
            ],
        }
        for row, (name, counts) in enumerate(zip(report.class_names, report.confusion, strict=True))
    ]


def _confusions(report: Report) -> list[dict[str, object]]:
    """The commonest confusions first."""
    wrong = report.confusion.copy()
    np.fill_diagonal(wrong, 0)
    limit = 5 if len(report.class_names) <= MATRIX_CLASSES else 30
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    return [
        {"true": report.class_names[row], "answer": report.class_names[column], "count": int(wrong[row, column])}
        for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[row, column]
    ]


def _times(timings: Sequence[Timing]) -> list[dict[str, object]]:
    """The rows of the table of times: the bar's length is a share of the longest, the share one of the total."""
    longest = max((timing.seconds for timing in timings), default=0.0)
    total = _measured_s(timings)
    return [
        {
            "timing": timing,
            "time": format_seconds(timing.seconds),
            "share": math.nan if timing.is_estimate else _share(timing.seconds, total),
            "length": timing.seconds / longest if longest > 0 else 0.0,
        }
        for timing in timings
    ]


def _measured_s(timings: Sequence[Timing]) -> float:
    """Seconds of everything that was measured."""
    return sum(timing.seconds for timing in timings if not timing.is_estimate)


def _forecast(rows: Sequence[tuple[str, float, float]]) -> list[dict[str, object]]:
    """What was forecast beside what was measured, and the second as a multiple of the first."""
    return [
        {
            "what": what,
            "forecast": duration(forecast_s),
            "measured": duration(measured_s),
            "times": _share(measured_s, forecast_s),
        }
        for what, forecast_s, measured_s in rows
    ]


def _calibration(calibration: Calibration | None) -> dict[str, object] | None:
    """The diagram, and its numbers for a table."""
    if calibration is None:
        return None
    filled = [each for each in calibration.bins if each.count]
    return {"svg": draw_calibration(calibration), "error": calibration.error, "bins": filled}


def _share(part: float, whole: float) -> float:
    """part / whole; nan where there is no whole."""
    return part / whole if whole else math.nan
