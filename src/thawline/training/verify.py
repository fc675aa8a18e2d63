"""Do the strategies train the same? A few steps by each of them, compared number by number."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thawline.arguments import whole_number
from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, NothingToLearnError
from thawline.features.cache import FeatureCache
from thawline.features.engines.engine import ENGINE_BATCH
from thawline.features.engines.make import make_engine
from thawline.features.options import FeatureOptions
from thawline.stack.batch_axis import with_other_neighbours
from thawline.stack.cut import Cut
from thawline.stack.held import HeldModel
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.compiled import Compiled
from thawline.training.fit import fit
from thawline.training.fit_options import FitOptions
from thawline.training.optimizers import find_optimizer, fresh_copy
from thawline.training.phase import Phase
from thawline.training.planning.phase_plan import STRATEGY_NAMES
from thawline.training.untouched import assign, left_as_it_was, values_of

# Features that are further apart (relative to the largest) differ by more than the order of sums.
_LAST_BITS = 1e-4

# Two epochs, so that views change and short batches come in the middle.
_EPOCHS = 2


@dataclass(frozen=True)
class Difference:
    """How far two trainings are apart.

    Attributes:
        strategies: the names of the two.
        losses: the largest relative difference between their losses after each step.
        weights: the largest difference between their weights after the last step, relative to the largest weight of
            the same tensor.
    """

    strategies: tuple[str, str]
    losses: float
    weights: float

    @property
    def is_zero(self) -> bool:
        """Whether the two are equal bit for bit."""
        return self.losses == 0 and self.weights == 0

    def __str__(self) -> str:
        found = f"losses differ by {self.losses:.1e} at most, weights by {self.weights:.1e} (relative)"
        return f"{' and '.join(self.strategies):<26} {'bit-equal' if self.is_zero else found}"


@dataclass(frozen=True)
class Verification:
    """What `Stack.verify` found. Print it.

    Attributes:
        steps: training steps by each strategy.
        batch_size: images in each step; the last of an epoch has fewer.
        views: views of each image.
        differences: one for each pair of strategies.
        reason: why they differ, in plain words; empty where they are equal.
    """

    steps: int
    batch_size: int
    views: int
    differences: tuple[Difference, ...]
    reason: str

    @property
    def is_bit_equal(self) -> bool:
        """Whether all strategies gave the same bits."""
        return all(difference.is_zero for difference in self.differences)

    @property
    def largest(self) -> float:
        """The largest relative difference of all; 0 where they are equal."""
        return max(max(difference.losses, difference.weights) for difference in self.differences)

    def __str__(self) -> str:
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        lines = [f"{self.steps} steps of {self.batch_size} images by each strategy, {_EPOCHS} epochs, {views}:"]
        lines += [f"  {difference}" for difference in self.differences]
        return "\n".join([*lines, *([f"  {self.reason}"] if self.reason else [])])


@dataclass(frozen=True)
class _Trained:
    """What a short training left behind."""

    losses: np.ndarray
    weights: list[np.ndarray]


class _Losses(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes the loss after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras gives the mean over the epoch so far."""
        self.values.append(float((logs or {})["loss"]))


def verify(
    series: StageSeries,
    compiled: Compiled,
    source: ImageSource,
    *,
    phase: Phase,
    steps: int,
    features: FeatureOptions,
    announce: Callable[[str], None] | None,
) -> Verification:
    """Trains a few steps by each strategy, from the same weights; see `thawline.Stack.verify`."""
    steps = whole_number("steps", steps, _EPOCHS)
    if phase.probe is not None:
        raise ArgumentError("verify() compares phases without a probe: its weights would differ at the start.")
    # A third of the last batch is left out, so that it is a short one.
    wanted = steps // _EPOCHS * source.batch_size - source.batch_size // 3
    source = source.select(range(min(wanted, len(source))))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, left_as_it_was(series, compiled):
        if phase.patterns:
            freeze_and_thaw(series, phase.patterns)
        cut = series.cut()
        if not cut.has_frozen_weights:
            reason = cut.frozen_but_above or "every weight of the stack learns. Freeze a stage (trainable=False)"
            raise NothingToLearnError(
                f"There is nothing frozen that could be run ahead, and nothing to compare: {reason}, or name what "
                "learns with phase=."
            )
        state = values_of(series.model.variables)
        kept = features if features.cache is not None else replace(features, cache=FeatureCache(folder))
        trained = {}
        for name in STRATEGY_NAMES:
            if announce is not None:
                announce(f"verifying: {name}")
            assign(series.model.variables, state)
            trained[name] = _train(series, compiled, source, replace(phase, strategy=name), kept)
        assign(series.model.variables, state)
        pairs = [("joint", "precomputed"), ("joint", "streamed"), ("precomputed", "streamed")]
        differences = tuple(_difference(pair, trained[pair[0]], trained[pair[1]]) for pair in pairs)
        reason = "" if all(difference.is_zero for difference in differences) else _reason(cut, source)
    views = 1 if source.augmentation is None else _EPOCHS
    return Verification(len(trained["joint"].losses), source.batch_size, views, differences, reason)


