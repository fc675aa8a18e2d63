"""Curves over epochs as SVG elements for the inside of a page; their colours are the page's."""

import io
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thawline.errors import MissingDependencyError

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


def draw_curves(
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
