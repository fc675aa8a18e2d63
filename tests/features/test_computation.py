"""What a frozen layer holds in attributes, arrays, files and globals is in the fingerprint of its features."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import own_layers
import thawline as tl
from own_layers import Calls, FromFile, Minus, Steps, Whole, digest
from thawline.backend import keras
from thawline.data.sources.arrays import ImageArrays
from thawline.errors import CacheError
from thawline.features.fingerprint import COMPUTATIONS, UNSHARED, describe_prefix
from thawline.features.identity import digest_description

layers = keras.layers
tensorflow = pytest.importorskip("tensorflow")
RANDOM = np.random.default_rng(5)


def stack_of(layer):
    """A frozen base of this layer and a convolution, below a head that learns; the same weights each time."""
    keras.utils.set_random_seed(5)
    base = keras.Sequential([keras.Input((8, 8, 3)), layer, layers.Conv2D(4, 3, strides=4)], name="base")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")], name="head")
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile("sgd", "sparse_categorical_crossentropy")
    return stack


@pytest.fixture
def source():
    pixels = RANDOM.integers(0, 256, (20, 8, 8, 3), np.uint8)
    return ImageArrays(pixels, np.arange(20) % 2, class_names=["a", "b"], label_mode="sparse")


class Held:
    """Something with an attribute, and something in it."""

    def __init__(self, gain):
        self.__dict__.update({"deep": [{"gain": gain}]})

    def __call__(self, pixels):
        return pixels * self.deep[0]["gain"]


class Slotted:
    __slots__ = ("gain",)

    def __init__(self, gain):
        self.gain = gain


class OfClass(layers.Layer):
    gain = 1.0

    def call(self, pixels):
        return pixels * self.gain


def changed_class(gain):
    OfClass.gain = gain
    return OfClass()


def slotted(gain):
    held = Slotted(gain)
    return layers.Lambda(lambda pixels: pixels * held.gain)


def changed_global(gain):
    own_layers.GAIN = gain
    return layers.Lambda(own_layers.scale)


def changed_global_in_a_loop(gain):
    own_layers.GAIN = gain
    return Steps()


def changed_global_of_an_activation(gain):
    own_layers.GAIN = gain
    return layers.Conv2D(3, 1, activation=own_layers.scale)


# Each makes a layer that holds a number where no configuration, weight or source code tells of it.
HOLDING = {
    "attribute": lambda gain: Minus(np.float32(gain)),
    "array": lambda gain: Minus(np.full((8, 8, 3), gain, np.float32)),
    "tensor": lambda gain: Minus(tensorflow.constant(np.full((8, 8, 3), gain, np.float32))),
    "variable of TensorFlow": lambda gain: Minus(tensorflow.Variable(gain)),
    "dictionary of a model": lambda gain: Whole({"gain": [gain]}),
    "object": lambda gain: Calls(Held(gain)),
    "object with slots": slotted,
    "class": changed_class,
    "global": changed_global,
    "global in a loop": changed_global_in_a_loop,
    "global of an activation": changed_global_of_an_activation,
    "layer in a wrapper": lambda gain: layers.TimeDistributed(Calls(Held(gain))),
}


@pytest.fixture(autouse=True)
def gains_as_before():
    yield
    own_layers.GAIN, OfClass.gain = 1.0, 1.0


@pytest.mark.parametrize("name", HOLDING)
def test_features_of_another_value_are_others_and_equal_ones_are_found(name, source):
    """All numbers are those of the whole stack, whatever is in the cache."""

    def difference(gain):
        stack = stack_of(HOLDING[name](gain))
        kept = stack.predict(source, strategy="precomputed", engine="keras", verbose=0)
        return np.abs(kept - stack.predict(source, verbose=0)).max()

    prints = [digest_description(describe_prefix(stack_of(HOLDING[name](gain)).cut())) for gain in (2.0, 5.0, 2.0)]
    assert prints[0] == prints[2] != prints[1]
    assert max(difference(2.0), difference(5.0), difference(2.0)) < 1e-6


def test_a_file_that_is_read_when_the_layer_is_made_counts_by_what_it_has(tmp_path):
    def of(value):
        np.save(tmp_path / "mean.npy", np.full((8, 8, 3), value, np.float32))
        return digest(FromFile(tmp_path / "mean.npy"))

    assert of(0) == of(0) != of(1)


def test_names_and_numbers_of_layers_do_not_count():
    first, second = digest(Minus(np.float32(1))), digest(Minus(np.float32(1), name="other"))
    assert first == second
    assert digest(Whole({"gain": [1.0]})) == digest(Whole({"gain": [1.0]}))


def test_weights_count_by_their_place_not_by_their_value():
    """Values are digested with all weights of the prefix."""
    one, other = Whole({"gain": [1.0]}), Whole({"gain": [1.0]})
    before = digest(one)
    other.build((None, 8, 8, 3))
    other.inner.kernel.assign(other.inner.kernel * 3)
    assert digest(other) == before


def test_another_process_gives_the_same_digests():
    done = subprocess.run([sys.executable, own_layers.__file__], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == own_layers.several()


# -- what cannot be described ------------------------------------------------------------------------------------


def by_python(pixels):
    return tensorflow.ensure_shape(tensorflow.numpy_function(np.negative, [pixels], tensorflow.float32), pixels.shape)


def by_file(path):
    def add(pixels):
        text = tensorflow.io.read_file(str(path))
        return pixels + tensorflow.strings.to_number(text)

    return add


def by_table(pixels):
    table = tensorflow.lookup.StaticHashTable(
        tensorflow.lookup.KeyValueTensorInitializer([0], [1.0], tensorflow.int32, tensorflow.float32), 0.0
    )
    return lambda images: images + table.lookup(tensorflow.constant(0))


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda tmp_path: by_python, "calls a Python function when it runs"),
        (by_file, "reads a file when it runs"),
        (by_table, "holds a table or another resource of TensorFlow"),
    ],
    ids=["python", "file", "table"],
)
def test_what_a_graph_does_not_hold_is_said(function, problem, tmp_path):
    (tmp_path / "number").write_text("2.5")
    with pytest.raises(CacheError, match=problem):
        digest(Calls(function(tmp_path / "number")))


def python_stack():
    """A frozen layer of which nobody can say what it depends on; it has no `get_config` either."""
    return stack_of(Calls(by_python, name="odd"))


def test_what_cannot_be_described_trains_by_all_strategies_and_is_kept_for_this_process(source, monkeypatch):
    losses = {}
    text = r"Features of 'base/odd' serve in this process only.*the layer calls a Python function when it runs"
    for strategy in ("joint", "streamed", "precomputed"):
        stack = python_stack()
        if strategy == "precomputed":
            with pytest.warns(UserWarning, match=text), warnings.catch_warnings():
                # Keras' own, which the tests pass over everywhere.
                warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
                history = stack.fit(source, epochs=2, strategy=strategy, engine="keras", verbose=0)
        else:
            history = stack.fit(source, epochs=2, strategy=strategy, engine="keras", verbose=0)
        losses[strategy] = history.history["loss"]
    np.testing.assert_allclose(losses["streamed"], losses["joint"], rtol=1e-5)
    assert losses["precomputed"] == losses["streamed"]
    cut = python_stack().cut()
    here = describe_prefix(cut)
    assert list(here[UNSHARED]) == ["base/odd"]
    assert describe_prefix(cut) == here
    monkeypatch.setattr("thawline.features.fingerprint._PROCESS", "another")
    assert describe_prefix(cut) != here


@pytest.mark.parametrize("layer", [lambda: Calls(lambda pixels: pixels * 2), lambda: Whole({"gain": [2.0]})])
@pytest.mark.parametrize("strategy", ["streamed", "precomputed"])
def test_a_layer_that_keras_could_not_save_trains_and_is_shared(layer, strategy, source):
    stack = stack_of(layer())
    stack.fit(source, epochs=1, strategy=strategy, engine="keras", verbose=0)
    description = describe_prefix(stack.cut())
    assert UNSHARED not in description
    assert len(description[COMPUTATIONS]) == 1


def test_an_array_too_large_for_its_text_counts_in_a_configuration():
    def of(position):
        mean = np.zeros((8, 8, 30), np.float32)
        mean[position] = 1
        images = keras.Input((8, 8, 30))
        scaled = layers.Normalization(axis=(1, 2, 3), mean=mean, variance=np.ones_like(mean))(images)
        frozen = layers.Conv2D(2, 3, kernel_initializer="ones", trainable=False)(scaled)
        model = keras.Model(images, layers.Dense(2)(layers.Flatten()(frozen)))
        return digest_description(describe_prefix(tl.Stack([tl.Stage(model, "all")]).cut()))

    assert of((4, 4, 15)) == of((4, 4, 15)) != of((4, 4, 16))


def test_stacks_of_layers_of_keras_are_described_as_before():
    stack = stack_of(layers.ReLU())
    assert set(describe_prefix(stack.cut())) == {"inputs", "calls", "crossing", "weights"}
