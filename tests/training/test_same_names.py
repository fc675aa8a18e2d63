"""Stacks in which names occur twice train as the nested Keras model does, whichever strategy runs them."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras

layers = keras.layers
RANDOM = np.random.default_rng(11)
IMAGES = RANDOM.integers(0, 256, (12, 8, 8, 3)).astype("uint8")
LABELS = np.arange(12) % 2
OPTIONS = {"loss": "categorical_crossentropy", "metrics": ["accuracy"]}


def source():
    return tl.ImageArrays(IMAGES, LABELS, batch_size=4)


def base(name):
    images = keras.Input((8, 8, 3))
    first = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="c1")(images))
    return keras.Model(images, layers.Conv2D(4, 3, activation="relu", name="c2")(first), name=name)


def head(first, last):
    pooling, dense = layers.GlobalAveragePooling2D(), layers.Dense(3, name=first)
    return keras.Sequential([pooling, dense, layers.Dense(2, "softmax", name=last)], name="head")


def two_bases():
    images = keras.Input((8, 8, 3))
    return keras.Model(images, layers.Concatenate()([base("one")(images), base("two")(images)]), name="both")


def make(frozen=two_bases, names=("c1", "c2"), optimizer=None):
    keras.utils.set_random_seed(5)
    stack = tl.Stack([tl.Stage(frozen(), "base", trainable=False), tl.Stage(head(*names), "head")])
    stack.compile(optimizer or keras.optimizers.Adam(0.01), **OPTIONS)
    return stack


def weights(stack):
    return [weight.numpy() for weight in stack.model.weights]


@pytest.mark.parametrize("strategy", ["joint", "precomputed", "streamed"])
def test_a_training_ends_as_that_of_the_nested_keras_model(strategy):
    stack, twin = make(), make()
    history = stack.fit(source(), epochs=2, strategy=strategy, shuffle=False, verbose=0)
    targets = np.eye(2, dtype="float32")[LABELS]
    expected = twin.model.fit(IMAGES.astype("float32"), targets, batch_size=4, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)
    for mine, keras_own in zip(weights(stack), weights(twin), strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-6)


def test_a_layer_is_thawed_under_a_head_that_has_its_name():
    """Nothing of it fails after the first phase was trained."""
    stack = make(lambda: base("net"))
    before = weights(stack)
    stack.fit(source(), phases=[tl.Phase("head", 1), tl.Phase(["head", "base/c2"], 1)], verbose=0)
    moved = [(mine != old).any() for mine, old in zip(weights(stack), before, strict=True)]
    assert moved == 2 * [False] + 4 * [False] + 2 * [True] + 4 * [True]  # c1, bn, c2 of the base, and the head


def test_a_layer_of_one_of_two_bases_learns_alone():
    stack = make()
    one, two = (stack.stages[0].model.get_layer(name) for name in ("one", "two"))
    before = [model.get_layer("c2").kernel.numpy() for model in (one, two)]
    stack.fit(source(), phases=[tl.Phase(["head", "base/two/c2"], 1)], verbose=0)
    assert (one.get_layer("c2").kernel.numpy() == before[0]).all()
    assert (two.get_layer("c2").kernel.numpy() != before[1]).any()


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    class StopError(Exception):
        pass

    def stop(epoch, logs):
        if epoch == 1:
            raise StopError

    phases = [tl.Phase("head", 2), tl.Phase(["head", "base/one/c2", "base/two/c2"], 2)]
    undisturbed, resumed = make(), make()
    undisturbed.fit(source(), phases=phases, verbose=0)
    with pytest.raises(StopError):
        make().fit(
            source(),
            phases=phases,
            checkpoint=tmp_path,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)],
            verbose=0,
        )
    resumed.fit(source(), phases=phases, checkpoint=tmp_path, callbacks=[keras.callbacks.LambdaCallback()], verbose=0)
    for mine, expected in zip(weights(resumed), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_training_goes_on_after_save_and_load(tmp_path):
    stack = make()
    stack.fit(source(), epochs=1, verbose=0)
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    for each in (stack, loaded):
        each.fit(source(), epochs=1, verbose=0)
    for mine, expected in zip(weights(loaded), weights(stack), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_two_heads_of_equal_names_answer_by_the_names_of_their_outputs():
    inputs = keras.Input((4,))
    outputs = {
        each: keras.Sequential([layers.Dense(2, "softmax", name="fc")], name=f"{each}_layers")(inputs)
        for each in ("kind", "size")
    }
    keras.utils.set_random_seed(5)
    pooled = keras.Sequential([keras.Input((8, 8, 3)), base("net"), layers.GlobalAveragePooling2D()], name="pooled")
    stack = tl.Stack([tl.Stage(pooled, "base", trainable=False), tl.Stage(keras.Model(inputs, outputs), "heads")])
    stack.compile("sgd", "categorical_crossentropy", metrics={"kind": ["accuracy"], "size": ["accuracy"]})
    labels = {"kind": np.array(["a", "b"])[LABELS], "size": np.array(["s", "t"])[LABELS[::-1]]}
    names = [
        sorted(stack.fit(tl.ImageArrays(IMAGES, labels, batch_size=4), epochs=1, strategy=way, verbose=0).history)
        for way in ("joint", "precomputed", "streamed")
    ]
    assert names[0] == names[1] == names[2]
    assert {"kind_accuracy", "size_accuracy"} <= set(names[0])


@keras.saving.register_keras_serializable("thawline_tests")
class Twins(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.left = layers.Dense(2, name="fc")
        self.right = layers.Dense(2, name="fc")

    def call(self, inputs):
        return keras.ops.softmax(self.left(inputs) + self.right(inputs))


def test_a_learning_rate_factor_reaches_all_layers_of_its_name():
    """With plain SGD both move by a tenth of what they move by without the factor."""
    moved = []
    for factors in (None, {"head/fc": 0.1}):
        keras.utils.set_random_seed(5)
        pooled = keras.Sequential([base("net"), layers.GlobalAveragePooling2D()])
        twins = Twins(name="twins")
        stack = tl.Stack([tl.Stage(pooled, "base", trainable=False), tl.Stage(twins, "head")])
        stack.compile(keras.optimizers.SGD(0.01), "categorical_crossentropy")
        before = [layer.kernel.numpy() for layer in (twins.left, twins.right)]
        one_step = tl.ImageArrays(IMAGES, LABELS, batch_size=12)
        stack.fit(one_step, phases=[tl.Phase("head", 1, learning_rate_factors=factors)], verbose=0)
        moved.append([layer.kernel.numpy() - old for layer, old in zip((twins.left, twins.right), before, strict=True)])
    for whole, tenth in zip(*moved, strict=True):
        np.testing.assert_allclose(tenth, 0.1 * whole, rtol=1e-3, atol=1e-8)
