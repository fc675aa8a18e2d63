"""Which learning rate a phase bears: a short sweep from far too low to far too high, and what its losses say.

The method is the range test of Smith 2017, "Cyclical learning rates for training neural networks" (arXiv:1506.01186,
section 3.3), with a rate that grows by the same factor each step, as fastai's finder does (Howard and Gugger 2020,
"fastai: a layered API for deep learning", arXiv:2002.04688).

Batches are not equally hard, and on a head that is trained already that differs more than what a rate does. So the loss
of each batch is taken before the first step, too, and what is judged is how far the two are apart.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from thawline.arguments import plain, whole_number
from thawline.data.batches import epoch_order
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DivergedError, MissingDependencyError
from thawline.features.options import FeatureOptions
from thawline.progress import progress
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.compiled import Compiled
from thawline.training.optimizers import find_optimizer, fresh_copy, set_constant_rate
from thawline.training.part import Part, check_answers, make_part
from thawline.training.phase import Phase
from thawline.training.planning.disk import Disk
from thawline.training.planning.phase_plan import choose_plan
from thawline.training.rates import scale_learning_rates
from thawline.training.strategies.feeding import EpochFeed, make_feeds, make_strategy
from thawline.training.untouched import left_as_it_was, renewed

# With fewer steps a rate jumps from too low to too high.
_FEWEST_STEPS = 20

# A sweep is over when the loss is so many times the lowest one, as in fastai, and above where it began.
_DIVERGED = 4.0

# What is compared with it is a running mean, of which a step keeps this share: one odd batch ends nothing.
_KEPT = 0.9

# The deviation, in steps, of the bell by which losses are averaged with their neighbours on both sides. A running
# mean, as fastai's, would lag behind: 20 steps are a factor of 25 in the rate.
_BELL = 3.0

# The plots that are asked for by the ending of their file.
_ENDINGS = (".svg", ".png")


@dataclass(frozen=True)
class LearningRateSweep:
    """The loss at each learning rate of a sweep. Print it, or `plot` it.

    Attributes:
        rates: the learning rates in the order in which they were tried, each larger than the one before.
        losses: the loss of the batch that was trained with each; the last one may be infinite or no number.
        first_losses: what the loss of each of these batches was before the first step, without Dropout.
        optimizer: the optimizer's kind in lower case, like "adam".
        batch_size: images per step.
        is_diverged: whether it ended because the loss rose out of all bounds; else at the highest rate.

    Example:
        >>> rates = np.geomspace(1e-6, 1.0, 61)
        >>> falling = 1 / (1 + rates / 1e-3) + (rates / 0.1) ** 2
        >>> sweep = LearningRateSweep(tuple(rates), tuple(falling), (1.0,) * 61, "adam", 32, False)
        >>> f"{sweep.steepest:.0e} {sweep.lowest:.0e} {sweep.suggested:.0e}"
        '1e-03 1e-02 1e-03'
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    first_losses: tuple[float, ...]
    optimizer: str
    batch_size: int
    is_diverged: bool

    @cached_property
    def compared(self) -> np.ndarray:
        """The losses as if all batches were equally hard: less the batch's first loss, plus the mean of these."""
        return _compared(self.losses, self.first_losses)

    @cached_property
    def smoothed(self) -> np.ndarray:
        """`compared`, averaged with its neighbours, float64 (n,)."""
        return smooth(self.compared)

    @property
    def lowest(self) -> float | None:
        """The rate at which the smoothed loss was the lowest; None where it never fell clearly."""
        first, noise = self._before
        return self.rates[self._place] if first - self.smoothed[self._place] > noise else None

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss fell fastest, by the logarithm of the rate; None where it never fell."""
        if self.lowest is None:
            return None
        slope = np.gradient(self.smoothed, np.log(self.rates))
        return self.rates[int(np.argmin(slope[: self._place + 1]))]

    @property
    def rises(self) -> float | None:
        """The rate from which on the smoothed loss was above what it was at first; None where it never was."""
        first, noise = self._before
        above = np.flatnonzero(self.smoothed[self._place :] > first + noise)
        return self.rates[self._place + int(above[0])] if len(above) else None

    @property
    def suggested(self) -> float | None:
        """The rate to take; None where the loss neither fell nor rose.

        Where the loss falls fastest, a rate does most; a tenth of where it is lowest keeps away from where it rises
        again. Of the two the smaller one: too low a rate costs epochs, too high a one costs what the base knows. On a
        stack that is trained already hardly anything falls in so few steps; then it is a tenth of where it rises.
        """
        if self.steepest is not None and self.lowest is not None:
            return min(self.steepest, self.lowest / 10)
        return None if self.rises is None else self.rises / 10

    @property
    def _place(self) -> int:
        return int(np.argmin(self.smoothed))

    @property
    def _before(self) -> tuple[float, float]:
        """The loss while rates are too low for anything, and how much it differs from batch to batch."""
        quarter = slice(max(2, len(self.losses) // 4))
        return float(np.mean(self.smoothed[quarter])), float(np.std((self.compared - self.smoothed)[quarter]))

    def __str__(self) -> str:
        steps = f"{len(self.rates)} steps of {self.batch_size} images by {self.optimizer}"
        end = ", where the loss rose out of all bounds" if self.is_diverged else ""
        lines = [f"{steps}, learning rates from {self.rates[0]:.1e} to {self.rates[-1]:.1e}{end}:"]
        if self.steepest is not None and self.lowest is not None:
            lines += [
                f"  loss falls fastest    at {self.steepest:.1e}",
                f"  loss is lowest        at {self.lowest:.1e} ({self.smoothed[self._place]:.3g}, from "
                f"{self._before[0]:.3g}), a tenth of which is {self.lowest / 10:.1e}",
            ]
        else:
            lines.append(f"  loss never fell clearly (from {self._before[0]:.3g})")
        if self.rises is not None:
            lines.append(f"  loss is above that    from {self.rises:.1e}, a tenth of which is {self.rises / 10:.1e}")
        if self.suggested is None:
            return "\n".join(
                [*lines, "  nothing to suggest    try more steps or a higher rate, and look at the labels"]
            )
        why = "a tenth of where it rises" if self.lowest is None else "where it falls, well below where it is lowest"
        return "\n".join([*lines, f"  suggested             {self.suggested:.1e}, {why}"])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a loss that is no finite number is None."""
        return {
            "suggested": self.suggested,
            "steepest": self.steepest,
            "lowest": self.lowest,
            "rises": self.rises,
            "optimizer": self.optimizer,
            "batch_size": self.batch_size,
            "is_diverged": self.is_diverged,
            "rates": list(self.rates),
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses],
            "first_losses": list(self.first_losses),
        }

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws losses over rates, with what is suggested; needs `pip install 'thawline[report]'`.

        Args:
            path: the file, .svg or .png.

        Raises:
            ArgumentError: another ending.
            MissingDependencyError: Matplotlib is not installed.
        """
        check_plot(path)
        import_module("thawline.training.learning_rate_plot").draw(self, Path(path))


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raises what `LearningRateSweep.plot` would raise, before the work."""
    if Path(path).suffix.lower() not in _ENDINGS:
        raise ArgumentError(f"A plot is written as {' or '.join(_ENDINGS)}; got {str(path)!r}.")
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("A plot needs Matplotlib: pip install 'thawline[report]'")


