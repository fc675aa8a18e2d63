"""Which layers learn: as each layer's `trainable` says, or as names of stages and patterns of layers would have it."""

import difflib
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thawline.errors import ArgumentError
from thawline.stack.stage import Stage


@dataclass(frozen=True)
class Learning:
    """Which layers learn, without changing them.

    Attributes:
        named: by the `id` of an innermost layer, whether it learns; layers that are not in it, and all of them where it
            is empty, do as their `trainable` says.
    """

    named: Mapping[int, bool] = field(default_factory=dict)

    def learns(self, layer: Any) -> bool:
        """Whether a layer may change in training."""
        if id(layer) in self.named:
            return self.named[id(layer)]
        inner = getattr(layer, "layers", None)
        if self.named and inner:
            return any(map(self.learns, inner))
        return bool(getattr(layer, "trainable", False))

    def variables(self, layer: Any) -> list[Any]:
        """The weights of a layer that learn; an operation of `keras.ops` has none."""
        if not self.named:
            return list(getattr(layer, "trainable_variables", ()))
        if not self.learns(layer):
            return []
        # `trainable_variables` of a layer that is frozen now is empty, although it would learn.
        inner = [] if id(layer) in self.named else getattr(layer, "layers", None) or []
        parts = [layer] if inner else layer._flatten_layers()
        own = [variable for part in parts for variable in part._trainable_variables]
        return own + [variable for child in inner for variable in self.variables(child)]


def name_learning(stages: Sequence[Stage], patterns: Sequence[str]) -> Learning:
    """What learns when these names of stages or patterns of layers do, and nothing else.

    Raises:
        ArgumentError: a pattern matches neither a stage nor a layer; the nearest names are given.
    """
    for pattern in patterns:
        find_layers(stages, pattern)
    layers = list(named_layers(stages))
    # A layer that is part of two models has two names; it learns by either.
    matching = {id(layer) for name, layer in layers if _matches(name, patterns)}
    return Learning({id(layer): id(layer) in matching for _, layer in layers})


def find_layers(stages: Sequence[Stage], pattern: str) -> list[tuple[str, Any]]:
    """The innermost layers of a stage, or those that a pattern matches, with their path like "base/block_16_expand".

    Layers inside a subclassed model may share a path; all of them are found.

    Raises:
        ArgumentError: the pattern matches neither a stage nor a layer; the nearest names are given.
    """
    layers = list(named_layers(stages))
    stage_names = [stage.name for stage in stages]
    found = [(name, layer) for name, layer in layers if _matches(name, [pattern])]
    if not found and pattern not in stage_names:
        near = difflib.get_close_matches(pattern, dict.fromkeys([*stage_names, *dict(layers)]), 3, cutoff=0.3)
        raise ArgumentError(
            f"{pattern!r} matches no stage and no layer. Stages are {', '.join(stage_names)}; "
            f"near are {', '.join(near) or 'none'}."
        )
    return found


def named_layers(stages: Sequence[Stage]) -> Iterator[tuple[str, Any]]:
    """Every innermost layer of the stages with its path, like ("base/block_16_expand", layer)."""
    for stage in stages:
        yield from _inner_layers(stage.model, stage.name)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    stage_name = name.split("/", 1)[0]
    return any(pattern == stage_name or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _inner_layers(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(layer, "layers", None)
    if not inner:
        yield path, layer
    for child in inner or ():
        yield from _inner_layers(child, f"{path}/{child.name}")
