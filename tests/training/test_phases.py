"""Phases: each with its own loss, callbacks, early stopping and learning rates, in one history."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, NothingToLearnError

STRATEGIES = ["joint", "precomputed", "streamed"]


def numbers(part):
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in part.weights]


def assert_same_numbers(mine, other):
    for weight, expected in zip(mine, other, strict=True):
        np.testing.assert_array_equal(weight, expected)


class Noting(keras.callbacks.Callback):
    """Notes the epochs that it sees."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


# -- loss, metrics, callbacks, history -----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_phase_has_its_own_loss_and_metrics_and_afterwards_the_stack_has_its_own_again(
    strategy, small_images, make_stack, cache
):
    source = small_images.source()
    expected_stack, stack = make_stack(loss="mse", metrics=["mae"]), make_stack()
    how = {"validation_data": source, "cache": cache, "verbose": 0}
    expected = expected_stack.fit(source, epochs=2, strategy=strategy, **how)
    history = stack.fit(source, phases=[tl.Phase("head", 2, loss="mse", metrics=["mae"], strategy=strategy)], **how)
    assert history.history == expected.history
    assert_same_numbers(numbers(stack.model), numbers(expected_stack.model))
    # The loss of `compile`, by hand.
    answers = stack.predict(source, verbose=0)
    by_hand = -np.mean(np.log(answers[np.arange(40), small_images.labels]))
    figures = stack.evaluate(source, cache=cache, return_dict=True, verbose=0)
    assert figures == pytest.approx({"loss": by_hand, "accuracy": figures["accuracy"]}, rel=1e-4)
    assert stack.model.loss == "categorical_crossentropy"


def test_callbacks_of_a_phase_run_in_that_phase_only(small_images, make_stack, cache):
    always, once = Noting(), Noting()
    phases = [tl.Phase("head", 2), tl.Phase("head", 1, callbacks=[once]), tl.Phase("head", 1)]
    make_stack().fit(small_images.source(), phases=phases, callbacks=[always], cache=cache, verbose=0)
    assert (always.epochs, once.epochs) == ([0, 1, 2, 3], [2])


def test_the_history_is_one_and_knows_its_phases(small_images, make_stack, cache):
    """A figure that a phase does not have is NaN in its epochs, so that every column has a value per epoch."""
    phases = [
        tl.Phase("head", 2, views=1),
        tl.Phase(["head", "base/last"], 1, strategy="joint", metrics=["mae"]),
        tl.Phase(None, 2, strategy="streamed"),
    ]
    source = small_images.source().augment(horizontal_flip=True)
    history = make_stack().fit(source, phases=phases, cache=cache, verbose=0)
    assert history.epoch == [0, 1, 2, 3, 4]
    isnan = {name: np.isnan(values).tolist() for name, values in history.history.items()}
    assert isnan == {
        "loss": [False] * 5,
        "accuracy": [False, False, True, False, False],
        "mae": [True, True, False, True, True],
    }
    assert [
        (mark.name, mark.first_epoch, mark.last_epoch, mark.strategy, mark.views, mark.learned)
        for mark in history.phases
    ] == [
        ("phase 1", 0, 1, "precomputed", 1, ("head",)),
        ("phase 2", 2, 2, "joint", 1, ("head", "base/last")),
        ("phase 3", 3, 4, "streamed", 2, ("base", "head")),
    ]


# -- early stopping ------------------------------------------------------------------------------------------------

# No epoch is ever better by so much than the first one.
WORST = {"monitor": "loss", "mode": "max", "min_delta": 100}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_early_stopping_sets_weights_and_statistics_back_to_the_best_epoch(strategy, small_images, make_stack, cache):
    """The best epoch is the first: the weights are those of a training of one epoch, BatchNormalization's too."""
    learning = ["head", "base/normalization", "base/last"]
    source = small_images.source()
    expected, stack, later = make_stack(), make_stack(), make_stack()
    phase = {"train": learning, "strategy": strategy}
    how = {"validation_data": source, "cache": cache, "verbose": 0}
    expected.fit(source, phases=[tl.Phase(epochs=1, **phase)], **how)
    later.fit(source, phases=[tl.Phase(epochs=3, **phase)], **how)
    history = stack.fit(source, phases=[tl.Phase(epochs=9, early_stopping={"patience": 2, **WORST}, **phase)], **how)
    assert history.epoch == [0, 1, 2]
    assert (history.phases[0].last_epoch, history.phases[0].best_epoch) == (2, 0)
    assert_same_numbers(numbers(stack.model), numbers(expected.model))
    statistics = [number for number, weight in enumerate(stack.model.weights) if "moving" in weight.path]
    assert any(not np.array_equal(numbers(stack.model)[at], numbers(later.model)[at]) for at in statistics)


