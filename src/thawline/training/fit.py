"""Walk the phases; each is one Keras `fit` on the part above the thaw line."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, FrozenWeightsMovedError, RunError
from thawline.features.cache import FeatureCache
from thawline.features.fingerprint import digest_weights
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.checkpoint import Checkpoint, restore
from thawline.training.compiled import Compiled
from thawline.training.disk import Disk
from thawline.training.display import EpochDisplay
from thawline.training.feeding import EpochEnd, EpochFeed, make_strategy
from thawline.training.phase import Phase
from thawline.training.planner import Plan, choose_plan
from thawline.training.strategy import Strategy


@dataclass(frozen=True)
class FitOptions:
    """What a whole `fit` shares, whatever the phase."""

    cache: FeatureCache | None = None
    class_weight: Mapping[int, float] | None = None
    callbacks: Sequence[Any] = ()
    shuffle: bool = True
    verbose: int | str = "auto"
    checkpoint: Path | None = None
    announce: Callable[[str], Any] | None = None
    max_disk: float | None = None

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown at all."""
        return self.verbose != 0


@dataclass
class FitRecord:
    """What a `fit` did, beside the curves.

    Attributes:
        plans: the plan of each phase.
        extractions: what each extraction did: total, extracted, seconds.
        train_s: seconds in Keras' `fit`, validation included.
        resumed_epochs: epochs that an earlier, interrupted run had finished.
    """

    plans: list[Plan] = field(default_factory=list)
    extractions: list[dict[str, Any]] = field(default_factory=list)
    train_s: float = 0.0
    resumed_epochs: int = 0


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
        A `keras.callbacks.History` over all phases; its `record` is a FitRecord.
    """
    for source in (train, validation_data):
        if source is not None:
            series.check_input(source.spec)
            series.check_targets(source.target_spec, len(source.class_names))
    _check_same_classes(train, validation_data)
    if validation_data is not None:
        validation_data = validation_data.unaugmented()
    history = keras.callbacks.History()
    history.on_train_begin()
    history.record = FitRecord()
    run = _Run(series, compiled, train, validation_data, phases, options, history)
    run.resume()
    for number in range(len(phases)):
        run.run_phase(number)
    series.class_names = train.class_names
    return history


class _Run:
    """One call of `fit`: phases one after the other, over epochs that count on."""

    def __init__(
        self,
        series: StageSeries,
        compiled: Compiled,
        train: ImageSource,
        validation: ImageSource | None,
        phases: Sequence[Phase],
        options: FitOptions,
        history: Any,
    ) -> None:
        self.series = series
        self._compiled = compiled
        self._train = train
        self._validation = validation
        self._phases = phases
        self._options = options
        self._history = history
        self._resumed: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._frozen_digest = ""
        # Variables that may have changed since the beginning, in any phase.
        self._learned: set[int] = set()
        self._phase = 0
        self._done = 0
        self._resumed_phase = -1
        self._checkpoint: Checkpoint | None = None
        if options.checkpoint is not None:
            self._checkpoint = Checkpoint(
                options.checkpoint, _identity(series, compiled, train, validation, phases, options)
            )

    def resume(self) -> None:
        """Goes back to where an interrupted run of the same training was."""
        state = self._checkpoint.load() if self._checkpoint else None
        if state is None:
            return
        self._resumed, self._arrays = state
        self._done = self._resumed["epochs_done"]
        self._resumed_phase = self._resumed["phase"]
        self._history.epoch = self._resumed["epochs"]
        self._history.history.update(self._resumed["history"])
        self._history.record.resumed_epochs = len(self._history.epoch)
        if self._done:
            self._say(f"continuing after epoch {self._done}")

    def run_phase(self, number: int) -> None:
        """Cuts, prepares and fits one phase, unless it is done already."""
        phase = self._phases[number]
        first = sum(earlier.epochs for earlier in self._phases[:number])
        last = first + phase.epochs
        if phase.patterns:
            freeze_and_thaw(self.series, phase.patterns)
        cut = self.series.cut()
        self._learned.update(id(variable) for variable in cut.suffix.variables)
        optimizer = _optimizer(self._compiled, phase, self.series)
        if self._checkpoint is not None:
            frozen = [weight for weight in self.series.model.weights if id(weight) not in self._learned]
            self._frozen_digest = digest_weights(frozen)
        if number == self._resumed_phase:
            self._restore(optimizer)
        if number < self._resumed_phase or self._done >= last:
            return
        self._phase = number
        plan = choose_plan(
            cut,
            is_augmented=self._train.augmentation is not None and self._train.augmentation.is_random,
            epochs=phase.epochs,
            strategy=phase.strategy,
            views=phase.views,
            disk=Disk(self._options.cache, self._options.max_disk, self._train, self._validation),
        )
        self._say(f"plan: {plan}")
        self._history.record.plans.append(plan)
        batch_size = min(self._train.batch_size, len(self._train))
        strategy = make_strategy(plan.strategy, cut.places[plan.place], batch_size, self._options.cache)
        self._prepare(strategy, self._train, plan.views, "training images")
        if self._validation is not None:
            self._prepare(strategy, self._validation, 1, "validation images")
        # An epoch that is interrupted has moved weights; the same call again begins from what they were.
        self._save(optimizer)
        before = digest_weights(cut.prefix.weights)
        self._fit_keras(strategy, plan, optimizer, max(first, self._done), last)
        if digest_weights(cut.prefix.weights) != before:
            raise FrozenWeightsMovedError(
                f"A frozen weight of stack {[stage.name for stage in self.series.stages]} changed in phase "
                f"{number + 1}. Something besides thawline assigns to it: look for callbacks that set weights."
            )
        if self._done < last:
            # A callback ended the phase early; the same call again must not train on.
            self._done = last
            self._save(optimizer)

    def _prepare(self, strategy: Strategy, source: ImageSource, views: int, description: str) -> None:
        done = strategy.prepare(source, views, description=description, show_progress=self._options.shows_progress)
        if done:
            self._history.record.extractions.append({"images": description, **done})
            self._say(f"{done['extracted']:,} of {done['total']:,} extracted ({description})")

    def _fit_keras(self, strategy: Strategy, plan: Plan, optimizer: Any, first: int, last: int) -> None:
        """One `keras.Model.fit` over the epochs from first (counted from 0) up to last."""
        model, train, validation, options = strategy.model, self._train, self._validation, self._options
        for part in (model, self.series.model):
            part.compile(optimizer=optimizer, **self._compiled.options)
        feed = EpochFeed(
            strategy,
            train,
            epoch=first,
            views=plan.views,
            shuffle=options.shuffle,
            class_weight=options.class_weight,
        )
        held_out = None if validation is None else EpochFeed(strategy, validation)
        display = EpochDisplay(len(train), train.batch_size, last)
        own = [_EpochCallback(self, feed, optimizer), *([display] if options.verbose in ("auto", 1) else [])]
        callbacks = keras.callbacks.CallbackList(
            [EpochEnd(feed, held_out), *options.callbacks, *own],
            add_history=True,
            add_progbar=options.verbose == 2,
            model=model,
            verbose=2,
            epochs=last,
            steps=feed.num_batches,
        )
        for callback in options.callbacks:
            # What a user's callback saves or reads is the whole stack, whatever part of it is fitted.
            callback.set_model(self.series.model)
        self.series.model.stop_training = False
        started = time.perf_counter()
        try:
            with feed, held_out or nullcontext():
                model.fit(
                    feed.for_keras,
                    initial_epoch=first,
                    epochs=last,
                    validation_data=None if held_out is None else held_out.for_keras,
                    callbacks=callbacks,
                    shuffle=False,  # the feed comes in the epoch's order already
                    verbose=0,
                )
        finally:
            display.close()
            self._history.record.train_s += time.perf_counter() - started

    def after_epoch(self, epoch: int, logs: dict[str, Any], optimizer: Any) -> None:
        """Notes an epoch's figures, and keeps the state where asked to."""
        self._history.epoch.append(epoch)
        for name, value in logs.items():
            self._history.history.setdefault(name, []).append(float(value))
        self._done = epoch + 1
        self._save(optimizer)

    def _save(self, optimizer: Any) -> None:
        if self._checkpoint is None:
            return
        progress = {
            "phase": self._phase,
            "epochs_done": self._done,
            "epochs": self._history.epoch,
            "history": self._history.history,
            "frozen": self._frozen_digest,
        }
        self._checkpoint.save(progress, self._state_variables(optimizer))

    def _restore(self, optimizer: Any) -> None:
        if self._resumed["frozen"] != self._frozen_digest:
            raise RunError(
                "The checkpoint belongs to another training: the weights that did not learn were others. Build the "
                "stack with the same weights (keras.utils.set_random_seed, or a saved base), or give this training "
                "another folder."
            )
        restore(self._state_variables(optimizer), self._arrays)

    def _state_variables(self, optimizer: Any) -> dict[str, Any]:
        """The variables that may have changed since the beginning, by names that hold in the next process."""
        changed = {
            f"stack/{index}": variable
            for index, variable in enumerate(self.series.model.variables)
            if id(variable) in self._learned
        }
        return changed | {f"optimizer/{index}": variable for index, variable in enumerate(optimizer.variables)}

    def _say(self, message: str) -> None:
        if self._options.announce is not None and self._options.shows_progress:
            self._options.announce(message)


