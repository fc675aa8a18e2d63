"""The sweep over learning rates: it says what can be calculated, ends in time, and leaves no trace."""

import json
import random
import sys

import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, DivergedError, MissingDependencyError, NothingToLearnError
from thawline.training import learning_rate
from thawline.training.learning_rate import LearningRateSweep, is_out_of_bounds, smooth

layers = keras.layers


def sweep_of(losses, first=None, *, low=1e-6, high=1.0):
    rates = np.geomspace(low, high, len(losses))
    first = np.ones(len(losses)) if first is None else first
    return LearningRateSweep(tuple(rates), tuple(losses), tuple(first), "adam", 32, False)


RATES = np.geomspace(1e-6, 1.0, 121)
# Falls fastest at 1e-3 by the logarithm of the rate, and rises from about 0.02 on.
CURVE = 1 / (1 + RATES / 1e-3) + (RATES / 0.1) ** 2


# -- what the losses say -------------------------------------------------------------------------------------------


def test_rates_are_read_off_a_curve_whose_places_are_known():
    sweep = sweep_of(CURVE)
    assert sweep.steepest == pytest.approx(1e-3, rel=0.3)
    # The derivative is zero near the cube root of 5e-6.
    assert sweep.lowest == pytest.approx(5e-6 ** (1 / 3), rel=0.4)
    # At 0.1 the second part alone is 1.
    assert sweep.rises == pytest.approx(0.1, rel=0.4)
    assert sweep.suggested == min(sweep.steepest, sweep.lowest / 10)
    assert "suggested" in str(sweep)


def test_batches_that_are_hard_by_themselves_do_not_count():
    hard = np.random.default_rng(0).normal(0, 0.5, len(CURVE))
    fair = sweep_of(CURVE)
    unfair = sweep_of(CURVE + hard, 1 + hard)
    assert (unfair.lowest, unfair.steepest) == (fair.lowest, fair.steepest)
    np.testing.assert_allclose(unfair.compared, fair.compared + hard.mean())


def test_where_nothing_falls_a_tenth_of_where_it_rises_is_suggested():
    noise = np.random.default_rng(1).normal(0, 0.02, 121)
    sweep = sweep_of(0.5 + (RATES / 0.1) ** 2 + noise)
    assert (sweep.lowest, sweep.steepest) == (None, None)
    assert 0.005 < sweep.rises < 0.05
    assert sweep.suggested == sweep.rises / 10
    assert "never fell clearly" in str(sweep)


def test_where_nothing_happens_nothing_is_suggested():
    noise = np.random.default_rng(2).normal(0, 0.02, 100)
    sweep = sweep_of(1 + noise)
    assert (sweep.lowest, sweep.rises, sweep.suggested) == (None, None, None)
    assert "nothing to suggest" in str(sweep)


@pytest.mark.parametrize("last", [1e9, np.inf, np.nan])
def test_a_last_loss_that_blew_up_does_not_hide_what_came_before(last):
    losses = [*CURVE[:100], last]
    sweep = sweep_of(losses, high=RATES[100])
    assert sweep.steepest == pytest.approx(1e-3, rel=0.3)
    assert sweep.smoothed.max() < 2.5
    assert np.isfinite(smooth(losses)).all()
    # JSON has no word for it.
    assert json.loads(json.dumps(sweep.as_dict(), allow_nan=False))["losses"][-1] == (1e9 if last == 1e9 else None)


def test_out_of_bounds_means_four_times_the_lowest_and_above_the_first():
    falling = [*np.linspace(2, 1, 50), *[1.0] * 60]
    assert not is_out_of_bounds(falling)
    assert not is_out_of_bounds([*falling, *[3.9] * 60])
    assert is_out_of_bounds([*falling, *[4.1] * 60])
    # A loss of nearly nothing may rise to four times that.
    assert not is_out_of_bounds([1.0] * 20 + [0.001] * 60 + [0.1] * 9)
    # One odd batch ends nothing, what is no number does.
    assert not is_out_of_bounds([*falling, 20.0])
    assert is_out_of_bounds([*falling, np.nan])
    # Losses may be negative.
    assert not is_out_of_bounds([-1.0] * 50)
    assert is_out_of_bounds([-1.0] * 50 + [3.5] * 60)


# -- the sweep -----------------------------------------------------------------------------------------------------


