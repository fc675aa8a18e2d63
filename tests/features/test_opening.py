"""Sets of features of thawline 0.1: taken over where this machine gives their bits, left alone where it does not."""

import contextlib
import warnings

import numpy as np
import pytest

import thawline as tl
from other_process import tiny_stack
from thawline.backend import keras
from thawline.data.sources.folder import ImageFolder
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.fingerprint import row_key
from thawline.features.opening import is_any_kept, open_features
from thawline.features.options import FeatureOptions
from thawline.features.prefix import Prefix

layers = keras.layers
IMAGES = 10


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def source(image_folder):
    return ImageFolder(image_folder(2, count=IMAGES // 2), image_size=(8, 8), seed=3)


def prefix_of(stack, cache):
    return FeatureOptions(cache, engine="keras").prefix(stack.cut())


def keep_as_before(stack, source, cache, *, storage="float32", nudge=None):
    """What thawline 0.1 left: a set whose description says nothing of bits. A function may change its rows."""
    prefix = prefix_of(stack, cache)
    features = cache.features(prefix.describe_as_before(source), prefix.cut.crossing, storage=storage)
    extract(source, 1, prefix, features, show_progress=False)
    if nudge is not None:
        keys = [row_key(key, 0) for key in source.view_keys()]
        features.write(keys, [nudge(tensor) for tensor in features.read(keys)])
    return features.path


def count(stack, source, cache, storage="float32"):
    """How many rows a run computes, and in which set."""
    prefix = prefix_of(stack, cache)
    features = open_features(cache, prefix, source, storage=storage)
    return extract(source, 1, prefix, features, show_progress=False).extracted, features.path


@contextlib.contextmanager
def other_bits():
    """Features of an earlier version are said to be left alone."""
    text = r"were computed with other bits than this machine computes now.*left alone"
    with pytest.warns(UserWarning, match=text), warnings.catch_warnings():
        # Keras' own, which the tests pass over everywhere.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def test_a_set_of_equal_bits_is_taken_over_with_all_its_rows(source, cache, monkeypatch):
    before = keep_as_before(tiny_stack(), source, cache)
    assert is_any_kept(cache, prefix_of(tiny_stack(), cache), source)
    assert count(tiny_stack(), source, cache) == (0, before)
    assert [report.rows for report in cache.sets()] == [IMAGES]
    # From now on it is known, and nothing is computed to use it.
    monkeypatch.setattr("thawline.features.prefix.make_engine", None)
    assert count(tiny_stack(), source, cache) == (0, before)


def test_a_set_of_other_bits_is_left_alone_and_that_is_said_once(source, cache):
    def in_the_last_bit(rows):
        return np.nextafter(rows, np.float32(9))

    before = keep_as_before(tiny_stack(), source, cache, nudge=in_the_last_bit)
    with other_bits():
        computed, path = count(tiny_stack(), source, cache)
    assert computed == IMAGES
    assert path != before
    # A warning would be an error.
    assert count(tiny_stack(), source, cache) == (0, path)
    assert sorted(report.rows for report in cache.sets()) == [IMAGES, IMAGES]


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_rows_that_were_rounded_are_compared_rounded(source, cache, storage):
    before = keep_as_before(tiny_stack(), source, cache, storage=storage)
    assert count(tiny_stack(), source, cache, storage) == (0, before)


def test_rows_that_a_place_in_the_batch_moves_are_no_other_bits(source, cache):
    """TensorFlow's mean over 12 channels depends on the place; where a row was in its batch nobody noted."""

    def stack():
        keras.utils.set_random_seed(0)
        base = keras.Sequential(
            [keras.Input((8, 8, 3)), layers.Conv2D(12, 3), layers.GlobalAveragePooling2D(), layers.Dense(5)]
        )
        head = keras.Sequential([layers.Dense(2)])
        return tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])

    turned = source.select(range(len(source))[::-1])
    before = keep_as_before(stack(), turned, cache)
    assert count(stack(), source, cache) == (0, before)


def test_a_set_without_rows_of_these_images_is_judged_when_some_come(image_folder, source, cache):
    before = keep_as_before(tiny_stack(), source, cache)
    others = ImageFolder(image_folder(2, count=2, seed=7, name="others"), image_size=(8, 8))
    assert count(tiny_stack(), others, cache)[0] == 4
    assert count(tiny_stack(), source, cache) == (0, before)
    # Both sets have the bits of this machine, and each is used for the images it has.
    assert count(tiny_stack(), others, cache)[0] == 0


def test_a_machine_of_other_bits_does_not_take_over_what_was_taken_over(source, cache, monkeypatch):
    before = keep_as_before(tiny_stack(), source, cache)
    assert count(tiny_stack(), source, cache) == (0, before)
    numerics = Prefix.numerics
    monkeypatch.setattr(Prefix, "numerics", lambda self, images: replaced(numerics(self, images)))
    computed, path = count(tiny_stack(), source, cache)
    assert (computed, path == before) == (IMAGES, False)


def replaced(numerics):
    return type(numerics)("0" * 64, numerics.is_repeatable, numerics.is_by_image)


GAIN = 1.0


def scaled_stack():
    keras.utils.set_random_seed(0)
    scale = layers.Lambda(lambda pixels: keras.ops.where(pixels > 254.5, pixels * GAIN, pixels))
    base = keras.Sequential([keras.Input((8, 8, 3)), scale, layers.Conv2D(16, 3)])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2)])
    return tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(0, 255)), tl.Stage(head, "head")])


def test_a_set_that_was_made_by_other_code_is_left_alone(image_folder, cache, monkeypatch):
    """Version 0.1 did not see a global that a Lambda uses: its set may be of any value."""
    folder = image_folder(2, count=IMAGES // 2)
    source = ImageFolder(folder, image_size=(8, 8)).augment(brightness_range=(3.0, 3.0))
    before = keep_as_before(scaled_stack(), source, cache)
    monkeypatch.setitem(globals(), "GAIN", -3.0)
    with other_bits():
        computed, path = count(scaled_stack(), source, cache)
    assert (computed, path == before) == (IMAGES, False)


def test_a_set_that_was_taken_over_serves_that_code_only(source, cache, monkeypatch):
    before = keep_as_before(scaled_stack(), source, cache)
    assert count(scaled_stack(), source, cache) == (0, before)
    # No image that is stored has a pixel that would show it, nor need one be in the probe.
    monkeypatch.setitem(globals(), "GAIN", 7.0)
    computed, path = count(scaled_stack(), source, cache)
    assert (computed, path == before) == (IMAGES, False)


class Built(layers.Layer):
    """A layer with a `build` of its own, of which version 0.1 noted the name."""

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[1:], initializer="glorot_normal")

    def call(self, pixels):
        return pixels * self.scale


def test_a_set_of_a_layer_with_its_own_build_is_taken_over_too(source, cache):
    def stack(name):
        keras.utils.set_random_seed(0)
        base = keras.Sequential([keras.Input((8, 8, 3)), Built(name=name), layers.Conv2D(16, 3)])
        head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2)])
        return tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])

    # Names and numbers of layers were as when it was made, as in a script that runs again.
    again = stack("built")
    before = keep_as_before(again, source, cache)
    assert count(again, source, cache) == (0, before)
    # What is stored from now on is found whatever the layer is called.
    fresh = FeatureCache(cache.path.with_name("fresh"))
    assert [count(stack(name), source, fresh)[0] for name in ("built", "built_1", "other")] == [IMAGES, 0, 0]
