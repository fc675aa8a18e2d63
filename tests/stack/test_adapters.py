"""Adapters: what fits between two shapes, checked by building the layers that are suggested."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.specs import TensorSpec
from thawline.stack.adapters import list_adapters, suggest_adapters


def spec(*shape, value_range=None):
    return TensorSpec((None, *shape), "float32", value_range)


def built(adapter, shape):
    """The suggested layers, made from the text that users copy."""
    layers = [eval(text, {"keras": keras}) for text in adapter.layers]
    return keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize(
    ("given", "wanted", "names"),
    [
        ((5, 5, 1280), (1280,), ["GlobalAveragePooling2D", "Flatten"]),
        ((5, 5, 8), (200,), ["Flatten", "GlobalAveragePooling2D + Dense(200)", "GlobalAveragePooling2D"]),
        ((5, 5, 8), (None,), ["GlobalAveragePooling2D", "Flatten"]),
        ((6, 16), (16,), ["GlobalAveragePooling1D", "Flatten"]),
        ((7,), (5,), ["Dense(5)"]),
        ((9, 9, 4), (9, 9, 6), ["Conv2D(6, 1)"]),
        ((9, 9, 4), (None, None, 6), ["Conv2D(6, 1)"]),
        ((8, 6, 3), (3, 8, 6), ["Permute"]),
        ((3, 8, 6), (8, 6, 3), ["Permute"]),
        ((8, 6, 3), (16, 12, 3), ["Resizing"]),
        ((48,), (4, 4, 3), ["Reshape"]),
        ((10,), (4, 4, 3), ["Dense(48) + Reshape"]),
        ((4, 4, 3), (16, 3), ["Reshape"]),
    ],
)
def test_suggested_layers_give_what_is_wanted(given, wanted, names):
    adapters = suggest_adapters(spec(*given), spec(*wanted))
    assert [adapter.name for adapter in adapters] == names
    for adapter in adapters:
        model = built(adapter, given)
        fits = all(want in (None, came) for came, want in zip(model.output_shape[1:], wanted, strict=True))
        assert fits == adapter.fits
        assert model.count_params() == adapter.weights


def test_the_cost_in_the_next_dense_layer_is_what_keras_counts():
    for adapter in suggest_adapters(spec(5, 5, 1280), spec(1280), units=128):
        model = built(adapter, (5, 5, 1280))
        model.add(keras.layers.Dense(128))
        assert model.count_params() == adapter.weights


def test_values_are_brought_to_the_wanted_range():
    given, wanted = spec(2, value_range=(0, 255)), spec(2, value_range=(-1, 1))
    (adapter,) = suggest_adapters(given, wanted)
    assert built(adapter, (2,)).predict_on_batch(np.array([[0.0, 255.0]]))[0] == pytest.approx([-1, 1], abs=1e-5)
    assert str(adapter) == "Rescaling (from [0, 255] to [-1, 1], no weights)"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [((5,), (5,)), ((5, 5, 3), (None, None, 3)), ((None, None, 8), (8,)), ((2, 3), (4, 5, 6))],
)
def test_nothing_is_suggested_where_it_fits_or_nothing_simple_does(given, wanted):
    assert suggest_adapters(spec(*given), spec(*wanted)) == []


def test_the_line_names_each_with_its_cost():
    line = list_adapters(suggest_adapters(spec(5, 5, 1280), spec(1280), units=128))
    assert line == (
        "Between them fits GlobalAveragePooling2D (1,280 wide, no weights; 164 k in the next Dense(128)), or Flatten "
        "(32,000 wide, no weights; 4.1 M in the next Dense(128), which has to be built for it)."
    )
    assert list_adapters([]) == ""
