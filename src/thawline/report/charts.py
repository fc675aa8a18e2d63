"""Curves and diagrams as SVG elements for the inside of a page; their colours are the page's."""

import io
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thawline.errors import MissingDependencyError
from thawline.report.calibration import Calibration

try:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, ScalarFormatter
except ImportError as error:
    raise MissingDependencyError("The report needs Matplotlib: pip install 'thawline[report]'") from error

# Matplotlib knows no CSS: these stand for the page's colours, so that the charts follow light and dark.
INK, LINE, TRAIN, VALIDATION = "#010101", "#010102", "#010103", "#010104"
CSS_COLOURS = {INK: "var(--soft)", LINE: "var(--line)", TRAIN: "var(--train)", VALIDATION: "var(--val)"}

# Up to this many points are marked one by one.
_MARKED = 15

# Up to this many phases are called by their whole name; lines that are nearer than this share of the width would have
# their names over each other.
_NAMED, _NEAREST = 4, 0.11

Numbers = npt.NDArray[np.float64]


def draw_curves(
    train: Numbers,
    validation: Numbers,
    ends: Numbers,
    starts: Sequence[float],
    *,
    unit: str,
    is_log: bool = False,
    name: str = "",
) -> str:
    """A chart of a figure in training and in validation, as an SVG element for the inside of the page.

    Args:
        train: one value per epoch, nan where there is none; may be empty.
        validation: as train.
        ends: where each epoch lies along the chart: its number, or the time at which it ended.
        starts: where the second phase begins, the third, ...
        unit: what is written along the chart, like "epoch".
        is_log: whether steps up are powers of ten.
        name: tells this chart from others of the page.
    """
    figure = Figure(figsize=(5.4, 2.5), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot(facecolor="none")
    for values, colour, dashes in ((train, TRAIN, "--"), (validation, VALIDATION, "-")):
        if values.size:
            # Keras keeps no epochs beside the values: with validation_freq=k there is one for every k-th epoch.
            step = len(ends) // len(values)
            places = ends[step - 1 :: step][: len(values)]
            marker = "o" if len(ends) <= _MARKED else ""
            axes.plot(places, values, dashes, color=colour, linewidth=1.8, marker=marker, markersize=3.5)
    if is_log and np.nanmin(train, initial=np.inf) > 0:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    is_count = unit == "epoch"
    low = 1.0 if is_count else 0.0
    margin = 0.5 if len(ends) == 1 and is_count else 0.02 * (ends[-1] - low)
    axes.set_xlim(low - margin, ends[-1] + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=is_count))
    axes.set_xlabel(unit, color=INK, fontsize=9)
    last = -np.inf
    for number, start in enumerate(starts, start=2):
        axes.axvline(start, color=INK, linewidth=0.8, linestyle=":")
        # Where phases are short, their numbers would be written over each other.
        if start - last < _NEAREST * (ends[-1] - low):
            continue
        last = start
        axes.annotate(
            f"phase {number}" if len(starts) <= _NAMED else str(number),
            xy=(start, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            horizontalalignment="center",
            verticalalignment="bottom",
        )
    _clean(axes)
    return _inline_svg(figure, name)


def draw_calibration(calibration: Calibration) -> str:
    """The reliability diagram with the counts of its bins below it, as an SVG element for the inside of the page."""
    figure = Figure(figsize=(4.6, 3.7), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = [each for each in calibration.bins if each.count]
    middles = [(each.low + each.high) / 2 for each in calibration.bins]
    width = 0.9 / len(calibration.bins)
    above.plot([0, 1], [0, 1], "--", color=TRAIN, linewidth=1.4)
    above.bar(
        [(each.low + each.high) / 2 for each in filled], [each.accuracy for each in filled], width, color=VALIDATION
    )
    above.plot([each.confidence for each in filled], [each.accuracy for each in filled], "o", color=INK, markersize=4)
    above.set_ylim(0, 1.02)
    above.set_ylabel("share that is right", color=INK, fontsize=9)
    counts = [each.count for each in calibration.bins]
    below.bar(middles, counts, width, color=TRAIN)
    for middle, count in zip(middles, counts, strict=True):
        if count:
            below.annotate(
                f"{count:,}",
                xy=(middle, count),
                xytext=(0, 2),
                textcoords="offset points",
                fontsize=7.5,
                color=INK,
                horizontalalignment="center",
            )
    below.set_ylim(0, 1.35 * max(counts))
    below.set_yticks([])
    below.set_ylabel("answers", color=INK, fontsize=9)
    below.set_xlabel("how sure the answer is", color=INK, fontsize=9)
    for axes in (above, below):
        axes.set_facecolor("none")
        axes.set_xlim(0, 1)
        _clean(axes)
    return _inline_svg(figure, "calibration")


def _clean(axes: "matplotlib.axes.Axes") -> None:
    """Takes away what is no figure, and gives the rest the page's colours."""
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, labelcolor=INK, labelsize=9, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)


def _inline_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element: text stays text, colours become the page's, nothing refers to elsewhere."""
    file = io.StringIO()
    # A fixed salt gives the same file for the same numbers. One that is the chart's own gives it names of its own: what
    # is shared with a chart that is hidden would not be drawn.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"thawline {name}"}):
        figure.savefig(file, format="svg")
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (xmlns(:xlink)?|width|height|version)="[^"]*"', "", svg, count=5)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg).replace("xlink:href", "href")
    for stand_in, colour in CSS_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg
