"""What features depend on, as digests: if two are equal, so are the features.

A set of features is identified by the frozen graph with its weights, the decoding, the augmentation with its seed, and
the numeric profile; a row inside the set by the content of the image's file and the view. Names do not count:
neither those of files, nor the numbers Keras gives to layers.

Layers of Keras' own are described by their configuration. Whatever may depend on more, a layer of the user's own above
all, is described by what it computes as well; where that cannot be said, the features serve in this process only.
"""

import inspect
import os
import platform
import secrets
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import CacheError
from thawline.features.computation import digest_computation
from thawline.features.identity import canonical, digest_description
from thawline.source_code import (
    describe_callable,
    describe_value,
    digest_arrays,
    has_own_code,
    is_foreign,
    source_of,
)
from thawline.stack.cut import Cut
from thawline.stack.graph import Node

# Entries of a layer's configuration that change between runs without changing its answers.
_UNIMPORTANT = ("name", "trainable", "build_config", "registered_name")

# Entries of a description that not every one has; see `describe_prefix`.
COMPUTATIONS = "computations"
UNSHARED = "this process only"

# Stands for this process in descriptions of what no other process may take for its own.
_PROCESS = secrets.token_hex(16)


def digest_weights(weights: list[Any]) -> str:
    """BLAKE3 over the values of Keras variables in their order, as 64 hexadecimal digits."""
    return digest_arrays([keras.ops.convert_to_numpy(weight) for weight in weights])


def describe_graph(cut: Cut, *, as_before: bool = False) -> dict[str, Any]:
    """The graph below the line without its weights, so that equal graphs have equal descriptions.

    Layers are described by class, configuration and arguments, in which a tensor is the position where it came up;
    layers and functions that do not come with Keras also by their source code.

    Args:
        cut: the thaw line, or a candidate below it.
        as_before: as thawline 0.1 did, which took the wrapper that Keras puts around a layer's own `build` for code of
            the layer, and with it the layer's name.
    """
    positions = {id(tensor): index for index, tensor in enumerate(cut.inputs)}
    calls = []
    for node in cut.below:
        calls.append([_describe_layer(node.layer, as_before), _describe_arguments(node, positions)])
        for tensor in node.outputs:
            positions[id(tensor)] = len(positions)
    # Which tensors cross, and in which order: rows hold them one after another.
    places = [positions[id(tensor)] for tensor in cut.prefix.outputs]
    return {
        "inputs": [[str(tensor.dtype), list(tensor.shape)] for tensor in cut.inputs],
        "calls": blake3(canonical(calls)).hexdigest(),
        "crossing": [[place, spec.dtype, list(spec.shape)] for place, spec in zip(places, cut.crossing, strict=True)],
    }


def describe_prefix(cut: Cut) -> dict[str, Any]:
    """The graph below the line, its weights, and what its code computes where a configuration does not say it.

    Two more entries are there only where they are needed: "computations" has a digest for each call whose answer may
    depend on attributes, arrays, files or globals; "this process only" has the paths of calls of which that cannot be
    said, with the reason, and makes the description one of this process.
    """
    description = {**describe_graph(cut), "weights": digest_weights(cut.prefix.weights)}
    computations, problems = [], {}
    for node in filter(_needs_computation, cut.below):
        try:
            computations.append(digest_computation(node))
        except CacheError as error:
            problems[node.path] = str(error)
            computations.append(digest_description(_describe_here(node.layer)).hex())
    if computations:
        description[COMPUTATIONS] = computations
    if problems:
        description[UNSHARED] = problems
    return description


def describe_prefix_as_before(cut: Cut, description: dict[str, Any]) -> dict[str, Any]:
    """The same as thawline 0.1 described it, from what `describe_prefix` gives now."""
    before = {name: value for name, value in description.items() if name not in (COMPUTATIONS, UNSHARED)}
    return before if before == description else {**before, **describe_graph(cut, as_before=True)}


def numeric_profile() -> dict[str, str]:
    """Versions and switches that move the last bits of a convolution."""
    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        "backend": f"{backend} {_backend_version(backend)}",
        "processor": platform.machine(),
        "devices": ",".join(sorted({device.split(":")[0] for device in keras.distribution.list_devices()})),
        "precision": keras.config.dtype_policy().name,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        "deterministic": os.environ.get("TF_DETERMINISTIC_OPS", "0"),
    }


