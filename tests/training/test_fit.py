"""fit, evaluate and predict, against plain Keras where it can do the same."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import (
    ArgumentError,
    DataError,
    FrozenWeightsMovedError,
    JointError,
    NothingToLearnError,
    RunError,
    UnreadableImageError,
)

STRATEGIES = ["joint", "precomputed", "streamed"]


def numbers(part):
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in part.weights]


def assert_same_numbers(mine, other):
    for weight, expected in zip(mine, other, strict=True):
        np.testing.assert_array_equal(weight, expected)


def learning_base():
    return keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, strides=2), keras.layers.BatchNormalization()],
        name="base_model",
    )


# -- against plain Keras -----------------------------------------------------------------------------------------


def keras_fit(stack, images, epochs, **options):
    """What Keras itself makes of the same stack and arrays, in the order of the files."""
    pixels, targets = images.pixels.astype("float32"), images.one_hot
    return stack.model.fit(pixels, targets, batch_size=32, epochs=epochs, shuffle=False, verbose=0, **options)


def test_fit_is_keras_fit_when_everything_learns(small_images, make_stack):
    """Losses, metrics and weights bit for bit; the short last batch of 8 counts as in Keras."""
    options = {"base": learning_base, "trainable": True, "jit_compile": False}
    expected_stack, stack = make_stack(**options), make_stack(**options)
    expected = keras_fit(expected_stack, small_images, epochs=3)
    history = stack.fit(small_images.source(), epochs=3, shuffle=False, verbose=0)
    assert history.history == expected.history
    assert_same_numbers(numbers(stack.model), numbers(expected_stack.model))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fit_is_keras_fit_when_the_base_is_frozen(strategy, small_images, make_stack, cache):
    """To 1e-5: Keras runs the short batch at its own shape. Without Dropout, which Keras does not switch off below."""

    def base():
        model = learning_base()
        model.trainable = False
        return model

    expected_stack, stack = make_stack(base=base), make_stack(base=base)
    weights = {0: 2.0, 1: 0.5}
    held_out = (small_images.pixels[:30].astype("float32"), small_images.one_hot[:30])
    expected = keras_fit(expected_stack, small_images, epochs=2, class_weight=weights, validation_data=held_out)
    source = small_images.source()
    history = stack.fit(
        source,
        validation_data=source.select(range(30)),
        epochs=2,
        strategy=strategy,
        class_weight=weights,
        cache=cache,
        shuffle=False,
        verbose=0,
    )
    assert history.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        np.testing.assert_allclose(history.history[name], values, rtol=1e-5)
    for mine, other in zip(numbers(stack.model), numbers(expected_stack.model), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_a_second_fit_goes_on_with_the_optimizers_state_as_keras_does(small_images, make_stack):
    options = {"base": learning_base, "trainable": True, "jit_compile": False}
    expected_stack, stack = make_stack(**options), make_stack(**options)
    expected = [keras_fit(expected_stack, small_images, epochs).history for epochs in (1, 2)]
    mine = [stack.fit(small_images.source(), epochs=epochs, shuffle=False, verbose=0).history for epochs in (1, 2)]
    assert mine == expected
    assert int(stack.model.optimizer.iterations) == 3 * 2


def test_evaluate_is_keras_evaluate(small_images, make_stack, cache):
    """As a dictionary, and as a list in the same order."""
    stack = make_stack(metrics=["mse", "accuracy"])
    arrays = (small_images.pixels.astype("float32"), small_images.one_hot)
    expected = stack.model.evaluate(*arrays, batch_size=32, verbose=0)
    by_name = stack.model.evaluate(*arrays, batch_size=32, verbose=0, return_dict=True)
    for strategy in STRATEGIES:
        how = {"strategy": strategy, "cache": cache, "verbose": 0}
        assert stack.evaluate(small_images.source(), **how) == pytest.approx(expected, rel=1e-6)
        assert stack.evaluate(small_images.source(), **how, return_dict=True) == pytest.approx(by_name, rel=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_predict_answers_in_the_order_of_the_images(strategy, small_images, make_stack, cache):
    stack = make_stack()
    expected = stack.model.predict(small_images.pixels.astype("float32"), verbose=0)
    source = small_images.source(batch_size=7)
    answers = stack.predict(source, strategy=strategy, cache=cache, verbose=0)
    np.testing.assert_allclose(answers, expected, atol=1e-6)
    picked = [3, 0, 39]
    np.testing.assert_allclose(
        stack.predict(source.select(picked), strategy=strategy, cache=cache, verbose=0), expected[picked], atol=1e-6
    )


def test_what_is_measured_is_never_augmented(small_images, make_stack, cache):
    plain = small_images.source()
    augmented = plain.augment(rotation_range=90, vertical_flip=True)
    stack = make_stack()
    assert stack.evaluate(augmented, cache=cache) == stack.evaluate(plain, cache=cache)
    assert np.array_equal(stack.predict(augmented), stack.predict(plain))
    history = stack.fit(plain, validation_data=augmented, cache=cache, verbose=0)
    assert history.history["val_loss"][-1] == stack.evaluate(plain, cache=cache)[0]


def test_predict_takes_files_without_labels_and_a_stack_that_was_not_compiled(small_images, make_stack):
    stack = make_stack()
    stack = tl.Stack(stack.stages)
    files = tl.ImageFiles([small_images.folder / "class1"], image_size=(16, 16))
    expected = stack.model.predict(small_images.pixels[20:].astype("float32"), verbose=0)
    np.testing.assert_allclose(stack.predict(files, verbose=0), expected, atol=1e-6)


# -- history and callbacks ---------------------------------------------------------------------------------------


def test_history_has_every_epoch_and_every_figure(small_images, make_stack, cache):
    source = small_images.source()
    history = make_stack().fit(source, validation_data=source, epochs=3, cache=cache, verbose=0)
    assert history.epoch == [0, 1, 2]
    assert history.history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {len(values) for values in history.history.values()} == {3}


def test_epochs_count_on_over_phases(small_images, make_stack, cache):
    noted = []
    history = make_stack().fit(
        small_images.source(),
        phases=[tl.Phase("head", 2), tl.Phase(["head", "base/last"], 1, learning_rate=1e-4)],
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: noted.append(epoch))],
        cache=cache,
        verbose=0,
    )
    assert history.epoch == noted == [0, 1, 2]
    assert [plan.epochs for plan in history.record.plans] == [2, 1]


def test_early_stopping_stops(small_images, make_stack, cache):
    stopping = keras.callbacks.EarlyStopping(monitor="loss", min_delta=100.0, patience=1)
    history = make_stack().fit(small_images.source(), epochs=9, callbacks=[stopping], cache=cache, verbose=0)
    assert history.epoch == [0, 1]


def test_reduce_on_plateau_lowers_the_rate_of_the_stacks_optimizer(small_images, make_stack, cache):
    stack = make_stack(optimizer=keras.optimizers.SGD(0.5))
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.1, patience=1, min_delta=100.0)
    stack.fit(small_images.source(), epochs=3, callbacks=[plateau], cache=cache, verbose=0)
    # Patience is over after the second and the third epoch.
    assert float(stack.model.optimizer.learning_rate) == pytest.approx(0.005)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_callbacks_see_the_whole_stack(strategy, small_images, make_stack, cache, tmp_path):
    stack = make_stack()
    saved = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(saved, monitor="loss")
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 1)
    )
    history = stack.fit(
        small_images.source(), epochs=4, strategy=strategy, cache=cache, callbacks=[checkpoint, stop], verbose=0
    )
    assert history.epoch == [0, 1]
    images = small_images.pixels.astype("float32")
    model = keras.saving.load_model(saved)
    assert np.array_equal(model.predict(images, verbose=0), stack.model.predict(images, verbose=0))


def test_the_classes_are_known_after_training(small_images, make_stack, cache):
    stack = make_stack()
    stack.fit(small_images.source(), cache=cache, verbose=0)
    assert stack.class_names == ("class0", "class1")


# -- views -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["joint", "streamed"])
def test_epoch_e_shows_view_e_mod_k(strategy, small_images, make_stack, monkeypatch):
    shown = []
    picture = tl.ImageFolder.picture
    noting = lambda self, *at: (shown.append(at), picture(self, *at))[1]  # noqa: E731
    monkeypatch.setattr(tl.ImageFolder, "picture", noting)
    source = small_images.source().augment(horizontal_flip=True)
    # An engine that is to be chosen would look at some beforehand.
    make_stack().fit(source, epochs=5, views=2, strategy=strategy, engine="keras", verbose=0)
    # Threads may change places, but not over the bounds of an epoch of 40 images.
    for epoch in range(5):
        assert sorted(shown[epoch * 40 : epoch * 40 + 40]) == [(index, epoch % 2) for index in range(40)]


# -- nothing is computed twice -----------------------------------------------------------------------------------


def extracted(history):
    return [(done["total"], done["extracted"]) for done in history.record.extractions]


def test_only_what_is_missing_is_extracted(own_images, make_stack, cache):
    source = own_images.source()
    train, added = source.select(range(30)), source
    assert extracted(make_stack().fit(train, epochs=2, cache=cache, verbose=0)) == [(30, 30)]
    # Another head, optimizer and batch size.
    again = make_stack(dropout=0.3, optimizer="sgd")
    assert extracted(again.fit(own_images.source(batch_size=8).select(range(30)), cache=cache, verbose=0)) == [(30, 0)]
    assert extracted(make_stack().fit(added, cache=cache, verbose=0)) == [(40, 10)]
    # Another base.
    assert extracted(make_stack(seed=4).fit(train, cache=cache, verbose=0)) == [(30, 30)]


def test_more_views_extract_the_new_ones_only(small_images, make_stack, cache):
    source = small_images.source().augment(rotation_range=20)
    assert extracted(make_stack().fit(source, epochs=2, cache=cache, verbose=0)) == [(80, 80)]
    assert extracted(make_stack().fit(source, epochs=9, views=3, cache=cache, verbose=0)) == [(120, 40)]


def test_evaluate_takes_the_features_of_validation(small_images, make_stack, cache, monkeypatch):
    source = small_images.source()
    stack = make_stack()
    history = stack.fit(source, validation_data=source, cache=cache, verbose=0)
    assert extracted(history) == [(40, 40), (40, 0)]
    monkeypatch.setattr(tl.ImageFolder, "image", lambda *arguments: pytest.fail("an image was read"))
    loss, accuracy = stack.evaluate(source, cache=cache, verbose=0)
    assert loss == pytest.approx(history.history["val_loss"][-1], rel=1e-6)
    assert accuracy == pytest.approx(history.history["val_accuracy"][-1])


# -- frozen means frozen -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frozen_weights_and_statistics_do_not_move(strategy, small_images, make_stack, cache):
    stack = make_stack()
    base, head = (stage.model for stage in stack.stages)
    before, head_before = numbers(base), numbers(head)
    stack.fit(small_images.source(), epochs=2, strategy=strategy, cache=cache, verbose=0)
    assert_same_numbers(numbers(base), before)
    assert not np.array_equal(numbers(head)[0], head_before[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_dropout_does_not_drop_below_the_line(strategy, small_images, make_stack, cache):
    """With a learning rate of 0, training and validation on the same images in the same batches lose the same."""
    stack = make_stack(optimizer=keras.optimizers.SGD(0.0))
    source = small_images.source()
    history = stack.fit(
        source, validation_data=source, strategy=strategy, cache=cache, shuffle=False, verbose=0
    ).history
    assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_callback_that_moves_a_frozen_weight_is_found(strategy, small_images, make_stack, cache):
    stack = make_stack()
    kernel = stack.stages[0].model.get_layer("conv").kernel
    moving = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kernel.assign_add(kernel * 0 + 1e-3))
    expected = (
        "A frozen weight changed in phase 1: 'kernel' of layer 'base/conv'. Something besides thawline assigns to it"
    )
    with pytest.raises(FrozenWeightsMovedError, match=re.escape(expected)):
        stack.fit(small_images.source(), strategy=strategy, callbacks=[moving], cache=cache, verbose=0)


def test_a_callback_may_move_a_weight_that_learns(small_images, make_stack, cache):
    stack = make_stack()
    bias = stack.stages[1].model.layers[-1].bias
    moving = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: bias.assign(bias * 0 + 7.0))
    stack.fit(small_images.source(), callbacks=[moving], cache=cache, verbose=0)
    np.testing.assert_array_equal(bias, [7.0, 7.0])


def test_a_phase_has_an_optimizer_like_the_compiled_one(small_images, make_stack, cache):
    """Neither the rate nor the optimizer of an earlier phase stays."""
    seen = []

    class Noting(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            optimizer = self.model.optimizer
            seen.append((type(optimizer).__name__, round(float(optimizer.learning_rate), 6)))

    make_stack().fit(
        small_images.source(),
        phases=[
            tl.Phase("head", 1, learning_rate=0.5),
            tl.Phase(["head", "base/last"], 1),
            tl.Phase(["head", "base/last"], 1, optimizer=keras.optimizers.SGD(0.2)),
            tl.Phase("head", 1),
        ],
        callbacks=[Noting()],
        cache=cache,
        verbose=0,
    )
    assert seen == [("Adam", 0.5), ("Adam", 0.01), ("SGD", 0.2), ("Adam", 0.01)]


# -- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_unreadable_image_is_named(strategy, own_images, make_stack, cache):
    source = own_images.source()
    source.paths[36].write_bytes(b"not an image")
    with pytest.raises(UnreadableImageError, match=re.escape(str(source.paths[36]))):
        make_stack().fit(source, strategy=strategy, cache=cache, shuffle=False, verbose=0)


def test_features_before_an_unreadable_image_are_kept(own_images, make_stack, cache):
    source = own_images.source()
    whole = source.paths[36].read_bytes()
    source.paths[36].write_bytes(b"not an image")
    # An engine that is to be chosen would meet the image before anything is extracted.
    with pytest.raises(UnreadableImageError):
        make_stack().fit(source, cache=cache, engine="keras", verbose=0)
    source.paths[36].write_bytes(whole)
    # 32 are an engine's batch.
    assert extracted(make_stack().fit(own_images.source(), cache=cache, verbose=0)) == [(40, 8)]


def test_everything_frozen_is_refused(small_images, make_stack, cache):
    stack = make_stack()
    stack.stages[1].model.trainable = False
    with pytest.raises(NothingToLearnError, match="Nothing would learn: all"):
        stack.fit(small_images.source(), cache=cache, verbose=0)


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_features_of_nothing_frozen_are_refused(strategy, small_images, make_stack):
    with pytest.raises(NothingToLearnError, match=f"strategy='{strategy}' needs a frozen part to run ahead, but"):
        make_stack(trainable=True).fit(small_images.source(), strategy=strategy, verbose=0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strategy": "fast"}, "strategy is 'auto', 'joint', 'precomputed', 'streamed'; got 'fast'."),
        ({"views": 0}, "views is a whole number from 1 up; got 0."),
        ({"epochs": 0}, "A phase's epochs are a whole number from 1 up; got 0."),
        ({"epochs": 2, "phases": [tl.Phase("head", 1)]}, "Give epochs or phases, not both: each phase has its own"),
        (
            {"strategy": "joint", "phases": [tl.Phase("head", 1)]},
            "With phases, strategy and views belong to each Phase.",
        ),
        ({"views": 2, "phases": [tl.Phase("head", 1)]}, "With phases, strategy and views belong to each Phase."),
        (
            {"phases": [tl.Phase("haed", 1)]},
            "'haed' matches no stage and no layer. Stages are base, head; near are head",
        ),
        ({"class_weight": {5: 1.0}}, "class_weight names class 5; classes are the numbers 0 to 1."),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_argument_that_cannot_work_is_named(options, says, small_images, make_stack, cache):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        make_stack().fit(small_images.source(), cache=cache, verbose=0, **options)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_a_stack_must_be_compiled(method, small_images, make_stack):
    stack = tl.Stack(make_stack().stages)
    with pytest.raises(ArgumentError, match=re.escape(f"Call compile(optimizer=..., loss=...) before {method}().")):
        getattr(stack, method)(small_images.source(), verbose=0)


def test_images_that_do_not_fit_are_refused_before_anything_runs(small_images, make_stack):
    stack, source = make_stack(), small_images.source(image_size=(8, 8))
    for method in (stack.fit, stack.evaluate, stack.predict):
        with pytest.raises(JointError, match=re.escape("Give the images image_size=(16, 16)")):
            method(source, verbose=0)


def test_validation_of_other_classes_is_refused(small_images, make_stack, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        source = small_images.folder / "class0" / "0000.png"
        (tmp_path / name / "1.png").write_bytes(source.read_bytes())
    other = tl.ImageFolder(tmp_path, image_size=(16, 16))
    with pytest.raises(DataError, match=r"not known: cat, dog \(2\)\..* known are class0, class1 \(2\)"):
        make_stack().fit(small_images.source(), validation_data=other, verbose=0)


# -- interrupted and continued -----------------------------------------------------------------------------------

PHASES = {
    "one phase": [tl.Phase(None, 4)],
    "two phases": [tl.Phase("head", 2), tl.Phase(["head", "base/last"], 3, learning_rate=1e-3)],
    "two phases of the same layers": [tl.Phase("head", 2), tl.Phase("head", 2, learning_rate=1e-3)],
}


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.now = epoch, -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.at, 0):
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("phases", "at", "is_new_process"),
    [
        ("one phase", 0, False),
        ("one phase", 2, True),
        ("two phases", 2, False),
        ("two phases", 4, True),
        ("two phases of the same layers", 3, True),
    ],
)
def test_an_interrupted_training_goes_on_to_the_same_bits(
    phases, at, is_new_process, small_images, make_stack, cache, tmp_path
):
    """Weights, losses and optimizer are equal bit for bit to a training that was not interrupted, Dropout included."""
    source = small_images.source().augment(horizontal_flip=True)

    def fit(stack, **options):
        return stack.fit(source, phases=PHASES[phases], cache=cache, verbose=0, **options)

    uninterrupted = make_stack(dropout=0.3)
    expected = fit(uninterrupted)
    stack = make_stack(dropout=0.3)
    with pytest.raises(KeyboardInterrupt):
        fit(stack, callbacks=[Interrupt(at)], checkpoint=tmp_path / "state")
    if is_new_process:
        stack = make_stack(dropout=0.3)
    history = fit(stack, checkpoint=tmp_path / "state")
    assert history.record.resumed_epochs == at
    assert history.epoch == expected.epoch
    assert history.history == expected.history
    assert_same_numbers(numbers(stack.model), numbers(uninterrupted.model))
    for mine, other in zip(stack.model.optimizer.variables, uninterrupted.model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_finished_training_is_not_trained_again(small_images, make_stack, cache, tmp_path):
    def fit(stack, **options):
        return stack.fit(
            small_images.source(), epochs=4, cache=cache, verbose=0, checkpoint=tmp_path / "state", **options
        )

    first, second = make_stack(), make_stack()
    history = fit(first, callbacks=[keras.callbacks.EarlyStopping(monitor="loss", min_delta=100.0, patience=1)])
    again = fit(second)
    assert again.epoch == history.epoch == [0, 1]
    assert again.history == history.history
    assert_same_numbers(numbers(second.model), numbers(first.model))


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({}, {"epochs": 3}, "phases was [{'train': [], 'epochs': 2}], is [{'train': [], 'epochs': 3}]"),
        ({"optimizer": "sgd"}, {}, "optimizer was Adam, is SGD"),
        ({}, {"shuffle": False}, "shuffle was True, is False"),
        ({"seed": 5}, {}, "the weights that did not learn were others"),
    ],
    ids=["epochs", "optimizer", "shuffle", "another base"],
)
def test_the_checkpoint_of_another_training_is_refused(
    changes, options, says, small_images, make_stack, cache, tmp_path
):
    source = small_images.source()
    make_stack().fit(source, epochs=2, cache=cache, checkpoint=tmp_path / "state", verbose=0)
    with pytest.raises(RunError, match=f"belongs to another training: .*{re.escape(says)}"):
        make_stack(**changes).fit(
            source, **{"epochs": 2, **options}, cache=cache, checkpoint=tmp_path / "state", verbose=0
        )
