"""What phases took, and the forecast beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from thawline.training.planning.phase_plan import PhasePlan


@dataclass
class PhaseTimes:
    """What a phase took, in seconds.

    Attributes:
        prepare_s: all that is neither extraction nor an epoch: digests, the engine, compiling.
        extract_s: the extraction of features.
        epoch_s: each epoch, validation included, those of an interrupted run too.
    """

    prepare_s: float = 0.0
    extract_s: float = 0.0
    epoch_s: list[float] = field(default_factory=list)

    @property
    def total_s(self) -> float:
        """Seconds in all."""
        return self.prepare_s + self.extract_s + sum(self.epoch_s)


class Measured(Protocol):
    """What a fit leaves behind, see `FitRecord`."""

    plans: list[PhasePlan]
    times: list[PhaseTimes]


Row = tuple[str, float, float]


def forecast_rows(record: Measured) -> list[Row]:
    """Forecast beside measurement, in seconds, for a table: (what, forecast_s, measured_s).

    Rows are: preparing, extracting features, the first epoch, those after it, and all, for each phase. Epochs that did
    not run, because training ended early, are not counted on either side. A phase without a forecast has no rows.

    Args:
        record: `history.record` of a fit.
    """
    rows: list[Row] = []
    several = len(record.plans) > 1
    for number, (plan, times) in enumerate(zip(record.plans, record.times, strict=False), start=1):
        if plan.forecast is not None and times.epoch_s:
            phase = f"phase {number}: " if several else ""
            rows += [(phase + what, forecast_s, measured_s) for what, forecast_s, measured_s in _rows(plan, times)]
    return rows


def _rows(plan: PhasePlan, times: PhaseTimes) -> Sequence[Row]:
    forecast = plan.forecast
    assert forecast is not None
    epochs = [forecast.epoch_s(epoch) for epoch in range(len(times.epoch_s))]
    first, *later = times.epoch_s
    rows: list[Row] = [("preparing", forecast.prepare_s, times.prepare_s)]
    if forecast.extract_s or times.extract_s:
        rows.append(("extracting features", forecast.extract_s, times.extract_s))
    rows.append(("first epoch", forecast.trace_s + epochs[0], first))
    if later:
        rows.append((f"epochs 2 to {len(epochs)}", sum(epochs[1:]), sum(later)))
    return [*rows, ("all", sum(row[1] for row in rows), sum(row[2] for row in rows))]
