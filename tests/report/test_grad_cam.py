"""Grad-CAM agrees with what can be calculated by hand, and says where it cannot be had."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.report.grad_cam import heat_maps, overlay

layers = keras.layers


def model_of(*after, size=6, inputs=None):
    """A fixed 1x1 convolution, so that maps are known, and what comes after it."""
    images = keras.Input((size, size, 3))
    tensor = layers.Conv2D(2, 1, use_bias=False, name="maps")(images)
    for layer in after:
        tensor = layer(tensor)
    model = keras.Model(images, tensor)
    model.get_layer("maps").set_weights([np.array([[1, 0], [0, 1], [0, 0]], "float32")[None, None]])
    return model


def images_of(size=6):
    return np.random.default_rng(0).random((3, size, size, 3)).astype("float32")


def by_hand(images, weights):
    """After a mean over all places each channel weighs what the head says; scaling takes the number of places out."""
    heat = np.maximum((images[..., :2] * weights).sum(axis=-1), 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_with_a_mean_and_a_dense_layer_maps_are_those_by_hand(activation):
    head = layers.Dense(3, activation=activation)
    model = model_of(layers.GlobalAveragePooling2D(), head)
    # So sure that the softmax is flat: its own gradients would be noise.
    kernel = np.array([[80.0, -2.0, 1.0], [-1.0, 3.0, 1.0]], "float32")
    head.set_weights([kernel, np.array([50.0, 0.0, 0.0], "float32")])
    images = images_of()
    heat = heat_maps(model, images, np.array([0, 1, 2]))
    assert heat.shape == (3, 6, 6) and heat.dtype == np.float32
    for index in range(3):
        np.testing.assert_allclose(heat[index], by_hand(images[[index]], kernel[:, index])[0], rtol=1e-4, atol=1e-5)


def test_a_softmax_of_its_own_is_passed_by_as_well():
    head = layers.Dense(2)
    ends = [[layers.Softmax()], [layers.Activation("softmax")], []]
    images, classes = images_of(), np.array([0, 1, 0])
    maps = []
    for end in ends:
        model = model_of(layers.GlobalAveragePooling2D(), head, *end)
        head.set_weights([np.array([[90.0, -3.0], [-2.0, 4.0]], "float32"), np.zeros(2, "float32")])
        maps.append(heat_maps(model, images, classes))
    np.testing.assert_allclose(maps[0], maps[2], rtol=1e-5)
    np.testing.assert_allclose(maps[1], maps[2], rtol=1e-5)


def test_one_answer_speaks_for_class_1_and_against_class_0():
    head = layers.Dense(1, activation="sigmoid")
    model = model_of(layers.GlobalAveragePooling2D(), head)
    head.set_weights([np.array([[1.0], [-1.0]], "float32"), np.zeros(1, "float32")])
    images = images_of()
    heat = heat_maps(model, images, np.array([1, 0, 1]))
    np.testing.assert_allclose(heat[0], by_hand(images[:1], [1, -1])[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(heat[1], by_hand(images[1:2], [-1, 1])[0], rtol=1e-4, atol=1e-6)


def test_what_speaks_only_against_an_answer_gives_no_heat():
    head = layers.Dense(2)
    model = model_of(layers.GlobalAveragePooling2D(), head)
    head.set_weights([-np.ones((2, 2), "float32"), np.zeros(2, "float32")])
    assert not heat_maps(model, images_of(), np.zeros(3, int)).any()


def test_branches_meet_before_the_map_that_is_taken():
    inputs = keras.Input((6, 6, 3))
    left, right = layers.Conv2D(2, 3, padding="same")(inputs), layers.Conv2D(2, 1)(inputs)
    pooled = [layers.GlobalAveragePooling2D()(side) for side in (left, right)]
    torn = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(pooled)))
    with pytest.raises(ArgumentError, match="no feature map"):
        heat_maps(torn, images_of(), np.zeros(3, int))
    joined = layers.Dense(2)(layers.GlobalMaxPooling2D()(layers.Concatenate()([left, right])))
    assert heat_maps(keras.Model(inputs, joined), images_of(), np.zeros(3, int)).shape == (3, 6, 6)


def test_dropout_and_statistics_stay_as_they_are():
    model = model_of(layers.BatchNormalization(), layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(2))
    before = [weight.copy() for weight in model.get_weights()]
    one, two = (heat_maps(model, images_of(), np.zeros(3, int)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_answers_that_are_maps_have_no_explanation():
    with pytest.raises(ArgumentError, match="one row of answers per image"):
        heat_maps(model_of(), images_of(), np.zeros(3, int))


def test_a_map_that_is_flattened_serves_as_well():
    model = model_of(layers.Flatten(), layers.Dense(2))
    assert heat_maps(model, images_of(), np.zeros(3, int)).shape == (3, 6, 6)


def test_an_overlay_leaves_cold_places_and_colours_hot_ones():
    pixels = np.full((40, 40, 1), 100, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    mixed = overlay(pixels, heat)
    assert mixed.shape == (40, 40, 3) and mixed.dtype == np.uint8
    assert (mixed[-1, -1] == 100).all()
    red, _, blue = mixed[0, 0].astype(int)
    assert red > 150 > 100 and red > blue
