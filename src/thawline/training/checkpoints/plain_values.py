"""What objects know as JSON and arrays, without pickle: nothing that is read back can run code."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from thawline.backend import keras

Arrays = dict[str, np.ndarray]


class NotPlainError(Exception):
    """A value that is neither plain nor made of plain ones."""


def pack(value: Any, arrays: Arrays, name: str) -> Any:
    """A value as JSON, with its arrays beside it.

    Args:
        value: None, numbers, strings, paths, NumPy arrays and scalars, tensors, or lists, tuples, sets, deques and
            dictionaries of these.
        arrays: where arrays are put.
        name: what their names begin with.

    Raises:
        NotPlainError: the value is something else.

    Example:
        >>> arrays = {}
        >>> pack([0.5, np.zeros(2)], arrays, "wait")
        {'list': [0.5, {'array': 'wait/1'}]}
        >>> unpack({"list": [0.5, {"array": "wait/1"}]}, arrays)
        [0.5, array([0., 0.])]
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype == object:
            raise NotPlainError
        arrays[name] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "scalar": name}
    if keras.ops.is_tensor(value):
        arrays[name] = np.asarray(keras.ops.convert_to_numpy(value))
        return {"tensor": name}
    if isinstance(value, dict):
        keys = [pack(key, arrays, f"{name}/{index} key") for index, key in enumerate(value)]
        parts = [pack(part, arrays, f"{name}/{index}") for index, part in enumerate(value.values())]
        return {"dict": [list(entry) for entry in zip(keys, parts, strict=True)]}
    kind = next((word for word, made in _LISTS.items() if type(value) is made), None)
    if kind is None:
        raise NotPlainError
    return {kind: [pack(part, arrays, f"{name}/{index}") for index, part in enumerate(value)]}


_LISTS: dict[str, Callable[..., Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
}


def unpack(packed: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The value that `pack` was given."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "path":
        return PurePath(content)
    if kind == "array":
        return arrays[content].copy()
    if kind == "scalar":
        return arrays[content][()]
    if kind == "tensor":
        return keras.ops.convert_to_tensor(arrays[content])
    parts = [[unpack(part, arrays) for part in entry] if kind == "dict" else unpack(entry, arrays) for entry in content]
    return dict(parts) if kind == "dict" else _LISTS[kind](parts)


def pack_attribute(value: Any, arrays: Arrays, name: str) -> Any:
    """As `pack`; of what is changed in its place (variables, metrics, random generators) its state.

    Raises:
        NotPlainError: the value is neither.
    """
    variables = _variables(value)
    if variables:
        value = [keras.ops.convert_to_numpy(variable) for variable in variables]
    elif isinstance(value, np.random.Generator):
        value = value.bit_generator.state
    elif isinstance(value, random.Random):
        value = value.getstate()
    return pack(value, arrays, name)


def put_attribute(owner: Any, attribute: str, packed: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets an attribute to what `pack_attribute` made of it, or the state of the object that is there."""
    value, there = unpack(packed, arrays), getattr(owner, attribute, None)
    variables = _variables(there)
    if variables:
        for variable, array in zip(variables, value, strict=True):
            variable.assign(array)
    elif isinstance(there, np.random.Generator):
        there.bit_generator.state = value
    elif isinstance(there, random.Random):
        there.setstate(value)
    elif isinstance(there, dict) and type(there) is not dict:
        # One with a default, or an order of its own, stays what it is.
        there.clear()
        there.update(value)
    elif isinstance(there, deque):
        there.clear()
        there.extend(value)
    elif isinstance(there, PurePath):
        setattr(owner, attribute, type(there)(value))
    else:
        setattr(owner, attribute, value)


def _variables(value: Any) -> list[Any]:
    """The Keras variables that are all of a value's state; models and optimizers are kept by those who own them."""
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, keras.metrics.Metric):
        return list(value.variables)
    if isinstance(value, keras.random.SeedGenerator):
        return [value.state]
    return []
