"""Stage: what a stage may be, and what it says of its input and output."""

import re

import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError


def dense(units=2, **options):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, **options)])


def test_a_stage_takes_models_and_single_layers():
    for model in (
        dense(),
        keras.layers.Dense(2),
        keras.applications.MobileNetV2(input_shape=(32, 32, 3), weights=None),
    ):
        assert tl.Stage(model, "any").model is model


@pytest.mark.parametrize("model", [None, "MobileNetV2", lambda x: x, [keras.layers.Dense(2)]])
def test_what_is_no_keras_layer_is_refused_with_the_way_to_make_it_one(model):
    expected = f"Stage 'head' takes a Keras model or layer; got {type(model).__name__}. Put several layers into"
    with pytest.raises(ArgumentError, match=re.escape(expected)):
        tl.Stage(model, "head")


@pytest.mark.parametrize("name", ["", "base/block", None, 3])
def test_a_name_is_a_word_without_a_slash(name):
    with pytest.raises(ArgumentError, match=re.escape(f"like 'head'; got {name!r}.")):
        tl.Stage(dense(), name)


@pytest.mark.parametrize("value_range", [(1, -1), (0, 0), (float("nan"), 1)])
def test_a_range_needs_low_below_high(value_range):
    with pytest.raises(ArgumentError, match=r"value_range of stage 'base' is \(low, high\) with low below high; got"):
        tl.Stage(dense(), "base", value_range=value_range)


@pytest.mark.parametrize("value_range", [1, (1,), (0, 1, 2), "01x", ("a", "b")])
def test_a_range_is_a_pair_of_numbers(value_range):
    with pytest.raises(ArgumentError, match=r"value_range of stage 'base' is a pair like \(-1, 1\); got"):
        tl.Stage(dense(), "base", value_range=value_range)


def test_a_range_given_as_a_list_is_kept_as_floats():
    assert tl.Stage(dense(), "base", value_range=[-1, 1]).value_range == (-1.0, 1.0)


def test_trainable_false_freezes_every_layer():
    model = keras.Sequential([keras.Input((3,)), dense(), keras.layers.BatchNormalization()])
    stage = tl.Stage(model, "base", trainable=False)
    assert stage.is_frozen
    assert model.trainable_variables == []


def test_trainable_true_leaves_each_layer_as_it_is():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    model.layers[0].trainable = False
    assert not tl.Stage(model, "base").is_frozen
    assert [layer.trainable for layer in model.layers] == [False, True]


def test_input_spec_is_the_models_own_input():
    spec = tl.Stage(dense(), "head", value_range=(0, 1)).input_spec
    assert (spec.shape, spec.dtype, spec.value_range) == ((None, 3), "float32", (0, 1))


def test_a_model_that_was_not_built_says_nothing_of_its_input():
    assert tl.Stage(keras.Sequential([keras.layers.Dense(2)]), "head").input_spec is None


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("softmax", (0, 1)), ("sigmoid", (0, 1)), ("tanh", (-1, 1)), ("relu6", (0, 6)), ("relu", None), (None, None)],
)
def test_output_range_is_what_the_last_activation_can_give(activation, expected):
    assert tl.Stage(dense(activation=activation), "head").output_range == expected


def test_output_range_looks_into_nested_models():
    nested = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), dense_after(4)])
    assert tl.Stage(nested, "head").output_range == (0, 1)


def dense_after(width):
    return keras.Sequential([keras.Input((width,)), keras.layers.Dense(2, activation="softmax")])
