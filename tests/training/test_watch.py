"""What goes wrong in a phase: numbers that are not finite, frozen weights that move, interruptions."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import DivergedError, FrozenWeightsMovedError, RunError

layers = keras.layers
STRATEGIES = ["joint", "precomputed", "streamed"]


def numbers(part):
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in part.weights]


def assert_same_numbers(mine, other):
    for weight, expected in zip(mine, other, strict=True):
        np.testing.assert_array_equal(weight, expected)


class Breaking(keras.callbacks.Callback):
    """Makes a weight NaN at an epoch, before its first batch or after its last one."""

    def __init__(self, weight, epoch, *, at_end=False):
        super().__init__()
        self.weight, self.at, self.at_end, self.now = weight, epoch, at_end, -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch
        if epoch == self.at and not self.at_end:
            self.weight.assign(self.weight * np.nan)

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.at, 1) and self.at_end:
            self.weight.assign(self.weight * np.nan)


# -- NaN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_loss_that_becomes_nan_stops_with_the_weights_of_the_last_good_epoch(
    strategy, small_images, make_stack, cache
):
    """Statistics of BatchNormalization included. The error says where, and what to do."""
    learning = ["head", "base/normalization", "base/last"]
    source = small_images.source()
    expected, stack = make_stack(), make_stack()
    expected.fit(source, phases=[tl.Phase("head", 1), tl.Phase(learning, 2, strategy=strategy)], cache=cache, verbose=0)
    kernel = stack.stages[1].model.layers[-1].kernel
    with pytest.raises(DivergedError) as failure:
        stack.fit(
            source,
            phases=[tl.Phase("head", 1), tl.Phase(learning, 5, strategy=strategy)],
            callbacks=[Breaking(kernel, 3)],
            cache=cache,
            verbose=0,
        )
    assert str(failure.value) == (
        "The loss became nan in phase 2: head, base/normalization, base/last, epoch 4, batch 1. Lower the learning "
        "rate (it is 0.01), clip the gradients (clipnorm=1.0 in the optimizer), or look at the labels and at the "
        "value_range of the first stage. The weights are set back to what they were after epoch 3."
    )
    assert_same_numbers(numbers(stack.model), numbers(expected.model))


def test_a_rate_that_is_far_too_high_is_found(small_images, make_stack, cache):
    stack = make_stack(optimizer=keras.optimizers.SGD(1e30), loss="mse")
    before = numbers(stack.model)
    stack.stages[1].model.layers[-1].activation = keras.activations.linear
    linear = tl.Stack(stack.stages)
    linear.compile(optimizer=keras.optimizers.SGD(1e30), loss="mse")
    with pytest.raises(
        DivergedError, match=r"The loss became (nan|inf) in phase 1: head, epoch 1, one of the batches 1 to 2\. Lower"
    ):
        linear.fit(small_images.source(), cache=cache, verbose=0)
    assert_same_numbers(numbers(linear.model), before)


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_weight_that_is_nan_after_the_last_batch_is_neither_kept_nor_saved(
    has_checkpoint, small_images, make_stack, cache, tmp_path
):
    source, saved = small_images.source(), []

    class Saving(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            saved.append(numbers(self.model))

    stack = make_stack()
    bias = stack.stages[1].model.layers[-1].bias
    how = {"checkpoint": tmp_path / "state"} if has_checkpoint else {}
    callbacks = [Breaking(bias, 2, at_end=True), Saving()]
    with pytest.raises(DivergedError, match=r"Weight '.*bias' is no longer finite in phase 1: head, epoch 3\. Lower"):
        stack.fit(source, epochs=5, callbacks=callbacks, cache=cache, verbose=0, **how)
    assert len(saved) == 2
    assert_same_numbers(numbers(stack.model), saved[-1])
    if has_checkpoint:
        expected, again = make_stack(), make_stack()
        history = again.fit(source, epochs=5, cache=cache, verbose=0, **how)
        assert history.record.resumed_epochs == 2
        expected.fit(source, epochs=5, cache=cache, verbose=0)
        assert_same_numbers(numbers(again.model), numbers(expected.model))


def test_after_nan_the_optimizer_starts_anew(small_images, make_stack, cache):
    """Its moments are NaN, too: the next fit would fail at once."""
    source, stack = small_images.source(), make_stack()
    kernel = stack.stages[1].model.layers[-1].kernel
    with pytest.raises(DivergedError):
        stack.fit(source, callbacks=[Breaking(kernel, 0)], cache=cache, verbose=0)
    history = stack.fit(source, epochs=2, cache=cache, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# -- frozen is frozen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_frozen_layer_above_the_line_is_watched_and_named(strategy, small_images, make_stack, cache):
    """Only the convolution below it learns, so that the head lies above the line, frozen."""
    stack = make_stack()
    kernel = stack.stages[1].model.layers[-1].kernel
    moving = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kernel.assign_add(kernel * 0 + 1e-3))
    says = f"A frozen weight changed in phase 2: 'kernel' of layer 'head/{stack.stages[1].model.layers[-1].name}'."
    with pytest.raises(FrozenWeightsMovedError, match=re.escape(says)):
        stack.fit(
            small_images.source(),
            phases=[tl.Phase("head", 1), tl.Phase("base/last", 1, strategy=strategy, callbacks=[moving])],
            cache=cache,
            verbose=0,
        )


def noisy_base():
    """Everything that behaves differently in training, with a layer that can be thawed in the middle."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.GaussianNoise(1.0),
            layers.Conv2D(4, 3, strides=2, name="below"),
            layers.BatchNormalization(name="below_normalization"),
            layers.SpatialDropout2D(0.5),
            layers.Conv2D(4, 3, name="learning"),
            layers.BatchNormalization(name="above_normalization"),
            layers.ReLU(),
        ],
        name="base_model",
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_noise_dropout_and_statistics_stand_still_below_the_line_and_frozen_statistics_above_it(
    strategy, small_images, make_stack, cache
):
    """With a rate of 0, training and validation on the same images lose the same: nothing is random."""
    stack = make_stack(base=noisy_base, optimizer=keras.optimizers.SGD(0.0))
    before, source = numbers(stack.model), small_images.source()
    history = stack.fit(
        source,
        validation_data=source,
        phases=[tl.Phase("base/learning", 2, strategy=strategy)],
        cache=cache,
        shuffle=False,
        verbose=0,
    ).history
    assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-6)
    assert_same_numbers(numbers(stack.model), before)


