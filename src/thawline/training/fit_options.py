"""FitOptions: what a whole `fit` shares, whatever the phase."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thawline.features.options import FeatureOptions
from thawline.training.class_weight import ClassWeight
from thawline.training.planning.budget import Budget
from thawline.training.planning.plan import Plan
from thawline.training.tracking.tracker import Tracker


@dataclass(frozen=True)
class FitOptions:
    """Values that a whole `fit` shares, whatever the phase."""

    features: FeatureOptions = field(default_factory=FeatureOptions)
    class_weight: ClassWeight | None = None
    callbacks: Sequence[Any] = ()
    shuffle: bool = True
    verbose: int | str = "auto"
    checkpoint: Path | None = None
    checkpoint_every_s: float | None = None
    announce: Callable[[str], Any] | None = None
    budget: Budget = field(default_factory=Budget)
    plan: Plan | None = None
    tracking: Sequence[Tracker] = ()

    @property
    def shows_progress(self) -> bool:
        """Tells whether progress is shown at all."""
        return self.verbose != 0
