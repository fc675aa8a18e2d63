"""What callbacks know is kept as plain values and put back; what cannot be kept is named."""

import collections
import json
import random
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.training.checkpoints.callback_state import CallbackStates
from thawline.training.checkpoints.plain_values import NotPlainError, pack, unpack


def through_files(state, arrays, folder):
    """A state as a checkpoint keeps it: JSON and arrays, no pickle."""
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    with np.load(folder / "arrays.npz", allow_pickle=False) as archive:
        return json.loads(json.dumps(state)), {name: archive[name] for name in archive.files}


VALUES = [
    None,
    [1, 2.5, float("inf"), True, "words"],
    (1, (2, [3])),
    {"a": 1, 2: ["b"], (3, 4): {"nested": ()}},
    {5, 6},
    frozenset({7}),
    Path("some") / "file",
    np.arange(6, dtype=np.int16).reshape(2, 3),
    [np.ones((2, 2), np.float32), np.zeros(0)],
    np.float32(1 / 3),
    np.bool_(True),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_plain_value_comes_back_as_it_was(value, tmp_path):
    arrays = {}
    packed, arrays = through_files(pack(value, arrays, "name"), arrays, tmp_path)
    back = unpack(packed, arrays)
    np.testing.assert_equal(back, value)
    assert type(back) is type(value) or isinstance(value, Path)
    assert getattr(back, "dtype", None) == getattr(value, "dtype", None)


@pytest.mark.parametrize("value", [threading.Lock(), [object()], {"key": print}, np.array([{}], object)])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(NotPlainError):
        pack(value, {}, "name")


class Everything(keras.callbacks.Callback):
    """Holds a state of each kind, which `work` changes."""

    def __init__(self, seed=0):
        super().__init__()
        self.patience = 3
        self.wait = 0
        self.best = None
        self.figures = []
        self.counts = collections.Counter()
        self.latest = collections.deque(maxlen=2)
        self.variable = keras.Variable(np.zeros(2, "float32"))
        self.mean = keras.metrics.Mean()
        self.numpy = np.random.default_rng(seed)
        self.python = random.Random(seed)
        self.seeds = keras.random.SeedGenerator(seed)

    def work(self):
        self.wait += 1
        self.best = np.float32(0.25)
        self.figures.append({"loss": 0.5, "draws": self.draw()})
        self.counts["seen"] += 1
        self.latest.extend([1, 2, 3])
        self.variable.assign([1.0, 2.0])
        self.mean.update_state(4.0)

    def draw(self):
        return [float(self.numpy.random()), self.python.random(), float(keras.random.uniform((), seed=self.seeds))]


def test_every_kind_of_state_is_put_back(tmp_path):
    first, second = Everything(), Everything(seed=9)
    states = CallbackStates([first])
    first.work()
    first.work()
    kept, arrays = through_files(*states.state(), tmp_path)
    second.patience = 7
    CallbackStates([second]).put_back(kept, arrays)
    assert (second.wait, second.best, second.figures) == (2, np.float32(0.25), first.figures)
    assert second.counts == collections.Counter(seen=2)
    assert isinstance(second.counts, collections.Counter)
    assert second.latest == collections.deque([2, 3], maxlen=2)
    np.testing.assert_array_equal(second.variable, [1.0, 2.0])
    assert float(second.mean.result()) == 4.0
    assert second.draw() == first.draw()
    # What never changed is how the callback was made, not its state.
    assert second.patience == 7


def test_what_has_come_back_to_its_first_value_is_state_all_the_same(tmp_path):
    class Counting(keras.callbacks.Callback):
        left = 0

        def __init__(self):
            super().__init__()
            self.left = 0

        def on_train_begin(self, logs=None):
            self.left = 2

    first, second = Counting(), Counting()
    states = CallbackStates([first])
    first.on_train_begin()
    states.notice()
    first.left = 0
    kept, arrays = states.state()
    second.on_train_begin()
    CallbackStates([second]).put_back(kept, arrays)
    assert second.left == 0


def test_callbacks_are_known_by_their_kind_and_place_among_it():
    class Other(keras.callbacks.Callback):
        pass

    ones = [Everything(), Other(), Everything()]
    states = CallbackStates([keras.callbacks.CallbackList(ones[:2]), ones[2]])
    ones[0].wait, ones[2].wait = 1, 2
    kept, arrays = states.state()
    again = [Everything(), Everything(), Everything()]
    CallbackStates(again).put_back(kept, arrays)
    assert [each.wait for each in again] == [1, 2, 0]


def test_a_callback_may_say_itself_what_is_kept():
    class Speaking(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.hidden = object()
            self.count = 0

        def get_state(self):
            return {"count": self.count, "weights": np.arange(3)}

        def set_state(self, state):
            self.count, self.weights = state["count"], state["weights"]

    first, second = Speaking(), Speaking()
    states = CallbackStates([first])
    first.hidden, first.count = object(), 5
    kept, arrays = states.state()
    CallbackStates([second]).put_back(kept, arrays)
    assert second.count == 5
    np.testing.assert_array_equal(second.weights, [0, 1, 2])
    first.get_state = lambda: {"lock": threading.Lock()}
    with pytest.raises(ArgumentError, match=re.escape("get_state() of the callback Speaking gives something that")):
        states.state()


def test_what_cannot_be_kept_is_named_once():
    class Holding(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.given = object()
            self.function = None
            self.opened = None
            self.wait = 0

    callback = Holding()
    states = CallbackStates([callback])
    callback.function, callback.opened, callback.wait = print, threading.Lock(), 4
    with pytest.warns(UserWarning, match="'opened' of the callback Holding is lock, which is not kept") as caught:
        kept, _ = states.state()
    assert len(caught) == 1
    assert kept == {"Holding 0": {"attributes": {"wait": 4}}}
    # The suite makes warnings errors: there is no second one.
    states.state()


def test_the_direction_of_keras_own_monitors_is_not_turned_around_twice():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    callbacks = [keras.callbacks.EarlyStopping("loss", min_delta=0.5, patience=1) for _ in range(2)]
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    states = CallbackStates(callbacks[:1])
    callbacks[0].on_epoch_end(0, {"loss": 3.0})
    kept, arrays = states.state()
    CallbackStates(callbacks[1:]).put_back(kept, arrays)
    for callback in callbacks:
        callback.on_epoch_end(1, {"loss": 2.6})
    assert [(each.best, each.wait, each.stopped_epoch) for each in callbacks] == [(3.0, 1, 1)] * 2


def test_lines_of_a_csv_log_that_come_again_are_cut_off(tmp_path):
    def log():
        return keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))

    first = log()
    states = CallbackStates([first])
    first.on_train_begin()
    first.on_epoch_end(0, {"loss": 1.0})
    kept, arrays = states.state()
    # The process is killed before the state of this epoch is kept.
    first.on_epoch_end(1, {"loss": 0.5})
    first.csv_file.close()
    second = log()
    states = CallbackStates([second])
    states.begin_again(kept, [second], had_begun=True)
    second.on_train_begin()
    states.put_back(kept, arrays)
    second.on_epoch_end(1, {"loss": 0.5})
    second.on_train_end()
    assert (tmp_path / "log.csv").read_text().split() == ["epoch,loss,val_loss", "0,1.0,NA", "1,0.5,NA"]
    assert second.append is False
