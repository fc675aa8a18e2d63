"""One phase as one `keras.Model.fit`."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.training.callbacks import PhaseCallbacks, WholeFit
from thawline.training.checkpoints.phase_files import BestWeights
from thawline.training.display import EpochDisplay
from thawline.training.strategies.feeding import EpochEnd, EpochFeed
from thawline.training.untouched import assign
from thawline.training.watch import BestEpoch, LastGoodEpoch

AfterEpoch = Callable[[int, dict[str, Any], bool], None]


@dataclass(frozen=True, eq=False)
class PhaseFit:
    """Everything that one phase's fit needs.

    Attributes:
        model: what Keras fits: the strategy's model.
        stack_model: the whole stack's model, which users' callbacks see.
        optimizer: the phase's optimizer, built.
        options: the phase's other arguments of `compile`.
        stack_options: those of the whole stack.
        feed: the training images.
        held_out: the validation images, if there are any.
        steps: training steps that Keras takes in one go.
        callbacks: the users' callbacks.
        times: notes how long epochs take.
        whole: those among them that the whole training tells of its begin.
        is_last: whether the training ends with this phase.
        guard: stops when numbers are no longer finite.
        best: who remembers the best epoch: early stopping, or one that only looks.
        before: is told when the models are compiled, before any callback begins.
        on_begin: is told when the callbacks have begun.
        after_batch: is told after each step which batch of the epoch comes next, from 0.
        after_epoch: is told the number, the figures and whether training stops after each epoch.
        display: shows the epochs, if something is shown.
        has_lines: whether Keras writes a line per epoch.
        metrics: the state of the metrics in the middle of the first epoch, where batches of it are passed over.
    """

    model: Any
    stack_model: Any
    optimizer: Any
    options: dict[str, Any]
    stack_options: dict[str, Any]
    feed: EpochFeed
    held_out: EpochFeed | None
    steps: int
    callbacks: Sequence[Any]
    times: Any
    whole: WholeFit
    is_last: bool
    guard: LastGoodEpoch
    best: BestEpoch | BestWeights | None
    before: Callable[[], None]
    on_begin: Callable[[], None]
    after_batch: Callable[[int], None]
    after_epoch: AfterEpoch
    display: EpochDisplay | None
    has_lines: bool
    metrics: Sequence[np.ndarray] = ()

    def run(self, first: int, last: int) -> float:
        """Fits the epochs from first (counted from 0) up to last; gives the seconds that it took."""
        self.model.compile(optimizer=self.optimizer, **{**self.options, "steps_per_execution": self.steps})
        self.stack_model.compile(optimizer=self.optimizer, **self.stack_options)
        # Callbacks that watch a metric look into their model for whether it should rise or fall. Set past Keras'
        # tracking, which would count the metrics twice.
        object.__setattr__(self.stack_model, "_compile_metrics", self.model._compile_metrics)
        self.stack_model.stop_training = False
        started = time.perf_counter()
        try:
            self.before()
            with self.feed, self.held_out or nullcontext():
                self._build_metrics()
                self.model.fit(
                    self.feed.for_keras,
                    initial_epoch=first,
                    epochs=last,
                    validation_data=None if self.held_out is None else self.held_out.for_keras,
                    callbacks=self._callback_list(last),
                    shuffle=False,  # the feed comes in the epoch's order already
                    verbose=0,
                )
        finally:
            if self.display is not None:
                self.display.close()
        return time.perf_counter() - started

    def _build_metrics(self) -> None:
        """Makes the variables of metrics before Keras traces a step; when they come in the middle, it traces it twice.

        That would be a third of a second per phase. The batch is the one that Keras looks at first anyway.
        """
        if self.feed.passed_over:
            # Their state is put back before any step: losses and metrics have all their variables here.
            self.model._symbolic_build(data_batch=self.feed[0])
        metrics = self.model._compile_metrics
        inputs, *targets = self.feed[0][:2]
        if metrics is not None and not metrics.built and targets:
            specs = keras.tree.map_structure(lambda rows: keras.KerasTensor(rows.shape, rows.dtype.name), inputs)
            metrics.build(targets[0], self.model.compute_output_spec(specs))

    def _callback_list(self, last: int) -> Any:
        """The guard comes first, so that no callback saves what is not finite."""
        best = [] if self.best is None else [self.best]
        display = [] if self.display is None else [self.display]
        own = [EpochEnd(self.feed, self.held_out), self.guard]
        told = [self.times, *best, _EpochCallback(self), *display]
        return PhaseCallbacks(
            [*own, *self.callbacks, *told],
            users=(*self.callbacks, *best),
            told_again=(*own, *told),
            middle=(self.feed.epoch, self.feed.passed_over),
            whole=self.whole,
            is_last=self.is_last,
            model=self.model,
            stack_model=self.stack_model,
            add_progbar=self.has_lines,
            verbose=2,
            epochs=last,
            steps=self.feed.num_batches,
        )


class _EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the feed which epoch begins, the run that one ended, and Keras that a user's callback says stop."""

    def __init__(self, fit: PhaseFit) -> None:
        super().__init__()
        self._fit = fit

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._fit.on_begin()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._fit.feed.epoch = epoch
        if self._fit.feed.passed_over:
            # Keras has just set them to zero.
            assign(self._fit.model.metrics_variables, self._fit.metrics)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._pass_on_a_stop()
        if not self.model.stop_training:
            self._fit.after_batch(self._fit.feed.next_batch(min(batch + 1, self._fit.feed.num_batches) - 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._pass_on_a_stop()
        self._fit.after_epoch(epoch, dict(logs or {}), self.model.stop_training)

    def _pass_on_a_stop(self) -> None:
        """Users' callbacks stop the stack's model; Keras looks at the one that it fits."""
        self.model.stop_training = self.model.stop_training or self._fit.stack_model.stop_training
