"""Sample weights and every kind of target, against Keras' own fit on the same arrays, on all strategies."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import JointError

STRATEGIES = ("joint", "precomputed", "streamed")
PIXELS = np.random.default_rng(5).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
WEIGHTS = np.linspace(0, 3, 20, dtype=np.float32)


def stack_of(make_head):
    """A frozen base without randomness and a head."""
    keras.utils.set_random_seed(1)
    base = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, strides=2), keras.layers.ReLU()])
    return tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(make_head(), "head")])


def dense(units, activation=None):
    return lambda: keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units, activation)])


def two_outputs():
    features = keras.Input((7, 7, 4))
    flat = keras.layers.Flatten()(features)
    return keras.Model(features, {"kind": keras.layers.Dense(3)(flat), "size": keras.layers.Dense(1)(flat)})


def decoder():
    return keras.Sequential([keras.layers.Resizing(16, 16), keras.layers.Conv2D(3, 3, padding="same")])


KINDS = [0, 1, 2, 0, 1] * 4
SIZES = np.linspace(-1, 1, 20, dtype=np.float32)
CASES = {
    "weights": (dense(3, "softmax"), "categorical_crossentropy", KINDS, {}, np.eye(3, dtype=np.float32)[KINDS]),
    "regression": (dense(1), "mse", SIZES, {"label_mode": "regression"}, SIZES[:, None]),
    "multi_label": (
        dense(2, "sigmoid"),
        "binary_crossentropy",
        np.array([[1, 0], [1, 1]] * 10),
        {"label_mode": "multi_label"},
        np.array([[1, 0], [1, 1]] * 10, np.float32),
    ),
    "input": (decoder, "mse", None, {"label_mode": "input"}, PIXELS.astype(np.float32) / 255),
    "two outputs": (
        two_outputs,
        {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"},
        {"kind": KINDS, "size": SIZES},
        {"label_mode": {"kind": "sparse", "size": "regression"}},
        {"kind": np.array(KINDS, np.int32), "size": SIZES[:, None]},
    ),
}


def compiled(case):
    head, loss, *_ = CASES[case]
    stack = stack_of(head)
    stack.compile(optimizer=keras.optimizers.SGD(0.01), loss=loss, jit_compile=False)
    return stack


@pytest.fixture(scope="module", params=CASES)
def wanted(request):
    """A kind of target, and the losses and weights that Keras itself comes to."""
    case, expected = request.param, compiled(request.param)
    # Keras wants the weights of several outputs by name, and those of maps in the shape of their loss.
    shapes = {"two outputs": {"kind": WEIGHTS, "size": WEIGHTS}, "input": WEIGHTS[:, None, None]}
    weights = shapes.get(case, WEIGHTS)
    arrays, targets = PIXELS.astype(np.float32), CASES[case][-1]
    history = expected.model.fit(
        arrays, targets, sample_weight=weights, batch_size=8, epochs=2, shuffle=False, verbose=0
    )
    return case, history.history["loss"], [keras.ops.convert_to_numpy(weight) for weight in expected.model.weights]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_kind_of_target_trains_as_keras_trains_on_arrays_with_sample_weights(wanted, strategy, cache):
    case, losses, weights = wanted
    _, _, labels, options, _ = CASES[case]
    stack = compiled(case)
    source = tl.ImageArrays(PIXELS, labels, sample_weights=WEIGHTS, batch_size=8, **options)
    history = stack.fit(source, epochs=2, strategy=strategy, cache=cache, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)
    for mine, other in zip(stack.model.weights, weights, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(mine), other, rtol=1e-4, atol=1e-6)


def test_a_head_that_does_not_fit_the_targets_is_refused():
    numbers = tl.ImageArrays(PIXELS, SIZES, label_mode="regression")
    stack = stack_of(dense(4))
    stack.compile(optimizer="sgd", loss="mse")
    with pytest.raises(
        JointError, match=r"gives 4 values per image, but the labels have 1. Build the last layer with 1"
    ):
        stack.fit(numbers, verbose=0)
    with pytest.raises(JointError, match=r"gives .*, but the targets are images: float32 \(None, 16, 16, 3\).* height"):
        stack.fit(tl.ImageArrays(PIXELS, label_mode="input"), verbose=0)