def _train(
    series: StageSeries, compiled: Compiled, source: ImageSource, phase: Phase, features: FeatureOptions
) -> _Trained:
    losses = _Losses()
    options = FitOptions(features=features, callbacks=(losses,), verbose=0)
    own = Compiled(compiled.fresh_optimizer(), {**compiled.options, "steps_per_execution": 1})
    optimizer = None if phase.optimizer is None else fresh_copy(find_optimizer(phase.optimizer, "phase"))
    short = replace(phase, epochs=_EPOCHS, views=_EPOCHS, optimizer=optimizer, callbacks=(), early_stopping=None)
    fit(series, own, source, [short], validation_data=None, options=options)
    return _Trained(np.array(losses.values), values_of(series.model.weights))


def _difference(pair: tuple[str, str], one: _Trained, other: _Trained) -> Difference:
    weights = [relative_difference(*both) for both in zip(one.weights, other.weights, strict=True)]
    losses = [relative_difference(*both) for both in zip(one.losses, other.losses, strict=True)]
    return Difference(pair, max(losses), max(weights, default=0.0))


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two arrays as a part of their largest value; 0 only when all bits are equal.

    Example:
        >>> relative_difference(np.array([1.0, 4.0]), np.array([1.0, 5.0]))
        0.2
    """
    if np.array_equal(one, other, equal_nan=True):
        return 0.0
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    largest = max(np.abs(one).max(), np.abs(other).max())
    return float(np.abs(one - other).max() / largest)


def _reason(cut: Cut, source: ImageSource) -> str:
    """Why the strategies differ: features of one batch by the engine, in several ways, and as joint computes them."""
    images = next(iter(source.batches(0, views=1))).images
    engine = make_engine("keras", cut.prefix)
    by_engine = engine.run(images)
    if apart := _apart(by_engine, engine.run(images)):
        return _below(apart, "an operation in it does not give the same twice (on GPUs many do not)")
    # Each second image with other neighbours, in its own place.
    among_others = engine.run(with_other_neighbours(images))
    if apart := _apart([rows[::2] for rows in by_engine], [rows[::2] for rows in among_others]):
        return _below(
            apart,
            "an operation in it works over the batch axis: an image's features depend on the other images of its "
            "batch, which are others in training than where features are computed. Let it learn, or put it into a "
            "stage that does",
        )
    alone = HeldModel(cut.prefix, keras.layers.Identity(), source.batch_size)
    alone.compile(jit_compile=False)
    by_joint = keras.tree.flatten(alone.predict_on_batch(images))
    # In the opposite order every image has another place in its batch, as in extraction.
    elsewhere = [rows[::-1] for rows in engine.run(images[::-1])]
    return _by_place_or_shape(_apart(by_engine, elsewhere), _apart(by_engine, by_joint), source.batch_size)


def _by_place_or_shape(by_place: float, by_shape: float, batch_size: int) -> str:
    """Why features differ that are the same twice, and among other images.

    Args:
        by_place: how far an image's features are apart at two places of a batch.
        by_shape: how far they are apart in a batch of the training and in one of the engine.
        batch_size: of the training.
    """
    if not by_place and not by_shape:
        return (
            "The features of a first batch are bit-equal, so the difference arises above the line: an operation whose "
            "result is not the same twice (on GPUs many are), or one that depends on the time or on chance of its own."
        )
    apart = max(by_place, by_shape)
    if apart > _LAST_BITS:
        what = "an image's place in the batch" if by_place > _LAST_BITS else "the size of the batch"
        return _below(apart, f"an operation in it depends on {what}, which no layer should")
    if by_shape and batch_size != ENGINE_BATCH:
        return _below(
            apart,
            f"joint computes it in batches of {batch_size}, the engine of {ENGINE_BATCH}, and another batch shape "
            "moves the last bits of a convolution",
        )
    return _below(
        apart,
        "an operation in it depends on an image's position in the batch (TensorFlow's mean over height and width does "
        "where the channels are no multiple of 16)",
    )


def _below(apart: float, because: str) -> str:
    return f"The difference arises below the line: features differ by {apart:.1e}, because {because}."


def _apart(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Distance of features, over all tensors that cross."""
    pairs = zip(one, other, strict=True)
    return max((relative_difference(np.asarray(left), np.asarray(right)) for left, right in pairs), default=0.0)
