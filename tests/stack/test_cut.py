"""The cut: prefix and suffix together are the model, and only what gives the same answer always lies below."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import NothingToLearnError
from thawline.specs import TensorSpec
from thawline.stack.cut import find_cut

layers = keras.layers
IMAGES = np.random.default_rng(3).random((3, 8, 8, 3), "float32")


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(11)


def frozen(layer):
    layer.trainable = False
    return layer


def joined(cut, images=IMAGES):
    """What suffix(prefix(x)) answers in inference mode."""
    return keras.tree.flatten(cut.suffix(cut.prefix(images, training=False), training=False))


def assert_the_cut_is_the_model(model, cut):
    """Bit for bit: the same operations run in the same order, only between two calls instead of one."""
    expected = keras.tree.flatten(model(IMAGES, training=False))
    for mine, whole in zip(joined(cut), expected, strict=True):
        np.testing.assert_array_equal(mine, whole)


def kinds(calls):
    return [type(node.layer).__name__ for node in calls]


def above(cut):
    return [type(layer).__name__ for layer in cut.suffix.layers if not isinstance(layer, layers.InputLayer)]


# -- where the line is -------------------------------------------------------------------------------------------


def test_a_sequential_model_is_cut_above_its_last_frozen_layer():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), frozen(layers.Conv2D(4, 3)), frozen(layers.Conv2D(5, 3)), layers.Conv2D(2, 3)]
    )
    cut = find_cut(model)
    assert cut.crossing == (TensorSpec((None, 4, 4, 5), "float32"),)
    assert cut.row_bytes == 4 * 4 * 5 * 4
    assert_the_cut_is_the_model(model, cut)


def test_a_functional_model_is_cut():
    inputs = keras.Input((8, 8, 3))
    features = frozen(layers.Conv2D(4, 3))(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(features)))
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D", "Flatten"]
    assert_the_cut_is_the_model(model, cut)


def test_nested_models_are_walked_through():
    inner = keras.Sequential([keras.Input((6, 6, 4)), frozen(layers.Conv2D(4, 3)), layers.Conv2D(2, 3)])
    outside = keras.Input((8, 8, 3))
    middle = keras.Model(outside, inner(frozen(layers.Conv2D(4, 3))(outside)))
    model = keras.Sequential([keras.Input((8, 8, 3)), middle, layers.Flatten()])
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D", "Conv2D"]
    assert above(cut) == ["Conv2D", "Flatten"]
    assert_the_cut_is_the_model(model, cut)


def test_a_residual_across_the_line_crosses_beside_it():
    inputs = keras.Input((8, 8, 3))
    left = frozen(layers.Conv2D(4, 3, padding="same"))(inputs)
    right = frozen(layers.Conv2D(4, 5, padding="same"))(left)
    learning = layers.Conv2D(4, 3, padding="same")(right)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.add([left, learning]))))
    cut = find_cut(model)
    assert cut.crossing == (TensorSpec((None, 8, 8, 4), "float32"),) * 2
    assert cut.row_bytes == 2 * 8 * 8 * 4 * 4
    assert_the_cut_is_the_model(model, cut)


def test_images_that_a_learning_layer_takes_cross_beside_the_features():
    inputs = keras.Input((8, 8, 3))
    features = frozen(layers.Conv2D(3, 3, padding="same"))(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 3)(layers.concatenate([features, layers.Conv2D(3, 1)(inputs)])))
    cut = find_cut(model)
    assert len(cut.crossing) == 2
    assert_the_cut_is_the_model(model, cut)


def test_a_frozen_branch_lies_below_although_the_other_learns():
    inputs = keras.Input((8, 8, 3))
    branches = [frozen(layers.Conv2D(2, 3))(inputs), layers.Conv2D(2, 3)(inputs)]
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.concatenate(branches))))
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D"]
    assert_the_cut_is_the_model(model, cut)


def test_a_frozen_layer_after_a_learning_one_stays_above():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), frozen(layers.Conv2D(2, 3))])
    cut = find_cut(model)
    assert cut.below == ()
    assert not cut.has_frozen_weights
    assert_the_cut_is_the_model(model, cut)


def test_a_shared_layer_lies_on_both_sides_when_its_calls_do():
    inputs = keras.Input((8, 8, 3))
    shared = frozen(layers.Conv2D(3, 3, padding="same"))
    model = keras.Model(inputs, layers.Flatten()(shared(layers.Conv2D(3, 1)(shared(inputs)))))
    cut = find_cut(model)
    assert [node.layer for node in cut.below] == [shared]
    assert shared in cut.suffix.layers
    assert_the_cut_is_the_model(model, cut)


def test_a_shared_model_is_walked_through_at_each_call():
    inputs = keras.Input((8, 8, 3))
    shared = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(3, 3, padding="same"))])
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(shared(shared(inputs)))))
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D", "Conv2D", "Flatten"]
    assert_the_cut_is_the_model(model, cut)


def test_a_head_without_weights_at_its_beginning_begins_below():
    head = [layers.GlobalAveragePooling2D(), layers.ReLU(), layers.Dropout(0.5), layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(4, 3)), *head])
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D", "GlobalAveragePooling2D", "ReLU"]
    assert above(cut) == ["Dropout", "Dense"]
    assert cut.row_bytes == 4 * 4
    assert_the_cut_is_the_model(model, cut)


@pytest.mark.parametrize(
    "layer",
    [layers.GaussianNoise(0.1), layers.RandomFlip(), layers.SpatialDropout2D(0.5), layers.ActivityRegularization(0.1)],
    ids=lambda layer: type(layer).__name__,
)
def test_chance_and_losses_stay_above_unless_frozen(layer):
    def model():
        return keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(4, 3)), layer, layers.Conv2D(2, 3)])

    assert type(layer).__name__ in above(find_cut(model()))
    frozen(layer)
    assert type(layer).__name__ in kinds(find_cut(model()).below)


def test_a_frozen_dropout_does_not_drop_below_the_line():
    model = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Dropout(0.9)), layers.Conv2D(2, 3)])
    np.testing.assert_array_equal(find_cut(model).prefix(IMAGES, training=False), IMAGES)


def test_a_thawed_batch_normalization_stays_above_with_what_follows():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            frozen(layers.Conv2D(4, 3)),
            layers.BatchNormalization(),
            frozen(layers.Conv2D(4, 3)),
            layers.Conv2D(2, 3),
        ]
    )
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D"]
    assert_the_cut_is_the_model(model, cut)
    frozen(model.layers[1])
    assert kinds(find_cut(model).below) == ["Conv2D", "BatchNormalization", "Conv2D"]


def test_a_batch_normalization_with_other_statistics_is_run_with_them():
    normalization = frozen(layers.BatchNormalization())
    model = keras.Sequential([keras.Input((8, 8, 3)), normalization, layers.Conv2D(2, 3)])
    normalization.moving_mean.assign([1.0, 2.0, 3.0])
    prefix = find_cut(model).prefix
    # BatchNormalization of Keras: (x - mean) / sqrt(variance + epsilon), here with variance 1, epsilon 1e-3.
    expected = (IMAGES - np.array([1, 2, 3])) / np.sqrt(1.001)
    np.testing.assert_allclose(prefix(IMAGES, training=False), expected, rtol=1e-5)


def test_training_given_in_a_call_does_not_reach_below_the_line():
    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Dropout(0.9), layers.Conv2D(2, 3)])
    frozen(base)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(base(inputs, training=True))))
    answers = find_cut(model).prefix(IMAGES, training=False)
    np.testing.assert_array_equal(answers, layers.Flatten()(base(IMAGES, training=False)))


# -- layers that are not Keras' own ------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Doubling(layers.Layer):
    """A layer that says nothing of what it may do besides."""

    def call(self, inputs):
        return inputs * 2


@pytest.mark.parametrize("make", [Doubling, lambda: layers.Lambda(lambda x: x * 2)], ids=["custom", "Lambda"])
def test_a_layer_of_unknown_inside_goes_below_only_when_frozen(make):
    layer = make()
    model = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(4, 3)), layer, layers.Conv2D(2, 3)])
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D"]
    assert_the_cut_is_the_model(model, cut)
    frozen(layer)
    cut = find_cut(model)
    assert [node.layer for node in cut.below] == [model.layers[0], layer]
    assert_the_cut_is_the_model(model, cut)


@keras.saving.register_keras_serializable("tests")
class Opaque(keras.Model):
    """A subclassed model: its inside is known to its `call` only."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = layers.Conv2D(4, 3), layers.Conv2D(2, 3)

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_a_frozen_subclassed_model_lies_whole_below():
    opaque = frozen(Opaque())
    model = keras.Sequential([keras.Input((8, 8, 3)), opaque, layers.Flatten(), layers.Dense(2)])
    cut = find_cut(model)
    assert [node.layer for node in cut.below] == [opaque, model.layers[1]]
    assert_the_cut_is_the_model(model, cut)


