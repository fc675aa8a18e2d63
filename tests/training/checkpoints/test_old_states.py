"""A training that thawline 0.1 began goes on as its files say."""

import json

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras

# No epoch is ever better by so much than the first one.
NEVER_BETTER = {"patience": 1, "monitor": "loss", "mode": "max", "min_delta": 100}


class KilledError(Exception):
    pass


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._epoch:
            raise KilledError


class Rows(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append(epoch)


def as_of_0_1(path, epochs_done, epochs):
    """Makes of a state what 0.1 kept: format 2, epochs where they were planned, not whether callbacks had begun."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    note = json.loads(str(arrays.pop("note")))
    note["format"] = 2
    progress = note["progress"]
    progress.pop("callbacks_begun")
    progress |= {"epochs_done": epochs_done, "epochs": epochs}
    for number, mark in enumerate(progress["phases"]):
        mark["first_epoch"] = [0, 5][number]
    np.savez(path, allow_pickle=False, note=np.array(json.dumps(note)), **arrays)


@pytest.fixture
def fit(small_images, make_stack, cache, tmp_path):
    def fit(*callbacks, epochs=2):
        phases = [tl.Phase("head", 5, early_stopping=NEVER_BETTER), tl.Phase("head", epochs)]
        how = {"checkpoint": tmp_path / "state", "cache": cache, "verbose": 0}
        return make_stack().fit(small_images.source(), phases=phases, callbacks=callbacks, **how)

    return fit


def test_a_phase_that_had_not_begun_has_its_epochs_where_0_1_planned_them(fit, tmp_path):
    with pytest.raises(KilledError):
        fit(Kill(2))
    as_of_0_1(tmp_path / "state" / "last.npz", 5, [0, 1])
    rows = Rows()
    history = fit(rows)
    assert history.epoch == [0, 1, 5, 6]
    assert [(mark.first_epoch, mark.last_epoch) for mark in history.phases] == [(0, 1), (5, 6)]
    # 0.1 let callbacks begin with each phase.
    assert rows.rows == [5, 6]


def test_a_phase_that_had_begun_goes_on_by_its_numbers(fit, tmp_path):
    with pytest.raises(KilledError):
        fit(Kill(3))
    as_of_0_1(tmp_path / "state" / "last.npz", 6, [0, 1, 5])
    assert fit().epoch == [0, 1, 5, 6]
