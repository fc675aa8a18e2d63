"""The Keras engine: one batch shape, and copies in bfloat16 that leave the prefix alone."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import EngineError
from thawline.features.engines.engine import ENGINE_BATCH
from thawline.features.engines.keras_engine import KerasEngine
from thawline.stack.cut import find_cut

layers = keras.layers


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


@pytest.mark.parametrize("count", [1, ENGINE_BATCH - 1, ENGINE_BATCH, ENGINE_BATCH + 1, 2 * ENGINE_BATCH + 3])
def test_every_batch_has_one_shape_and_every_image_one_row(count, pictures):
    prefix = RecordingPrefix()
    images = pictures(count)
    sums, doubles = KerasEngine(prefix).run(images)
    assert {batch.shape for batch in prefix.batches} == {(ENGINE_BATCH, 8, 8, 3)}
    assert {batch.dtype for batch in prefix.batches} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(sums, images.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(doubles, 2 * images.sum(axis=(1, 2, 3))[:, None])


def test_what_fills_up_a_batch_is_zero(pictures):
    prefix = RecordingPrefix()
    KerasEngine(prefix).run(pictures(3))
    assert not prefix.batches[0][3:].any()


def test_xla_is_off():
    prefix = RecordingPrefix()
    KerasEngine(prefix)
    assert prefix.compiled_with == {"jit_compile": False}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16", "float16"])
def test_features_have_the_dtype_that_the_cut_announces(policy, pictures):
    frozen = layers.Conv2D(4, 3, dtype=policy, trainable=False)
    cut = find_cut(keras.Sequential([keras.Input((8, 8, 3)), frozen, layers.Flatten(), layers.Dense(2)]))
    (features,) = KerasEngine(cut.prefix).run(pictures(2))
    assert features.dtype.name == cut.crossing[0].dtype
    assert features.shape == (2, *cut.crossing[0].shape[1:])


def test_bfloat16_runs_a_copy_and_leaves_the_prefix_alone(network, pictures):
    before = [layer.get_config() for layer in network.layers]
    KerasEngine(network, "bfloat16").run(pictures(2))
    assert [layer.get_config() for layer in network.layers] == before


def test_bfloat16_rounds_what_the_layers_compute(pictures):
    keras.utils.set_random_seed(0)
    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    kernel = dense.layers[-1].get_weights()[0]
    images = pictures(1) // 64
    (features,) = KerasEngine(dense, "bfloat16").run(images)
    # The products of small whole numbers with weights of 8 bits; the sum is kept in 8 bits, too.
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(kernel, "bfloat16"), "float32"))
    expected = images.reshape(1, -1).astype(np.float32) @ rounded
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=2**-8)
    np.testing.assert_array_equal(features.view(np.uint32) & 0xFFFF, 0)


@keras.saving.register_keras_serializable()
class NeedsAnArgument(layers.Layer):
    """A layer that cannot be made anew from its configuration."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return {"name": self.name}


def test_a_layer_that_cannot_be_copied_is_named_in_the_refusal():
    prefix = keras.Sequential([keras.Input((8, 8, 3)), NeedsAnArgument(2.0)])
    with pytest.raises(EngineError, match=r"cannot be run in bfloat16 by keras.*NeedsAnArgument.*precision='float32'"):
        KerasEngine(prefix, "bfloat16")
