"""The one-page HTML report of a training run: how well it learned, what it mixes up, where the time went.

A `Report` is a value that holds everything the page shows; `write_report` turns it into one HTML file that needs
nothing else: no scripts, no fonts, nothing from elsewhere. The numbers come from `scores`; the page's text and looks
are in `templates/`, beside this file.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thawline.files import write_text
from thawline.progress import format_seconds
from thawline.report.charts import draw_curves
from thawline.report.pictures import embed
from thawline.report.rendering import render
from thawline.report.scores import accuracy, class_results
from thawline.report.value import Report
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
        charts=_charts(report),
        matrix=_matrix(report),
        confusions=_confusions(report),
        classes=class_results(report.confusion, report.class_names),
        times=_times(report.timings),
        total_time=format_seconds(_measured_s(report.timings)),
        sheets=_sheets(report),
    )
    write_text(path, page)


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


def _charts(report: Report) -> list[dict[str, object]]:
    """One chart per metric, with its validation twin in it."""
    names = list(dict.fromkeys(name.removeprefix("val_") for name in report.history))
    charts: list[dict[str, object]] = []
    for name in names:
        train, validation = (_numbers(report.history.get(key, ())) for key in (name, f"val_{name}"))
        if train.size or validation.size:
            svg = draw_curves(train, validation, report.phase_ends, is_log="learning_rate" in name)
            lines = {"training": train, "validation": validation}
            charts.append(
                {
                    "name": _readable(name),
                    "svg": svg,
                    "lines": {kind: (float(line[0]), float(line[-1])) for kind, line in lines.items() if line.size},
                }
            )
    return charts


def _numbers(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """One float per epoch, nan where it is not finite; nothing where the values are not single numbers."""
    if any(np.ndim(value) for value in values):
        return np.empty(0)
    numbers = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


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


def _sheets(report: Report) -> list[dict[str, object]]:
    """The sheets of pictures that are not empty."""
    sheets = (
        ("Augmented images", "Images as the model saw them in training.", report.augmented),
        ("Mistakes", "Images that were answered wrong.", report.mistakes),
    )
    return [
        {"title": title, "text": text, "pictures": [embed(picture) for picture in pictures]}
        for title, text, pictures in sheets
        if pictures
    ]


def _share(part: float, whole: float) -> float:
    """part / whole; nan where there is no whole."""
    return part / whole if whole else math.nan


def _readable(name: str) -> str:
    """A metric's name as a title."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
