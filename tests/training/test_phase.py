"""Phase: what may be asked."""

import json
import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError


@pytest.mark.parametrize("epochs", [0, -1, 1.5, None, "3", True])
def test_epochs_are_a_whole_number_from_one_up(epochs):
    with pytest.raises(
        ArgumentError, match=re.escape(f"A phase's epochs are a whole number from 1 up; got {epochs!r}.")
    ):
        tl.Phase("head", epochs)


def test_numpys_numbers_are_pythons():
    given = tl.Phase(
        "head",
        np.int64(3),
        learning_rate=np.float32(0.5),
        early_stopping=np.int64(2),
        learning_rate_factors={"base": np.float32(0.5)},
        views=np.int64(4),
    )
    plain = tl.Phase("head", 3, learning_rate=0.5, early_stopping=2, learning_rate_factors={"base": 0.5}, views=4)
    assert json.dumps(given.describe()) == json.dumps(plain.describe())


@pytest.mark.parametrize("rate", [0, -1e-3, float("nan")])
def test_a_learning_rate_is_above_zero(rate):
    with pytest.raises(ArgumentError, match=re.escape(f"A phase's learning_rate is above 0; got {rate!r}.")):
        tl.Phase("head", 1, learning_rate=rate)


@pytest.mark.parametrize(
    ("train", "expected"), [("head", ("head",)), (["head", "base/*"], ("head", "base/*")), (None, ())]
)
def test_patterns_are_always_a_tuple(train, expected):
    assert tl.Phase(train, 1).patterns == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"probe": "dense"}, "A phase's probe is a Keras layer or model; got str. Put several layers into"),
        ({"callbacks": keras.callbacks.TerminateOnNaN}, "A phase takes Keras callbacks; got the class TerminateOnNaN"),
        (
            {"callbacks": ["EarlyStopping"]},
            "A phase takes Keras callbacks, one or a list of them; got 'EarlyStopping'.",
        ),
        ({"callbacks": [keras.callbacks.BackupAndRestore("kept")]}, "BackupAndRestore cannot continue a training of"),
        ({"early_stopping": 0}, "early_stopping is a number of epochs from 1 up, or a dictionary like {'patience': 3}"),
        ({"early_stopping": True}, "early_stopping is a number of epochs from 1 up, or a dictionary like"),
        ({"early_stopping": {"monitor": "loss"}}, "or a dictionary like {'patience': 3}; got {'monitor': 'loss'}."),
        (
            {"early_stopping": {"patience": 3, "patient": 3}},
            "early_stopping knows patience, monitor, min_delta, mode; got 'patient'.",
        ),
        (
            {"early_stopping": {"patience": 3, "mode": "up"}},
            "early_stopping's mode is 'auto', 'min' or 'max'; got 'up'",
        ),
        ({"early_stopping": keras.callbacks.EarlyStopping()}, "a Keras callback belongs into the phase's callbacks."),
        (
            {"learning_rate_factors": {"base": 0}},
            "learning_rate_factors are numbers above 0; 'base' has 0. What should",
        ),
        (
            {"learning_rate_factors": {"base": "small"}},
            "learning_rate_factors are numbers above 0; 'base' has 'small'.",
        ),
    ],
    # What a callback says of itself has an address in it, which is another one in every process.
    ids=lambda value: re.sub(r" at 0x\w+", "", str(value)),
)
def test_what_cannot_work_is_named(options, says):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        tl.Phase("head", 1, **options)


def test_a_patience_is_short_for_a_dictionary():
    assert tl.Phase("head", 9, early_stopping=4).stopping == {"patience": 4}
    assert tl.Phase("head", 9, early_stopping={"patience": 2, "mode": "max"}).stopping == {"patience": 2, "mode": "max"}
    assert tl.Phase("head", 9).stopping is None


def test_a_phase_describes_what_was_asked_for_and_no_more():
    """Equal descriptions mean an equal training; callbacks belong to the one who watches."""
    phase = tl.Phase(
        "head",
        3,
        optimizer=keras.optimizers.SGD(),
        loss=keras.losses.MeanSquaredError(),
        probe=keras.layers.Dense(2),
        callbacks=[keras.callbacks.TerminateOnNaN()],
        early_stopping=2,
        learning_rate_factors={"head": 0.5},
        metrics=["accuracy", keras.metrics.AUC()],
    )
    assert phase.describe() == {
        "train": ["head"],
        "epochs": 3,
        "optimizer": "SGD",
        "loss": "MeanSquaredError",
        "probe": ["Dense", None],
        "early_stopping": {"patience": 2},
        "learning_rate_factors": {"head": 0.5},
        "metrics": ["accuracy", "AUC"],
    }
    assert tl.Phase("head", 3).describe() == {"train": ["head"], "epochs": 3}
