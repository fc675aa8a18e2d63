"""What a fit leaves behind beside the curves: plans, times, extractions, and where each phase lies."""

from dataclasses import dataclass, field
from typing import Any

from thawline.stack.cut import Cut
from thawline.training.planning.measured import PhaseTimes
from thawline.training.planning.phase_plan import PhasePlan


@dataclass
class FitRecord:
    """What a `fit` did, beside the curves.

    Attributes:
        plans: the plan of each phase.
        times: what each phase took; `measured.forecast_rows` puts the forecast beside it.
        extractions: what each extraction did: total, extracted, seconds.
        train_s: seconds in Keras' `fit`, validation included.
        resumed_epochs: epochs that an earlier, interrupted run had finished.
        cuts: the thaw line of each phase.
    """

    plans: list[PhasePlan] = field(default_factory=list)
    times: list[PhaseTimes] = field(default_factory=list)
    extractions: list[dict[str, Any]] = field(default_factory=list)
    train_s: float = 0.0
    resumed_epochs: int = 0
    cuts: list[Cut] = field(default_factory=list)

    @property
    def epoch_s(self) -> list[float]:
        """Seconds of each epoch over all phases, in the order of `history.epoch`."""
        return [seconds for phase in self.times for seconds in phase.epoch_s]


@dataclass(frozen=True)
class PhaseMark:
    """Where a phase lies in the history.

    Attributes:
        name: "phase 1" and so on.
        first_epoch: its first epoch, counted from 0 over all phases as in `history.epoch`.
        last_epoch: the last one that ran.
        strategy: "joint", "precomputed" or "streamed".
        views: distinct views of each image.
        learned: what learned: patterns as the phase gave them, or names of stages.
        best_epoch: the epoch that early stopping set the weights back to; None without it.
    """

    name: str
    first_epoch: int
    last_epoch: int
    strategy: str
    views: int
    learned: tuple[str, ...]
    best_epoch: int | None = None

    @property
    def epochs(self) -> int:
        """How many epochs ran."""
        return self.last_epoch - self.first_epoch + 1