@pytest.mark.parametrize("has_validation", [True, False])
def test_a_patience_watches_the_validation_loss_where_there_is_one(has_validation, small_images, make_stack, cache):
    """With a rate of 0 nothing gets better: the first epoch is the best."""
    stack = make_stack(optimizer=keras.optimizers.SGD(0.0))
    source = small_images.source()
    watched = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: watched.append(set(logs)))
    history = stack.fit(
        source,
        validation_data=source if has_validation else None,
        phases=[tl.Phase("head", 9, early_stopping=3), tl.Phase("head", 1)],
        callbacks=[note],
        cache=cache,
        shuffle=False,
        verbose=0,
    )
    # The next phase counts on.
    assert history.epoch == [0, 1, 2, 3, 4]
    assert ("val_loss" in watched[0]) == has_validation


def test_early_stopping_of_a_figure_that_rises_needs_no_mode(small_images, make_stack, cache):
    source = small_images.source()
    phase = tl.Phase("head", 20, learning_rate=0.1, early_stopping={"patience": 2, "monitor": "val_accuracy"})
    history = make_stack().fit(source, validation_data=source, phases=[phase], cache=cache, verbose=0)
    values = history.history["val_accuracy"]
    assert history.phases[0].best_epoch == int(np.argmax(values))
    assert len(values) == min(int(np.argmax(values)) + 3, 20)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_keras_early_stopping_works_on_the_stacks_model(strategy, small_images, make_stack, cache):
    """It finds out by itself that accuracy should rise, and restores the whole stack's best weights."""
    source = small_images.source()
    expected, stack = make_stack(), make_stack()
    worst = keras.callbacks.EarlyStopping(**WORST, patience=2, restore_best_weights=True)
    rising = keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=50)
    how = {"validation_data": source, "cache": cache, "verbose": 0}
    expected.fit(source, epochs=1, strategy=strategy, **how)
    history = stack.fit(source, phases=[tl.Phase("head", 9, callbacks=[worst, rising], strategy=strategy)], **how)
    assert history.epoch == [0, 1, 2]
    assert rising.monitor_op(1.0, 0.5)
    assert_same_numbers(numbers(stack.model), numbers(expected.model))


@pytest.mark.parametrize(
    ("stopping", "says"),
    [
        (
            {"patience": 2, "monitor": "acc"},
            "early_stopping watches 'acc', but an epoch gives accuracy, loss. Name one",
        ),
        (
            {"patience": 2, "monitor": "val_loss"},
            "early_stopping watches 'val_loss', but an epoch gives accuracy, loss.",
        ),
    ],
)
def test_a_figure_that_is_not_there_is_named(stopping, says, small_images, make_stack, cache):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        make_stack().fit(
            small_images.source(), phases=[tl.Phase("head", 3, early_stopping=stopping)], cache=cache, verbose=0
        )


# -- learning rates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("factors", "expected"),
    [({"base": 0.1}, 1e-3), ({"base": 0.1, "base/la*": 0.02}, 2e-4), ({"base/la*": 0.02, "base": 0.1}, 1e-3)],
    ids=["stage", "the last one counts", "the other way round"],
)
def test_a_factor_scales_how_far_a_layer_moves(factors, expected, strategy, small_images, make_stack, cache):
    """The first step of Adam moves every weight by its rate, so that the factor can be read off the weights."""
    stack = make_stack(optimizer=keras.optimizers.Adam(0.01, epsilon=1e-12))
    layers = (stack.stages[0].model.get_layer("last"), stack.stages[1].model.layers[-1])
    before = [numbers(layer)[0] for layer in layers]
    phase = tl.Phase(["base/last", "head"], 1, learning_rate_factors=factors, strategy=strategy)
    stack.fit(small_images.source(batch_size=40), phases=[phase], cache=cache, verbose=0)
    moved = [np.abs(numbers(layer)[0] - value).max() for layer, value in zip(layers, before, strict=True)]
    assert moved == pytest.approx([expected, 1e-2], rel=1e-2)


