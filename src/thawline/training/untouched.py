"""What was only tried leaves no trace: weights, frozen layers, the compiled state and random numbers are put back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.stack.series import StageSeries
from thawline.training.checkpoints.random_state import put_random_state, random_state
from thawline.training.compiled import Compiled


@contextmanager
def left_as_it_was(series: StageSeries, compiled: Compiled, *others: Any) -> Iterator[None]:
    """Whatever the block trains, freezes or draws, the stack and the random generators are afterwards as they were.

    That goes for weights, the states of layers that draw (Dropout's), which layers learn, class names, what the stack
    was compiled with, and the global generators of Python, NumPy and Keras.

    Args:
        series: the stack.
        compiled: how it was compiled; an optimizer that is used in the block should be another one.
        others: Keras models that the block trains along, such as a phase's probe.
    """
    models = [series.model, *others]
    variables = [variable for model in models for variable in model.variables]
    state, reading = values_of(variables), series.reading
    class_names, output_class_names = series.class_names, series.output_class_names
    drawn, arrays = random_state()
    try:
        with frozen_as_they_were(models):
            yield
    finally:
        series.class_names, series.output_class_names, series.reading = class_names, output_class_names, reading
        assign(variables, state)
        put_random_state(drawn, arrays)
        series.model.compile(optimizer=compiled.optimizer, **compiled.options)


@contextmanager
def frozen_as_they_were(models: Sequence[Any]) -> Iterator[None]:
    """Whatever the block freezes or thaws, afterwards the same layers of these models learn as before."""
    layers = [(layer, layer.trainable) for model in models for layer in model._flatten_layers()]
    try:
        yield
    finally:
        # From the outside in: setting a model sets all its layers.
        for layer, trainable in layers:
            layer.trainable = trainable


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copies of the values of Keras variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Sets Keras variables to values that `values_of` gave."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def renewed(thing: Any) -> Any:
    """The same layer or model with fresh weights."""
    return type(thing).from_config(thing.get_config())
