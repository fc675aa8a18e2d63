"""Walk the phases; each is one Keras `fit` on the part above the thaw line."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import DivergedError, RunError
from thawline.features.fingerprint import digest_weights
from thawline.stack.cut import Cut
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.callbacks import whole_fit
from thawline.training.checkpoints.callback_state import CallbackStates
from thawline.training.checkpoints.checkpoint import Checkpoint, restore
from thawline.training.checkpoints.identity import identify
from thawline.training.checkpoints.phase_files import BestWeights, save_phase
from thawline.training.checkpoints.random_state import random_state
from thawline.training.checkpoints.resumed import MidEpoch, Resumed
from thawline.training.common_images import warn_of_common_images
from thawline.training.compiled import Compiled
from thawline.training.display import EpochDisplay, PhaseFacts
from thawline.training.fit_checks import check_can_be_saved, checked_parts
from thawline.training.fit_options import FitOptions
from thawline.training.naming import knowing
from thawline.training.part import Part
from thawline.training.phase import Phase
from thawline.training.phase_fit import PhaseFit
from thawline.training.planning.epoch_times import EpochTimes
from thawline.training.planning.measured import PhaseTimes
from thawline.training.planning.phase_plan import PhasePlan
from thawline.training.planning.planner import Planning
from thawline.training.rates import scale_learning_rates
from thawline.training.record import FitRecord, PhaseMark
from thawline.training.strategies.feeding import EpochFeed, make_feeds, make_strategy
from thawline.training.strategies.strategy import Strategy
from thawline.training.tracking.tracker import Curves, Trackers
from thawline.training.untouched import values_of
from thawline.training.watch import BestEpoch, FrozenWatch, LastGoodEpoch, moving_weights


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
    parts, validation_data = checked_parts(series, compiled, train, phases, validation_data, options.callbacks)
    if options.checkpoint is not None:
        check_can_be_saved(series, compiled, parts)
    if validation_data is not None:
        warn_of_common_images(train, validation_data)
    history = keras.callbacks.History()
    epochs = sum(phase.epochs for phase in phases)
    steps = -(-len(train) // train.batch_size)
    history.set_params({"verbose": options.verbose, "epochs": epochs, "steps": steps})
    history.set_model(series.model)
    history.on_train_begin()
    history.record, history.phases = FitRecord(), []
    run = _Run(series, compiled, train, validation_data, parts, options, history)
    run.resume()
    run.begin()
    with knowing(series, train, history):
        for part in parts:
            run.run_phase(part)
    # Keras saves an optimizer that was never built, but cannot load it.
    compiled.build_optimizer(series.model.trainable_variables)
    return history


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
        self._frozen_digest = ""
        # Variables that may have changed since the beginning, in any phase.
        self._learned: set[int] = set()
        self._done = 0
        self._is_stopped = False
        callbacks = [*options.callbacks, *(callback for part in parts for callback in part.phase.callbacks)]
        self._callbacks = CallbackStates(callbacks)
        self._resumed = Resumed(None, self._callbacks)
        self._whole = whole_fit(options.callbacks, series.model, history.params)
        self._trackers = Trackers(options.tracking)
        # Of each epoch, which phase it belongs to.
        self._phase_of_epoch: list[int] = []
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
        self._saved_at = time.monotonic()
        self._checkpoint: Checkpoint | None = None
        if options.checkpoint is not None:
            self._checkpoint = Checkpoint(
                options.checkpoint,
                identify(series, compiled, train, validation, parts, options.shuffle, options.class_weight),
            )

    def resume(self) -> None:
        """Goes back to where an interrupted run of the same training was."""
        state = self._checkpoint.load() if self._checkpoint else None
        if state is None:
            return
        self._resumed = Resumed(state, self._callbacks)
        self._done, self._is_stopped = self._resumed.progress["epochs_done"], self._resumed.progress["is_stopped"]
        self._phase_of_epoch = self._resumed.fill(self._history)
        batches = self._resumed.batches_done(self._resumed.phase)
        if self._done or batches:
            middle = f", batch {batches} of the next one" if batches else ""
            self._say(f"continuing after epoch {self._done}{middle}")

    def begin(self) -> None:
        """Tells those who track the training that it begins, or goes on."""
        self._trackers.begin(Curves(self._history.history, self._phase_of_epoch))

    def run_phase(self, part: Part) -> None:
        """Cuts, prepares and fits one phase, unless it is done already."""
        phase = part.phase
        first = self._first_epoch(part)
        last = first + phase.epochs
        if phase.patterns:
            freeze_and_thaw(self._series, phase.patterns)
        part.check_something_learns()
        cut = part.series.cut()
        self._history.record.cuts.append(cut)
        moving = moving_weights(cut.suffix)
        self._learned.update(id(variable) for variable in cut.suffix.variables)
        optimizer = self._compiled.phase_optimizer(part)
        best: BestEpoch | BestWeights | None = None
        if phase.stopping is not None:
            best = BestEpoch(phase.stopping, moving, has_validation=self._validation is not None)
        elif self._checkpoint is not None:
            best = BestWeights(moving, has_validation=self._validation is not None)
        if self._checkpoint is not None:
            frozen = [weight for weight in self._series.model.weights if id(weight) not in self._learned]
            self._frozen_digest = digest_weights(frozen)
        if part.number == self._resumed.phase:
            self._restore(part, optimizer, best)
        if part.number <= len(self._history.phases):
            if part.number == self._resumed.phase:
                self._resumed.put_back("phase over")
            self._close(optimizer)
            return
        if part.number != self._resumed.phase:
            self._is_stopped = False
        if len(self._parts) > 1:
            self._say(str(part))
        plan = self._plan_of(part, cut)
        self._say(f"plan: {plan}")
        try:
            done = max(first, self._done)
            # Killed when all epochs were done, but not what callbacks do at their end, it ends once more.
            epochs = range(done, done if self._is_stopped else last)
            self._fit(part, cut, moving, optimizer, best, plan, epochs, first)
        except DivergedError:
            self._compiled.start_anew()
            raise
        finally:
            self._close(optimizer)
        ran = [epoch for epoch in self._history.epoch if first <= epoch < last]
        # A callback may have ended the phase early; the next one counts on.
        self._done = ran[-1] + 1
        best_epoch = best.best_epoch if isinstance(best, BestEpoch) else None
        self._history.phases.append(
            PhaseMark(f"phase {part.number}", first, ran[-1], plan.strategy, plan.views, part.learned, best_epoch)
        )
        if self._checkpoint is not None:
            # Keras saves an optimizer that was never built, but cannot load it.
            self._compiled.build_optimizer(self._series.model.trainable_variables)
            values = best.values if isinstance(best, BestWeights) else None
            save_phase(self._series, self._checkpoint.folder, part.number, moving=moving, best=values)
        self._save("phase over", part, optimizer, None)

    def _first_epoch(self, part: Part) -> int:
        """The number of a phase's first epoch: where the one before ended, or as an interrupted run had it."""
        ran = zip(self._history.epoch, self._phase_of_epoch, strict=True)
        return next((epoch for epoch, phase in ran if phase == part.number), self._done)

    def _begin_callbacks(self, part: Part, optimizer: Any, goes_on: bool) -> None:
        """Tells the callbacks of the whole training that it begins, and lets those of a phase go on."""
        resumed = self._resumed
        if part.number == resumed.phase:
            resumed.begin_again(
                [each for each in self._callbacks_of(part) if each not in self._whole.callbacks], had_begun=goes_on
            )
        if not goes_on and not resumed.callbacks_had_begun:
            resumed.put_back("phase begins")
        if not self._whole.is_begun:
            resumed.begin_again(self._whole.callbacks, had_begun=resumed.callbacks_had_begun)
            variables = [*self._series.model.variables, *optimizer.variables]
            with resumed.unnoticed(variables) if resumed.callbacks_had_begun else nullcontext():
                self._whole.begin()
        if not goes_on:
            resumed.put_back("phase begins")

    def _callbacks_of(self, part: Part) -> tuple[Any, ...]:
        """The users' callbacks in a phase."""
        return (*self._options.callbacks, *part.phase.callbacks)

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
        best: BestEpoch | BestWeights | None,
        plan: PhasePlan,
        epochs: range,
        first: int,
    ) -> None:
        """Prepares a strategy and fits these epochs of a phase, whose first one this was or is."""
        began = time.perf_counter()
        times = self._history.record.times[part.number - 1]
        extracted_before_s, epochs_before = times.extract_s, len(times.epoch_s)
        strategy = self._prepared_strategy(part, cut, plan)
        goes_on = self._resumed.goes_on(part.number)
        frozen = FrozenWatch(self._series, moving)
        done = self._resumed.batches_done(part.number)
        earlier_s = self._resumed.progress.get("epoch_so_far_s", 0.0) if done else 0.0
        watch = EpochTimes(plan.forecast, first, self._say, earlier_s)
        guard = LastGoodEpoch(part, moving, optimizer)
        if done:
            guard.resume(epochs.start, done, self._resumed.arrays)

        def before() -> None:
            self._begin_callbacks(part, optimizer, goes_on)
            if not goes_on:
                # An epoch that is interrupted has moved weights; the same call again begins from what they were.
                self._save("phase begins", part, optimizer, best)

        def on_begin() -> None:
            self._callbacks.notice()
            if goes_on:
                # Callbacks may change weights and rates when they begin; in this phase they have done so long ago.
                restore(self._state_variables(part, optimizer), self._resumed.arrays)
                self._resumed.put_back("epoch over", "mid epoch")

        def after_batch(following: int) -> None:
            if self._is_time_to_save(following):
                metrics = values_of(strategy.model.metrics_variables)
                arrays = {f"metric/{index}": values for index, values in enumerate(metrics)}
                mid = MidEpoch(following, watch.so_far_s, arrays | guard.arrays())
                self._save("mid epoch", part, optimizer, best, mid)

        def after_epoch(epoch: int, logs: dict[str, Any], is_stopped: bool) -> None:
            self._note(epoch, logs)
            times.epoch_s.append(watch.last_s)
            self._phase_of_epoch.append(part.number)
            self._done, self._is_stopped = epoch + 1, is_stopped
            self._whole.warn_of_columns(list(logs), part.number)
            self._trackers.epoch(Curves(self._history.history, self._phase_of_epoch))
            self._save("epoch over", part, optimizer, best)

        feed, held_out = make_feeds(
            strategy,
            self._train,
            self._validation,
            epochs=epochs,
            views=plan.views,
            row_bytes=plan.row_bytes,
            shuffle=self._options.shuffle,
            class_weight=self._options.class_weight,
            start=done,
            budget=self._planning.ram_budget(),
        )
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
            callbacks=self._callbacks_of(part),
            times=watch,
            whole=self._whole,
            is_last=part is self._parts[-1],
            guard=guard,
            best=best,
            before=before,
            on_begin=on_begin,
            after_batch=after_batch,
            metrics=self._resumed.values("metric") if done else (),
            after_epoch=after_epoch,
            display=self._display(part, plan, strategy, feed, first) if self._options.verbose in ("auto", 1) else None,
            has_lines=self._options.verbose == 2,
        )
        try:
            self._history.record.train_s += phase_fit.run(epochs.start, epochs.stop)
        finally:
            if phase_options != self._compiled.options:
                # Later figures of the stack are by its own loss; the model above the line may serve again.
                strategy.model.compile(optimizer=self._compiled.optimizer, **self._compiled.options)
        frozen.check(part.number)
        computed_s = times.extract_s - extracted_before_s + sum(times.epoch_s[epochs_before:])
        times.prepare_s += time.perf_counter() - began - computed_s

    def _prepared_strategy(self, part: Part, cut: Cut, plan: PhasePlan) -> Strategy:
        """The strategy of a phase, with all features that it needs beforehand; how long they took is noted.

        It is noted before the state is kept: a run that goes on finds its features, and takes no time for them.
        """
        batch_size = min(self._train.batch_size, len(self._train))
        extractions = self._history.record.extractions
        before = len(extractions)
        strategy = make_strategy(plan.strategy, cut.places[plan.place], batch_size, self._options.features)
        self._prepare(strategy, self._train, plan.views, "training images", part.number)
        if self._validation is not None:
            self._prepare(strategy, self._validation, 1, "validation images", part.number)
        self._history.record.times[part.number - 1].extract_s += sum(done["seconds"] for done in extractions[before:])
        return strategy

    def _display(self, part: Part, plan: PhasePlan, strategy: Strategy, feed: EpochFeed, first: int) -> EpochDisplay:
        later = [each.phase.epochs for each in self._parts[part.number :]]
        done = [each for each in self._history.record.extractions if each["phase"] == part.number]
        needed = sum(each["total"] for each in done)
        facts = PhaseFacts(
            number=part.number,
            phases=len(self._parts),
            learned=part.learned,
            strategy=plan.strategy,
            views=plan.views,
            image_count=len(self._train),
            batch_size=self._train.batch_size,
            last_epoch=first + part.phase.epochs,
            all_epochs=first + part.phase.epochs + sum(later),
            from_cache=(needed - sum(each["extracted"] for each in done), needed) if needed else None,
        )
        return EpochDisplay(facts, feed.clock, strategy.waits_for)

    def _steps(self, strategy: Strategy, cut: Cut, part: Part) -> int:
        """Training steps that Keras takes in one go."""
        if strategy.is_ready:
            return self._planning.steps(cut, part)
        steps: int = self._compiled.options["steps_per_execution"]
        return steps

    def _prepare(self, strategy: Strategy, source: ImageSource, views: int, description: str, number: int) -> None:
        done = strategy.prepare(source, views, description=description, show_progress=self._options.shows_progress)
        for line in done.lines:
            self._say(line)
        if done.extraction is not None:
            self._history.record.extractions.append({"images": description, "phase": number, **done.extraction})

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

    def _is_time_to_save(self, following: int) -> bool:
        """Tells whether the state is kept before this batch of an epoch; at its end it is kept anyway."""
        every_s = self._options.checkpoint_every_s
        if self._checkpoint is None or every_s is None or following >= -(-len(self._train) // self._train.batch_size):
            return False
        return time.monotonic() - self._saved_at >= every_s

    def _save(
        self,
        at: str,
        part: Part,
        optimizer: Any,
        best: BestEpoch | BestWeights | None,
        mid: MidEpoch | None = None,
    ) -> None:
        """Keeps the state where asked to.

        Args:
            at: "phase begins", "mid epoch", "epoch over" or "phase over".
            part: what the phase trains.
            optimizer: the phase's.
            best: who remembers the best epoch; None once the phase is over.
            mid: where in the middle of an epoch.
        """
        if self._checkpoint is None:
            return
        callbacks, callback_arrays = self._callbacks.state()
        random, random_arrays = random_state()
        progress = {
            "at": at,
            "phase": part.number,
            "epochs_done": self._done,
            "is_stopped": self._is_stopped,
            "epochs": self._history.epoch,
            "phase_of_epoch": self._phase_of_epoch,
            "history": self._history.history,
            "phases": [asdict(mark) for mark in self._history.phases],
            "plans": [plan.as_dict() for plan in self._history.record.plans],
            "times": [asdict(times) for times in self._history.record.times],
            "best": None if best is None else best.state(),
            "frozen": self._frozen_digest,
            "callbacks": callbacks,
            "callbacks_begun": self._whole.is_begun,
            "random": random,
        }
        if mid is not None:
            progress |= {"batches_done": mid.batches, "epoch_so_far_s": mid.seconds}
            random_arrays |= mid.arrays
        arrays = {} if best is None else best.arrays()
        variables = self._state_variables(part, optimizer)
        self._checkpoint.save(progress, variables | arrays | callback_arrays | random_arrays)
        self._saved_at = time.monotonic()

    def _restore(self, part: Part, optimizer: Any, best: BestEpoch | BestWeights | None) -> None:
        if self._resumed.progress["frozen"] != self._frozen_digest:
            raise RunError(
                "The checkpoint belongs to another training: the weights that did not learn were others. Build the "
                "stack with the same weights (set_random_seed, or a saved base), or give this training another folder."
            )
        restore(self._state_variables(part, optimizer), self._resumed.arrays)
        if best is not None:
            best.resume(self._resumed.progress["best"], self._resumed.arrays)

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