def smooth(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """Losses averaged with their neighbours on both sides, weighted by a bell, float64 (n,).

    A loss may count as far above the first ones as the lowest is below them, and no more: one step that blows up would
    outweigh all before it.

    Args:
        losses: at least one of them a finite number.

    Example:
        >>> smooth([2.0] * 30).round(12).tolist() == [2.0] * 30
        True
    """
    values = np.asarray(losses, np.float64)
    finite = values[np.isfinite(values)]
    first = finite[: max(1, len(values) // 10)]
    ceiling = max(first.max(), 2 * first.mean() - finite.min())
    bounded = np.minimum(np.where(np.isfinite(values), values, ceiling), ceiling)
    places = np.arange(len(values))
    bell = np.exp(-0.5 * ((places[:, None] - places) / _BELL) ** 2)
    averaged: np.ndarray = bell @ bounded / bell.sum(axis=1)
    return averaged


def is_out_of_bounds(losses: Sequence[float] | np.ndarray) -> bool:
    """Whether the loss is no finite number, or its running mean rose to a multiple of its lowest and above the first.

    Example:
        >>> is_out_of_bounds([2.0] * 20 + [1.0] * 20), is_out_of_bounds([2.0] * 20 + [1.0] * 20 + [40.0] * 3)
        (False, True)
    """
    if not math.isfinite(losses[-1]):
        return True
    means, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = _KEPT * total + (1 - _KEPT) * loss, _KEPT * weight + 1 - _KEPT
        means.append(total / weight)
    lowest = min(means)
    return bool(means[-1] > max(lowest + (_DIVERGED - 1) * abs(lowest), means[0]))


def find_learning_rate(
    series: StageSeries,
    compiled: Compiled,
    source: ImageSource,
    *,
    phase: Phase,
    lowest: float,
    highest: float,
    steps: int,
    features: FeatureOptions,
    show_progress: bool,
) -> LearningRateSweep:
    """Trains a few steps with rising learning rates, and puts everything back; see `Stack.find_learning_rate`."""
    steps, lowest, highest = whole_number("steps", steps, _FEWEST_STEPS), plain(lowest), plain(highest)
    if not 0 < lowest < highest < math.inf:
        raise ArgumentError(
            f"lowest and highest are learning rates with 0 < lowest < highest; got {lowest}, {highest}."
        )
    source = _some(source, steps)
    series.check_input(source.spec)
    rates = np.geomspace(lowest, highest, steps).tolist()
    with left_as_it_was(series, compiled):
        # A probe of the user's would keep what it learns here.
        probe = None if phase.probe is None else renewed(phase.probe)
        part = make_part(series, replace(phase, probe=probe), 1)
        options = compiled.phase_options(part)
        check_answers(part, options["loss"], source.target_spec, len(source.class_names))
        if phase.patterns:
            freeze_and_thaw(series, phase.patterns)
        part.check_something_learns()
        optimizer = _optimizer(compiled, part, lowest)
        batch_size = min(source.batch_size, len(source))
        with (
            _opened(part, source, steps, batch_size, features, show_progress) as (model, feed, epochs),
            progress("trying learning rates", 2 * steps, unit="steps", show=show_progress) as advance,
        ):
            model.compile(optimizer=optimizer, **{**options, "metrics": None, "weighted_metrics": None})
            first = []
            for batch in islice(_batches(feed, epochs), steps):
                first.append(float(model.test_on_batch(*batch, return_dict=True)["loss"]))
                advance(1)
            losses: list[float] = []
            for rate, batch in zip(rates, _batches(feed, epochs), strict=False):
                optimizer.learning_rate = rate
                losses.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))
                advance(1)
                if is_out_of_bounds(_compared(losses, first)):
                    break
    if not math.isfinite(losses[0] + sum(first)):
        raise DivergedError(
            f"The loss is {losses[0] + sum(first)} before a learning rate could do anything. Call check(), which looks "
            "at values, labels and loss."
        )
    kind = type(getattr(optimizer, "inner_optimizer", optimizer)).__name__.lower()
    tried, first = tuple(rates[: len(losses)]), first[: len(losses)]
    is_diverged = is_out_of_bounds(_compared(losses, first))
    return LearningRateSweep(tried, tuple(losses), tuple(first), kind, batch_size, is_diverged)


def _compared(losses: Sequence[float], first: Sequence[float]) -> np.ndarray:
    """Losses as if all batches were equally hard: less what each one's was at first, plus the mean of that."""
    known = np.array(first[: len(losses)])
    compared: np.ndarray = np.array(losses) - known + known.mean()
    return compared


def _some(source: ImageSource, steps: int) -> ImageSource:
    """As many images as the steps need, drawn by the source's seed; all where there are not more."""
    wanted = steps * source.batch_size
    if wanted >= len(source):
        return source
    return source.select(np.sort(epoch_order(len(source), source.seed, 0)[:wanted]))


def _optimizer(compiled: Compiled, part: Part, rate: float) -> Any:
    """A fresh optimizer like the phase's, without its schedule, with the factors of its layers."""
    given = part.phase.optimizer
    optimizer = compiled.fresh_optimizer() if given is None else fresh_copy(find_optimizer(given, "phase"))
    set_constant_rate(optimizer, rate)
    optimizer.build(part.series.model.trainable_variables)
    scale_learning_rates(optimizer, part.learning_rate_factors())
    return optimizer


@contextmanager
def _opened(
    part: Part, source: ImageSource, steps: int, batch_size: int, features: FeatureOptions, show_progress: bool
) -> Iterator[tuple[Any, EpochFeed, int]]:
    """The model that learns, its feed, and how many epochs the steps take: prepared as `fit` would."""
    cut = part.series.cut()
    epochs = -(-steps // -(-len(source) // source.batch_size))
    plan = choose_plan(
        cut,
        is_augmented=source.augmentation is not None and source.augmentation.is_random,
        epochs=epochs,
        strategy=part.phase.strategy,
        views=part.phase.views,
        disk=Disk(features, None, source),
    )
    strategy = make_strategy(plan.strategy, cut.places[plan.place], batch_size, features)
    strategy.prepare(source, plan.views, description="images for learning rates", show_progress=show_progress)
    feed, _ = make_feeds(
        strategy,
        source,
        None,
        epochs=range(epochs),
        views=plan.views,
        row_bytes=plan.row_bytes,
        shuffle=True,
        class_weight=None,
    )
    with feed:
        yield strategy.model, feed, epochs


def _batches(feed: EpochFeed, epochs: int) -> Iterator[tuple[Any, ...]]:
    """One epoch after the other."""
    for epoch in range(epochs):
        feed.epoch = epoch
        yield from feed
