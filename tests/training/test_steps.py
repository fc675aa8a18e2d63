"""Several steps in one go: nobody can tell but by the clock."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, DivergedError
from thawline.training.phase_fit import PhaseFit
from thawline.training.steps import choose_steps, looks_at_batches


@pytest.fixture
def steps_taken(monkeypatch):
    """Notes for each phase how many steps Keras takes in one go."""
    taken, run = [], PhaseFit.run

    def noting(self, *arguments):
        taken.append(self.steps)
        seconds = run(self, *arguments)
        assert self.model.steps_per_execution == self.steps
        return seconds

    monkeypatch.setattr(PhaseFit, "run", noting)
    return taken


def decaying():
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, decay_steps=3, decay_rate=0.9)
    return keras.optimizers.SGD(rate, momentum=0.9, clipnorm=1.0)


OPTIONS = {
    "a short last batch": {"batch_size": 3},
    "as many as fit": {"batch_size": 1, "count": 32},
    "one more": {"batch_size": 1, "count": 33},
    "fewer than one go": {"batch_size": 16},
    "a schedule": {"batch_size": 2, "optimizer": decaying},
    "weights": {"batch_size": 2, "weights": True, "class_weight": {1: 3.0}},
    "statistics and a longer suffix": {"batch_size": 2, "train": ["head", "base/normalization", "base/last"]},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_every_epoch_gives_the_same_bits(case, small_images, make_stack, cache, steps_taken):
    options = OPTIONS[case]
    source = small_images.source(batch_size=options["batch_size"]).select(range(options.get("count", 40)))
    if "weights" in options:
        source.weights = np.linspace(0, 4, 40).astype(np.float32)
    phases = [tl.Phase(options.get("train", "head"), 3, strategy="precomputed", views=2)]
    found = []
    for steps in (1, "auto"):
        metrics = ["accuracy", keras.metrics.AUC(name="auc")]
        optimizer = options.get("optimizer", lambda: None)()
        stack = make_stack(dropout=0.4, optimizer=optimizer, metrics=metrics, steps_per_execution=steps)
        history = stack.fit(
            source.augment(horizontal_flip=True),
            validation_data=small_images.source(batch_size=2).select(range(0, 40, 7)),
            phases=phases,
            cache=cache,
            verbose=0,
            class_weight=options.get("class_weight"),
        )
        variables = stack.model.variables + stack.model.optimizer.variables
        state = [keras.ops.convert_to_numpy(variable) for variable in variables]
        found.append((history.history, state))
    assert steps_taken == [1, 16]
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(one, two) for one, two in zip(found[0][1], found[1][1], strict=True))


def test_an_interrupted_training_goes_on_to_the_same_bits(small_images, make_stack, cache, tmp_path, steps_taken):
    source = small_images.source(batch_size=2)

    def fit(stack, **options):
        return stack.fit(source, epochs=4, cache=cache, verbose=0, **options)

    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    expected, stack = make_stack(steps_per_execution=1), make_stack()
    history = fit(expected)
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(stack, callbacks=[callback], checkpoint=tmp_path / "state")
    stack = make_stack()
    assert fit(stack, checkpoint=tmp_path / "state").history == history.history
    assert steps_taken == [1, 16, 16]
    for one, two in zip(stack.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


class Batches(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.train, self.test = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.train.append(batch)

    def on_test_batch_begin(self, batch, logs=None):
        self.test.append(batch)


def test_a_callback_that_looks_at_batches_sees_every_one(small_images, make_stack, cache, steps_taken):
    callback, source = Batches(), small_images.source(batch_size=2)
    make_stack().fit(source, validation_data=source, epochs=2, callbacks=[callback], cache=cache, verbose=0)
    assert callback.train == callback.test == 2 * list(range(20))
    assert steps_taken == [1]


def test_a_phases_own_callback_counts_for_its_phase(small_images, make_stack, cache, steps_taken):
    phases = [tl.Phase("head", 1, callbacks=[Batches()]), tl.Phase("head", 1)]
    make_stack().fit(small_images.source(), phases=phases, cache=cache, verbose=0)
    assert steps_taken == [1, 16]


@pytest.mark.parametrize(
    ("expected", "compiled", "trained"),
    [
        (1, {"steps_per_execution": 1}, {}),
        (3, {"steps_per_execution": 3}, {}),
        (1, {"run_eagerly": True}, {}),
        (1, {}, {"strategy": "joint"}),
        (1, {}, {"strategy": "streamed"}),
        (16, {}, {"strategy": "precomputed"}),
    ],
    ids=str,
)
def test_when_several_steps_are_taken(expected, compiled, trained, small_images, make_stack, cache, steps_taken):
    make_stack(**compiled).fit(small_images.source(), cache=cache, verbose=0, **trained)
    assert steps_taken == [expected]


def test_where_images_may_be_left_out_each_step_looks_whether_there_is_a_batch(
    small_images, make_stack, cache, steps_taken
):
    source = small_images.source()
    make_stack().fit(small_images.source(on_error="skip"), cache=cache, verbose=0)
    make_stack().fit(source, validation_data=small_images.source(on_error="skip"), cache=cache, verbose=0)
    assert steps_taken == [1, 1]


def test_a_loaded_stack_chooses_as_the_saved_one_did(small_images, make_stack, cache, steps_taken, tmp_path):
    for steps in ("auto", np.int64(4)):
        stack = make_stack(steps_per_execution=steps)
        stack.fit(small_images.source(), cache=cache, verbose=0)
        stack.save(tmp_path / "stack.keras")
        tl.load(tmp_path / "stack.keras").fit(small_images.source(), cache=cache, verbose=0)
    assert steps_taken == [16, 16, 4, 4]


@pytest.mark.parametrize("steps", [0, "many", 1.5])
def test_steps_that_cannot_be_are_refused(steps, make_stack):
    with pytest.raises(ArgumentError, match=r"steps_per_execution is a whole number from 1 up, or 'auto'; got"):
        make_stack(steps_per_execution=steps)


def test_a_loss_that_is_not_finite_is_found_among_several_steps(small_images, make_stack, cache, steps_taken):
    """The weights are those of the last good epoch, whichever step it was."""
    source = small_images.source(batch_size=2)

    def spoil(epoch, logs):
        if epoch == 1:
            kernel.assign(kernel * np.nan)

    expected, stack = make_stack(), make_stack()
    expected.fit(source, epochs=1, cache=cache, verbose=0)
    kernel = stack.stages[1].model.layers[-1].kernel
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=spoil)
    with pytest.raises(
        DivergedError, match=r"The loss became nan in phase 1: head, epoch 2, one of the batches 1 to 16\. L"
    ):
        stack.fit(source, epochs=3, callbacks=[callback], cache=cache, verbose=0)
    assert steps_taken == [16, 16]
    for one, two in zip(stack.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_stop_after_an_epoch_is_obeyed(small_images, make_stack, cache, steps_taken):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    history = make_stack().fit(small_images.source(), epochs=9, callbacks=[Stop()], cache=cache, verbose=0)
    assert history.epoch == [0, 1]
    assert steps_taken == [16]


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (keras.callbacks.EarlyStopping(), False),
        (keras.callbacks.ReduceLROnPlateau(), False),
        (keras.callbacks.CSVLogger("log.csv"), False),
        (keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate), False),
        (keras.callbacks.ModelCheckpoint("best.keras"), False),
        (keras.callbacks.ModelCheckpoint("best.keras", save_freq=10), True),
        (keras.callbacks.BackupAndRestore("backup"), False),
        (keras.callbacks.LambdaCallback(on_epoch_end=print), False),
        (keras.callbacks.LambdaCallback(on_train_batch_end=print), True),
        (keras.callbacks.LambdaCallback(on_test_batch_begin=print), True),
        (keras.callbacks.TerminateOnNaN(), True),
        (keras.callbacks.CallbackList([keras.callbacks.History()]), False),
        (keras.callbacks.CallbackList([Batches()]), True),
        (Batches(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_who_looks_at_batches(callback, expected):
    assert looks_at_batches(callback) == expected


def test_heavy_steps_are_taken_one_by_one(make_stack):
    """Of the 16 x 16 images' suffixes here a step is light; on a hundred thousand images at once it is not."""
    cut = make_stack().cut()
    assert choose_steps(cut, 32, []) == 16
    assert choose_steps(cut, 10**6, []) == 1


def test_keras_traces_a_step_once_for_training_and_once_for_measuring(small_images, cache):
    """Short last batches and metrics included: each trace takes a part of a second, in every phase."""
    traced = []

    class Counting(keras.layers.Layer):
        def call(self, rows, training=False):
            traced.append(training)
            return rows

    base = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten()])
    head = keras.Sequential([Counting(), keras.layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(0, 1)), tl.Stage(head, "head")])
    stack.compile("adam", "categorical_crossentropy", metrics=["accuracy"], weighted_metrics=[keras.metrics.AUC()])
    source = small_images.source()
    stack.fit(source, validation_data=source, epochs=1, cache=cache, verbose=0)
    traced.clear()
    stack.fit(source, validation_data=source, epochs=2, cache=cache, verbose=0)
    assert [training for training in traced if training is not None] in ([True, False], [False, True, False])
