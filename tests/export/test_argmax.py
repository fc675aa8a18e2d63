"""Stages that answer with the number of the best: every format knows how to say it."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras, plain_argmax
from tiny_stack import pictures, reading, tiny_stack

ops = keras.ops


class Best(keras.layers.Layer):
    """The same inside a layer of one's own, where a graph does not show it."""

    def call(self, inputs):
        return ops.argmax(inputs, axis=-1)


def stack_with(best):
    """The tiny stack with one more stage on its three probabilities."""
    below = tiny_stack()
    inputs = keras.Input((3,))
    last = keras.Model(inputs, best(inputs), name="best_model")
    return tl.Stack([*below.stages, tl.Stage(last, "best")])


CASES = {
    "argmax": lambda x: ops.argmax(x, axis=-1),
    "argmin kept": lambda x: ops.argmin(x, axis=1, keepdims=True),
    "inside a layer": lambda x: Best()(x),
    "of rounded numbers": lambda x: ops.argmax(ops.cast(8 * x, "int32"), axis=-1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["onnx", "litert", "openvino"])
def test_the_number_of_the_best_is_exported_and_verified(form, case, tmp_path):
    stack = stack_with(CASES[case])
    stack.reading = reading()
    (exported,) = stack.export(tmp_path, [form], golden=list(pictures(20)), verbose=0)
    assert "verified" in str(exported)
    assert "NOT" not in str(exported)


@pytest.mark.parametrize("form", ["saved_model", "keras"])
def test_keras_formats_give_it_as_before(form, tmp_path):
    stack = stack_with(CASES["argmax"])
    stack.reading = reading()
    (exported,) = stack.export(tmp_path, [form], golden=list(pictures(20)), verbose=0)
    assert "verified" in str(exported)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
@pytest.mark.parametrize(("axis", "keepdims"), [(-1, False), (0, True), (1, True), (None, False), (None, True)])
def test_the_plain_operation_gives_what_keras_gives(dtype, axis, keepdims):
    values = np.random.default_rng(2).normal(size=(4, 5)).round(1).astype(dtype)
    for operation in (ops.argmax, ops.argmin):
        expected = operation(values, axis=axis, keepdims=keepdims)
        with plain_argmax():
            given = operation(values, axis=axis, keepdims=keepdims)
        assert given.dtype == expected.dtype
        np.testing.assert_array_equal(given, expected)


def test_keras_own_operation_is_back_afterwards():
    values = ops.convert_to_tensor([-0.0, 0.0])
    before = ops.argmax(values, axis=0)
    with pytest.raises(ZeroDivisionError), plain_argmax():
        raise ZeroDivisionError
    assert ops.argmax(values, axis=0) == before == 1
