"""The picture of a learning-rate sweep: losses over rates, and what is suggested."""

from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thawline.files import replacing
from thawline.training.learning_rate import LearningRateSweep

_SIZE, _DOTS_PER_INCH = (7.0, 4.0), 150

_RAW, _SMOOTH, _MARK = "#9db4c8", "#1f5f99", "#c2410c"


def draw(sweep: LearningRateSweep, path: Path) -> None:
    """Writes the picture, in the format that the path's ending says, whole or not at all."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(sweep.rates, sweep.compared, color=_RAW, linewidth=1.0, label="each batch")
    axes.plot(sweep.rates, sweep.smoothed, color=_SMOOTH, linewidth=2.0, label="averaged with neighbours")
    for rate, style, name in (
        (sweep.steepest, ":", "falls fastest"),
        (sweep.lowest, "--", "lowest"),
        (sweep.rises, "-.", "rises"),
        (sweep.suggested, "-", "suggested"),
    ):
        if rate is not None:
            axes.axvline(rate, color=_MARK, linestyle=style, linewidth=1.2, label=f"{name}: {rate:.1e}")
    # What blows up at the end would press all that is of interest to a line.
    low, high = float(sweep.smoothed.min()), float(sweep.smoothed.max())
    margin = 0.15 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, as if all batches were equally hard")
    axes.set_title(f"{sweep.optimizer}, batches of {sweep.batch_size} images", fontsize=10)
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False)
    with replacing(path) as temporary, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "thawline"}):
        # Without a date the same figures give the same file.
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=_DOTS_PER_INCH, metadata=metadata)
