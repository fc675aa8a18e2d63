"""Callbacks see one training, whatever phases it has: one begin, one end, and every epoch between them."""

import csv
import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.training.callbacks import as_callbacks

TWO = (("head", 2), (["head", "base/last"], 3))

# No epoch is ever better by so much than the first one.
NEVER_BETTER = {"monitor": "loss", "mode": "max", "min_delta": 100}


class Logger(keras.callbacks.Callback):
    """A logger as people write them: it opens its book when a training begins, and closes it when that ends."""

    def __init__(self):
        super().__init__()
        self.told = []
        self.rows = None

    def on_train_begin(self, logs=None):
        self.rows = []
        self.told.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append((epoch, logs["loss"]))

    def on_train_end(self, logs=None):
        self.told.append("end")


@pytest.fixture
def train(small_images, make_stack, cache):
    """Trains a fresh stack; gives it with its history."""

    def train(phases=TWO, *, compiled=None, **options):
        stack = make_stack(**(compiled or {}))
        phases = [tl.Phase(*phase) if isinstance(phase, tuple) else phase for phase in phases]
        how = {"cache": cache, "verbose": 0, "phases": phases, **options}
        return stack, stack.fit(small_images.source(), **how)

    return train


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# -- one begin, one end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["joint", "precomputed", "streamed"])
def test_a_logger_of_ones_own_keeps_all_phases(strategy, train):
    logger = Logger()
    _, history = train([tl.Phase(*phase, strategy=strategy) for phase in TWO], callbacks=[logger])
    assert logger.told == ["begin", 0, 1, 2, 3, 4, "end"]
    assert [loss for _, loss in logger.rows] == history.history["loss"]


def test_a_csv_log_keeps_all_phases(train, tmp_path):
    _, history = train(callbacks=[keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))])
    rows = rows_of(tmp_path / "log.csv")
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3, 4]
    assert [float(row["loss"]) for row in rows] == pytest.approx(history.history["loss"])


# Keras' own warning is given again here, as another module's.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_figures_that_a_csv_log_has_no_column_for_are_named(train, tmp_path):
    phases = [tl.Phase("head", 1), tl.Phase("head", 2, metrics=["mae"])]
    with pytest.warns(UserWarning, match=r"columns of its first epoch: mae of phase 2 is not in it") as told:
        train(phases, callbacks=[keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))])
    assert len([warning for warning in told if "CSVLogger" in str(warning.message)]) == 1
    assert [row["accuracy"] == "NA" for row in rows_of(tmp_path / "log.csv")] == [False, True, True]


def test_a_tensorboard_callback_writes_all_phases_into_one_file(train, tmp_path):
    train(callbacks=[keras.callbacks.TensorBoard(str(tmp_path), write_graph=False)])
    assert len(list((tmp_path / "train").glob("events*"))) == 1


def test_a_callback_knows_the_epochs_of_all_phases_and_the_stacks_model(train):
    logger, phases_own = Logger(), Logger()
    phases = [tl.Phase("head", 2), tl.Phase("head", 3, callbacks=phases_own)]
    stack, history = train(phases, callbacks=logger)
    assert logger.params == history.params == {"verbose": 0, "epochs": 5, "steps": 2}
    assert (logger.model, history.model) == (stack.model, stack.model)
    assert phases_own.told == ["begin", 2, 3, 4, "end"]
    assert phases_own.params["epochs"] == 5


def test_a_callback_of_a_single_phase_is_told_what_keras_tells(train, small_images, make_stack):
    mine, expected = Logger(), Logger()
    train([("head", 2)], callbacks=mine)
    stack = make_stack()
    stack.model.fit(small_images.pixels, small_images.one_hot, epochs=2, verbose=0, callbacks=expected)
    assert mine.told == expected.told
    assert mine.params == {**expected.params, "verbose": 0}


# -- epochs are numbered without gaps ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["a phase's", "Keras'", "stop_training"])
def test_an_early_end_leaves_no_gap_in_the_epochs(kind, train):
    class Stops(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    first = {
        "a phase's": {"early_stopping": {"patience": 1, **NEVER_BETTER}},
        "Keras'": {"callbacks": keras.callbacks.EarlyStopping(**NEVER_BETTER, patience=1)},
        "stop_training": {"callbacks": Stops()},
    }[kind]
    seen, ran = [], 1 if kind == "stop_training" else 2
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: seen.append(epoch) or rate)
    _, history = train([tl.Phase("head", 9, **first), tl.Phase("head", 2)], callbacks=schedule)
    assert history.epoch == seen == list(range(ran + 2))
    assert [(mark.first_epoch, mark.last_epoch) for mark in history.phases] == [(0, ran - 1), (ran, ran + 1)]


# -- what begins afresh in every phase -----------------------------------------------------------------------------


def test_one_early_stopping_stops_every_phase_by_itself(train):
    """Subclasses, too: the second phase would end at once if it went on with what the first one left."""

    class Mine(keras.callbacks.EarlyStopping):
        pass

    for kind in (keras.callbacks.EarlyStopping, Mine):
        _, history = train([("head", 9), ("head", 9)], callbacks=kind(**NEVER_BETTER, patience=2))
        assert [mark.epochs for mark in history.phases] == [3, 3]


def test_each_phase_is_stopped_by_its_own_callback(train):
    stops = [keras.callbacks.EarlyStopping(**NEVER_BETTER, patience=patience) for patience in (1, 3)]
    _, history = train([tl.Phase("head", 9, callbacks=stop) for stop in stops])
    assert [mark.epochs for mark in history.phases] == [2, 4]