def describe_features(prefix: dict[str, Any], source: ImageSource, engine: dict[str, Any]) -> dict[str, Any]:
    """Everything that the features of a source depend on besides the image and the view.

    Args:
        prefix: the graph below the line, from `describe_prefix`.
        source: decoding, augmentation and seed are taken from it.
        engine: who computes the features, as the engine describes itself.
    """
    augmentation = None
    if source.augmentation is not None:
        augmentation = {"seed": source.seed, **source.augmentation.identity()}
    return {
        "prefix": prefix,
        "decoding": source.pictures.identity(),
        "augmentation": augmentation,
        "engine": engine,
        "profile": numeric_profile(),
    }


def row_key(image_digest: bytes, view: int) -> bytes:
    """The 36 bytes that stand for one view of one image."""
    return image_digest + view.to_bytes(4, "big")


def _describe_layer(layer: Any, as_before: bool) -> Any:
    """Class and configuration of a layer, with the source code of what Keras does not bring."""
    kind = type(layer)
    sources = [source_of(base) for base in kind.__mro__ if is_foreign(base)]
    # A Lambda or an activation is configured by the name of its function only.
    functions = [value for value in vars(layer).values() if inspect.isfunction(value) and is_foreign(value)]
    wanted = functions if as_before else [function for function in functions if not _is_wrapper(function)]
    sources += [[source_of(function), describe_value(function)] for function in wanted]
    return [kind.__module__, kind.__qualname__, _without_names(_configuration(layer)), sources]


def _is_wrapper(function: Any) -> bool:
    """Tells whether a function is Keras' own, although it bears the name of a method that it wraps."""
    return str(function.__globals__.get("__name__", "")).split(".")[0] == "keras"


def _configuration(layer: Any) -> Any:
    """The configuration of a layer or operation; None where it has none to give."""
    try:
        return layer.get_config() if hasattr(layer, "get_config") else vars(layer)
    # A layer with an argument that is no JSON raises NotImplementedError; one of the user's own, anything.
    except Exception:
        return None


def _needs_computation(node: Node) -> bool:
    """Tells whether the answer of a call may depend on more than configuration, arguments and weights."""
    layer = node.layer
    if has_own_code(layer, layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else ()):
        return True
    arguments = (leaf for leaf in keras.tree.flatten(node.arguments) if not isinstance(leaf, keras.KerasTensor))
    config = _configuration(layer)
    return config is None or any(map(callable, arguments)) or not all(map(_is_plain, _leaves(config)))


def _is_plain(value: Any) -> bool:
    """Tells whether the text of a value says all of it; that of a large array leaves out its middle."""
    return isinstance(value, str | bytes | bool | int | float | complex | np.generic | None)


def _leaves(config: Any) -> Iterator[Any]:
    """The values in a configuration, however deep."""
    if isinstance(config, dict | list | tuple):
        for value in config.values() if isinstance(config, dict) else config:
            yield from _leaves(value)
    else:
        yield config


def _describe_here(layer: Any) -> dict[str, Any]:
    """A layer as this object in this process, with the attributes that Keras did not give it as far as they can be
    described."""
    own = set(vars(keras.layers.Layer()))
    attributes = {name: describe_value(value) for name, value in vars(layer).items() if name not in own}
    return {"process": _PROCESS, "object": id(layer), "attributes": attributes}


def _describe_arguments(node: Any, positions: dict[int, int]) -> Any:
    """The arguments of a call as they stand: `1 - x` is not `x - 1`."""

    def describe(leaf: Any) -> Any:
        if isinstance(leaf, keras.KerasTensor):
            return {"tensor": positions[id(leaf)]}
        if callable(leaf):
            return describe_callable(leaf)
        # The text of a large array leaves out its middle.
        return {"array": digest_weights([leaf])} if hasattr(leaf, "shape") else repr(leaf)

    return keras.tree.map_structure(describe, node.arguments)


def _without_names(config: Any) -> Any:
    """A configuration without names and other entries that change nothing."""
    if isinstance(config, dict):
        # The name of a dtype policy is all there is to it.
        if str(config.get("class_name", "")).endswith("DTypePolicy"):
            return [config["class_name"], config.get("config")]
        return {key: _without_names(value) for key, value in config.items() if key not in _UNIMPORTANT}
    if isinstance(config, list | tuple):
        return [_without_names(value) for value in config]
    if callable(config):
        return describe_callable(config)
    # The text of such an object is where it lies in memory; what it holds is in what the layer computes.
    is_only_an_object = repr(config) == object.__repr__(config)
    return [type(config).__module__, type(config).__qualname__] if is_only_an_object else config


def _backend_version(backend: str) -> str:
    for package in (backend, f"{backend}-cpu", f"{backend}_cpu"):
        try:
            return version(package)
        except ImportError:
            continue
    return "unknown"
