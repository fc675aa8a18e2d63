"""What works over the batch axis stays above the thaw line; what only passes it by does not."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.stack.batch_axis import DRAWS, MIXES
from thawline.stack.cut import find_cut

layers, ops = keras.layers, keras.ops


def cut_of(base, size=(8, 8, 3)):
    """The cut of a frozen base, given as a function of the images' tensor, below a head that learns."""
    images = keras.Input(size)
    model = keras.Model(images, base(images), name="base")
    model.trainable = False
    head = [layers.Flatten(), layers.Dense(2)]
    return find_cut(keras.Sequential([model, *head], name="all"))


def convolve(images):
    return layers.Conv2D(4, 3, padding="same")(images)


class OverBatch(layers.Layer):
    """Subtracts the mean of the batch."""

    def call(self, tensor):
        return tensor - ops.mean(tensor, axis=0, keepdims=True)


class Draws(layers.Layer):
    """Adds noise, in inference mode as well."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, tensor):
        return tensor + keras.random.normal(ops.shape(tensor), seed=self.seeds)


class Inner(keras.Model):
    """A subclassed model with an operation over the batch in it."""

    def __init__(self):
        super().__init__()
        self.norm = layers.UnitNormalization(axis=0)

    def build(self, shape):
        self.norm.build(shape)

    def call(self, tensor):
        return self.norm(tensor)


def centred(tensor):
    return tensor - ops.mean(tensor, axis=0)


MIXING = {
    "an operation": lambda images: convolve(images) - ops.mean(convolve(images), axis=0, keepdims=True),
    "the largest of all": lambda images: convolve(images) / ops.max(convolve(images)),
    "a layer of one's own": lambda images: OverBatch()(convolve(images)),
    "a Lambda": lambda images: layers.Lambda(centred)(convolve(images)),
    "an activation": lambda images: layers.Conv2D(3, 1, activation=centred)(images),
    "a subclassed model": lambda images: Inner()(convolve(images)),
    "a layer in a wrapper": lambda images: layers.TimeDistributed(layers.Activation(centred))(convolve(images)),
    "Keras' layers along axis 0": lambda images: layers.UnitNormalization(axis=0)(convolve(images)),
    "softmax along axis 0": lambda images: layers.Softmax(axis=0)(convolve(images)),
    "an order": lambda images: ops.flip(convolve(images), axis=0),
    "the first image": lambda images: layers.Lambda(lambda tensor: tensor - tensor[:1])(convolve(images)),
    "a running sum": lambda images: ops.cumsum(convolve(images), axis=0),
    "an einsum": lambda images: ops.einsum("ahwc,bhwc->bhwc", images, convolve(images)[..., :3]),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_works_over_the_batch_axis_stays_above(name):
    cut = cut_of(MIXING[name])
    reasons = {obstacle.reason for obstacle in cut.obstacles.values()}
    assert MIXES in reasons
    images = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    features = keras.tree.flatten(cut.prefix(images, training=False))
    for one, other in zip(features, keras.tree.flatten(cut.prefix(images[::-1], training=False)), strict=True):
        np.testing.assert_allclose(one, ops.flip(other, axis=0), atol=1e-6)


def windows(images):
    """As in a Swin Transformer: windows go to the batch axis, are worked on, and come back."""
    tensor = ops.reshape(convolve(images), (-1, 2, 4, 2, 4, 4))
    tensor = ops.reshape(ops.transpose(tensor, (0, 1, 3, 2, 4, 5)), (-1, 16, 4))
    tensor = layers.Dense(4)(tensor) + ops.mean(tensor, axis=1, keepdims=True)
    tensor = ops.transpose(ops.reshape(tensor, (-1, 2, 2, 4, 4, 4)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(tensor, (-1, 8, 8, 4))


def sequence_first(images):
    """The batch goes to the second axis and comes back, as in layers that were written for sequences."""
    tensor = ops.transpose(ops.reshape(convolve(images), (-1, 64, 4)), (1, 0, 2))
    return ops.transpose(ops.cumsum(tensor, axis=0), (1, 0, 2))


class Scale(layers.Layer):
    def call(self, tensor):
        return tensor * ops.softmax(ops.mean(tensor, axis=(1, 2), keepdims=True))


PASSING = {
    "windows in the batch axis": windows,
    "the batch on another axis": sequence_first,
    "a layer of one's own": lambda images: Scale()(convolve(images)),
    "a Lambda": lambda images: layers.Lambda(lambda tensor: tensor[..., ::-1])(convolve(images)),
    "normalization": lambda images: layers.LayerNormalization()(layers.BatchNormalization()(convolve(images))),
    "operations": lambda images: ops.concatenate([convolve(images), 2 * ops.roll(images, 1, axis=2)], axis=-1),
    "dropout": lambda images: layers.Dropout(0.5)(convolve(images)),
    "a part of the image": lambda images: convolve(images)[:, 2:4, ::2],
}


@pytest.mark.parametrize("name", PASSING)
def test_what_answers_each_image_by_itself_goes_below(name):
    cut = cut_of(PASSING[name])
    assert {obstacle.reason for obstacle in cut.obstacles.values()} == {"learns"}


def test_what_is_drawn_in_inference_mode_stays_above_and_trying_draws_nothing():
    layer = Draws()
    before = ops.convert_to_numpy(layer.seeds.state)
    cut = cut_of(lambda images: layer(convolve(images)))
    assert DRAWS in {obstacle.reason for obstacle in cut.obstacles.values()}
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.seeds.state), before)


def test_the_cut_says_why_frozen_weights_lie_above():
    text = str(cut_of(lambda images: layers.Conv2D(2, 1, name="behind")(OverBatch(name="mean")(convolve(images)))))
    assert "frozen, but above: base/behind (10 weights), because base/mean before it works over the batch axis" in text
