"""Walk the phases; each is one Keras `fit` on the part above the thaw line."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DivergedError, RunError
from thawline.features.fingerprint import digest_weights
from thawline.features.options import FeatureOptions
from thawline.stack.cut import Cut
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.budget import Budget
from thawline.training.checkpoint import Checkpoint, restore
from thawline.training.compiled import Compiled
from thawline.training.display import EpochDisplay
from thawline.training.epoch_times import EpochTimes
from thawline.training.feeding import make_feeds, make_strategy
from thawline.training.measured import PhaseTimes
from thawline.training.part import Part, check_answers, make_part
from thawline.training.phase import Phase
from thawline.training.phase_fit import PhaseFit
from thawline.training.plan import Plan
from thawline.training.planner import PhasePlan
from thawline.training.planning import Measuring, Planning
from thawline.training.rates import scale_learning_rates
from thawline.training.strategy import Strategy
from thawline.training.watch import BestEpoch, FrozenWatch, LastGoodEpoch, moving_weights


@dataclass(frozen=True)
class FitOptions:
    """What a whole `fit` shares, whatever the phase."""

    features: FeatureOptions = field(default_factory=FeatureOptions)
    class_weight: Mapping[int, float] | None = None
    callbacks: Sequence[Any] = ()
    shuffle: bool = True
    verbose: int | str = "auto"
    checkpoint: Path | None = None
    announce: Callable[[str], Any] | None = None
    budget: Budget = field(default_factory=Budget)
    plan: Plan | None = None

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown at all."""
        return self.verbose != 0


@dataclass
class FitRecord:
    """What a `fit` did, beside the curves.

    Attributes:
        plans: the plan of each phase.
        times: what each phase took; `measured.forecast_rows` puts the forecast beside it.
        extractions: what each extraction did: total, extracted, seconds.
        train_s: seconds in Keras' `fit`, validation included.
        resumed_epochs: epochs that an earlier, interrupted run had finished.
    """

    plans: list[PhasePlan] = field(default_factory=list)
    times: list[PhaseTimes] = field(default_factory=list)
    extractions: list[dict[str, Any]] = field(default_factory=list)
    train_s: float = 0.0
    resumed_epochs: int = 0

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


def fit(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    phases: Sequence[Phase],
    *,
    validation_data: ImageSource | None,
    options: FitOptions,
) -> Any:
    """Trains the series; see `thawline.Stack.fit` for arguments and errors.

    Returns:
        A `keras.callbacks.History` over all phases; its `record` is a FitRecord, its `phases` are PhaseMarks.
    """
    parts, validation_data = _checked(series, compiled, train, phases, validation_data)
    history = keras.callbacks.History()
    history.on_train_begin()
    history.record, history.phases = FitRecord(), []
    run = _Run(series, compiled, train, validation_data, parts, options, history)
    run.resume()
    for part in parts:
        run.run_phase(part)
    # Keras saves an optimizer that was never built, but cannot load it.
    compiled.build_optimizer(series.model.trainable_variables)
    series.class_names = train.class_names
    return history


def plan_fit(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    phases: Sequence[Phase],
    *,
    validation_data: ImageSource | None,
    options: FitOptions,
    measuring: Measuring,
) -> Plan:
    """What `fit` would do with the same arguments, and what it would cost; see `thawline.Stack.plan`."""
    parts, validation_data = _checked(series, compiled, train, phases, validation_data)
    planning = Planning(
        series,
        compiled,
        train,
        validation_data,
        options.features,
        options.budget,
        measuring=measuring,
        announce=options.announce,
    )
    return planning.plan_all(parts)


def _checked(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    phases: Sequence[Phase],
    validation: ImageSource | None,
) -> tuple[list[Part], ImageSource | None]:
    """The parts that the phases train, and the validation images without augmentation; all of it fits together."""
    parts = [make_part(series, phase, number) for number, phase in enumerate(phases, start=1)]
    for source in (train, validation):
        if source is not None:
            series.check_input(source.spec)
            for part in parts:
                loss = compiled.phase_options(part)["loss"]
                check_answers(part, loss, source.target_spec, len(source.class_names))
    _check_same_classes(train, validation)
    return parts, None if validation is None else validation.unaugmented()


