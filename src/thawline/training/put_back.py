"""What was only tried leaves no trace: weights, frozen layers and random states are put back."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.stack.series import StageSeries


@contextmanager
def left_as_it_was(series: StageSeries) -> Iterator[None]:
    """Whatever the block trains, freezes or draws, the stack and the random generators are afterwards as they were.

    That goes for weights, the states of layers that draw (Dropout's), which layers learn, class names, and the global
    generators of Python, NumPy and Keras. Optimizers are the block's own affair: it should take fresh ones.
    """
    layers = [(layer, layer.trainable) for layer in series.model._flatten_layers()]
    state, class_names, reading = values_of(series.model.variables), series.class_names, series.reading
    python, numpy, drawn = random.getstate(), np.random.get_state(), _keras_generator_state()
    try:
        yield
    finally:
        # From the outside in: setting a model sets all its layers.
        for layer, trainable in layers:
            layer.trainable = trainable
        series.class_names, series.reading = class_names, reading
        assign(series.model.variables, state)
        _set_keras_generator(drawn)
        random.setstate(python)
        np.random.set_state(numpy)


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copies of what the variables hold."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Sets the variables to what `values_of` gave."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


# Keras has no public word for the generator that layers without a seed of their own draw from, and makes it on first
# use.


def _keras_generator() -> Any:
    name = import_module("keras.src.random.seed_generator").GLOBAL_SEED_GENERATOR
    return import_module("keras.src.backend.common.global_state").get_global_attribute(name)


def _keras_generator_state() -> np.ndarray | None:
    generator = _keras_generator()
    return None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state))


def _set_keras_generator(state: np.ndarray | None) -> None:
    if state is not None:
        _keras_generator().state.assign(state)
        return
    name = import_module("keras.src.random.seed_generator").GLOBAL_SEED_GENERATOR
    import_module("keras.src.backend.common.global_state").set_global_attribute(name, None)
