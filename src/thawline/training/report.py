"""The one-page HTML report of a training run: how well it learned, what it mixes up, where the time went.

A `Report` is a value that holds everything the page shows; `write_report` turns it into one HTML file that needs
nothing else: no scripts, no fonts, nothing from elsewhere. The numbers come from `scores`; the page's text and looks
are in `report.html.jinja`, beside this file.
"""

import base64
import importlib.resources
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from thawline.errors import ArgumentError, MissingDependencyError
from thawline.files import write_text
from thawline.progress import format_seconds
from thawline.training.clock import Timing
from thawline.training.scores import accuracy, class_results

try:
    import jinja2
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, ScalarFormatter
except ImportError as error:
    raise MissingDependencyError("The report needs Jinja2 and Matplotlib: pip install 'thawline[report]'") from error

TEMPLATE = "report.html.jinja"

# Up to this many classes the matrix fits a page at a readable size; beyond it, only the commonest confusions are shown.
MATRIX_CLASSES = 40

# Pictures are shown at up to 150 px, and twice that on dense screens.
PICTURE_SIDE = 300

# JPEG blurs small pictures, and PNG costs little there.
PNG_SIDE = 64

# An en dash, where a share has no denominator.
UNDEFINED = "\N{EN DASH}"

# Matplotlib knows no CSS: these stand for the page's colours, so that the charts follow light and dark.
INK, LINE, TRAIN, VALIDATION = "#010101", "#010102", "#010103", "#010104"
CSS_COLOURS = {INK: "var(--soft)", LINE: "var(--line)", TRAIN: "var(--train)", VALIDATION: "var(--val)"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with a caption.

    Attributes:
        pixels: uint8 (height, width, 1 or 3) in [0, 255]; three channels are red, green, blue.
        caption: one short line.

    Raises:
        ArgumentError: if the pixels have another shape or dtype.
    """

    pixels: npt.NDArray[np.uint8]
    caption: str

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
            raise ArgumentError(
                f"Picture {self.caption!r} expects uint8 (height, width, 1 or 3), but got {pixels.dtype} "
                f"{pixels.shape}. Scale the values to [0, 255] and convert them with astype('uint8')."
            )


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page shows.

    Attributes:
        title: the name of the run.
        facts: what was run, as name and value: data, stack, plan, ...
        history: per metric one value per epoch, as in Keras' `History.history`; `val_` marks validation.
            Metrics whose values are not single numbers are left out.
        class_names: the names of the classes, in the order of the labels.
        confusion: int (classes, classes): how many images of the row's class were answered with the column's.
        timings: where the time went.
        augmented: some images as the model saw them.
        phase_ends: the number of epochs done at the end of each phase, like (10, 15).
        estimate_note: a sentence that sets the forecast beside the measurement.
        mistakes: images that were answered wrong.
        recipe: the recipe of the run, as YAML.
        repeat: the command that runs it again.

    Raises:
        ArgumentError: if the confusion matrix does not have one row and one column per class.
    """

    title: str
    facts: Mapping[str, str]
    history: Mapping[str, Sequence[float]]
    class_names: Sequence[str]
    confusion: npt.NDArray[np.int64]
    timings: Sequence[Timing] = ()
    augmented: Sequence[Picture] = ()
    phase_ends: Sequence[int] = ()
    estimate_note: str = ""
    mistakes: Sequence[Picture] = ()
    recipe: str = ""
    repeat: str = ""

    def __post_init__(self) -> None:
        classes = len(self.class_names)
        if self.confusion.shape != (classes, classes):
            raise ArgumentError(
                f"With {classes} class names the confusion matrix should be {(classes, classes)}, "
                f"but it is {self.confusion.shape}. Build it with confusion_matrix(labels, predicted, {classes})."
            )


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
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=_percent, figures=_figures)
    template = importlib.resources.files("thawline.training").joinpath(TEMPLATE).read_text(encoding="utf-8")
    page = environment.from_string(template).render(
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
    write_text(path, str(page))


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
            svg = _draw_curves(train, validation, report.phase_ends, is_log="learning_rate" in name)
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


def _draw_curves(
    train: npt.NDArray[np.float64], validation: npt.NDArray[np.float64], phase_ends: Sequence[int], *, is_log: bool
) -> str:
    """A chart as an SVG element for the inside of the page."""
    epochs = max(len(train), len(validation))
    figure = Figure(figsize=(5.4, 2.5), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot(facecolor="none")
    for values, colour, dashes in ((train, TRAIN, "--"), (validation, VALIDATION, "-")):
        if values.size:
            # Keras keeps no epochs beside the values: with validation_freq=k there is one for every k-th epoch.
            places = np.arange(1, len(values) + 1) * (epochs // len(values))
            marker = "o" if epochs <= 15 else ""
            axes.plot(places, values, dashes, color=colour, linewidth=1.8, marker=marker, markersize=3.5)
    if is_log and np.nanmin(train, initial=np.inf) > 0:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    margin = 0.5 if epochs == 1 else 0.02 * (epochs - 1)
    axes.set_xlim(1 - margin, epochs + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel("epoch", color=INK, fontsize=9)
    starts = [end + 0.5 for end in phase_ends if 0 < end < epochs]
    for number, start in enumerate(starts, start=2):
        axes.axvline(start, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"phase {number}" if len(starts) <= 4 else str(number),
            xy=(start, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            horizontalalignment="center",
            verticalalignment="bottom",
        )
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, labelcolor=INK, labelsize=9, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    return _inline_svg(figure)


def _inline_svg(figure: Figure) -> str:
    """The figure as an SVG element: text stays text, colours become the page's, nothing refers to elsewhere."""
    file = io.StringIO()
    # A fixed salt gives the same file for the same numbers; equal names then stand for equal shapes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "thawline"}):
        figure.savefig(file, format="svg")
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (xmlns(:xlink)?|width|height|version)="[^"]*"', "", svg, count=5)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg).replace("xlink:href", "href")
    for stand_in, colour in CSS_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg


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
        {"title": title, "text": text, "pictures": [_picture(picture) for picture in pictures]}
        for title, text, pictures in sheets
        if pictures
    ]


def _picture(picture: Picture) -> dict[str, object]:
    """A picture as a data URI, made smaller where it is larger than it can be shown."""
    pixels = picture.pixels
    scale = PICTURE_SIDE / max(pixels.shape[:2])
    if scale < 1:
        height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
        # OpenCV drops the last axis of a grey picture.
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    height, width, channels = pixels.shape
    # OpenCV's encoders take blue, green, red.
    ordered = np.ascontiguousarray(pixels[..., ::-1]) if channels == 3 else pixels
    is_small = max(height, width) <= PNG_SIDE
    suffix, kind, options = (".png", "png", []) if is_small else (".jpg", "jpeg", [cv2.IMWRITE_JPEG_QUALITY, 88])
    done, data = cv2.imencode(suffix, ordered, options)
    if not done:
        raise ArgumentError(f"Picture {picture.caption!r} of shape {pixels.shape} cannot be encoded. Leave it out.")
    return {
        "uri": f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}",
        "caption": picture.caption,
        "width": width,
        "height": height,
        "is_small": is_small,
    }


def _share(part: float, whole: float) -> float:
    """part / whole; nan where there is no whole."""
    return part / whole if whole else math.nan


def _percent(share: float, digits: int = 1) -> str:
    """A share as percent, a dash where it is not defined."""
    return UNDEFINED if math.isnan(share) else f"{100 * share:.{digits}f} %"


def _figures(value: float) -> str:
    """A number with four figures, a dash where it is not defined."""
    return UNDEFINED if math.isnan(value) else f"{value:.4g}"


def _readable(name: str) -> str:
    """A metric's name as a title."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