def test_factors_end_with_their_phase_and_the_optimizer_goes_on(small_images, make_stack, cache, tmp_path):
    """The saved stack has the plain optimizer with its state, which plain Keras reads."""
    stack = make_stack()
    phase = tl.Phase("head", 1, learning_rate_factors={"head": 0.5})
    stack.fit(small_images.source(), phases=[phase], cache=cache, verbose=0)
    stack.save(tmp_path / "stack.keras")
    model = keras.saving.load_model(tmp_path / "stack.keras")
    assert type(model.optimizer).__name__ == "Adam"
    assert int(model.optimizer.iterations) == int(stack.model.optimizer.iterations) == 2
    plain, before = keras.optimizers.SGD(1.0), numbers(stack.stages[1].model)
    assert "update_step" not in vars(stack.model.optimizer)
    stack.fit(small_images.source(batch_size=40), phases=[tl.Phase("head", 1, optimizer=plain)], cache=cache, verbose=0)
    assert not np.array_equal(numbers(stack.stages[1].model)[0], before[0])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (
            {"train": "head", "learning_rate_factors": {"base": 0.1}},
            ArgumentError,
            "Phase 1 has a learning_rate_factor for 'base', in which nothing learns. Name it in train, too",
        ),
        (
            {"train": "head", "learning_rate_factors": {"haed": 0.1}},
            ArgumentError,
            "'haed' matches no stage and no layer.",
        ),
        (
            {"train": "base/re_lu*"},
            NothingToLearnError,
            "Phase 1 would learn nothing: 'base/re_lu*' matches only layers without weights (base/re_lu",
        ),
        (
            {
                "train": "head",
                "optimizer": keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(1.0, 9, 0.5)),
                "learning_rate": 0.1,
            },
            ArgumentError,
            "Phase 1 has a learning_rate, but its optimizer has a schedule or several rates.",
        ),
    ],
    ids=["nothing learns there", "no such layer", "no weights", "schedule"],
)
def test_a_phase_that_cannot_work_is_named(options, error, says, small_images, make_stack, cache):
    with pytest.raises(error, match=re.escape(says)):
        make_stack().fit(small_images.source(), phases=[tl.Phase(epochs=1, **options)], cache=cache, verbose=0)


def test_a_wrong_phase_is_found_before_the_first_one_runs(small_images, make_stack, cache):
    stack = make_stack()
    before, noting = numbers(stack.model), Noting()
    with pytest.raises(ArgumentError, match="'haed' matches no stage"):
        stack.fit(
            small_images.source(),
            phases=[tl.Phase("head", 1), tl.Phase("haed", 1)],
            callbacks=[noting],
            cache=cache,
            verbose=0,
        )
    assert noting.epochs == []
    assert_same_numbers(numbers(stack.model), before)


# -- the line moves ------------------------------------------------------------------------------------------------


def test_features_of_the_old_line_stay_and_are_never_taken_for_the_new_one(small_images, make_stack, cache):
    """Each phase is trained as without a cache; only where the frozen weights are those of before, nothing is run."""
    source = small_images.source()
    up, down = tl.Phase("head", 1), tl.Phase(["head", "base/last"], 1)

    def fit(stack, *phases):
        done = stack.fit(source, phases=phases, cache=cache, verbose=0).record.extractions
        return [each["extracted"] for each in done]

    stack = make_stack()
    # The third phase has the line of the first one, but another layer below it: it has learned meanwhile.
    assert fit(stack, up, down, up) == [40, 40, 40]
    expected = make_stack()
    streamed = [tl.Phase(phase.train, 1, strategy="streamed") for phase in (up, down, up)]
    expected.fit(source, phases=streamed, verbose=0)
    assert_same_numbers(numbers(stack.model), numbers(expected.model))
    # The first weights again: both lines are known.
    assert fit(make_stack(), up, down) == [0, 0]
    assert fit(make_stack(), down) == [0]