class _Run:
    """One call of `fit`: phases one after the other, over epochs that count on."""

    def __init__(
        self,
        series: StageSeries,
        compiled: Compiled,
        train: ImageSource,
        validation: ImageSource | None,
        parts: Sequence[Part],
        options: FitOptions,
        history: Any,
    ) -> None:
        self._series = series
        self._compiled = compiled
        self._train = train
        self._validation = validation
        self._parts = parts
        self._options = options
        self._history = history
        self._resumed: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._frozen_digest = ""
        # Variables that may have changed since the beginning, in any phase.
        self._learned: set[int] = set()
        self._phase = 0
        self._done = 0
        self._is_stopped = False
        self._planning = Planning(
            series,
            compiled,
            train,
            validation,
            options.features,
            options.budget,
            tuple(options.callbacks),
            announce=self._say,
        )
        self._plan = options.plan
        if self._plan is not None:
            self._plan.check(self._planning.identity(parts))
        self._checkpoint: Checkpoint | None = None
        if options.checkpoint is not None:
            self._checkpoint = Checkpoint(
                options.checkpoint, _identity(series, compiled, train, validation, parts, options)
            )

    def resume(self) -> None:
        """Goes back to where an interrupted run of the same training was."""
        state = self._checkpoint.load() if self._checkpoint else None
        if state is None:
            return
        self._resumed, self._arrays = state
        self._done, self._is_stopped = self._resumed["epochs_done"], self._resumed["is_stopped"]
        self._history.epoch = self._resumed["epochs"]
        self._history.history.update(self._resumed["history"])
        self._history.phases = [
            PhaseMark(**{**mark, "learned": tuple(mark["learned"])}) for mark in self._resumed["phases"]
        ]
        self._history.record.resumed_epochs = len(self._history.epoch)
        self._history.record.plans = [PhasePlan.from_dict(plan) for plan in self._resumed["plans"]]
        self._history.record.times = [PhaseTimes(**times) for times in self._resumed["times"]]
        if self._done:
            self._say(f"continuing after epoch {self._done}")

    def run_phase(self, part: Part) -> None:
        """Cuts, prepares and fits one phase, unless it is done already."""
        phase = part.phase
        first = sum(earlier.phase.epochs for earlier in self._parts[: part.number - 1])
        last = first + phase.epochs
        if phase.patterns:
            freeze_and_thaw(self._series, phase.patterns)
        part.check_something_learns()
        cut = part.series.cut()
        moving = moving_weights(cut.suffix)
        self._learned.update(id(variable) for variable in cut.suffix.variables)
        optimizer = self._compiled.phase_optimizer(part)
        best = None
        if phase.stopping is not None:
            best = BestEpoch(phase.stopping, moving, has_validation=self._validation is not None)
        if self._checkpoint is not None:
            frozen = [weight for weight in self._series.model.weights if id(weight) not in self._learned]
            self._frozen_digest = digest_weights(frozen)
        if part.number == self._resumed.get("phase"):
            self._restore(part, optimizer, best)
        if part.number <= len(self._history.phases):
            self._close(optimizer)
            return
        if part.number != self._resumed.get("phase"):
            self._is_stopped = False
        self._phase = part.number
        if len(self._parts) > 1:
            self._say(str(part))
        plan = self._plan_of(part, cut)
        self._say(f"plan: {plan}")
        try:
            if self._done < last and not self._is_stopped:
                self._fit(part, cut, moving, optimizer, best, plan, max(first, self._done), last)
            elif best is not None:
                best.restore()
        except DivergedError:
            self._compiled.start_anew()
            raise
        finally:
            self._close(optimizer)
        # A callback may have ended the phase early; the same call again must not train on.
        self._done = last
        epochs = [epoch for epoch in self._history.epoch if first <= epoch < last]
        best_epoch = None if best is None else best.best_epoch
        self._history.phases.append(
            PhaseMark(f"phase {part.number}", first, max(epochs), plan.strategy, plan.views, part.learned, best_epoch)
        )
        self._save(part, optimizer, None)

    def _plan_of(self, part: Part, cut: Cut) -> PhasePlan:
        """The plan of a phase; an interrupted run goes on as it began."""
        record = self._history.record
        if len(record.plans) < part.number:
            if self._plan is None and self._options.budget.max_time is not None:
                self._plan = self._planning.plan_all(self._parts)
            given = self._plan
            record.plans.append(self._planning.plan(part, cut) if given is None else given.phases[part.number - 1])
            record.times.append(PhaseTimes())
        plan: PhasePlan = record.plans[part.number - 1]
        plan.check_place(cut)
        return plan

    def _fit(
        self,
        part: Part,
        cut: Cut,
        moving: Sequence[Any],
        optimizer: Any,
        best: BestEpoch | None,
        plan: PhasePlan,
        first: int,
        last: int,
    ) -> None:
        """Prepares a strategy and fits the epochs from first up to last."""
        began = time.perf_counter()
        train, validation, options = self._train, self._validation, self._options
        batch_size = min(train.batch_size, len(train))
        times = self._history.record.times[part.number - 1]
        extracted_before, epochs_before = len(self._history.record.extractions), len(times.epoch_s)
        strategy = make_strategy(plan.strategy, cut.places[plan.place], batch_size, options.features)
        self._prepare(strategy, train, plan.views, "training images")
        if validation is not None:
            self._prepare(strategy, validation, 1, "validation images")
        # An epoch that is interrupted has moved weights; the same call again begins from what they were.
        self._save(part, optimizer, best)
        frozen = FrozenWatch(self._series, moving)
        watch = EpochTimes(plan.forecast, last - part.phase.epochs, self._say)

        def after_epoch(epoch: int, logs: dict[str, Any], is_stopped: bool) -> None:
            self._note(epoch, logs)
            times.epoch_s.append(watch.last_s)
            self._done, self._is_stopped = epoch + 1, is_stopped
            self._save(part, optimizer, best)

        feed, held_out = make_feeds(
            strategy,
            train,
            validation,
            epochs=range(first, last),
            views=plan.views,
            row_bytes=plan.row_bytes,
            shuffle=options.shuffle,
            class_weight=options.class_weight,
            budget=self._planning.ram_budget(),
        )
        callbacks = (*options.callbacks, *part.phase.callbacks)
        phase_options = self._compiled.phase_options(part)
        phase_fit = PhaseFit(
            model=strategy.model,
            stack_model=self._series.model,
            optimizer=optimizer,
            options=phase_options,
            stack_options=self._compiled.options,
            feed=feed,
            held_out=held_out,
            steps=self._steps(strategy, cut.places[plan.place], part),
            callbacks=(*callbacks, watch),
            guard=LastGoodEpoch(part, moving, optimizer),
            best=best,
            after_epoch=after_epoch,
            display=EpochDisplay(len(train), train.batch_size, last) if options.verbose in ("auto", 1) else None,
            has_lines=options.verbose == 2,
        )
        try:
            self._history.record.train_s += phase_fit.run(first, last)
        finally:
            if phase_options != self._compiled.options:
                # Later figures of the stack are by its own loss; the model above the line may serve again.
                strategy.model.compile(optimizer=self._compiled.optimizer, **self._compiled.options)
        frozen.check(part.number)
        done_s = sum(done["seconds"] for done in self._history.record.extractions[extracted_before:])
        times.extract_s += done_s
        times.prepare_s += time.perf_counter() - began - done_s - sum(times.epoch_s[epochs_before:])

    def _steps(self, strategy: Strategy, cut: Cut, part: Part) -> int:
        """Training steps that Keras takes in one go."""
        if strategy.is_ready:
            return self._planning.steps(cut, part)
        steps: int = self._compiled.options["steps_per_execution"]
        return steps

    def _prepare(self, strategy: Strategy, source: ImageSource, views: int, description: str) -> None:
        done = strategy.prepare(source, views, description=description, show_progress=self._options.shows_progress)
        for line in done.lines:
            self._say(line)
        if done.extraction is not None:
            self._history.record.extractions.append({"images": description, **done.extraction})

    def _close(self, optimizer: Any) -> None:
        """Leaves the stack as `compile` made it, with the optimizer that goes on."""
        scale_learning_rates(optimizer, ())
        self._series.model.compile(optimizer=self._compiled.optimizer, **self._compiled.options)

    def _note(self, epoch: int, logs: dict[str, Any]) -> None:
        """Adds an epoch's figures to the history; a phase may have other figures than those before."""
        history = self._history.history
        for name in logs:
            history.setdefault(name, [float("nan")] * len(self._history.epoch))
        for name, values in history.items():
            values.append(float(logs.get(name, "nan")))
        self._history.epoch.append(epoch)

    def _save(self, part: Part, optimizer: Any, best: BestEpoch | None) -> None:
        """Keeps the state where asked to; best is None once the phase is over."""
        if self._checkpoint is None:
            return
        progress = {
            "phase": part.number,
            "epochs_done": self._done,
            "is_stopped": self._is_stopped,
            "epochs": self._history.epoch,
            "history": self._history.history,
            "phases": [asdict(mark) for mark in self._history.phases],
            "plans": [plan.as_dict() for plan in self._history.record.plans],
            "times": [asdict(times) for times in self._history.record.times],
            "best": None if best is None else best.state(),
            "frozen": self._frozen_digest,
        }
        arrays = {} if best is None else best.arrays()
        self._checkpoint.save(progress, self._state_variables(part, optimizer) | arrays)

    def _restore(self, part: Part, optimizer: Any, best: BestEpoch | None) -> None:
        if self._resumed["frozen"] != self._frozen_digest:
            raise RunError(
                "The checkpoint belongs to another training: the weights that did not learn were others. Build the "
                "stack with the same weights (keras.utils.set_random_seed, or a saved base), or give this training "
                "another folder."
            )
        restore(self._state_variables(part, optimizer), self._arrays)
        if best is not None:
            best.resume(self._resumed["best"], self._arrays)

    def _state_variables(self, part: Part, optimizer: Any) -> dict[str, Any]:
        """The variables that may have changed since the beginning, by names that hold in the next process."""
        changed = {
            f"stack/{index}": variable
            for index, variable in enumerate(self._series.model.variables)
            if id(variable) in self._learned
        }
        for earlier in self._parts[: part.number]:
            probe = enumerate(earlier.probe_variables)
            changed |= {f"probe/{earlier.number}/{index}": variable for index, variable in probe}
        return changed | {f"optimizer/{index}": variable for index, variable in enumerate(optimizer.variables)}

    def _say(self, message: str) -> None:
        if self._options.announce is not None and self._options.shows_progress:
            self._options.announce(message)


