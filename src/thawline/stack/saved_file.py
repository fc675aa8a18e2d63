"""The `.keras` file of a stack: Keras' own, with an entry that says which layers are the stages.

Keras passes over the entry. A file without one, as Keras' callbacks wrote it beside earlier versions, is read by the
layers of the joined model, as far as these tell.
"""

import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.specs import PIXELS
from thawline.stack.stage import Stage

# The joined model's own layers, in front of the stages, and the model.
INPUT_NAME = "images"
SCALING_NAME = "pixels_to_value_range"
MODEL_NAME = "stack"

# The entry's name in the file, a zip archive.
_ENTRY = "thawline.json"
_ENTRY_VERSION = 1

# Where Keras keeps the configuration of a model, and its variables.
_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"

# Variables of an optimizer that was not built: steps and learning rate.
_UNBUILT = 2

# How Keras names what it does not know, and what it says last of what went wrong inside.
_MISSING = re.compile(r"Could not locate (class|function) '([^']+)'")
_CAUSE = "Exception encountered: "


@dataclass(frozen=True)
class SavedStack:
    """Content of a file of a stack.

    Attributes:
        stages: the stages; each layer learns or not as it did.
        notes: class_names, output_class_names, reading and steps_per_execution, as far as the file knows.
        compiled: the arguments of `keras.Model.compile`, the optimizer with its state among them; None where the stack
            was not compiled, or is loaded without.
    """

    stages: list[Stage]
    notes: dict[str, Any]
    compiled: dict[str, Any] | None


def describe_stage(stage: Stage) -> dict[str, Any]:
    """Part of the entry for a stage."""
    return {
        "name": stage.name,
        "layer": stage.model.name,
        "value_range": stage.value_range,
        "trainable": stage.trainable,
        # Keras forgets that of a Sequential model and of inputs.
        "layers": [[type(layer).__name__, layer.trainable] for layer in stage.model._flatten_layers()],
    }


def write_entry(path: str | os.PathLike[str], notes: Mapping[str, Any]) -> None:
    """Adds the entry to a `.keras` file that has none."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_ENTRY, json.dumps({"version": _ENTRY_VERSION, **notes}))


def read_stack(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    *,
    compile: bool = True,
    safe_mode: bool = True,
) -> SavedStack:
    """Reads a stack from its file; see `thawline.load`.

    Raises:
        ArgumentError: there is no such file, it holds no stack, or something in it that is not Keras' own was not
            given.
    """
    entry, config = _read_json(path)
    options = {"custom_objects": dict(custom_objects or {}), "safe_mode": safe_mode}
    with _telling_what_lacks(path, ""):
        # What was compiled comes after the layers learn as they did: an optimizer is made for the weights that learn.
        model = keras.saving.load_model(path, compile=False, **options)
    entry = entry or _entry_of(model, path)
    stages = [_stage(model, item) for item in entry["stages"]]
    compiled = None
    if compile and config.get("compile_config"):
        only_training = " Only training needs it: tl.load(path, compile=False) loads the stack for its answers."
        with _telling_what_lacks(path, only_training):
            compiled = keras.saving.deserialize_keras_object(config["compile_config"], **options)
        model.compile(**compiled)
        _restore_optimizer(model, path)
        compiled["optimizer"] = model.optimizer
    # Files of thawline 0.1.0 may know nothing of the reading, nor of the classes of several outputs.
    notes = {
        "class_names": tuple(entry["class_names"]),
        "output_class_names": {name: tuple(names) for name, names in entry.get("output_class_names", {}).items()},
        "reading": entry.get("reading"),
        "steps_per_execution": entry.get("steps_per_execution"),
    }
    return SavedStack(stages, notes, compiled)


def _read_json(path: str | os.PathLike[str]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The entry, where there is one, and Keras' configuration of the model."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = json.loads(archive.read(_ENTRY)) if _ENTRY in archive.namelist() else None
            config = json.loads(archive.read(_CONFIG))
    except FileNotFoundError:
        raise ArgumentError(f"No file {str(path)!r}. Check the path.") from None
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError):
        raise _no_stack(path) from None
    if entry is not None and entry["version"] != _ENTRY_VERSION:
        raise ArgumentError(
            f"{str(path)!r} has version {entry['version']} of the stack's entry; this thawline reads "
            f"{_ENTRY_VERSION}. Install the thawline that saved it."
        )
    if entry is None and not _is_stack(config):
        raise _no_stack(path)
    return entry, config


def _no_stack(path: str | os.PathLike[str]) -> ArgumentError:
    if str(path).endswith(".weights.h5"):
        return ArgumentError(
            f"{str(path)!r} holds weights only. Build the stack and fill it: stack.model.load_weights(path)."
        )
    return ArgumentError(
        f"{str(path)!r} was not saved by Stack.save. For a plain Keras model build a stack with it: "
        "Stack([Stage(keras.saving.load_model(path), name='base'), ...])."
    )


def _is_stack(config: dict[str, Any]) -> bool:
    """True for the configuration of a joined model: one layer after the other, from the images on."""
    inside = config.get("config", {})
    layers = inside.get("layers", [])
    if inside.get("name") != MODEL_NAME or len(layers) < 2 or layers[0]["config"]["name"] != INPUT_NAME:
        return False
    return all(
        len(layer["inbound_nodes"]) == 1 and _givers(layer["inbound_nodes"]) == {before["config"]["name"]}
        for before, layer in pairwise(layers)
    )


def _givers(nodes: Any) -> set[str]:
    """The names of the layers whose tensors are in Keras' description of calls."""
    if isinstance(nodes, dict):
        own = {nodes["keras_history"][0]} if "keras_history" in nodes else set()
        return own.union(*map(_givers, nodes.values()))
    return set().union(*map(_givers, nodes)) if isinstance(nodes, list) else set()


