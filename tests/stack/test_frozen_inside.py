"""Frozen layers inside something else: below the line where they may, and true reasons where they may not."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import NothingToLearnError
from thawline.stack.cut import find_cut

layers = keras.layers
IMAGES = np.random.default_rng(7).integers(0, 256, (12, 8, 8, 3)).astype("uint8")
LABELS = np.arange(12) % 2


def frozen(layer):
    layer.trainable = False
    return layer


def network(*more):
    return keras.Sequential(
        [
            keras.Input((4, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            *more,
            layers.GlobalAveragePooling2D(),
        ]
    )


def frames(layer):
    """Each image as a sequence of two, through a layer, and on to something that learns."""
    images = keras.Input((8, 8, 3))
    steps = layer(layers.Reshape((2, 4, 8, 3))(images))
    return keras.Model(images, layers.Dense(2, "softmax", name="dense")(layers.LSTM(3, name="lstm")(steps)), name="net")


def below(model):
    return [node.path for node in find_cut(model).below]


# -- below the line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.TimeDistributed(frozen(network()), name="each"),
        lambda: layers.TimeDistributed(frozen(network(layers.Dropout(0.5))), name="each"),
        lambda: layers.TimeDistributed(
            keras.Sequential([keras.Input((4, 8, 3)), frozen(layers.Conv2D(4, 3)), layers.GlobalAveragePooling2D()]),
            name="each",
        ),
        lambda: layers.TimeDistributed(
            keras.Sequential([layers.TimeDistributed(frozen(layers.LSTM(3))), layers.GlobalMaxPooling1D()]),
            name="each",
        ),
    ],
    ids=["network", "network with Dropout", "only its weights", "wrapper in a wrapper"],
)
def test_a_wrapper_of_frozen_layers_lies_below(make):
    assert below(frames(make()))[-1] == "each"


def test_other_layers_with_frozen_parts_lie_below():
    inputs = keras.Input((4, 6))
    both = layers.Bidirectional(frozen(layers.LSTM(3)), name="both")
    attention = layers.MultiHeadAttention(2, 3, name="attention")
    hidden = both(inputs)
    frozen(both.backward_layer)
    model = keras.Model(inputs, layers.Dense(2)(attention(hidden, hidden)))
    for part in attention._flatten_layers(include_self=False):
        frozen(part)
    assert [node.path for node in find_cut(model).below] == ["both", "attention"]


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
@pytest.mark.parametrize("more", [[], [layers.Dropout]], ids=["plain", "with Dropout"])
def test_strategies_train_a_wrapped_network_alike(strategy, more):
    weights = []
    for way in ("joint", strategy):
        keras.utils.set_random_seed(4)
        model = frames(layers.TimeDistributed(frozen(network(*(kind(0.5) for kind in more)))))
        stack = tl.Stack([tl.Stage(model, "all", value_range=(-1, 1))])
        stack.compile("adam", "categorical_crossentropy")
        stack.fit(tl.ImageArrays(IMAGES, LABELS, batch_size=4), epochs=2, strategy=way, verbose=0)
        weights.append([weight.numpy() for weight in stack.model.weights])
    for mine, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(mine, expected)


# -- above the line ----------------------------------------------------------------------------------------------


class Noise(layers.Layer):
    """A layer of one's own that has no weights and no generator that Keras knows of."""

    def call(self, inputs, training=False):
        return inputs + keras.random.normal(keras.ops.shape(inputs)) if training else inputs


def spectral():
    return layers.TimeDistributed(
        keras.Sequential([layers.SpectralNormalization(frozen(layers.Conv2D(4, 3))), layers.GlobalAveragePooling2D()]),
        name="each",
    )


def inside(layer, **options):
    parts = [keras.Input((4, 8, 3)), frozen(layers.Conv2D(4, 3)), layer, layers.GlobalAveragePooling2D()]
    return layers.TimeDistributed(keras.Sequential(parts), name="each", **options)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: inside(layers.Dropout(0.5)), "draws random numbers or keeps a state"),
        (lambda: inside(Noise()), "is no layer of Keras' own and not frozen"),
        (lambda: inside(layers.ActivityRegularization(l2=0.1)), "adds to the loss"),
        (lambda: inside(layers.BatchNormalization(scale=False, center=False)), "draws random numbers or keeps a state"),
        (lambda: inside(layers.Conv2D(2, 1)), "learns"),
    ],
    ids=["chance", "layer of one's own", "loss", "statistics", "learns"],
)
def test_a_wrapper_stays_above_for_what_is_inside_it(make, reason):
    cut = find_cut(frames(make()))
    (node,) = [node for node in cut.above if node.path == "each"]
    assert cut.obstacles[id(node)].reason == reason


