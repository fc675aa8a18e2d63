"""Which layers learn after names and patterns were given."""

import re

import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.stack.thaw import freeze_and_thaw

layers = keras.layers


def stack():
    """A base of two convolutions, a block in it, and a head."""
    block = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Conv2D(4, 1, name="one"), layers.BatchNormalization(name="two")], name="block_1"
    )
    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="first"), block])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, name="answer")])
    return tl.Stack([tl.Stage(base, "base"), tl.Stage(head, "head")])


def learning(series):
    """The names of the layers that have weights which learn."""
    return {
        layer.name for layer in series.model._flatten_layers() if not layer_parts(layer) and layer.trainable_weights
    }


def layer_parts(layer):
    return getattr(layer, "layers", [])


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["head"], {"answer"}),
        (["base"], {"first", "one", "two"}),
        (["base/block_1*"], {"one", "two"}),
        (["base/block_1/two", "head"], {"two", "answer"}),
        (["base/*"], {"first", "one", "two"}),
        (["*"], {"first", "one", "two", "answer"}),
        (["head/answer"], {"answer"}),
    ],
)
def test_what_matches_learns_and_nothing_else(patterns, expected):
    series = stack()
    freeze_and_thaw(series, patterns)
    assert learning(series) == expected


def test_a_later_phase_thaws_what_an_earlier_one_froze():
    series = stack()
    freeze_and_thaw(series, ["head"])
    freeze_and_thaw(series, ["base/block_1/one"])
    assert learning(series) == {"one"}


def test_a_stage_that_was_frozen_whole_can_be_thawed_layer_by_layer():
    series = stack()
    series.stages[0].model.trainable = False
    freeze_and_thaw(series, ["base/first"])
    assert learning(series) == {"first"}


class Opaque(keras.Model):
    """A subclassed model with layers and a weight of its own."""

    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(4, 3)
        self.shift = self.add_weight(shape=(4,), name="shift")

    def call(self, inputs):
        return self.convolution(inputs) + self.shift


def test_a_subclassed_model_that_does_not_learn_lies_below_the_line():
    base = keras.Sequential([keras.Input((8, 8, 3)), Opaque()])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2)])
    series = tl.Stack([tl.Stage(base, "base"), tl.Stage(head, "head")])
    freeze_and_thaw(series, ["head"])
    assert base.trainable_variables == []
    assert series.cut().has_frozen_weights
    freeze_and_thaw(series, ["base"])
    assert len(base.trainable_variables) == 3


@pytest.mark.parametrize(
    ("pattern", "near"), [("haed", "head"), ("base/block_2*", "base/block_1/"), ("base/frist", "base/first")]
)
def test_a_pattern_that_matches_nothing_shows_what_is_near(pattern, near):
    expected = rf"{re.escape(repr(pattern))} matches no stage and no layer\. Stages are base, head; near are .*{near}"
    with pytest.raises(ArgumentError, match=expected):
        freeze_and_thaw(stack(), ["head", pattern])


def test_a_pattern_that_matches_nothing_changes_nothing():
    series = stack()
    series.stages[0].model.trainable = False
    with pytest.raises(ArgumentError):
        freeze_and_thaw(series, ["head", "xyz"])
    assert learning(series) == {"answer"}
