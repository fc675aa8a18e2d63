"""Descriptions of code: different where what it does may differ, equal where it is the same."""

import functools
import inspect
import itertools
import json
from tokenize import TokenError

import numpy as np
import pytest

from thawline.backend import keras
from thawline.source_code import describe_callable, digest_arrays


def scale(image, by=2):
    return image * by


def held(factor):
    return lambda image: image * factor


def without_source(text):
    scope = {}
    exec(text, scope)
    return scope["function"]


class Gain:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, image):
        return image * self.factor

    def twice(self, image):
        return 2 * self(image)


class Loss(Gain):
    def __call__(self, image):
        return image / self.factor


DIFFERENT = [
    scale,
    functools.partial(scale, by=3),
    functools.partial(scale, by=4),
    held(2),
    held(3),
    held(np.zeros(2)),
    held(np.ones(2)),
    held([1, 2]),
    held([1, 3]),
    held({"a": [np.ones(2)]}),
    held({"a": [np.zeros(2)]}),
    held({1, 2}),
    held(np.float32(2)),
    held(functools.partial(scale, by=3)),
    held(functools.partial(scale, by=4)),
    held(Gain(2)),
    held(Gain(3)),
    held(Loss(2)),
    held(Gain),
    held(Loss),
    held(held(2)),
    held(held(3)),
    Gain(2),
    Gain(3),
    Loss(2),
    Gain(2).twice,
    Gain(3).twice,
    np.square,
    np.sqrt,
    without_source("def function(image): return image + 1"),
    without_source("def function(image): return image + 2"),
    without_source("def function(image, by=1): return image + by"),
    without_source("def function(image, by=2): return image + by"),
    keras.applications.mobilenet_v2.preprocess_input,
    keras.applications.resnet50.preprocess_input,
]


def test_callables_that_differ_have_different_descriptions():
    texts = [json.dumps(describe_callable(each), sort_keys=True) for each in DIFFERENT]
    assert all(one != other for one, other in itertools.combinations(texts, 2))


@pytest.mark.parametrize("make", [lambda: held(2), lambda: Gain(2), lambda: functools.partial(scale, by=3)])
def test_callables_made_again_have_the_same_description(make):
    assert describe_callable(make()) == describe_callable(make())


def test_functions_of_keras_are_known_by_their_name():
    description = describe_callable(keras.applications.mobilenet_v2.preprocess_input)
    assert description[-1] == "preprocess_input"
    assert description[0].startswith("keras.")


def test_dtype_shape_values_and_order_of_arrays_count():
    zeros = np.zeros(4, np.float32)
    groups = [[zeros], [zeros.reshape(2, 2)], [zeros.view(np.int32)], [zeros, zeros + 1], [zeros + 1, zeros]]
    digests = [digest_arrays(group) for group in groups]
    assert len(set(digests)) == len(groups)
    assert digest_arrays([zeros.copy()]) == digests[0]


@pytest.mark.parametrize("shown", ["import sys\n", TokenError("EOF in multi-line string", (1, 1))], ids=str)
def test_a_class_for_which_python_shows_other_lines_is_described_by_what_it_does(monkeypatch, shown):
    """Python 3.13 looks for the lines of a class in the script that was started, also when it comes from a prompt."""

    def show(thing):
        if isinstance(thing, type):
            if isinstance(shown, str):
                return shown
            raise shown
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", show)

    def of(factor, line):
        scope = {"__name__": "__main__"}
        exec(f"class Gain:\n __firstlineno__ = {line}\n def __call__(self, image): return image * {factor}", scope)
        return describe_callable(scope["Gain"])

    assert of(2, line=1) == of(2, line=7)
    assert of(3, line=1) != of(2, line=1)


def test_what_holds_itself_is_described():
    gain = Gain(2)
    gain.factor = [gain, {"again": gain}]
    itself = []
    itself.append(itself)
    for function in (gain, held(itself), held(gain)):
        assert json.dumps(describe_callable(function)) == json.dumps(describe_callable(function))