def test_a_base_that_is_frozen_runs_once_per_view_and_a_rate_is_found(make_stack, small_images, cache, monkeypatch):
    seen = []
    original = learning_rate.make_strategy
    monkeypatch.setattr(learning_rate, "make_strategy", lambda name, *rest: seen.append(name) or original(name, *rest))
    source = small_images.source(batch_size=8).augment(horizontal_flip=True)
    sweep = make_stack().find_learning_rate(source, steps=40, lowest=1e-5, highest=100.0, cache=cache, verbose=0)
    assert seen == ["precomputed"]
    # Forty steps of 8 images are eight epochs of 40, with four views: those that `fit` would take.
    history = make_stack().fit(source, epochs=8, cache=cache, verbose=0)
    assert history.record.extractions == [history.record.extractions[0] | {"total": 160, "extracted": 0}]
    assert sweep.rates[0] == 1e-5
    ratios = np.array(sweep.rates[1:]) / np.array(sweep.rates[:-1])
    np.testing.assert_allclose(ratios, 1e7 ** (1 / 39))
    assert len(sweep.losses) == len(sweep.first_losses) == len(sweep.rates)
    assert sweep.suggested is not None
    assert (sweep.optimizer, sweep.batch_size) == ("adam", 8)


def test_the_first_losses_are_those_of_the_stack_as_it_is(make_stack, small_images, cache):
    stack, source = make_stack(), small_images.source(batch_size=40)
    sweep = stack.find_learning_rate(source, steps=20, cache=cache, verbose=0)
    expected = stack.evaluate(source, cache=cache, verbose=0)[0]
    np.testing.assert_allclose(sweep.first_losses, expected, rtol=1e-5)
    assert sweep.losses[0] == pytest.approx(expected, rel=1e-5)


def test_each_step_is_what_keras_does_with_that_rate(make_stack, small_images, cache):
    """Keras trains the head on what the base says, on the same batch each time."""
    stack, source = make_stack(optimizer="sgd"), small_images.source(batch_size=40)
    sweep = stack.find_learning_rate(
        source, steps=np.int64(20), lowest=np.float32(0.1), highest=np.float64(1), cache=cache, verbose=0
    )
    features = stack.stages[0].model(small_images.pixels / 127.5 - 1, training=False)
    plain = stack.stages[1].model
    plain.compile(keras.optimizers.SGD(), "categorical_crossentropy")
    losses = []
    for rate in sweep.rates:
        plain.optimizer.learning_rate = rate
        losses.append(plain.train_on_batch(features, small_images.one_hot))
    # The order within a batch moves the last digits only.
    np.testing.assert_allclose(sweep.losses, losses, rtol=1e-4)


def test_it_ends_where_the_loss_rises_out_of_all_bounds(make_stack, small_images, cache):
    stack = make_stack(optimizer="sgd", loss="mse")
    stack.stages[1].model.layers[-1].activation = keras.activations.linear
    sweep = stack.find_learning_rate(small_images.source(), steps=60, highest=1e6, cache=cache, verbose=0)
    assert sweep.is_diverged
    assert len(sweep.losses) < 60
    assert "out of all bounds" in str(sweep)


class Drawing(layers.Layer):
    """Draws from Keras' global generator in training."""

    def call(self, x, training=False):
        """Noise is added."""
        return x + 0.01 * keras.random.normal(keras.ops.shape(x)) if training else x


def test_nothing_of_it_can_be_seen_afterwards(make_stack, small_images, cache):
    source = small_images.source(batch_size=8).augment(rotation_range=20)
    phase = tl.Phase(["head", "base/last"], 2, learning_rate=0.01)

    def train(*, after_a_sweep):
        stack = make_stack(dropout=0.3)
        stack.fit(source, epochs=1, cache=cache, engine="keras", verbose=0)
        keras.utils.set_random_seed(5)
        keras.random.normal((1,))
        before = state_of(stack)
        if after_a_sweep:
            stack.find_learning_rate(source, phase=phase, steps=20, cache=cache, engine="keras", verbose=0)
            compare(state_of(stack), before)
        drawn = [random.random(), np.random.random(), float(keras.random.normal((1,))[0])]
        history = stack.fit(source, epochs=1, cache=cache, engine="keras", verbose=0)
        return [*state_of(stack), drawn, history.history["loss"]]

    compare(train(after_a_sweep=True), train(after_a_sweep=False))


