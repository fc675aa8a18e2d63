"""Engines by name."""

from collections.abc import Callable, Mapping
from typing import Any

from thawline.errors import ArgumentError
from thawline.features.engines import keras_engine, openvino_engine
from thawline.features.engines.engine import Engine, check_precision

ENGINES: dict[str, Callable[[Any, str], Engine]] = {
    "keras": keras_engine.KerasEngine,
    "openvino": openvino_engine.OpenVinoEngine,
}

_DESCRIPTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "keras": keras_engine.describe,
    "openvino": openvino_engine.describe,
}


def make_engine(name: str, prefix: Any, precision: str = "float32") -> Engine:
    """The engine of this name for a prefix.

    Args:
        name: "keras" or "openvino".
        prefix: Keras model from images to crossing tensors; it stays as it is.
        precision: "float32" or "bfloat16": what it computes in. What it answers has the prefix's dtypes either way.

    Raises:
        ArgumentError: there is no such engine or precision.
        EngineError: the engine is not installed, or cannot run this prefix in this precision here.
    """
    engine: Engine = _named(ENGINES, name)(prefix, precision)
    return engine


def describe_engine(name: str, precision: str = "float32") -> dict[str, Any]:
    """What the answers of an engine depend on besides graph and weights, as its own `describe` says; builds nothing.

    Raises:
        ArgumentError: there is no such engine or precision.

    Example:
        >>> describe_engine("keras")
        {'name': 'keras', 'precision': 'float32', 'batch': 32}
    """
    check_precision(precision)
    description: dict[str, Any] = _named(_DESCRIPTIONS, name)(precision)
    return description


def _named(parts: Mapping[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    if name not in parts:
        raise ArgumentError(f"engine is one of {', '.join(map(repr, parts))}; got {name!r}.")
    return parts[name]
