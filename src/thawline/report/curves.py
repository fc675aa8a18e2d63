"""The history of a run as charts: each figure over epochs, and over the time that they took."""

from collections.abc import Sequence

import numpy as np

from thawline.report.charts import Numbers, draw_curves
from thawline.report.value import Report

# From so many seconds on, time is written in a larger unit.
_UNITS = (
    (3 * 3600.0, 3600.0, "hours of training"),
    (600.0, 60.0, "minutes of training"),
    (0.0, 1.0, "seconds of training"),
)


def chart_curves(report: Report) -> list[dict[str, object]]:
    """One chart per figure, with its validation twin in it; a second one over time, where that is known.

    Returns:
        For each figure its "name", "by_epoch" and "by_time" (SVG elements; the second may be None), and as "lines" the
        first and last value of training and validation.
    """
    names = list(dict.fromkeys(name.removeprefix("val_") for name in report.history))
    charts: list[dict[str, object]] = []
    for name in names:
        train, validation = (_numbers(report.history.get(key, ())) for key in (name, f"val_{name}"))
        epochs = max(len(train), len(validation))
        if not epochs:
            continue
        is_log = "learning_rate" in name
        marks = [end for end in report.phase_ends if 0 < end < epochs]
        by_epoch = draw_curves(
            train,
            validation,
            np.arange(1.0, epochs + 1),
            [end + 0.5 for end in marks],
            unit="epoch",
            is_log=is_log,
            name=f"{name} by epoch",
        )
        by_time = None
        if len(report.epoch_s) == epochs and np.isfinite(report.epoch_s).all():
            ends, unit = _times(report.epoch_s)
            starts = [float(ends[end - 1]) for end in marks]
            by_time = draw_curves(train, validation, ends, starts, unit=unit, is_log=is_log, name=f"{name} by time")
        lines = {"training": train, "validation": validation}
        charts.append(
            {
                "name": _readable(name),
                "by_epoch": by_epoch,
                "by_time": by_time,
                "lines": {kind: (float(line[0]), float(line[-1])) for kind, line in lines.items() if line.size},
            }
        )
    return charts


def _numbers(values: Sequence[float]) -> Numbers:
    """One float per epoch, nan where it is not finite; nothing where the values are not single numbers."""
    if any(np.ndim(value) for value in values):
        return np.empty(0)
    numbers = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _times(epoch_s: Sequence[float]) -> tuple[Numbers, str]:
    """When each epoch ended since training began, and in which unit."""
    ends = np.cumsum(np.asarray(epoch_s, np.float64))
    size, unit = next((size, unit) for least, size, unit in _UNITS if ends[-1] >= least)
    return ends / size, unit


def _readable(name: str) -> str:
    """A metric's name as a title."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