def test_the_state_of_a_wrapper_itself_keeps_it_above():
    assert "each" not in below(frames(spectral()))


# -- subclassed models -------------------------------------------------------------------------------------------


class Whole(keras.Model):
    """Base and head in one class, as many tutorials have it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.base = frozen(keras.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization()]))
        self.head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])

    def call(self, inputs):
        return self.head(self.base(inputs))


def whole_stack():
    model = keras.Sequential([keras.Input((8, 8, 3)), Whole(name="whole")], name="model")
    stack = tl.Stack([tl.Stage(model, "all", value_range=(-1, 1))])
    stack.compile("adam", "categorical_crossentropy")
    return stack


INSIDE = "128 of 138 weights are frozen inside a subclassed model (Whole 'all/whole'): make the base a stage of its own"


def test_frozen_weights_inside_a_subclassed_model_are_told():
    lines = str(whole_stack().cut()).splitlines()
    assert "  above: 138 weights, 10 learn, 128 frozen" in lines
    assert f"  frozen inside: {INSIDE}" in lines


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_features_of_a_subclassed_model_are_refused_with_the_true_reason(strategy):
    with pytest.raises(NothingToLearnError) as failure:
        whole_stack().fit(tl.ImageArrays(IMAGES, LABELS), strategy=strategy)
    assert str(failure.value) == (
        f"strategy='{strategy}' needs a frozen part to run ahead, but {INSIDE}, or use strategy='joint'."
    )


def test_a_plan_and_verify_give_the_true_reason():
    images = tl.ImageArrays(IMAGES, LABELS, batch_size=4)
    history = whole_stack().fit(images, epochs=1, verbose=0)
    assert history.record.plans[0].strategy == "joint"
    assert history.record.plans[0].reason == INSIDE
    with pytest.raises(
        NothingToLearnError, match="nothing to compare: 128 of 138 weights are frozen inside a subclassed"
    ):
        whole_stack().verify(images)


def test_frozen_layers_after_chance_are_told_with_what_keeps_them_there():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.RandomFlip(name="flip"),
            frozen(layers.Conv2D(4, 3, name="c")),
            layers.Flatten(),
        ]
    )
    stack = tl.Stack([tl.Stage(model, "base"), tl.Stage(keras.Sequential([layers.Dense(2, "softmax")]), "head")])
    stack.compile("adam", "categorical_crossentropy")
    expected = "the 112 frozen weights of 'base/c' come after 'base/flip', which draws random numbers or keeps a state"
    with pytest.raises(NothingToLearnError, match=expected):
        stack.fit(tl.ImageArrays(IMAGES, LABELS), strategy="precomputed")


def test_a_frozen_model_of_ones_own_that_is_not_frozen_itself_is_told():
    own = Whole(name="whole")
    own(np.zeros((1, 8, 8, 3)))
    frozen(own.head)
    model = keras.Sequential([keras.Input((8, 8, 3)), own, layers.Dense(2, "softmax", name="last")])
    assert find_cut(model).frozen_but_above == (
        "the 138 frozen weights of 'whole' stay above the thaw line, as it is no layer of Keras' own and not frozen: "
        "freeze it whole"
    )


def test_where_everything_learns_no_frozen_weights_are_told_of():
    assert (
        find_cut(keras.Sequential([keras.Input((4,)), layers.BatchNormalization(), layers.Dense(2)])).frozen_but_above
        == ""
    )


def test_a_subclassed_head_may_end_in_probabilities_that_its_call_makes():
    """Its last layer by order is not what it answers."""

    class Head(keras.Model):
        def __init__(self):
            super().__init__(name="head_model")
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return keras.ops.softmax(self.dense(inputs))

    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False), tl.Stage(Head(), "head")])
    stack.compile("adam", "categorical_crossentropy")
    assert stack.fit(tl.ImageArrays(IMAGES, LABELS), epochs=1, verbose=0).history["loss"]
