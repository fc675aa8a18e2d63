"""Engines: one batch shape, rows that know nothing of each other."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.features.engines import ENGINE_BATCH, ENGINES, make_engine
from thawline.stack.cut import find_cut


class RecordingPrefix:
    """Stands in for a Keras model: gives each image's sum and its double, and notes what it was called with."""

    def __init__(self):
        self.batches = []
        self.compiled_with = None

    def compile(self, **options):
        self.compiled_with = options

    def predict_on_batch(self, images):
        self.batches.append(images)
        sums = images.sum(axis=(1, 2, 3), dtype=np.float32)
        return [sums, 2 * sums[:, None]]


@pytest.fixture(scope="module")
def network():
    """A small network whose BatchNorm and Dropout would tell whether it trains."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Conv2D(4, 3),
        ]
    )


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, ENGINE_BATCH - 1, ENGINE_BATCH, ENGINE_BATCH + 1, 2 * ENGINE_BATCH + 3])
def test_every_batch_has_one_shape_and_every_image_one_row(count):
    prefix = RecordingPrefix()
    images = pictures(count)
    sums, doubles = make_engine("keras", prefix).run(images)
    assert {batch.shape for batch in prefix.batches} == {(ENGINE_BATCH, 8, 8, 3)}
    assert {batch.dtype for batch in prefix.batches} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(sums, images.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(doubles, 2 * images.sum(axis=(1, 2, 3))[:, None])


def test_what_fills_up_a_batch_is_zero():
    prefix = RecordingPrefix()
    make_engine("keras", prefix).run(pictures(3))
    assert not prefix.batches[0][3:].any()


def test_rows_depend_neither_on_their_neighbours_nor_on_their_place(network):
    engine = make_engine("keras", network)
    images = pictures(ENGINE_BATCH)
    (together,) = engine.run(images)
    (alone,) = engine.run(images[5:6])
    (elsewhere,) = engine.run(np.concatenate([pictures(40, seed=9), images[5:6]]))
    np.testing.assert_array_equal(alone[0], together[5])
    np.testing.assert_array_equal(elsewhere[40], together[5])


def test_features_are_what_the_network_says_in_inference_mode(network):
    before = [weight.copy() for weight in network.get_weights()]
    images = pictures(5)
    (features,) = make_engine("keras", network).run(images)
    expected = keras.ops.convert_to_numpy(network(images.astype("float32"), training=False))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-3)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_xla_is_off():
    prefix = RecordingPrefix()
    make_engine("keras", prefix)
    assert prefix.compiled_with == {"jit_compile": False}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_describes_what_its_answers_depend_on(name):
    assert make_engine(name, RecordingPrefix()).describe() == {"name": name, "batch": ENGINE_BATCH}


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match=r"engine is one of 'keras'.*; got 'tensorrt'"):
        make_engine("tensorrt", RecordingPrefix())


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16", "float16"])
def test_features_have_the_dtype_that_the_cut_announces(policy):
    layers = keras.layers
    frozen = layers.Conv2D(4, 3, dtype=policy, trainable=False)
    cut = find_cut(keras.Sequential([keras.Input((8, 8, 3)), frozen, layers.Flatten(), layers.Dense(2)]))
    (features,) = make_engine("keras", cut.prefix).run(pictures(2))
    assert features.dtype.name == cut.crossing[0].dtype
    assert features.shape == (2, *cut.crossing[0].shape[1:])
