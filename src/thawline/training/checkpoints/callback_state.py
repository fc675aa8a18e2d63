"""What users' callbacks know, kept with the state of a training and put back when it goes on.

Kept are the attributes that change while a callback works, as plain values. A callback may say itself what is to be
kept, with `get_state()` and `set_state(state)`.
"""

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.training.checkpoints.plain_values import (
    Arrays,
    NotPlainError,
    pack,
    pack_attribute,
    put_attribute,
    unpack,
)

# What Keras gives every callback.
_KERAS_OWN = frozenset({"_model", "params", "validation_data"})


class CallbackStates:
    """The state of some callbacks.

    Args:
        callbacks: the callbacks, before they begin.

    Example:
        >>> class Counting(keras.callbacks.Callback):
        ...     seen = 0
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.seen += 1
        >>> first, second = Counting(), Counting()
        >>> states = CallbackStates([first])
        >>> first.on_epoch_end(0)
        >>> kept, arrays = states.state()
        >>> CallbackStates([second]).put_back(kept, arrays)
        >>> second.seen
        1
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self._kept = [_Kept(callback, name) for name, callback in _named(callbacks)]

    def notice(self) -> None:
        """To be called when callbacks may have changed: what ever changes is state, all else is how they were made."""
        for kept in self._kept:
            kept.notice()

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Plain values and arrays that `put_back` takes.

        Warns once of each attribute that has changed and cannot be kept.

        Raises:
            ArgumentError: get_state() of a callback gives something that is not plain.
        """
        self.notice()
        arrays: Arrays = {}
        return {kept.name: kept.state(arrays) for kept in self._kept}, arrays

    def begin_again(self, state: Mapping[str, Any], callbacks: Sequence[Any], *, had_begun: bool) -> None:
        """To be called before some of the callbacks begin in another process, where they go on.

        Args:
            state: what `state` gave in the interrupted one.
            callbacks: those that begin.
            had_begun: whether they had begun when the state was kept: files that they write to are not begun anew.
        """
        begin = {id(callback) for callback in callbacks}
        for kept in self._kept:
            if id(kept.callback) in begin:
                kept.begin_again(state.get(kept.name), had_begun=had_begun)

    def put_back(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Sets callbacks to a state; those that it does not know stay as they are."""
        for kept in self._kept:
            if kept.name in state:
                kept.put_back(state[kept.name], arrays)


class _Kept:
    """One callback: which of its attributes are state, and their values."""

    def __init__(self, callback: Any, name: str) -> None:
        self.name = name
        self.callback = callback
        self._changed: set[str] = set()
        self._told: set[str] = set()
        self._speaks = all(callable(getattr(callback, word, None)) for word in ("get_state", "set_state"))
        # With the value itself, so that its id is nobody else's.
        self._at_first = {key: (_mark(value), value) for key, value in self._attributes()}

    def notice(self) -> None:
        for key, value in self._attributes():
            if key not in self._changed and (key not in self._at_first or self._at_first[key][0] != _mark(value)):
                self._changed.add(key)

    def state(self, arrays: Arrays) -> dict[str, Any]:
        if self._speaks:
            try:
                return {"own": pack(self.callback.get_state(), arrays, f"callbacks/{self.name}")}
            except NotPlainError:
                raise ArgumentError(
                    f"get_state() of {self._what} gives something that cannot be kept: give None, numbers, strings, "
                    "NumPy arrays, or lists, tuples and dictionaries of these."
                ) from None
        attributes: dict[str, Any] = {}
        for key, value in self._attributes():
            if key not in self._changed:
                continue
            own: Arrays = {}
            try:
                attributes[key] = pack_attribute(value, own, f"callbacks/{self.name}/{key}")
            except NotPlainError:
                self._tell(key, value)
            else:
                arrays |= own
        if isinstance(self.callback, keras.callbacks.CSVLogger):
            return {"attributes": {}, "bytes": _size(self.callback.filename), "columns": self.callback.keys}
        return {"attributes": attributes}

    def begin_again(self, state: Mapping[str, Any] | None, *, had_begun: bool) -> None:
        if state is None or state.get("bytes") is None:
            return
        # What was written after the state was kept comes again.
        if (self.callback.append or had_begun) and (_size(self.callback.filename) or 0) > state["bytes"]:
            os.truncate(self.callback.filename, state["bytes"])
        if had_begun:
            self.callback.append = True

    def put_back(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if "own" in state and self._speaks:
            self.callback.set_state(unpack(state["own"], arrays))
            return
        for key, packed in state.get("attributes", {}).items():
            self._changed.add(key)
            put_attribute(self.callback, key, packed, arrays)
        if "bytes" in state and "append" in self._at_first:
            self.callback.append = self._at_first["append"][1]
        if state.get("columns"):
            # Later phases may have other figures than those that the file has columns for.
            self.callback.keys = list(state["columns"])

    @property
    def _what(self) -> str:
        return f"the callback {type(self.callback).__name__}"

    @property
    def _is_keras_own(self) -> bool:
        return type(self.callback).__module__.startswith("keras.")

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        is_monitor = hasattr(self.callback, "monitor_op")
        for key, value in vars(self.callback).items():
            # Keras turns the sign of min_delta around when it finds out in which direction a figure should go; a new
            # callback finds that out by itself.
            if key not in _KERAS_OWN and not (is_monitor and key in ("monitor_op", "min_delta")):
                yield key, value

    def _tell(self, key: str, value: Any) -> None:
        if key in self._told or self._is_keras_own or callable(value) or isinstance(value, ModuleType):
            return
        self._told.add(key)
        warnings.warn(
            f"{key!r} of {self._what} is {type(value).__name__}, which is not kept with the state of the training: "
            "when that is interrupted and goes on, the callback begins anew there. Give the callback get_state() and "
            "set_state(state) of plain values.",
            stacklevel=2,
        )


def _named(callbacks: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Callbacks with names that hold in the next process: the class, and which one of its kind."""
    seen: Counter[str] = Counter()
    for callback in callbacks:
        for each in callback.callbacks if isinstance(callback, keras.callbacks.CallbackList) else [callback]:
            kind = type(each).__name__
            yield f"{kind} {seen[kind]}", each
            seen[kind] += 1


def _mark(value: Any) -> Any:
    """Something that is equal as long as a value did not change."""
    arrays: Arrays = {}
    try:
        packed = pack_attribute(value, arrays, "")
    except NotPlainError:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
        return id(value), [id(part) for part in parts]
    content = blake3()
    for array in arrays.values():
        content.update(np.ascontiguousarray(array).tobytes())
    return json.dumps(packed), content.hexdigest()


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None
