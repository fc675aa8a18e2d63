"""A stack keeps the engine that was built for it: `evaluate` and `predict` build none of their own."""

import weakref

import numpy as np
import pytest

from other_process import tiny_stack
from thawline.backend import keras
from thawline.data.sources.arrays import ImageArrays
from thawline.features import prefix as module

RANDOM = np.random.default_rng(3)


@pytest.fixture
def source():
    pixels = RANDOM.integers(0, 256, (12, 8, 8, 3), np.uint8)
    return ImageArrays(pixels, np.arange(12) % 2, label_mode="sparse")


@pytest.fixture
def built(monkeypatch):
    """The engines that were built, by name."""
    names = []
    make = module.make_engine

    def noting(name, *arguments):
        names.append(name)
        return make(name, *arguments)

    monkeypatch.setattr(module, "make_engine", noting)
    return names


def compiled_stack():
    stack = tiny_stack()
    stack.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return stack


def streamed(stack, source):
    return stack.predict(source, strategy="streamed", engine="keras", verbose=0)


def test_predict_and_evaluate_use_the_engine_of_the_training(source, built):
    stack = compiled_stack()
    stack.fit(source, epochs=1, strategy="streamed", engine="keras", verbose=0)
    first = streamed(stack, source)
    stack.evaluate(source, strategy="streamed", engine="keras", verbose=0)
    stack.evaluate(source, engine="keras", verbose=0)
    np.testing.assert_array_equal(streamed(stack, source), first)
    assert built == ["keras"]


def test_another_weight_or_engine_takes_one_of_its_own(source, built):
    stack = compiled_stack()
    streamed(stack, source)
    kernel = stack.stages[0].model.layers[0].kernel
    kernel.assign(-kernel)
    other = streamed(stack, source)
    np.testing.assert_allclose(other, stack.predict(source, verbose=0), atol=1e-6)
    assert built == ["keras", "keras"]
    stack.predict(source, strategy="streamed", engine="keras", precision="bfloat16", verbose=0)
    assert np.abs(streamed(stack, source) - other).max() < 1e-6


def test_a_switch_in_the_environment_takes_an_engine_of_its_own(source, built, monkeypatch):
    stack = compiled_stack()
    streamed(stack, source)
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    streamed(stack, source)
    assert built == ["keras", "keras"]


def test_the_engine_of_an_earlier_stack_is_let_go(source, collect):
    first, second = compiled_stack(), compiled_stack()
    streamed(first, source)
    (engine,) = map(weakref.ref, first.cut().engines.values())
    streamed(second, source)
    collect()
    assert engine() is None
    assert len(second.cut().engines) == 1


def test_who_runs_it_is_said_in_each_training(source, capsys):
    stack = compiled_stack()
    for _ in range(2):
        stack.fit(source, epochs=1, strategy="streamed", engine="auto", verbose=2)
    assert capsys.readouterr().err.count("engine: keras in float32") == 2