def test_frozen_statistics_above_the_line_do_not_move_while_a_layer_below_them_learns(small_images, make_stack, cache):
    stack = make_stack(base=noisy_base)
    base = stack.stages[0].model
    above, learning = base.get_layer("above_normalization"), base.get_layer("learning")
    before, started = numbers(above), numbers(learning)
    stack.fit(small_images.source(), phases=[tl.Phase("base/learning", 2)], cache=cache, verbose=0)
    assert_same_numbers(numbers(above), before)
    assert not np.array_equal(numbers(learning)[0], started[0])


# -- interrupted and continued ---------------------------------------------------------------------------------------


def probe():
    keras.utils.set_random_seed(11)
    return keras.Sequential(
        [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(2, "softmax")], name="probe_model"
    )


def phases(callbacks=()):
    """Everything that has a state of its own: a probe, early stopping, factors. Made anew, as in a new process."""
    stopping = {"patience": 2, "monitor": "loss", "mode": "max"}
    return [
        tl.Phase("base/last", 3, probe=probe(), early_stopping={**stopping, "patience": 9}, callbacks=callbacks),
        tl.Phase(
            ["head", "base/last"],
            9,
            early_stopping=stopping,
            learning_rate_factors={"base": 0.1},
            callbacks=callbacks,
        ),
        tl.Phase("head", 2, loss="mse", metrics=["mae"], callbacks=callbacks),
    ]


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C in the middle of an epoch, or when a phase ends."""

    def __init__(self, epoch, *, at_end=False):
        super().__init__()
        self.at, self.at_end, self.now = epoch, at_end, -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.at, 0) and not self.at_end:
            raise KeyboardInterrupt

    def on_train_end(self, logs=None):
        if self.now == self.at and self.at_end:
            raise KeyboardInterrupt


def fit_phases(stack, source, cache, callbacks=(), **options):
    # The engine is named because what several tests share is made before "auto" is told to be Keras'.
    return stack.fit(source, phases=phases(callbacks), cache=cache, engine="keras", verbose=0, **options)


@pytest.fixture(scope="module")
def uninterrupted(small_images, make_stack, tmp_path_factory):
    """The history and the stack of a training that nobody interrupts."""
    stack = make_stack()
    history = fit_phases(stack, small_images.source(), tl.FeatureCache(tmp_path_factory.mktemp("cache")))
    assert history.epoch == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [mark.best_epoch for mark in history.phases] == [0, 3, None]
    return history, stack


@pytest.mark.parametrize(
    ("at", "at_end"),
    [(0, False), (2, False), (2, True), (4, False), (5, True), (6, False)],
    ids=[
        "the probe's first epoch",
        "the probe's last epoch",
        "before the best weights come back",
        "while waiting for a better epoch",
        "stopped early",
        "the last phase",
    ],
)
def test_probes_early_stopping_and_factors_go_on_to_the_same_bits(
    at, at_end, uninterrupted, small_images, make_stack, cache, tmp_path
):
    expected, expected_stack = uninterrupted

    def fit(stack, **options):
        return fit_phases(stack, small_images.source(), cache, checkpoint=tmp_path / "state", **options)

    with pytest.raises(KeyboardInterrupt):
        fit(make_stack(), callbacks=[Interrupt(at, at_end=at_end)])
    stack = make_stack()
    history = fit(stack)
    assert history.epoch == expected.epoch
    np.testing.assert_equal(history.history, expected.history)  # NaN is equal to NaN here
    assert history.phases == expected.phases
    assert_same_numbers(numbers(stack.model), numbers(expected_stack.model))
    # A third call has nothing left to do.
    again = make_stack()
    assert fit(again).phases == expected.phases
    assert_same_numbers(numbers(again.model), numbers(expected_stack.model))


def test_a_stage_that_was_renamed_is_named(small_images, make_stack, cache, tmp_path):
    how = {"cache": cache, "checkpoint": tmp_path / "state", "verbose": 0}
    stack = make_stack()
    stack.fit(small_images.source(), **how)
    base, head = (stage.model for stage in make_stack().stages)
    renamed = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "top")])
    renamed.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(RunError, match="another training: stage 'head' is called 'top' now; name it as before"):
        renamed.fit(small_images.source(), **how)


def test_a_saved_stack_names_its_stages_to_phases(small_images, make_stack, cache, tmp_path):
    stack = make_stack()
    stack.fit(small_images.source(), cache=cache, verbose=0)
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    with pytest.raises(ValueError, match=r"'top' matches no stage and no layer. Stages are base, head; near are"):
        loaded.fit(small_images.source(), phases=[tl.Phase("top", 1)], cache=cache, verbose=0)