class _EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the feed which epoch begins, the run that one ended, and Keras that a user's callback says stop."""

    def __init__(self, run: _Run, feed: EpochFeed, optimizer: Any) -> None:
        super().__init__()
        self._run = run
        self._feed = feed
        self._optimizer = optimizer

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._feed.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._pass_on_a_stop()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._run.after_epoch(epoch, dict(logs or {}), self._optimizer)
        self._pass_on_a_stop()

    def _pass_on_a_stop(self) -> None:
        """Users' callbacks stop the stack's model; Keras looks at the one that it fits."""
        self.model.stop_training = self.model.stop_training or self._run.series.model.stop_training


def _optimizer(compiled: Compiled, phase: Phase, series: StageSeries) -> Any:
    """The phase's optimizer, built for the weights that learn in the order in which the stack saves them."""
    variables = series.model.trainable_variables
    wanted = tuple(id(variable) for variable in variables)
    optimizer = compiled.optimizer
    if phase.optimizer is not None:
        optimizer = keras.optimizers.get(phase.optimizer)
    elif compiled.is_phases_own or compiled.optimized not in ((), wanted):
        # An optimizer belongs to the weights it was built for.
        optimizer = compiled.fresh_optimizer()
    if phase.learning_rate is not None:
        optimizer.learning_rate = phase.learning_rate
    if not optimizer.built:
        optimizer.build(variables)
    compiled.optimizer, compiled.optimized = optimizer, wanted
    compiled.is_phases_own = phase.optimizer is not None
    return optimizer


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
    phases: Sequence[Phase],
    options: FitOptions,
) -> dict[str, Any]:
    """What makes a training this one: a checkpoint of another must not be continued."""
    return {
        "stages": [[stage.name, stage.model.count_params()] for stage in series.stages],
        "optimizer": compiled.kind.__name__,
        "phases": [
            [phase.patterns, phase.epochs, _optimizer_name(phase), phase.learning_rate, phase.strategy, phase.views]
            for phase in phases
        ],
        "training images": _describe_source(train),
        "validation images": None if validation is None else _describe_source(validation),
        "shuffle": options.shuffle,
        "class_weight": None if options.class_weight is None else sorted(options.class_weight.items()),
    }


def _optimizer_name(phase: Phase) -> str | None:
    return None if phase.optimizer is None else type(keras.optimizers.get(phase.optimizer)).__name__


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
