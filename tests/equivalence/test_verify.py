"""Stack.verify: it says equal where the strategies are, finds a difference where there is one, and leaves no trace."""

import re

import cv2
import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, EngineError, NothingToLearnError
from thawline.training.verify import _by_place_or_shape, relative_difference

layers = keras.layers


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """70 noisy images of 16 px in two classes: two batches of 32 and a short one."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(2)
    for index in range(70):
        path = folder / ("bright" if index % 2 else "dark") / f"{index:03}.png"
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), (random.integers(0, 128, (16, 16, 3)) + 100 * (index % 2)).astype("uint8"))
    return tl.ImageFolder(folder, image_size=(16, 16), batch_size=32, seed=9)


def build(*between):
    """A frozen convolution, what is put between, and a head with Dropout."""
    keras.utils.set_random_seed(4)
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(16, 3), *between])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    return stack


def test_equal_strategies_are_said_to_be_bit_equal(images):
    found = build().verify(images.augment(horizontal_flip=True, rotation_range=20), steps=4, verbose=0)
    assert found.is_bit_equal
    assert (found.largest, found.reason, found.steps, found.views) == (0.0, "", 4, 2)
    assert str(found).splitlines() == [
        "4 steps of 32 images by each strategy, 2 epochs, 2 views:",
        "  joint and precomputed      bit-equal",
        "  joint and streamed         bit-equal",
        "  precomputed and streamed   bit-equal",
    ]


@keras.saving.register_keras_serializable("tests")
class DependsOnPlace(layers.Layer):
    """Gives another answer for the first image of a batch: what no frozen layer should do."""

    def call(self, inputs):
        """Doubles the first row."""
        first = keras.ops.cast(keras.ops.arange(keras.ops.shape(inputs)[0]) == 0, inputs.dtype)
        return inputs * (1 + first[:, None, None, None])


def test_a_difference_is_found_and_its_place_named(images):
    """Shuffled, another image is first in a training batch than in extraction."""
    found = build(DependsOnPlace()).verify(images, steps=4, verbose=0)
    between = {difference.strategies: difference for difference in found.differences}
    assert not found.is_bit_equal
    assert found.largest > 1e-4
    assert not between["joint", "precomputed"].is_zero
    assert between["joint", "streamed"].is_zero
    assert "losses differ by" in str(found)
    assert "below the line" in found.reason
    assert "depends on an image's place in the batch" in found.reason


@keras.saving.register_keras_serializable("tests")
class OverBatch(layers.Layer):
    """Subtracts the mean of the batch, where the batch has more than so many images."""

    def __init__(self, least=0, **options):
        super().__init__(**options)
        self.least = least

    def call(self, inputs):
        """Looks at all images."""
        is_large = keras.ops.cast(keras.ops.shape(inputs)[0] > self.least, inputs.dtype)
        return inputs - is_large * keras.ops.mean(inputs, axis=0, keepdims=True)


def test_what_works_over_the_batch_axis_is_kept_above_and_all_strategies_are_equal(images):
    found = build(OverBatch()).verify(images, steps=4, verbose=0)
    assert found.is_bit_equal, str(found)


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_what_is_found_only_in_the_batches_of_an_engine_is_refused(images, strategy):
    with pytest.raises(EngineError, match=r"works over the batch axis.*Use strategy='joint'"):
        build(OverBatch(least=4)).fit(images, epochs=1, strategy=strategy, engine="keras", verbose=0)
    build(OverBatch(least=4)).fit(images, epochs=1, strategy="joint", verbose=0)


def test_a_batch_axis_is_named_as_the_reason(images, monkeypatch):
    """Where nobody kept it above: never as the last bits of a convolution."""
    monkeypatch.setattr("thawline.stack.cut.find_mixing", lambda graph, free: {})
    monkeypatch.setattr("thawline.features.prefix.refuse_mixing", lambda numerics, name: None)
    found = build(OverBatch()).verify(images.select(range(60)), steps=4, verbose=0)
    assert not found.is_bit_equal
    assert "an operation in it works over the batch axis" in found.reason
    assert "last bits" not in found.reason


@pytest.mark.parametrize(
    ("by_place", "by_shape", "batch_size", "words"),
    [
        (0.0, 0.0, 32, "arises above the line"),
        (0.0, 1e-6, 20, "joint computes it in batches of 20, the engine of 32.*last bits of a convolution"),
        (1e-6, 1e-6, 32, "position in the batch .TensorFlow's mean over height and width"),
        (1e-6, 0.0, 20, "position in the batch"),
        (0.0, 0.44, 20, "features differ by 4.4e-01, because an operation in it depends on the size of the batch"),
        (0.44, 0.44, 20, "depends on an image's place in the batch"),
    ],
)
def test_only_last_bits_are_called_last_bits(by_place, by_shape, batch_size, words):
    assert re.search(words, _by_place_or_shape(by_place, by_shape, batch_size))


def test_the_stack_is_left_as_it_was(images):
    stack = build()
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in stack.model.variables]
    frozen = [layer.trainable for layer in stack.model._flatten_layers()]
    phase = tl.Phase(["head", "base/*"], epochs=3)
    with pytest.raises(NothingToLearnError, match="nothing frozen"):
        stack.verify(images, phase=phase, steps=2, verbose=0)
    stack.verify(images, steps=2, verbose=0)
    for variable, value in zip(stack.model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert [layer.trainable for layer in stack.model._flatten_layers()] == frozen
    assert stack.class_names == ()
    stack.fit(images, epochs=1, verbose=0, strategy="joint")
    assert stack.model.optimizer.iterations == 3


@pytest.mark.parametrize("steps", [0, 1, 2.5, "4"])
def test_steps_are_a_whole_number_from_two_up(images, steps):
    with pytest.raises(ArgumentError, match="steps is a whole number from 2 up"):
        build().verify(images, steps=steps, verbose=0)


def test_equal_bits_only_are_no_difference():
    ones = np.ones(3, np.float32)
    assert relative_difference(ones, ones.copy()) == 0
    assert relative_difference(ones, np.nextafter(ones, np.float32(2))) == pytest.approx(1.2e-7, rel=0.01)
    assert relative_difference(np.array([1.0, np.nan]), np.array([1.0, np.nan])) == 0


def test_mobilenet_with_augmentation_is_bit_equal(images):
    """MobileNetV2 takes 32 px and more, so that its images are enlarged here."""
    keras.utils.set_random_seed(4)
    base = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35)
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile("adam", "categorical_crossentropy")
    source = tl.ImageFolder(images.paths[0].parents[1], image_size=(32, 32), batch_size=32, seed=9)
    found = stack.verify(source.augment(rotation_range=30, zoom_range=0.2, horizontal_flip=True), steps=4, verbose=0)
    assert found.is_bit_equal, str(found)
