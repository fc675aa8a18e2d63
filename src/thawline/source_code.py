"""What functions and classes do, described so that two that differ are told apart.

A name says nothing about code that a user may change tomorrow. Here code is described by its source, or by its
bytecode where no source is kept; a fingerprint takes the description in. Functions that it calls by a global name
are not followed.
"""

import functools
import inspect
from collections.abc import Iterable, Mapping
from tokenize import TokenError
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from blake3 import blake3

# Packages whose code is known by their version, which the numeric profile has.
_KNOWN_PACKAGES = ("keras", "tensorflow", "jax", "torch", "builtins", "abc", "typing")

# What Python notes of a class besides its code, from 3.13 on: its line, and attributes in an order of no meaning.
_NOTES = ("__firstlineno__", "__static_attributes__")

# Values in values in values: so far they are looked into.
_DEEPEST = 4


def is_foreign(thing: Any) -> bool:
    """Whether a class or function is code whose version nobody notes."""
    return (thing.__module__ or "").split(".")[0] not in _KNOWN_PACKAGES


def has_own_code(thing: Any, parts: Iterable[Any] = ()) -> bool:
    """Tells whether an object, or one of its parts, is of a class of the user's own, or has a function of theirs.

    Example:
        >>> import keras
        >>> has_own_code(keras.layers.ReLU()), has_own_code(keras.layers.Activation(lambda x: x * 2))
        (False, True)
    """
    return any(is_foreign(type(part)) or any(map(_is_own, vars(part).values())) for part in (thing, *parts))


def _is_own(value: Any) -> bool:
    return callable(value) and is_foreign(value if hasattr(value, "__module__") else type(value))


def source_of(thing: Any) -> Any:
    """The source code of a class or function; its bytecode where no source is kept, as for classes of a notebook."""
    try:
        source = inspect.getsource(thing)
    except (OSError, TypeError, TokenError):
        source = ""
    # From Python 3.13 on a class that was made by `exec` or at a prompt gets lines of the script that was started.
    is_its_own = not isinstance(thing, type) or f"class {thing.__name__}" in source
    if source and is_its_own:
        return source
    members = {"": thing} if isinstance(thing, FunctionType) else vars(thing)
    return {name: describe_value(value) for name, value in members.items() if name not in _NOTES}


def describe_value(value: Any, depth: int = 0) -> Any:
    """A value by what it is: numbers, words, arrays and what holds them; a function by its instructions and what it
    holds on to, without files and lines; an object by its classes and attributes.

    Args:
        value: anything.
        depth: how many values hold this one; beyond a few only the type is noted, because things may hold themselves.
    """
    if isinstance(value, CodeType):
        return [value.co_code.hex(), list(value.co_names), [describe_value(constant) for constant in value.co_consts]]
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    if isinstance(function, FunctionType):
        held = [*(function.__defaults__ or ()), *inspect.getclosurevars(function).nonlocals.values()]
        if depth >= _DEEPEST:
            return describe_value(function.__code__)
        return [describe_value(function.__code__), [describe_value(constant, depth + 1) for constant in held]]
    if isinstance(value, np.ndarray | np.generic):
        return digest_arrays([np.asarray(value)])
    if isinstance(value, int | float | complex | str | bytes | None):
        return repr(value)
    kind = type(value).__name__
    if depth >= _DEEPEST:
        return kind
    if isinstance(value, Mapping):
        return [
            kind,
            [[describe_value(key, depth + 1), describe_value(held, depth + 1)] for key, held in value.items()],
        ]
    if isinstance(value, list | tuple):
        return [kind, [describe_value(held, depth + 1) for held in value]]
    if isinstance(value, set | frozenset):
        return [kind, sorted(repr(describe_value(held, depth + 1)) for held in value)]
    if isinstance(value, functools.partial):
        return describe_callable(value, depth + 1)
    if isinstance(value, type):
        return [value.__module__, value.__qualname__, source_of(value) if is_foreign(value) else None]
    return _describe_instance(value, depth + 1) if is_foreign(type(value)) else kind


def describe_callable(function: Any, depth: int = 0) -> Any:
    """Anything that can be called, as plain values for JSON: by name and code, with what it holds on to.

    Functions of Keras and its backends are described by their name alone: their version is noted elsewhere.

    Example:
        >>> halve, third = (lambda x: x / 2), (lambda x: x / 3)
        >>> describe_callable(halve) == describe_callable(third)
        False
    """
    if isinstance(function, functools.partial):
        held = [describe_value(value, depth) for value in (*function.args, *function.keywords.values())]
        return ["partial", describe_callable(function.func, depth), list(function.keywords), held]
    if isinstance(function, MethodType):
        return ["method", describe_callable(function.__func__, depth), _describe_instance(function.__self__, depth)]
    if isinstance(function, FunctionType | type):
        name = [function.__module__, function.__qualname__]
        return [*name, source_of(function), describe_value(function, depth)] if is_foreign(function) else name
    # NumPy's functions and other compiled code have a name and nothing else.
    if isinstance(function, BuiltinFunctionType | np.ufunc) or hasattr(function, "__name__"):
        return repr(getattr(function, "__name__", function))
    return _describe_instance(function, depth)


def digest_arrays(arrays: list[np.ndarray]) -> str:
    """BLAKE3 over dtype, shape and values of arrays in their order, as 64 hexadecimal digits."""
    digest = blake3()
    for array in arrays:
        values = np.ascontiguousarray(array)
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _describe_instance(value: Any, depth: int) -> Any:
    """An object by the source of its classes and the values of its attributes."""
    kind = type(value)
    sources = [source_of(each) for each in kind.__mro__ if is_foreign(each)]
    attributes = {name: describe_value(held, depth) for name, held in getattr(value, "__dict__", {}).items()}
    return [kind.__module__, kind.__qualname__, sources, attributes]
