"""Cuts below the thaw line: fewer bytes to keep, for work that runs again, and the same answers."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.specs import TensorSpec
from thawline.stack.cut import find_cut

layers = keras.layers
IMAGES = np.random.default_rng(3).random((3, 8, 8, 3), "float32")


def frozen(layer):
    layer.trainable = False
    return layer


def narrow_then_wide(*between, after=()):
    """A narrow map of 6 x 6 x 2, layers between, a wide one of 6 x 6 x 16, layers after it, and what learns."""
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            frozen(layers.Conv2D(2, 3, name="narrow")),
            *map(frozen, between),
            frozen(layers.Conv2D(16, 1, name="wide")),
            *map(frozen, after),
            layers.Conv2D(4, 3, name="learning"),
        ]
    )


def test_an_earlier_cut_has_fewer_bytes_and_says_what_runs_again():
    cut = find_cut(narrow_then_wide())
    (candidate,) = cut.candidates
    assert (cut.name, candidate.name) == ("wide", "narrow")
    assert (cut.row_bytes, candidate.row_bytes) == (6 * 6 * 16 * 4, 6 * 6 * 2 * 4)
    assert candidate.crossing == (TensorSpec((None, 6, 6, 2), "float32"),)
    assert candidate.multiply_adds_recomputed == 6 * 6 * 2 * 16
    assert candidate.multiply_adds_below == 6 * 6 * 9 * 3 * 2
    assert candidate.multiply_adds_above == cut.multiply_adds_above == 4 * 4 * 9 * 16 * 4
    assert (candidate.weights_below, candidate.weights_held) == (3 * 3 * 3 * 2 + 2, 2 * 16 + 16)
    assert cut.places == (cut, candidate)


def test_where_nothing_earlier_is_smaller_there_are_no_candidates():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), frozen(layers.Conv2D(16, 3)), frozen(layers.Conv2D(2, 3)), layers.Conv2D(4, 3)]
    )
    assert find_cut(model).candidates == ()


def test_the_images_alone_are_no_candidate():
    """8 x 8 x 3 values are fewer than 8 x 8 x 16, but then nothing would be computed once."""
    convolution = frozen(layers.Conv2D(16, 3, padding="same"))
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(2.0), convolution, layers.Conv2D(4, 3)])
    assert find_cut(model).candidates == ()


def test_a_size_that_is_not_known_has_no_candidates():
    model = keras.Sequential(
        [keras.Input((None, None, 3)), frozen(layers.Conv2D(2, 3)), frozen(layers.Conv2D(9, 1)), layers.Conv2D(4, 3)]
    )
    assert find_cut(model).candidates == ()


def test_only_cuts_that_save_bytes_are_offered():
    """Maps of 8, 2, 4, 1, 16 channels: from the line up 4 and 8 save nothing that a later one does not save."""
    channels = [8, 2, 4, 1, 16]
    convolutions = [frozen(layers.Conv2D(count, 1, name=f"channels_{count}")) for count in channels]
    cut = find_cut(keras.Sequential([keras.Input((4, 4, 3)), *convolutions, layers.Conv2D(2, 1)]))
    assert [candidate.name for candidate in cut.candidates] == ["channels_1"]
    channels = [1, 8, 2, 4, 16]
    convolutions = [frozen(layers.Conv2D(count, 1, name=f"channels_{count}")) for count in channels]
    cut = find_cut(keras.Sequential([keras.Input((4, 4, 3)), *convolutions, layers.Conv2D(2, 1)]))
    assert [candidate.name for candidate in cut.candidates] == ["channels_4", "channels_2", "channels_1"]
    again = [candidate.multiply_adds_recomputed for candidate in cut.candidates]
    assert again == [16 * 4 * 16, 16 * (4 * 16 + 2 * 4), 16 * (4 * 16 + 2 * 4 + 8 * 2 + 8)]


def test_a_cut_stands_after_activations_that_cost_nothing():
    cut = find_cut(narrow_then_wide(layers.BatchNormalization(), layers.ReLU(name="activation")))
    assert [candidate.name for candidate in cut.candidates] == ["activation"]


def test_of_cuts_that_run_nothing_again_the_smallest_is_offered():
    upsampling = [layers.UpSampling2D(2), layers.ZeroPadding2D(1)]
    convolution = frozen(layers.Conv2D(2, 3, name="small"))
    cut = find_cut(keras.Sequential([keras.Input((8, 8, 3)), convolution, *upsampling, layers.Conv2D(4, 3)]))
    (candidate,) = cut.candidates
    assert (candidate.name, candidate.multiply_adds_recomputed) == ("small", 0)


def test_a_skip_that_crosses_the_line_crosses_earlier_cuts_too():
    inputs = keras.Input((8, 8, 3))
    skip = frozen(layers.Conv2D(1, 1, name="skip"))(inputs)
    narrow = frozen(layers.Conv2D(2, 1, name="narrow"))(skip)
    wide = frozen(layers.Conv2D(16, 1, name="wide"))(narrow)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(layers.concatenate([skip, layers.Conv2D(4, 1)(wide)])))
    cut = find_cut(model)
    assert sorted(cut.crossing_paths) == ["skip", "wide"]
    # Its own answer is all that "narrow" needs of "skip", so the two cross once together.
    assert [sorted(candidate.crossing_paths) for candidate in cut.candidates] == [["narrow", "skip"], ["skip"]]
    for candidate in cut.candidates:
        answers = candidate.suffix(candidate.prefix(IMAGES, training=False), training=False)
        np.testing.assert_allclose(answers, model(IMAGES, training=False), rtol=1e-6)


@pytest.mark.parametrize(
    "chance", [layers.Dropout(0.9), layers.GaussianNoise(1.0)], ids=lambda layer: type(layer).__name__
)
def test_chance_between_a_candidate_and_the_line_does_nothing_in_training(chance):
    cut = find_cut(narrow_then_wide(after=[chance]))
    (candidate,) = cut.candidates
    assert chance in [node.layer for node in candidate.held]
    at_the_line = cut.suffix(cut.prefix(IMAGES, training=False), training=True)
    earlier = candidate.suffix(candidate.prefix(IMAGES, training=False), training=True)
    np.testing.assert_array_equal(earlier, at_the_line)


def test_statistics_between_a_candidate_and_the_line_do_not_move():
    normalization = layers.BatchNormalization(name="normalization")
    (candidate,) = find_cut(narrow_then_wide(after=[normalization])).candidates
    assert normalization in [node.layer for node in candidate.held]
    before = keras.ops.convert_to_numpy(normalization.moving_mean).copy()
    candidate.suffix(candidate.prefix(IMAGES, training=False), training=True)
    np.testing.assert_array_equal(normalization.moving_mean, before)


def test_what_is_held_does_not_learn_and_adds_nothing_to_the_loss():
    regularized = [layers.Conv2D(16, 1, activity_regularizer="l2"), layers.ActivityRegularization(0.1)]
    model = narrow_then_wide(after=regularized)
    (candidate,) = find_cut(model).candidates
    suffix = candidate.suffix
    suffix(candidate.prefix(IMAGES, training=False), training=True)
    assert suffix.losses == []
    assert [id(weight) for weight in suffix.trainable_weights] == [id(weight) for weight in model.trainable_weights]


def test_mobilenet_v2_can_be_cut_at_a_narrow_block_instead_of_a_wide_one():
    model = keras.applications.MobileNetV2(input_shape=(224, 224, 3), include_top=False, weights=None)
    names = [layer.name for layer in model.layers]
    for layer in model.layers:
        layer.trainable = names.index(layer.name) >= names.index("block_13_depthwise")
    offered = [(candidate.name, candidate.row_bytes) for candidate in find_cut(model).candidates]
    assert offered[1] == ("block_12_add", 14 * 14 * 96 * 4)
    assert find_cut(model).candidates[1].multiply_adds_recomputed == 14 * 14 * 96 * 576
