"""A training that is killed in the middle of an epoch goes on there, with the bits of an undisturbed run."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.data.batches import epoch_order
from thawline.errors import ArgumentError, DivergedError
from thawline.training.checkpoints.checkpoint import Checkpoint
from thawline.training.checkpoints.every import as_seconds

# Less than any step takes: the state is kept after each of them.
ALWAYS = 1e-9

# 40 images in batches of 8: five steps per epoch.
BATCH = 8


class KilledError(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the process, so to speak, before a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self._at = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self._epoch, batch) == self._at:
            raise KilledError


class Book(keras.callbacks.Callback):
    """Writes down all that it is told, with numbers that it draws."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_train_begin(self, logs=None):
        self.told = ["begin"]

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(["epoch", epoch, float(np.random.random())])

    def on_train_batch_begin(self, batch, logs=None):
        self.told.append(["batch", batch])

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(["done", batch, *(float(value) for value in logs.values())])

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(["over", epoch, *(float(value) for value in logs.values())])


class Killed:
    """A training that is killed again and again, and one that is not."""

    def __init__(self, images, make_stack, cache, folder):
        self._images, self._make_stack, self._cache, self._folder = images, make_stack, cache, folder

    def fit(self, name, *callbacks, compiled=None, phases=None, source=None, **options):
        book = Book()
        stack = self._make_stack(
            **{
                "dropout": 0.5,
                "metrics": ["accuracy", keras.metrics.AUC(name="auc")],
                **(compiled() if compiled else {}),
            }
        )
        images = source or self._images.source(batch_size=BATCH).augment(horizontal_flip=True)
        how = {"checkpoint": self._folder / name, "checkpoint_every": ALWAYS, "cache": self._cache, "verbose": 0}
        history = stack.fit(
            images,
            validation_data=self._images.source(),
            phases=phases,
            callbacks=[book, *callbacks],
            **{**how, **options},
        )
        return stack, history, book

    def check(self, kills, **options):
        """Whoever goes on has told, measured and learned what an undisturbed run has."""
        expected, history, book = self.fit("whole", **options)
        for kill in kills:
            with pytest.raises(KilledError):
                self.fit("cut", Kill(*kill), **options)
        stack, again, own = self.fit("cut", Kill(99, 0), **options)
        assert again.history == history.history
        assert own.told == book.told
        for mine, other in zip(stack.model.get_weights(), expected.model.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)
        for mine, other in zip(stack.model.optimizer.variables, expected.model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.fixture
def killed(small_images, make_stack, cache, tmp_path):
    return Killed(small_images, make_stack, cache, tmp_path)


def phases(strategy):
    return [tl.Phase("head", 2, strategy=strategy), tl.Phase(["head", "base/last"], 2, strategy=strategy)]


@pytest.mark.parametrize("strategy", ["joint", "streamed", "precomputed"])
def test_an_epoch_goes_on_after_its_last_step_with_the_bits_of_an_undisturbed_run(strategy, killed):
    """Killed in the first epoch, in the same epoch again, before the last batch, and in the next phase."""
    killed.check([(0, 2), (0, 4), (1, 1), (2, 3)], phases=phases(strategy))


def test_averages_of_weights_and_collected_gradients_go_on(killed):
    def compiled():
        options = {"momentum": 0.9, "use_ema": True, "gradient_accumulation_steps": 2}
        return {"optimizer": keras.optimizers.SGD(0.1, **options)}

    killed.check([(0, 3), (1, 2)], phases=phases("joint"), compiled=compiled)


def test_metrics_that_make_their_variables_late_go_on(killed):
    """F1Score knows how many classes there are when it first sees answers."""

    def compiled():
        return {"metrics": ["accuracy", keras.metrics.F1Score(average="macro", name="f1")]}

    killed.check([(1, 3)], phases=phases("joint"), compiled=compiled)


def test_early_stopping_and_the_best_epoch_go_on(killed):
    spans = [tl.Phase("head", 4, strategy="joint", early_stopping={"patience": 1, "monitor": "loss", "min_delta": 9})]
    killed.check([(1, 2)], phases=spans)


def test_several_steps_at_once_go_on(killed):
    killed.check([(1, 2)], phases=phases("joint"), compiled=lambda: {"steps_per_execution": 2})


def test_a_loss_that_is_no_number_later_sets_back_to_the_last_good_epoch(killed):
    """Not to the middle of the epoch in which the training went on."""
    good = {}

    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            good[epoch] = self.model.get_weights()

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 4 and good.get(0) is not None and self.spoils:
                head = self.model.weights[-1]
                head.assign(head * float("nan"))

    spoil = Spoil()
    spoil.spoils = False
    with pytest.raises(KilledError):
        killed.fit("cut", spoil, Kill(1, 3), phases=phases("joint"))
    again = Spoil()
    again.spoils = True
    seen = []
    watch = keras.callbacks.LambdaCallback()
    watch.set_model = seen.append
    with pytest.raises(DivergedError, match="epoch 2, batch 5"):
        killed.fit("cut", again, watch, phases=phases("joint"))
    for mine, other in zip(seen[0].get_weights(), good[0], strict=True):
        np.testing.assert_array_equal(mine, other)


# Keras' own warning is given again here, as another module's.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_a_batch_of_bad_images_only_is_passed_over_by_the_one_that_goes_on(killed, own_images):
    """Its place in the epoch counts although it has no step."""
    path = own_images.source(batch_size=1).paths[int(epoch_order(40, 7, 0)[2])]
    good, spans = path.read_bytes(), [tl.Phase("head", 1, strategy="joint")]

    def fit(name, *callbacks):
        path.write_bytes(good)
        images = own_images.source(batch_size=1, on_error="skip")
        path.write_bytes(b"no image")
        return killed.fit(name, *callbacks, source=images, phases=spans)

    with pytest.warns(UserWarning, match="left out"):
        expected, history, _ = fit("whole")
    with pytest.warns(UserWarning, match="left out"), pytest.raises(KilledError):
        fit("cut", Kill(0, 5))
    stack, again, _ = fit("cut")
    assert again.history == history.history
    for mine, other in zip(stack.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_figures_of_each_of_several_losses_go_on(cache, tmp_path):
    def fit(folder, *callbacks):
        keras.utils.set_random_seed(1)
        base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        features = keras.Input((6, 6, 4))
        flat = keras.layers.Flatten()(features)
        head = keras.Model(features, {"a": keras.layers.Dense(1)(flat), "b": keras.layers.Dense(1)(flat)})
        stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
        stack.compile(keras.optimizers.SGD(0.001), {"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
        pixels = np.random.default_rng(5).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
        labels = {"a": np.linspace(0, 1, 20), "b": np.linspace(1, 0, 20)}
        images = tl.ImageArrays(pixels, labels, label_mode=dict.fromkeys(labels, "regression"), batch_size=4)
        how = {"checkpoint": tmp_path / folder, "checkpoint_every": ALWAYS, "cache": cache, "verbose": 0}
        return stack.fit(images, epochs=2, strategy="joint", callbacks=callbacks, **how).history

    expected = fit("whole")
    assert {"a_loss", "b_loss", "a_mae"} <= set(expected)
    with pytest.raises(KilledError):
        fit("cut", Kill(0, 3))
    assert fit("cut") == expected


# -- how often -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "mid"), [(ALWAYS, 4), ("1h", 0), (None, 0)])
def test_the_state_is_kept_as_often_as_asked(every, mid, killed, monkeypatch):
    places = []
    save = Checkpoint.save
    monkeypatch.setattr(
        Checkpoint,
        "save",
        lambda self, progress, variables: places.append(progress["at"]) or save(self, progress, variables),
    )
    killed.fit("whole", phases=[tl.Phase("head", 1, strategy="joint")], checkpoint_every=every)
    assert places == ["phase begins", *["mid epoch"] * mid, "epoch over", "phase over"]


@pytest.mark.parametrize(
    ("given", "seconds"), [("5min", 300.0), ("30 s", 30.0), ("1.5h", 5400.0), (7, 7.0), (np.float32(0.5), 0.5)]
)
def test_times_are_seconds_or_words(given, seconds):
    assert as_seconds("checkpoint_every", given) == seconds


@pytest.mark.parametrize("given", ["5 minutes", "min", 0, -1, float("nan"), float("inf"), True, []])
def test_what_is_no_time_is_refused(given):
    with pytest.raises(
        ArgumentError,
        match=re.escape(
            f"checkpoint_every is a number of seconds above 0, or a time like '30s', '5min' or '1h'; got {given!r}."
        ),
    ):
        as_seconds("checkpoint_every", given)