def test_a_learning_subclassed_model_lies_whole_above():
    opaque = Opaque()
    model = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(3, 1)), opaque])
    frozen(opaque.first)
    cut = find_cut(model)
    assert kinds(cut.below) == ["Conv2D"]
    assert opaque in cut.suffix.layers
    assert_the_cut_is_the_model(model, cut)


@keras.saving.register_keras_serializable("tests")
class Calling(keras.Model):
    """A functional model whose `call` does more than its graph says."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=training) + 1


def test_a_functional_model_with_its_own_call_is_opaque():
    inputs = keras.Input((8, 8, 3))
    own = frozen(Calling(inputs, layers.Conv2D(2, 3)(inputs)))
    model = keras.Sequential([keras.Input((8, 8, 3)), own, layers.Flatten(), layers.Dense(2)])
    cut = find_cut(model)
    assert cut.below[0].layer is own
    assert_the_cut_is_the_model(model, cut)


def test_operations_of_keras_ops_are_part_of_the_graph():
    inputs = keras.Input((8, 8, 3))
    features = keras.ops.relu(frozen(layers.Conv2D(4, 3))(inputs) * 2.0 - 1.0)
    pooled = keras.ops.mean(keras.ops.transpose(features, (0, 3, 1, 2)), axis=(2, 3))
    model = keras.Model(inputs, keras.ops.softmax(layers.Dense(2)(pooled)))
    cut = find_cut(model)
    assert cut.crossing == (TensorSpec((None, 4), "float32"),)
    assert_the_cut_is_the_model(model, cut)


def test_keyword_arguments_of_a_call_are_kept():
    inputs = keras.Input((8, 8, 3))
    flat = frozen(layers.Reshape((64, 3)))(inputs)
    attended = frozen(layers.MultiHeadAttention(1, 2))(query=flat, value=flat, key=flat)
    model = keras.Model(inputs, layers.Dense(2)(attended))
    cut = find_cut(model)
    assert kinds(cut.below) == ["Reshape", "MultiHeadAttention"]
    assert_the_cut_is_the_model(model, cut)


# -- several inputs and answers, weights, the ends -----------------------------------------------------------------


def test_several_inputs_enter_below_or_cross_as_they_are():
    """One goes through a frozen layer, one is taken by a learning one, one by both."""
    inputs = [keras.Input((8, 8, 3), name=name) for name in ("cold", "warm", "both")]
    cold = frozen(layers.Conv2D(2, 3))(layers.add([inputs[0], inputs[2]]))
    warm = layers.Conv2D(2, 3)(layers.concatenate([inputs[1], inputs[2]]))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.concatenate([cold, warm]))))
    cut = find_cut(model)
    assert sorted(kinds(cut.below)) == ["Add", "Concatenate", "Conv2D"]
    assert sorted(spec.shape for spec in cut.crossing) == [(None, 6, 6, 2), (None, 8, 8, 6)]
    images = [IMAGES, IMAGES + 1, IMAGES * 2]
    np.testing.assert_array_equal(joined(cut, images)[0], model(images, training=False))


def test_several_answers_have_a_line_of_their_own():
    inputs = keras.Input((8, 8, 3))
    features = frozen(layers.Conv2D(4, 3))(inputs)
    names = layers.Dense(2)(layers.GlobalAveragePooling2D()(features))
    places = layers.Conv2D(1, 1)(features)
    model = keras.Model(inputs, {"names": names, "places": places})
    cut = find_cut(model)
    assert {spec.shape for spec in cut.crossing} == {(None, 4), (None, 6, 6, 4)}
    answers, expected = cut.suffix(cut.prefix(IMAGES, training=False)), model(IMAGES)
    assert answers.keys() == expected.keys()
    for name, answer in answers.items():
        np.testing.assert_array_equal(answer, expected[name])


def test_layers_without_weights_lie_on_either_side():
    head = [layers.ReLU(), layers.MaxPooling2D(2), layers.Conv2D(2, 2), layers.ReLU(), layers.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(2.0), frozen(layers.Conv2D(4, 3)), *head])
    cut = find_cut(model)
    assert kinds(cut.below) == ["Rescaling", "Conv2D", "ReLU", "MaxPooling2D"]
    assert above(cut) == ["Conv2D", "ReLU", "Flatten"]
    assert_the_cut_is_the_model(model, cut)


def test_an_answer_that_is_frozen_crosses_to_the_outputs():
    inputs = keras.Input((8, 8, 3))
    features = frozen(layers.Conv2D(4, 3))(inputs)
    model = keras.Model(inputs, [features, layers.Dense(2)(features)])
    cut = find_cut(model)
    assert len(cut.crossing) == 1
    assert_the_cut_is_the_model(model, cut)


def test_weights_are_shared_and_never_copied():
    model = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(4, 3)), layers.Conv2D(2, 3)])
    cut = find_cut(model)
    assert [*cut.prefix.weights, *cut.suffix.weights] == model.weights
    for part, layer in ((cut.prefix, model.layers[0]), (cut.suffix, model.layers[1])):
        assert all(mine is original for mine, original in zip(part.weights, layer.weights, strict=True))


def test_the_model_is_as_it_was_after_a_cut():
    model = keras.Sequential([keras.Input((8, 8, 3)), frozen(layers.Conv2D(4, 3)), layers.Conv2D(2, 3)])
    config, before = model.get_config(), np.array(model(IMAGES))
    find_cut(model)
    assert model.get_config() == config
    np.testing.assert_array_equal(model(IMAGES), before)


def test_a_frozen_mobilenet_v2_is_cut_inside_at_its_last_residual():
    model = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None)
    for layer in model.layers:
        layer.trainable = layer.name.startswith(("block_16", "Conv_1"))
    cut = find_cut(model)
    assert cut.below[-1].layer.name == "block_15_add"
    assert cut.crossing == (TensorSpec((None, 1, 1, 160), "float32"),)
    images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    np.testing.assert_array_equal(joined(cut, images)[0], model(images, training=False))


def test_everything_frozen_leaves_nothing_to_learn():
    # 3 * 3 * 3 * 4 + 4 weights.
    model = frozen(keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)], name="base"))
    with pytest.raises(NothingToLearnError, match=r"Nothing would learn: all 112 weights of 'base' are frozen\. Make"):
        find_cut(model)


def test_with_nothing_frozen_the_images_cross():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    cut = find_cut(model)
    assert cut.crossing == (TensorSpec((None, 8, 8, 3), "float32"),)
    assert not cut.has_frozen_weights
    assert_the_cut_is_the_model(model, cut)


def test_scaling_alone_is_no_frozen_part():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3)])
    cut = find_cut(model)
    assert kinds(cut.below) == ["Rescaling"]
    assert not cut.has_frozen_weights


@pytest.mark.parametrize(
    ("end", "row_bytes", "pooled"),
    [
        ([layers.Flatten()], 4 * 6 * 6 * 5, 4 * 5),
        ([], 4 * 5, None),  # the head's pooling lies below the line, too
        ([layers.Flatten(), layers.Reshape((6, 30))], 4 * 6 * 6 * 5, None),
    ],
)
def test_what_pooling_would_save_is_known_where_maps_cross(end, row_bytes, pooled):
    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(5, 3), *end])
    base.trainable = False
    head = [layers.Dense(2)] if end else [layers.GlobalAveragePooling2D(), layers.Dense(2)]
    cut = find_cut(keras.Sequential([base, *head]))
    assert (cut.row_bytes, cut.pooled_row_bytes) == (row_bytes, pooled)
