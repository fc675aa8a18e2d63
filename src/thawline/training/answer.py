"""What a trained stack answers: loss and metrics over labelled images, and answers for new ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import DataError
from thawline.features.options import FeatureOptions
from thawline.progress import progress
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled
from thawline.training.planning.disk import Disk
from thawline.training.planning.phase_plan import choose_plan
from thawline.training.strategies.feeding import EpochEnd, EpochFeed, make_strategy
from thawline.training.strategies.joint import Joint
from thawline.training.strategies.strategy import Strategy


def evaluate(
    series: StageSeries,
    compiled: Compiled,
    source: ImageSource,
    *,
    strategy: str,
    features: FeatureOptions,
    callbacks: Sequence[Any],
    show_progress: bool,
) -> dict[str, float]:
    """Loss and metrics over a source, by name, in the order of `compile`; see `thawline.Stack.evaluate`."""
    source = source.unaugmented()
    series.check_input(source.spec)
    if source.target_spec is not None or compiled.options["loss"] is not None:
        series.check_targets(source.target_spec, len(source.class_names))
    runner = _prepared(series, source, strategy, features, show_progress)
    if not runner.model.compiled or runner.model.optimizer is not compiled.optimizer:
        runner.model.compile(optimizer=compiled.optimizer, **compiled.options)
    with EpochFeed(runner, source) as feed:
        told = keras.callbacks.CallbackList(
            [EpochEnd(None, feed), *callbacks], model=runner.model, verbose=0, epochs=1, steps=feed.num_batches
        )
        for callback in callbacks:
            callback.set_model(series.model)
        answer: dict[str, float] = runner.model.evaluate(feed.for_keras, verbose=0, return_dict=True, callbacks=told)
    # Keras sorts the dictionary by name; its list has the order of `compile`.
    names = [part.name for metric in runner.model.metrics for part in getattr(metric, "metrics", [metric])]
    return {name: answer[name] for name in sorted(answer, key=(names + sorted(answer)).index)}


def predict(
    series: StageSeries, source: ImageSource, *, strategy: str, features: FeatureOptions, show_progress: bool
) -> Any:
    """Answers for a source in the order of its indices; see `thawline.Stack.predict`.

    With the source's on_error="skip" the answers for a bad image are NaN: every image keeps its row.
    """
    source = source.unaugmented()
    series.check_input(source.spec)
    runner = _prepared(series, source, strategy, features, show_progress)
    answers, answered = [], []
    batch_size = min(source.batch_size, len(source))
    with progress("predicting", len(source), show=show_progress) as advance:
        for feed in runner.feeds(source, epoch=0, view=0, shuffle=False):
            answers.append(_answer(runner.model, feed.inputs, len(feed.indices), batch_size))
            answered.append(feed.indices)
            advance(len(feed.indices))
    indices = np.concatenate(answered)
    return keras.tree.map_structure(lambda *rows: _one_for_each(np.concatenate(rows), indices, source), *answers)


def _one_for_each(answers: np.ndarray, indices: np.ndarray, source: ImageSource) -> np.ndarray:
    """A row of answers for every image, NaN for those that have none."""
    if len(answers) == len(source):
        return answers
    if not np.issubdtype(answers.dtype, np.inexact):
        path, reason = source.unreadable[-1]
        raise DataError(
            f"{len(source) - len(answers)} of {len(source)} images are bad, last {path}: {reason} Their answers would "
            f"be NaN, which {answers.dtype} cannot hold. Predict source.without_unreadable()."
        )
    filled = np.full((len(source), *answers.shape[1:]), np.nan, answers.dtype)
    filled[indices] = answers
    return filled


def _answer(model: Any, inputs: Any, count: int, batch_size: int) -> Any:
    """Answers for one batch, an array or several as the model gives them.

    The batch is filled up: Keras would compile the model anew for another batch size.
    """
    fill = [(0, batch_size - count)]
    filled = keras.tree.map_structure(lambda rows: np.pad(rows, fill + [(0, 0)] * (rows.ndim - 1)), inputs)
    return keras.tree.map_structure(lambda rows: rows[:count], model.predict_on_batch(filled))


def _prepared(
    series: StageSeries, source: ImageSource, name: str, features: FeatureOptions, show_progress: bool
) -> Strategy:
    """The strategy for inference, ready to feed: a stack that is frozen throughout runs as a whole."""
    if name == "joint" or (name == "auto" and series.is_frozen):
        return Joint(series.model)
    cut = series.cut()
    plan = choose_plan(cut, is_augmented=False, epochs=1, strategy=name, disk=Disk(features, None, source))
    if plan.strategy == "joint":
        return Joint(series.model)
    strategy = make_strategy(plan.strategy, cut.places[plan.place], source.batch_size, features)
    strategy.prepare(source, 1, description="images", show_progress=show_progress)
    return strategy