def _check_same_classes(train: ImageSource, validation: ImageSource | None) -> None:
    if validation is not None and validation.class_names != train.class_names:
        raise ArgumentError(
            f"Training has the classes {', '.join(train.class_names)}, validation {', '.join(validation.class_names)}. "
            "Both need the same in the same order: give classes= to the second source."
        )


def _identity(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    validation: ImageSource | None,
    parts: Sequence[Part],
    options: FitOptions,
) -> dict[str, Any]:
    """What makes a training this one: a checkpoint of another must not be continued."""
    return {
        "stages": [[stage.name, stage.model.count_params()] for stage in series.stages],
        "optimizer": compiled.kind.__name__,
        "phases": [part.phase.describe() for part in parts],
        "training images": _describe_source(train),
        "validation images": None if validation is None else _describe_source(validation),
        "shuffle": options.shuffle,
        "class_weight": None if options.class_weight is None else sorted(options.class_weight.items()),
    }


def _describe_source(source: ImageSource) -> dict[str, Any]:
    content = blake3(b"".join(source.content_digests()))
    content.update(source.target_content())
    return {
        "images": content.hexdigest(),
        "decoding": source.pictures.identity(),
        "augmentation": None if source.augmentation is None else source.augmentation.identity(),
        "seed": source.seed,
        "batch_size": source.batch_size,
    }
