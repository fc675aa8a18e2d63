"""What features depend on, as digests: if two are equal, so are the features.

A set of features is identified by the frozen graph with its weights, the decoding, the augmentation with its seed, and
the numeric profile; a row inside the set by the content of the image's file and the view. Names do not count:
neither those of files, nor the numbers Keras gives to layers.
"""

import inspect
import os
import platform
from importlib.metadata import version
from typing import Any

from blake3 import blake3

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.features.identity import canonical
from thawline.source_code import describe_value, digest_arrays, is_foreign, source_of
from thawline.stack.cut import Cut

# Entries of a layer's configuration that change between runs without changing its answers.
_UNIMPORTANT = ("name", "trainable", "build_config", "registered_name")


def digest_weights(weights: list[Any]) -> str:
    """BLAKE3 over the values of Keras variables in their order, as 64 hexadecimal digits."""
    return digest_arrays([keras.ops.convert_to_numpy(weight) for weight in weights])


def describe_prefix(cut: Cut) -> dict[str, Any]:
    """The graph below the line and its weights, so that equal graphs have equal descriptions.

    Layers are described by class, configuration and arguments, in which a tensor is the position where it came up;
    layers and functions that do not come with Keras also by their source code.
    """
    positions = {id(tensor): index for index, tensor in enumerate(cut.inputs)}
    calls = []
    for node in cut.below:
        calls.append([_describe_layer(node.layer), _describe_arguments(node, positions)])
        for tensor in node.outputs:
            positions[id(tensor)] = len(positions)
    # Which tensors cross, and in which order: rows hold them one after another.
    places = [positions[id(tensor)] for tensor in cut.prefix.outputs]
    return {
        "inputs": [[str(tensor.dtype), list(tensor.shape)] for tensor in cut.inputs],
        "calls": blake3(canonical(calls)).hexdigest(),
        "crossing": [[place, spec.dtype, list(spec.shape)] for place, spec in zip(places, cut.crossing, strict=True)],
        "weights": digest_weights(cut.prefix.weights),
    }


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


def _describe_layer(layer: Any) -> Any:
    """Class and configuration of a layer, with the source code of what Keras does not bring."""
    kind = type(layer)
    config = layer.get_config() if hasattr(layer, "get_config") else vars(layer)
    sources = [source_of(base) for base in kind.__mro__ if is_foreign(base)]
    # A Lambda or an activation is configured by the name of its function only.
    functions = [value for value in vars(layer).values() if inspect.isfunction(value) and is_foreign(value)]
    sources += [[source_of(function), describe_value(function)] for function in functions]
    return [kind.__module__, kind.__qualname__, _without_names(config), sources]


def _describe_arguments(node: Any, positions: dict[int, int]) -> Any:
    """The arguments of a call as they stand: `1 - x` is not `x - 1`."""

    def describe(leaf: Any) -> Any:
        if isinstance(leaf, keras.KerasTensor):
            return {"tensor": positions[id(leaf)]}
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
    return config


def _backend_version(backend: str) -> str:
    for package in (backend, f"{backend}-cpu", f"{backend}_cpu"):
        try:
            return version(package)
        except ImportError:
            continue
    return "unknown"