def _entry_of(model: Any, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The entry of a stack that Keras saved without: stages are called as their models, and classes have no names."""
    layers = list(model.layers)[1:]
    value_range = None
    if layers[0].name == SCALING_NAME:
        scaling = layers.pop(0)
        low = float(scaling.offset)
        value_range = (low, low + float(scaling.scale) * (PIXELS[1] - PIXELS[0]))
    stages = [{"name": layer.name, "layer": layer.name, "value_range": None} for layer in layers]
    stages[0]["value_range"] = value_range
    warnings.warn(
        f"{str(path)!r} was saved by Keras without the names that the stack knew: its stages are called "
        f"{', '.join(repr(item['name']) for item in stages)}, as their models are, and its classes have no names. "
        "Set stack.class_names to the classes in the order of the training.",
        stacklevel=4,
    )
    return {"class_names": [], "stages": stages}


def _stage(model: Any, item: dict[str, Any]) -> Stage:
    """A stage in which each layer learns or not as it did."""
    layer = model.get_layer(item["layer"])
    layers = list(layer._flatten_layers())
    kinds = [type(each).__name__ for each in layers]
    flags = [each.trainable for each in layers]
    saved = item.get("layers", [])
    if [kind for kind, _ in saved] == kinds:
        flags = [flag for _, flag in saved]
    stage = Stage(layer, item["name"], item.get("trainable", _seems_trainable(layers)), item["value_range"])
    # From the outside in: setting a model sets all its layers.
    for each, flag in zip(layers, flags, strict=True):
        if each.trainable != flag:
            each.trainable = flag
    return stage


def _restore_optimizer(model: Any, path: str | os.PathLike[str]) -> None:
    """Builds the optimizer for what learns, with its state in the file."""
    model.optimizer.build(model.trainable_variables)
    found: list[str] = []
    with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as file, h5py.File(file, "r") as weights:
        if "optimizer" in weights:
            weights["optimizer"].visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
    if len(found) <= _UNBUILT:
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Keras' own way through all that an optimizer may be made of; it reads the weights, too.
        model.load_weights(path, skip_mismatch=True)
    if any("optimizer" in str(each.message) for each in caught):
        warnings.warn(
            f"The optimizer in {str(path)!r} was made for other weights than those that learn: it begins without a "
            "state. Everything else is as it was saved.",
            stacklevel=4,
        )


def _seems_trainable(layers: list[Any]) -> bool:
    """Guess for files of thawline 0.1.0: a stage was frozen when all its layers with weights are."""
    innermost = [layer for layer in layers if layer.weights and not getattr(layer, "layers", None)]
    return not innermost or any(layer.trainable for layer in innermost)


@contextmanager
def _telling_what_lacks(path: str | os.PathLike[str], advice: str) -> Iterator[None]:
    """Makes an ArgumentError of what Keras says of an object that it does not know, or does not run.

    Args:
        path: the file.
        advice: a further way out.
    """
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        text = str(error)
        missing = _MISSING.search(text)
        if missing is not None:
            kind, name = missing.groups()
            reason = (
                f"has a {kind} {name!r} in it that is not Keras' own. Give it along: "
                f"tl.load(path, custom_objects={{{name!r}: {name}}})."
            )
        elif "unsafe deserialization" in text or "carries a potential risk" in text:
            reason = (
                "has a lambda in it, which is code: it is unsafe to run unless you trust the file. If you do: "
                "tl.load(path, safe_mode=False). A function with a name needs none of this."
            )
        else:
            reason = (
                f"cannot be read by Keras: {' '.join(text.rpartition(_CAUSE)[2].split())[:400]} A layer, metric or "
                "optimizer of your own needs a get_config() with all arguments that its __init__ takes."
            )
        raise ArgumentError(f"{str(path)!r} {reason}{advice}") from error
