"""A training that was interrupted goes on to the bits of one that was not, callbacks and random numbers included."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.data.sources.arrays import ImageArrays

EPOCHS = 9


class NoiseOfAll(keras.layers.Layer):
    """Draws from the seeds that everybody shares."""

    def call(self, inputs, training=False):
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs)) if training else inputs


class Wobbling(keras.callbacks.Callback):
    """Moves a weight by random numbers of its own, of NumPy's and of its past."""

    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(1)
        self.total = 0.0

    def on_epoch_end(self, epoch, logs=None):
        self.total += self.random.random() + np.random.random() + logs["loss"]
        bias = self.model.trainable_variables[-1]
        bias.assign_add([0.01 * self.total, 0.0])


class Speaking(keras.callbacks.Callback):
    """Keeps its own state, and sets the learning rate when it begins."""

    def __init__(self):
        super().__init__()
        self._hidden = {"epochs": 0}

    def on_train_begin(self, logs=None):
        self.model.optimizer.learning_rate = 0.02

    def on_epoch_end(self, epoch, logs=None):
        self._hidden["epochs"] += 1
        self.model.optimizer.learning_rate = 0.02 / self._hidden["epochs"]

    def get_state(self):
        return dict(self._hidden)

    def set_state(self, state):
        self._hidden = state


class Interrupt(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, 0):
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_end(self, logs=None):
        if self.at == "end":
            raise KeyboardInterrupt


def callbacks(folder):
    """Keras' own that have a state, and a user's. The loss falls, so that nothing is better than the first epoch."""
    worse = {"monitor": "loss", "mode": "max", "min_delta": 0.0}
    return [
        Wobbling(),
        Speaking(),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        keras.callbacks.ReduceLROnPlateau(**worse, patience=1, factor=0.5, cooldown=1),
        keras.callbacks.ModelCheckpoint(str(folder / "best.keras"), monitor="loss", mode="max", save_best_only=True),
        keras.callbacks.CSVLogger(str(folder / "log.csv")),
        keras.callbacks.EarlyStopping(**worse, patience=3, restore_best_weights=True),
    ]


@pytest.fixture(scope="module")
def images():
    """Two classes that are told apart by their brightness, so that the loss falls."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    pixels = (random.integers(0, 100, (20, 8, 8, 3)) + labels[:, None, None, None] * 150).astype("uint8")
    return ImageArrays(pixels, labels, batch_size=8, seed=7).augment(horizontal_flip=True)


def make_stack():
    keras.utils.set_random_seed(5)
    layers = keras.layers
    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu")])
    head = keras.Sequential(
        [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), NoiseOfAll(), layers.Dense(2, "softmax")]
    )
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(0, 1)), tl.Stage(head, "head")])
    stack.compile("adam", "categorical_crossentropy")
    return stack


def numbers(stack):
    variables = [*stack.model.variables, *stack.model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


@pytest.mark.parametrize(("strategy", "at"), [("joint", 1), ("precomputed", "end"), ("streamed", 3)])
def test_callbacks_and_random_numbers_go_on(strategy, at, images, tmp_path):
    def fit(name, *more, **options):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        stack, told = make_stack(), callbacks(folder)
        how = {"strategy": strategy, "views": 2, "engine": "keras", "verbose": 0}
        try:
            history = stack.fit(images, epochs=EPOCHS, callbacks=[*more, *told], **how, **options)
        finally:
            # A process that is killed closes its files as well.
            told[5].csv_file.close()
        return stack, history, told, folder

    whole, expected, _, whole_folder = fit("whole")
    # Early stopping has ended it, and its weights are those of an earlier epoch again.
    assert max(4, at if at != "end" else 0) <= len(expected.epoch) < EPOCHS
    with pytest.raises(KeyboardInterrupt):
        fit("pieces", Interrupt(at), checkpoint=tmp_path / "state")
    np.random.seed(1234)
    stack, history, told, folder = fit("pieces", checkpoint=tmp_path / "state")
    assert history.record.resumed_epochs == (len(expected.epoch) if at == "end" else at)
    assert (history.epoch, history.history) == (expected.epoch, expected.history)
    for mine, other in zip(numbers(stack), numbers(whole), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert (folder / "log.csv").read_text() == (whole_folder / "log.csv").read_text()
    best = [keras.saving.load_model(each / "best.keras", {"NoiseOfAll": NoiseOfAll}) for each in (folder, whole_folder)]
    for mine, other in zip(best[0].get_weights(), best[1].get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert told[1]._hidden == {"epochs": len(expected.epoch)}
