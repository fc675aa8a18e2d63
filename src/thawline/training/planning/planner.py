"""Planning: from a stack, its phases and images to the plan of each phase, with what has to be measured for it."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from thawline.data.pixels import CachedPictures
from thawline.data.sources.source import ImageSource
from thawline.features.engines.engine import count_cores
from thawline.features.options import FeatureOptions
from thawline.stack.cut import Cut
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.compiled import Compiled
from thawline.training.part import Part
from thawline.training.planning.budget import Budget
from thawline.training.planning.disk import Disk
from thawline.training.planning.forecast import Forecaster, Place, Workload, ahead_bytes
from thawline.training.planning.measuring import Subject, measure_profile, recall_profile
from thawline.training.planning.phase_plan import DEFAULT_VIEWS, PhasePlan, choose_plan
from thawline.training.planning.plan import Plan
from thawline.training.planning.profile import Profile
from thawline.training.planning.rehearsal import MULTIPLY_ADDS_PER_S
from thawline.training.steps import choose_steps
from thawline.training.strategies.kept import RAM_SHARE, RamBudget
from thawline.training.strategies.precomputed import Precomputed
from thawline.training.untouched import left_as_it_was

# "always" measures what is not remembered, "worthwhile" only where minutes depend on it, "never" not at all.
Measuring = Literal["always", "worthwhile", "never"]

# Measuring takes about four seconds: 2 % of what would take longer than this by the slowest way.
_WORTHWHILE_S = 200

# So many views of each image are looked for in the cache where that is quick; more are asked for seldom.
_VIEWS_LOOKED_FOR = 8
_QUICK_ROWS = 200_000


@dataclass(frozen=True, eq=False)
class Planning:
    """What all phases have in common.

    Attributes:
        series: the stack.
        compiled: how it was compiled.
        train: the images to learn from.
        validation: the images to measure on, without augmentation.
        features: how features are computed and kept.
        budget: what the training may take.
        callbacks: the users', of which some look at batches.
        measuring: whether to measure what is not remembered.
        announce: is told before something is measured.
    """

    series: StageSeries
    compiled: Compiled
    train: ImageSource
    validation: ImageSource | None
    features: FeatureOptions
    budget: Budget
    callbacks: Sequence[object] = ()
    measuring: Measuring = "worthwhile"
    announce: Callable[[str], None] | None = None

    def plan_all(self, parts: Sequence[Part]) -> Plan:
        """The plan of all phases, each with its layers frozen as it will have them; afterwards all is as before.

        Raises:
            BudgetError: no way to run a phase fits what the phases before it leave of the budget.
        """
        plans: list[PhasePlan] = []
        others = [part.series.model for part in parts]
        with left_as_it_was(self.series, self.compiled, *others):
            for part in parts:
                if part.phase.patterns:
                    freeze_and_thaw(self.series, part.phase.patterns)
                part.check_something_learns()
                plans.append(self.plan(part, part.series.cut(), self._left(plans)))
        return Plan(tuple(plans), tuple(map(str, parts)), self.identity(parts))

    def plan(self, part: Part, cut: Cut, budget: Budget | None = None) -> PhasePlan:
        """The plan of a phase whose layers are frozen now as it wants them.

        Raises:
            BudgetError: no way to run it fits the budget.
        """
        budget = budget or self.budget
        phase = part.phase
        disk = Disk(self.features, budget.max_disk, self.train, self.validation)
        augmentation = self.train.augmentation
        profile = self._profile(part, cut, budget)
        if phase.strategy == "auto" and cut.has_frozen_weights and self.features.cache_problem:
            warnings.warn(f"No features are kept: {self.features.cache_problem}", stacklevel=2)
        return choose_plan(
            cut,
            is_augmented=augmentation is not None and augmentation.is_random,
            epochs=phase.epochs,
            strategy=phase.strategy,
            views=phase.views,
            disk=disk,
            forecaster=None if profile is None else Forecaster(profile, self._workload(part, cut, profile)),
            budget=budget,
        )

    def identity(self, parts: Sequence[Part]) -> dict[str, object]:
        """Which stack and phases a plan is for."""
        return {
            "stages": [[stage.name, stage.model.count_params()] for stage in self.series.stages],
            "phases": [part.phase.describe() for part in parts],
        }

    def steps(self, cut: Cut, part: Part) -> int:
        """Training steps that Keras takes in one go, where features are there before training begins.

        Where images may be left out, whether a batch has any is looked at before each step.
        """
        sources = [source for source in (self.train, self.validation) if source is not None]
        is_free = self.compiled.is_free_in_steps and not self.compiled.options["run_eagerly"]
        if is_free and all(source.on_error == "raise" for source in sources):
            return choose_steps(cut, self.train.batch_size, (*self.callbacks, *part.phase.callbacks))
        steps: int = self.compiled.options["steps_per_execution"]
        return steps

    def ram_budget(self) -> RamBudget:
        """The memory that a phase's features may take, beside the batches that are read ahead."""
        if self.budget.max_ram is None:
            return RamBudget()
        ahead = ahead_bytes(min(self.train.batch_size, len(self.train)), self.train.spec.row_bytes)
        return RamBudget(max(int(self.budget.max_ram) - ahead, 0))

    def _left(self, plans: Sequence[PhasePlan]) -> Budget:
        """The budget that earlier phases leave."""
        if self.budget.max_time is None:
            return self.budget
        taken_s = sum(plan.forecast.total_s for plan in plans if plan.forecast is not None)
        # Nothing fits into no time at all, and the error says so.
        return replace(self.budget, max_time=max(self.budget.max_time - taken_s, 1e-3))

    def _profile(self, part: Part, cut: Cut, budget: Budget) -> Profile | None:
        """What is known of the speeds here; measured where it is not remembered, wanted and worth it."""
        subject = Subject(
            part=part,
            cut=cut,
            compiled=self.compiled,
            train=self.train,
            held_out=0 if self.validation is None else len(self.validation),
            features=self.features,
            steps=self.steps(cut, part),
        )
        remembered = recall_profile(subject)
        if remembered is not None or self.measuring == "never":
            return remembered
        is_wanted = self.measuring == "always" or budget.max_time is not None
        if not is_wanted and (part.phase.strategy != "auto" or self._slowest_s(part, cut) < _WORTHWHILE_S):
            return None
        if self.announce is not None:
            self.announce("planning: measuring how fast images are read, run and trained on, in a few seconds")
        return measure_profile(subject)

    def _slowest_s(self, part: Part, cut: Cut) -> float:
        """A guess at the seconds that the phase would take when every image went through everything in every epoch."""
        images = len(self.train) + (0 if self.validation is None else len(self.validation))
        per_image_s = cut.multiply_adds_below / (MULTIPLY_ADDS_PER_S * count_cores() / 2)
        return part.phase.epochs * images * per_image_s if cut.has_frozen_weights else 0.0

    def _workload(self, part: Part, cut: Cut, profile: Profile) -> Workload:
        row_bytes = max(cut.row_bytes, 1)
        below = max(cut.multiply_adds_below, 1)
        validation = 0 if self.validation is None else len(self.validation)
        max_ram = RAM_SHARE * profile.free_ram_bytes
        missing, missing_validation = self._missing(part, cut)
        places = [
            Place(
                number=number,
                name=place.name,
                row_bytes=place.row_bytes,
                share_below=place.multiply_adds_below / below if number else 1.0,
                missing=() if number or missing is None else tuple(missing),
                missing_validation=None if number else missing_validation,
            )
            for number, place in enumerate(cut.places)
        ]
        return Workload(
            train=len(self.train),
            validation=validation,
            batch_size=min(self.train.batch_size, len(self.train)),
            epochs=part.phase.epochs,
            image_bytes=self.train.spec.row_bytes,
            places=tuple(places),
            keeps_pixels=isinstance(self.train.pictures, CachedPictures),
            max_ram=max_ram if self.budget.max_ram is None else min(max_ram, self.budget.max_ram),
            storage_share=self.features.kept_bytes(row_bytes) / row_bytes,
        )

    def _missing(self, part: Part, cut: Cut) -> tuple[list[int] | None, int | None]:
        """How many features the cache lacks: of training images by view, and of validation images; None for all."""
        if not cut.has_frozen_weights or self.features.cache_problem:
            return None, None
        prefix = self.features.prefix(cut)
        prefix.choose(self.train)
        kept = Precomputed(prefix, self.features.opened_cache, self.features.storage)
        needed = min(part.phase.epochs, part.phase.views or DEFAULT_VIEWS)
        looked_for = min(part.phase.epochs, _VIEWS_LOOKED_FOR)
        is_quick = looked_for * len(self.train) <= _QUICK_ROWS
        augmentation = self.train.augmentation
        if augmentation is None or not augmentation.is_random:
            looked_for = needed = 1
        missing = kept.missing_by_view(self.train, max(needed, looked_for if is_quick else 1))
        validation = None if self.validation is None else kept.missing_by_view(self.validation, 1)
        return missing, None if validation is None else validation[0]
