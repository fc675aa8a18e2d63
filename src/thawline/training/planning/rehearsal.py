"""Rehearsal: a few training steps on features of real images, to see how long they take.

Everything is as in a training, Keras' loop and the reading of rows included; only the features come again and again.
Whoever rehearses puts the stack back afterwards (`untouched`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.stack.cut import Cut
from thawline.training.callbacks import WholeFit
from thawline.training.compiled import Compiled
from thawline.training.optimizers import find_optimizer, fresh_copy
from thawline.training.part import Part
from thawline.training.phase_fit import PhaseFit
from thawline.training.planning.epoch_times import EpochTimes
from thawline.training.planning.profile import FREE, Cost
from thawline.training.strategies.feeding import EpochFeed
from thawline.training.strategies.kept import RamFeatures
from thawline.training.strategies.rows import row_feeds
from thawline.training.strategies.strategy import Feed, Preparation, unwrap
from thawline.training.untouched import assign, values_of
from thawline.training.watch import LastGoodEpoch, moving_weights

# Steps are timed for about so long in each of three epochs, the first of which traces.
_EPOCH_S = 0.25
_EPOCHS = 3
_MOST_BATCHES, _LEAST_BATCHES = 48, 2

# What two cores do in a second: a first guess, from which the number of steps follows.
MULTIPLY_ADDS_PER_S = 30e9

# More calls of layers than these would be traced for longer than a plan should take, and a step above so many seconds
# is too slow to be repeated: a forward pass is timed instead. Backwards is twice that, its graph about as much larger.
_MOST_CALLS = 60
_SLOWEST_STEP_S = 0.5
_PASSES = 3


@dataclass(frozen=True)
class StepTimes:
    """How long steps above the cut take; the same words as in `Profile`."""

    trace_s: float
    validation_trace_s: float
    step: Cost
    validation_step: Cost
    is_estimated: bool


class Rehearsal:
    """Stands in for a strategy: gives the same rows of features again and again.

    Args:
        model: what is trained above the cut.
        rows: features of real images, one array (n, ...) per crossing tensor.
    """

    gives_features = True
    is_ready = True

    def __init__(self, model: Any, rows: Sequence[np.ndarray]) -> None:
        self.model = model
        self._rows = rows

    def waits_for(self) -> dict[str, float]:
        """Nothing: the rows are there."""
        return {}

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> Preparation:
        """Nothing has to be prepared."""
        return Preparation()

    def feeds(
        self,
        source: ImageSource,
        *,
        epoch: int,
        view: int,
        shuffle: bool,
        kept: RamFeatures | None = None,
        start: int = 0,
    ) -> Iterator[Feed]:
        """The batches of one epoch, with the images' own targets."""

        def read(indices: np.ndarray) -> list[np.ndarray]:
            return [np.take(tensor, indices % len(tensor), axis=0) for tensor in self._rows]

        row_bytes = sum(tensor.nbytes // len(tensor) for tensor in self._rows)
        yield from row_feeds(source, read, row_bytes, epoch=epoch, view=view, shuffle=shuffle, start=start)


def rehearse(
    part: Part, cut: Cut, compiled: Compiled, train: ImageSource, rows: Sequence[np.ndarray], steps: int, held_out: int
) -> StepTimes:
    """Times training steps and steps that measure.

    Args:
        part: what the phase trains.
        cut: where it is cut.
        compiled: loss, metrics and optimizer; the optimizer itself is not touched.
        train: the images, for their targets.
        rows: features of some images, one array (n, ...) per crossing tensor.
        steps: training steps that Keras takes in one go.
        held_out: how many validation images there are; 0 for none.
    """
    forward_s = train.batch_size * (cut.work_above + cut.work_held).multiply_adds / MULTIPLY_ADDS_PER_S
    if len(cut.above) > _MOST_CALLS or _PASSES * forward_s > _SLOWEST_STEP_S:
        return _estimate(cut, rows, train.batch_size, forward_s)
    batches = min(max(int(_EPOCH_S / max(_PASSES * forward_s, 1e-9)), _LEAST_BATCHES), _MOST_BATCHES)
    source = train.select(np.arange(min(batches * train.batch_size, len(train))))
    measured = train.select(np.arange(min(len(source), held_out))) if held_out else None
    strategy, times = Rehearsal(cut.suffix, rows), EpochTimes()
    optimizer = compiled.fresh_optimizer()
    if part.phase.optimizer is not None:
        optimizer = fresh_copy(find_optimizer(part.phase.optimizer, f"Phase {part.number}"))
    options = compiled.phase_options(part)
    with _metrics_left_alone(options, compiled.options):
        PhaseFit(
            model=strategy.model,
            stack_model=part.stack.model,
            optimizer=optimizer,
            options=options,
            stack_options=compiled.options,
            feed=EpochFeed(strategy, source),
            held_out=None if measured is None else EpochFeed(strategy, measured),
            steps=steps,
            callbacks=(),
            times=times,
            whole=WholeFit(),
            is_last=True,
            guard=_QuietGuard(part, moving_weights(cut.suffix), optimizer),
            best=None,
            before=lambda: None,
            on_begin=lambda: None,
            after_batch=lambda batches: None,
            after_epoch=lambda epoch, logs, is_stopped: None,
            display=None,
            has_lines=False,
        ).run(0, _EPOCHS)
    trace_s, step = _split(times.trained, -(-len(source) // source.batch_size))
    if measured is None:
        return StepTimes(trace_s, 0.0, step, FREE, is_estimated=False)
    validation_trace_s, validation_step = _split(times.measured, -(-len(measured) // measured.batch_size))
    return StepTimes(trace_s, validation_trace_s, step, validation_step, is_estimated=False)


class _QuietGuard(LastGoodEpoch):
    """Looks at what the guard of a training looks at, which takes time, but whatever it finds does not count here."""

    def _give_up(self, what: str, batch: str) -> None:
        pass


def _split(epochs: Sequence[Cost], batches: int) -> tuple[float, Cost]:
    """What the first epoch took more than the others, and a step in these."""
    later = min(epochs[1:], key=lambda cost: cost.wall_s)
    return more(epochs[0], later), later.times(1 / batches)


def _estimate(cut: Cut, rows: Sequence[np.ndarray], batch_size: int, forward_s: float) -> StepTimes:
    """Steps that are too slow to be tried, by forward passes over a part of a batch."""
    count = int(max(min(batch_size, len(rows[0]), batch_size * _SLOWEST_STEP_S / max(forward_s, 1e-9)), 1))
    inputs = unwrap([tensor[:count] for tensor in rows])
    model = keras.Model(cut.suffix.inputs, cut.suffix.outputs)
    model.compile(jit_compile=False)
    first, *later = [timed(lambda: model.predict_on_batch(inputs)) for _ in range(_EPOCHS)]
    forward = min(later, key=lambda cost: cost.wall_s)
    trace_s = more(first, forward)
    whole = forward.times(batch_size / count)
    return StepTimes(_PASSES * trace_s, trace_s, whole.times(_PASSES), whole, is_estimated=True)


def timed(work: Callable[[], Any]) -> Cost:
    """What a piece of work costs, tried once."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - processor)


def more(first: Cost, later: Cost) -> float:
    """Seconds that the first time took more: for what Python does once, on one core, however busy the others are."""
    return max(min(first.wall_s - later.wall_s, first.cpu_s - later.cpu_s), 0.0)


@contextmanager
def _metrics_left_alone(*options: Mapping[str, Any]) -> Iterator[None]:
    """Metrics that were given as objects have the same numbers after the block as before."""
    given = [value for each in options for name in ("metrics", "weighted_metrics") for value in _flat(each.get(name))]
    metrics = [metric for metric in given if isinstance(metric, keras.metrics.Metric)]
    before = [values_of(metric.variables) for metric in metrics]
    try:
        yield
    finally:
        for metric, values in zip(metrics, before, strict=True):
            if len(values) == len(metric.variables):
                assign(metric.variables, values)
            else:
                # Its variables were made meanwhile.
                metric.reset_state()


def _flat(value: Any) -> list[Any]:
    leaves: list[Any] = keras.tree.flatten(value)
    return leaves