def state_of(stack):
    """Weights and seeds, the optimizer, metrics, what learns."""
    variables = [*stack.model.variables, *stack.model.optimizer.variables, *stack.model.metrics_variables]
    learns = [layer.trainable for layer in stack.model._flatten_layers()]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables] + [np.array(learns)]


def compare(one, other):
    assert len(one) == len(other)
    for value, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_phases_own_optimizer_probe_and_layers_are_only_borrowed(make_stack, small_images, cache):
    stack = make_stack()
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    own = keras.optimizers.SGD(schedule)
    probe = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])
    phase = tl.Phase("base/last", 1, optimizer=own, probe=probe, loss_at="base", learning_rate_factors={"base": 0.5})
    random.seed(1)
    expected = random.random()
    random.seed(1)
    sweep = stack.find_learning_rate(small_images.source(), phase=phase, steps=20, cache=cache, verbose=0)
    assert random.random() == expected
    assert sweep.optimizer == "sgd"
    assert not own.built and not probe.built
    assert not stack.stages[0].model.trainable
    assert stack.model.optimizer is stack._compiled.optimizer


def test_strategies_agree_and_everything_may_learn(make_stack, small_images, cache):
    def losses(strategy):
        phase = tl.Phase("head", 1, strategy=strategy)
        options = {"steps": 20, "cache": cache, "engine": "keras", "verbose": 0}
        return make_stack().find_learning_rate(small_images.source(), phase=phase, **options).losses

    assert losses("precomputed") == losses("joint") == losses("streamed")


def test_where_nothing_is_frozen_nothing_is_kept(make_stack, small_images, cache):
    sweep = make_stack(trainable=True).find_learning_rate(small_images.source(), steps=20, cache=cache, verbose=0)
    assert np.isfinite(sweep.losses[0])
    assert list(cache.sets()) == []


def test_only_the_images_that_are_needed_are_looked_at(make_stack, small_images, cache):
    source = small_images.source(batch_size=1)
    stack = make_stack()
    stack.find_learning_rate(source, steps=20, cache=cache, verbose=0)
    history = stack.fit(source, epochs=1, cache=cache, verbose=0)
    (extraction,) = history.record.extractions
    assert (extraction["total"], extraction["extracted"]) == (40, 20)


def test_a_loss_that_is_no_number_before_the_first_step_is_an_error(make_stack, small_images, cache):
    stack = make_stack()
    stack.stages[1].model.layers[-1].kernel.assign(np.full((6, 2), np.nan))
    with pytest.raises(DivergedError, match="before a learning rate could do anything"):
        stack.find_learning_rate(small_images.source(), steps=20, cache=cache, verbose=0)


def test_what_cannot_be_is_refused(make_stack, small_images):
    source = small_images.source()
    for options in ({"steps": 19}, {"steps": 50.0}, {"lowest": 0}, {"lowest": 1.0, "highest": 0.1}):
        with pytest.raises(ArgumentError, match=r"steps is|lowest and highest"):
            make_stack().find_learning_rate(source, **options)
    frozen = make_stack()
    frozen.stages[1].model.trainable = False
    with pytest.raises(NothingToLearnError):
        frozen.find_learning_rate(source, verbose=0)
    with pytest.raises(ArgumentError, match="Call compile"):
        tl.Stack(frozen.stages).find_learning_rate(source)


# -- the picture ---------------------------------------------------------------------------------------------------


def test_a_plot_is_an_svg_or_a_png_with_what_is_suggested_in_it(tmp_path):
    sweep = sweep_of(CURVE)
    sweep.plot(tmp_path / "rates.svg")
    text = (tmp_path / "rates.svg").read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert f"suggested: {sweep.suggested:.1e}" in text
    sweep.plot(str(tmp_path / "rates.png"))
    with Image.open(tmp_path / "rates.png") as picture:
        assert picture.size == (1050, 600)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rates.png", "rates.svg"]


def test_a_plot_of_nothing_to_suggest_is_drawn_too(tmp_path):
    sweep_of(np.full(30, 2.0)).plot(tmp_path / "flat.png")
    assert (tmp_path / "flat.png").stat().st_size > 1000


def test_another_ending_and_a_missing_package_are_said(tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match=r"written as .svg or .png; got 'rates.jpg'"):
        sweep_of(CURVE).plot("rates.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(learning_rate, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'thawline\[report\]'"):
        sweep_of(CURVE).plot(tmp_path / "rates.png")