def test_a_plateau_is_looked_for_afresh_in_every_phase(train):
    """With patience 2 the rate falls in the third epoch of each phase, not in the first of the second one."""
    plateau = keras.callbacks.ReduceLROnPlateau(**NEVER_BETTER, patience=2, factor=0.1)
    _, history = train([("head", 3), (["head", "base/last"], 3)], callbacks=plateau)
    np.testing.assert_allclose(history.history["learning_rate"], [0.01] * 6)


# -- how callbacks are given ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [lambda c: c, lambda c: [c], lambda c: ([c],), lambda c: keras.callbacks.CallbackList(c)]
)
def test_callbacks_come_alone_in_lists_or_in_a_callback_list(wrap, train):
    logger = Logger()
    train([("head", 1)], callbacks=wrap(logger))
    assert logger.told == ["begin", 0, "end"]


def test_no_callbacks_may_be_none(train):
    train([("head", 1)], callbacks=None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (keras.callbacks.EarlyStopping, "fit() takes Keras callbacks; got the class EarlyStopping itself. Write Early"),
        (["csv"], "fit() takes Keras callbacks, one or a list of them; got 'csv'."),
    ],
)
def test_what_is_no_callback_is_named(given, says):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        as_callbacks(given, "fit()")


def test_a_callback_of_the_fit_and_of_a_phase_is_refused(train):
    stop = keras.callbacks.EarlyStopping()
    with pytest.raises(ArgumentError, match=r"The same EarlyStopping is among the callbacks of fit\(\) and of phase 2"):
        train([tl.Phase("head", 1), tl.Phase("head", 1, callbacks=stop)], callbacks=stop)


def test_backup_and_restore_is_refused_with_checkpoint_as_the_way(train, tmp_path):
    class Mine(keras.callbacks.BackupAndRestore):
        pass

    for kind in (keras.callbacks.BackupAndRestore, Mine):
        with pytest.raises(ArgumentError, match=rf"^{kind.__name__} cannot continue.*checkpoint=, a folder"):
            train(callbacks=[kind(str(tmp_path / "kept"))])


@pytest.mark.parametrize("strategy", ["joint", "precomputed"])
def test_evaluate_tells_callbacks_what_keras_tells(strategy, small_images, make_stack, cache):
    class Told(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.told = []

        def on_test_begin(self, logs=None):
            self.told.append("begin")

        def on_test_batch_end(self, batch, logs=None):
            self.told.append((batch, round(logs["loss"], 5)))

        def on_test_end(self, logs=None):
            self.told.append(("end", round(logs["loss"], 5)))

    stack, mine, expected = make_stack(), Told(), Told()
    stack.evaluate(small_images.source(), strategy=strategy, cache=cache, callbacks=mine, verbose=0)
    stack.model.evaluate(small_images.pixels, small_images.one_hot, verbose=0, callbacks=[expected])
    assert mine.told == expected.told
    assert mine.model is stack.model
    assert mine.params["steps"] == expected.params["steps"] == 2


# -- interrupted and continued -------------------------------------------------------------------------------------


class KilledError(Exception):
    pass


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch, hook):
        super().__init__()
        self._epoch, self._hook = epoch, hook

    def on_epoch_begin(self, epoch, logs=None):
        if (self._hook, self._epoch) == ("begin", epoch):
            raise KilledError

    def on_epoch_end(self, epoch, logs=None):
        if (self._hook, self._epoch) == ("end", epoch):
            raise KilledError


class Draws(keras.callbacks.Callback):
    """Draws a number whenever it is told of something; its book is opened when the training begins."""

    def on_train_begin(self, logs=None):
        self.drawn = [float(np.random.random())]
        self.model.weights[-1].assign_add(np.full(2, 0.125, "float32"))

    def on_epoch_end(self, epoch, logs=None):
        self.drawn.append(float(np.random.random()))

    def on_train_end(self, logs=None):
        self.drawn.append(float(np.random.random()))


@pytest.mark.parametrize(
    ("epoch", "hook"), [(0, "begin"), (0, "end"), (1, "end"), (2, "begin"), (2, "end"), (4, "end")]
)
def test_callbacks_of_a_training_that_was_killed_go_on_as_if_nothing_had_happened(epoch, hook, train, tmp_path):
    """In either phase and at its border: rows, random numbers and weights are those of an undisturbed run."""

    def callbacks(folder, *more):
        folder.mkdir(exist_ok=True)
        return [Logger(), Draws(), keras.callbacks.CSVLogger(str(folder / "log.csv")), *more]

    whole = callbacks(tmp_path / "whole")
    expected, _ = train(callbacks=whole, checkpoint=tmp_path / "whole" / "state")
    killed = callbacks(tmp_path / "cut", Kill(epoch, hook))
    with pytest.raises(KilledError):
        train(callbacks=killed, checkpoint=tmp_path / "cut" / "state")
    killed[2].csv_file.close()
    parts = callbacks(tmp_path / "cut")
    stack, _ = train(callbacks=parts, checkpoint=tmp_path / "cut" / "state")
    assert parts[0].rows == whole[0].rows
    assert parts[1].drawn == whole[1].drawn
    assert rows_of(tmp_path / "cut" / "log.csv") == rows_of(tmp_path / "whole" / "log.csv")
    for mine, other in zip(stack.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
