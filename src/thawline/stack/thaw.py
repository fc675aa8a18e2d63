"""Which layers learn: names of stages and patterns of layers -> layers frozen and thawed."""

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from typing import Any

from thawline.errors import ArgumentError
from thawline.stack.series import StageSeries


def freeze_and_thaw(series: StageSeries, patterns: Sequence[str]) -> None:
    """Makes the layers that match learn, and freezes all others.

    Raises:
        ArgumentError: a pattern matches neither a stage nor a layer; the nearest names are given.
    """
    layers = [item for stage in series.stages for item in _named_layers(stage.model, stage.name)]
    for pattern in patterns:
        find_layers(series, pattern)
    for stage in series.stages:
        # A container that is frozen would hide what learns inside it.
        stage.model.trainable = True
    for name, layer in layers:
        stage_name = name.split("/", 1)[0]
        layer.trainable = any(pattern == stage_name or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    for stage in series.stages:
        _freeze_idle(stage.model)


def find_layers(series: StageSeries, pattern: str) -> dict[str, Any]:
    """The innermost layers of a stage, or those that a pattern matches, by their path like "base/block_16_expand".

    Raises:
        ArgumentError: the pattern matches neither a stage nor a layer; the nearest names are given.
    """
    layers = dict(item for stage in series.stages for item in _named_layers(stage.model, stage.name))
    stages = [stage.name for stage in series.stages]
    if pattern in stages:
        return {name: layer for name, layer in layers.items() if name.split("/", 1)[0] == pattern}
    found = {name: layer for name, layer in layers.items() if fnmatch.fnmatchcase(name, pattern)}
    if not found:
        near = difflib.get_close_matches(pattern, [*stages, *layers], 3, cutoff=0.3)
        raise ArgumentError(
            f"{pattern!r} matches no stage and no layer. Stages are {', '.join(stages)}; "
            f"near are {', '.join(near) or 'none'}."
        )
    return found


def _freeze_idle(layer: Any) -> bool:
    """Freezes every model in which no layer learns, and says whether this is one.

    A subclassed model lies below the thaw line only when it is frozen itself, and may have weights of its own.
    """
    inner = getattr(layer, "layers", None)
    if not inner:
        return not layer.trainable
    idle = [_freeze_idle(child) for child in inner]
    if all(idle):
        layer.trainable = False
    return all(idle)


def _named_layers(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every innermost layer with its path, like ("base/block_16_expand", layer)."""
    inner = getattr(layer, "layers", None)
    if not inner:
        yield path, layer
    for child in inner or ():
        yield from _named_layers(child, f"{path}/{child.name}")
