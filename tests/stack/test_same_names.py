"""Names that occur twice: unique in their own models, as Keras wants them, but not in the stack."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.features.engines.keras_engine import KerasEngine
from thawline.report.grad_cam import heat_maps
from thawline.stack.learning import find_layers

layers = keras.layers
IMAGES = np.random.default_rng(3).integers(0, 256, (4, 8, 8, 3)).astype("float32")


def base(name="net"):
    """Two convolutions, called as in every base of this architecture, and a sum that Keras gives a number."""
    images = keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 3, padding="same", name="c1")(images)
    return keras.Model(images, layers.Add(name="sum")([first, layers.Conv2D(4, 1, name="c2")(first)]), name=name)


def side_by_side(*names):
    images = keras.Input((8, 8, 3))
    return keras.Model(images, layers.Concatenate()([base(name)(images) for name in names]), name="both")


def head(name="top", dense="fc"):
    return keras.Sequential(
        [layers.GlobalAveragePooling2D(name="c1"), layers.Dense(2, "softmax", name=dense)], name=name
    )


def frozen_and_head(frozen, top=None):
    return tl.Stack([tl.Stage(frozen, "base", trainable=False), tl.Stage(top or head(), "head")])


def nested_twice():
    """Names that come again two models deep."""
    outer = keras.Input((8, 8, 3))
    inner = [keras.Sequential([keras.Input((8, 8, 3)), base(), layers.ReLU(name="last")], name=each) for each in "ab"]
    return keras.Model(outer, layers.Average(name="last")([model(outer) for model in inner]), name="deep")


@pytest.mark.parametrize(
    ("frozen", "top"),
    [
        (lambda: side_by_side("one", "two"), head),
        (nested_twice, head),
        (base, lambda: head(dense="c2")),
        (lambda: side_by_side("one", "two"), lambda: keras.Sequential([base_head("x"), base_head("y", 2)], name="top")),
    ],
    ids=["two bases", "two models deep", "base and head", "two heads"],
)
def test_the_two_parts_of_the_stack_answer_as_the_nested_model(frozen, top):
    stack = frozen_and_head(frozen(), top())
    cut = stack.cut()
    expected = stack.model.predict_on_batch(IMAGES)
    crossing = cut.prefix.predict_on_batch(IMAGES)
    np.testing.assert_allclose(cut.suffix.predict_on_batch(crossing), expected, rtol=1e-6)


def base_head(name, units=5):
    start = [layers.GlobalAveragePooling2D()] if units == 5 else []
    return keras.Sequential([*start, layers.Dense(units, name="fc")], name=name)


def test_no_layer_is_called_otherwise_afterwards():
    stack = frozen_and_head(side_by_side("one", "two"))
    before = [layer.name for layer in stack.model._flatten_layers()]
    for cut in stack.cut().places:
        assert cut.prefix is not cut.suffix
    assert [layer.name for layer in stack.model._flatten_layers()] == before


def test_parts_have_their_weights_in_the_order_of_the_stack():
    """What a cache and a checkpoint of earlier versions go by."""
    stack = frozen_and_head(side_by_side("one", "two"))
    order = {id(weight): place for place, weight in enumerate(stack.model.weights)}
    places = [order[id(weight)] for weight in [*stack.cut().prefix.weights, *stack.cut().suffix.weights]]
    assert sorted(places) == list(range(len(places)))
    assert [order[id(weight)] for weight in stack.cut().suffix.weights] == [8, 9]


def test_outputs_of_a_part_are_called_as_their_layers():
    """Keras names metrics by them; two heads whose last layers are called "fc" keep that name."""
    inputs = keras.Input((4,))
    outputs = {each: base_head(each, 2)(inputs) for each in ("kind", "size")}
    stack = frozen_and_head(
        keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()], name="net"),
        keras.Model(inputs, outputs, name="top"),
    )
    assert stack.cut().suffix.output_names == ["fc", "fc"]
    assert set(stack.cut().suffix.output) == {"kind", "size"}


def test_a_prefix_with_names_twice_is_copied_to_bfloat16():
    prefix = frozen_and_head(side_by_side("one", "two")).cut().prefix
    exact, half = KerasEngine(prefix).run(IMAGES)[0], KerasEngine(prefix, "bfloat16").run(IMAGES)[0]
    assert 0 < np.abs(exact - half).max() < 0.02 * np.abs(exact).max()


def test_heat_maps_are_drawn_of_a_stack_with_names_twice():
    stack = frozen_and_head(side_by_side("one", "two"))
    assert heat_maps(stack.model, IMAGES, np.zeros(4, int)).shape == (4, 8, 8)


def test_a_saved_stack_with_names_twice_answers_the_same(tmp_path):
    stack = frozen_and_head(nested_twice())
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    np.testing.assert_array_equal(loaded.model(IMAGES), stack.model(IMAGES))
    assert loaded.cut().weights_below == stack.cut().weights_below


# -- models of stages --------------------------------------------------------------------------------------------


def test_two_models_of_one_name_are_told_apart_by_their_stages(tmp_path):
    """Models from files have the names that Keras gave them there."""
    stack = frozen_and_head(base("sequential"), head("sequential"))
    assert [stage.model.name for stage in stack.stages] == ["sequential", "head"]
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    np.testing.assert_array_equal(loaded.model(IMAGES), stack.model(IMAGES))
    assert [stage.name for stage in loaded.stages] == ["base", "head"]


@pytest.mark.parametrize("name", ["images", "pixels_to_value_range"])
def test_a_model_with_the_name_of_a_layer_of_the_stack_is_called_as_its_stage(name):
    stack = tl.Stack([tl.Stage(base(name), "base", value_range=(-1, 1))])
    assert [layer.name for layer in stack.model.layers] == ["images", "pixels_to_value_range", "base"]


def test_a_name_that_another_model_has_is_not_given():
    stack = tl.Stack(
        [tl.Stage(base("net"), "first"), tl.Stage(head("net"), "top"), tl.Stage(layers.ReLU(name="top"), "z")]
    )
    assert [stage.model.name for stage in stack.stages] == ["net", "top_1", "top"]


def test_names_that_became_equal_later_are_told_apart_in_the_file(tmp_path):
    """The user may give names, too, after the stack was built."""
    stack = frozen_and_head(base("net"), head("top"))
    stack.stages[0].model.name = "top"
    stack.save(tmp_path / "stack.keras")
    np.testing.assert_array_equal(tl.load(tmp_path / "stack.keras").model(IMAGES), stack.model(IMAGES))


def test_one_model_in_two_stages_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same")])
    expected = (
        "Stages 'a' and 'b' are the same model. A stack runs a model once; to run it twice put both calls into one"
    )
    with pytest.raises(ArgumentError, match=re.escape(expected)):
        tl.Stack([tl.Stage(model, "a"), tl.Stage(model, "b")])


# -- patterns ----------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("thawline_tests")
class Twins(keras.Model):
    """A subclassed model, in which Keras does not mind equal names."""

    def __init__(self, **options):
        super().__init__(**options)
        self.left = layers.Dense(3, name="fc")
        self.right = layers.Dense(3, name="fc")

    def call(self, inputs):
        return self.left(inputs) + self.right(inputs)


def test_a_pattern_finds_all_layers_of_its_name():
    twins = Twins(name="twins")
    found = find_layers([tl.Stage(twins, "top")], "top/fc")
    assert [layer for _, layer in found] == [twins.left, twins.right]
