"""What was only tried leaves no trace: weights, frozen layers and the compiled state are put back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled


@contextmanager
def left_as_it_was(series: StageSeries, compiled: Compiled, *others: Any) -> Iterator[None]:
    """Puts a stack back when the block ends: weights, states of random generators, frozen layers, the compiled state.

    Args:
        series: the stack.
        compiled: how it was compiled; an optimizer that is used in the block should be another one.
        others: Keras models that the block trains along, such as a phase's probe.
    """
    models = [series.model, *others]
    layers = [(layer, layer.trainable) for model in models for layer in model._flatten_layers()]
    variables = [variable for model in models for variable in model.variables]
    state, class_names = values_of(variables), series.class_names
    try:
        yield
    finally:
        # From the outside in: setting a model sets all its layers.
        for layer, trainable in layers:
            layer.trainable = trainable
        series.class_names = class_names
        assign(variables, state)
        series.model.compile(optimizer=compiled.optimizer, **compiled.options)


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copies of the values of Keras variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Sets Keras variables to values that `values_of` gave."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def renewed(optimizer: Any) -> Any:
    """The same optimizer without a state."""
    return type(optimizer).from_config(optimizer.get_config())
