"""What a trained stack answers: loss and metrics over labelled images, and answers for new ones."""

import numpy as np

from thawline.data.sources import ImageSource
from thawline.features.cache import FeatureCache
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled
from thawline.training.feeding import Guard, batch_count, keras_batches, make_strategy
from thawline.training.planner import choose_plan
from thawline.training.strategy import Strategy


def evaluate(
    series: StageSeries,
    compiled: Compiled,
    source: ImageSource,
    *,
    strategy: str,
    cache: FeatureCache | None,
    show_progress: bool,
) -> dict[str, float]:
    """Loss and metrics over a source, by name; see `thawline.Stack.evaluate`."""
    series.check_input(source.spec)
    series.check_targets(source.target_spec, len(source.class_names))
    runner = _inference_strategy(series, source, strategy, cache, show_progress)
    runner.model.compile(optimizer=compiled.optimizer, **compiled.options)
    guard = Guard()
    feed = guard.watch(keras_batches(runner, source, range(1), 1, False, None))
    with guard:
        answer: dict[str, float] = runner.model.evaluate(feed, steps=batch_count(source), verbose=0, return_dict=True)
    return answer


def predict(
    series: StageSeries, source: ImageSource, *, strategy: str, cache: FeatureCache | None, show_progress: bool
) -> np.ndarray:
    """Answers for a source in the order of its indices; see `thawline.Stack.predict`."""
    series.check_input(source.spec)
    runner = _inference_strategy(series, source, strategy, cache, show_progress)
    feeds = runner.feeds(source, epoch=0, view=0, shuffle=False)
    return np.concatenate([runner.model.predict_on_batch(feed.inputs) for feed in feeds])


def _inference_strategy(
    series: StageSeries, source: ImageSource, name: str, cache: FeatureCache | None, show_progress: bool
) -> Strategy:
    cut = series.cut()
    plan = choose_plan(cut, is_augmented=False, epochs=1, strategy=name)
    strategy = make_strategy(plan.strategy, cut, source.batch_size, cache)
    strategy.prepare(source, 1, description="images", show_progress=show_progress)
    return strategy
