"""What every engine promises: Keras' answers in inference mode, row by row, in order."""

import itertools

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.features.engines.agreement import compare
from thawline.features.engines.engine import ENGINE_BATCH
from thawline.features.engines.make import ENGINES, describe_engine, make_engine

layers = keras.layers


@pytest.fixture(scope="module", params=ENGINES)
def name(request):
    """Each engine's name."""
    return request.param


@pytest.fixture(scope="module")
def engine(name, network):
    """Each engine, for the small network."""
    return make_engine(name, network)


def expected_of(network, images):
    answers = network(keras.ops.cast(images, network.inputs[0].dtype), training=False)
    return [keras.ops.convert_to_numpy(answer) for answer in keras.tree.flatten(answers)]


def assert_same_features(given, expected):
    assert [rows.shape for rows in given] == [rows.shape for rows in expected]
    assert [rows.dtype for rows in given] == [rows.dtype for rows in expected]
    assert compare(expected, given).largest_difference < 1e-5


def test_features_are_what_the_network_says_in_inference_mode(engine, network, pictures):
    before = [weight.copy() for weight in network.get_weights()]
    images = pictures(5)
    assert_same_features(engine.run(images), expected_of(network, images))
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_rows_depend_neither_on_their_neighbours_nor_on_their_place(engine, pictures):
    images = pictures(ENGINE_BATCH)
    (together,) = engine.run(images)
    (alone,) = engine.run(images[5:6])
    (elsewhere,) = engine.run(np.concatenate([pictures(40, seed=9), images[5:6]]))
    np.testing.assert_array_equal(alone[0], together[5])
    np.testing.assert_array_equal(elsewhere[40], together[5])


def test_answers_are_those_of_run_in_order(engine, pictures):
    batches = [pictures(count, seed) for seed, count in enumerate([32, 32, 1, 32, 80, 7, 200, 32])]
    answered = list(engine.answers(iter(batches)))
    assert len(answered) == len(batches)
    for images, answers in zip(batches, answered, strict=True):
        np.testing.assert_array_equal(answers, engine.run(images))


def test_no_batches_have_no_answers(engine):
    assert list(engine.answers([])) == []


def test_an_error_in_the_batches_comes_after_the_answers_before_it(engine, pictures):
    def batches():
        yield from (pictures(2, seed) for seed in range(2))
        raise OSError("the disk is gone")

    answers = engine.answers(batches())
    for seed in range(2):
        np.testing.assert_array_equal(next(answers), engine.run(pictures(2, seed)))
    with pytest.raises(OSError, match="the disk is gone"):
        next(answers)


def test_answers_may_be_left_at_any_time(engine, pictures):
    closed = []

    def batches():
        try:
            yield from (pictures(32) for _ in itertools.count())
        finally:
            closed.append(True)

    for taken in range(3):
        answers = engine.answers(batches())
        for _ in range(taken):
            next(answers)
        answers.close()
    # A generator that was never begun has nothing to close.
    assert closed == [True, True]
    np.testing.assert_array_equal(engine.run(pictures(32))[0][:3], engine.run(pictures(32)[:3])[0])


def test_answers_of_two_callers_are_kept_apart(engine, pictures):
    first = engine.answers(pictures(32, seed) for seed in range(4))
    second = engine.answers(pictures(9, seed) for seed in range(10, 14))
    for seed, (left, right) in enumerate(zip(first, second, strict=True)):
        np.testing.assert_array_equal(left, engine.run(pictures(32, seed)))
        np.testing.assert_array_equal(right, engine.run(pictures(9, seed + 10)))


def test_the_memory_of_a_batch_may_be_used_again(engine, pictures):
    place = np.empty((4, 8, 8, 3), np.uint8)

    def batches():
        for seed in range(6):
            place[...] = pictures(4, seed)
            yield place

    for seed, answers in enumerate(engine.answers(batches())):
        np.testing.assert_array_equal(answers, engine.run(pictures(4, seed)))


def test_several_outputs_come_in_the_order_of_the_prefix(name, pictures):
    images = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="zz")
    once = shared(images)
    twice = shared(layers.ReLU()(once))
    pooled = layers.GlobalAveragePooling2D(name="aa")(twice)
    prefix = keras.Model(images, [pooled, images, twice, once, pooled])
    pixels = pictures(3)
    given = make_engine(name, prefix).run(pixels)
    assert_same_features(given, expected_of(prefix, pixels))
    np.testing.assert_array_equal(given[1], pixels)


def test_more_than_ten_outputs_keep_their_order(name, pictures):
    images = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(images)
    prefix = keras.Model(images, [pooled * float(factor) for factor in range(1, 13)])
    pixels = pictures(2)
    means = pixels.mean(axis=(1, 2), dtype=np.float64)
    for factor, rows in enumerate(make_engine(name, prefix).run(pixels), start=1):
        np.testing.assert_allclose(rows, factor * means, rtol=1e-5)


def test_a_prefix_may_take_bytes_and_scale_them_itself(name, pictures):
    images = keras.Input((8, 8, 3), dtype="uint8")
    prefix = keras.Model(images, layers.GlobalMaxPooling2D()(layers.Rescaling(1 / 255)(images)))
    (features,) = make_engine(name, prefix).run(pictures(4))
    np.testing.assert_allclose(features, pictures(4).max(axis=(1, 2)) / 255, rtol=1e-6)


@keras.saving.register_keras_serializable()
class Doubled(layers.Layer):
    """A layer of the user's own, which would triple in training."""

    def call(self, inputs, training=False):
        return inputs * (3.0 if training else 2.0)


def test_layers_of_ones_own_and_functions_are_run_too(name, pictures):
    halved = layers.Lambda(lambda pixels: keras.ops.mean(pixels, axis=(1, 2)) / 2)
    prefix = keras.Sequential([keras.Input((8, 8, 3)), Doubled(), halved])
    (features,) = make_engine(name, prefix).run(pictures(4))
    np.testing.assert_allclose(features, pictures(4).mean(axis=(1, 2), dtype=np.float64), rtol=1e-5)


def test_bfloat16_is_near_float32_and_answers_in_the_same_dtype(name, network, pictures, has_bfloat16):
    if name == "openvino" and not has_bfloat16:
        pytest.skip("this processor has no bfloat16")
    images = pictures(8)
    expected, given = (make_engine(name, network, precision).run(images) for precision in ("float32", "bfloat16"))
    assert given[0].dtype == np.float32
    agreement = compare(expected, given)
    assert agreement.cosine > 0.99
    # Keras and OpenVINO agree to 1e-5: this is something else.
    assert agreement.largest_difference > 1e-4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_description_is_known_without_building(name, network, precision, has_bfloat16):
    if (name, precision) == ("openvino", "bfloat16") and not has_bfloat16:
        pytest.skip("this processor has no bfloat16")
    described = make_engine(name, network, precision).describe()
    assert described == describe_engine(name, precision)
    assert (described["name"], described["precision"]) == (name, precision)
    assert described["batch"] == {"keras": ENGINE_BATCH, "openvino": 1}[name]


def test_an_unknown_precision_is_refused_with_the_known_ones(name, network):
    with pytest.raises(ArgumentError, match="precision is one of 'float32', 'bfloat16'; got 'float16'"):
        make_engine(name, network, "float16")


@pytest.mark.parametrize("make", [lambda name: make_engine(name, None), describe_engine])
def test_an_unknown_engine_is_refused_with_the_known_ones(make):
    with pytest.raises(ArgumentError, match=r"engine is one of 'keras', 'openvino'; got 'tensorrt'"):
        make("tensorrt")
