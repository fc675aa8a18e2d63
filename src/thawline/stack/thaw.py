"""Freezing and thawing: names of stages and patterns of layers -> the layers' `trainable`."""

from collections.abc import Sequence
from typing import Any

from thawline.stack.learning import name_learning, named_layers
from thawline.stack.series import StageSeries


def freeze_and_thaw(series: StageSeries, patterns: Sequence[str]) -> None:
    """Makes the layers that match learn, and freezes all others.

    Raises:
        ArgumentError: a pattern matches neither a stage nor a layer; the nearest names are given.
    """
    learning = name_learning(series.stages, patterns)
    for stage in series.stages:
        # A container that is frozen would hide what learns inside it.
        stage.model.trainable = True
    for _, layer in named_layers(series.stages):
        layer.trainable = learning.learns(layer)
    for stage in series.stages:
        _freeze_idle(stage.model)


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
