"""Phase: a span of epochs with one set of learning layers."""

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from thawline.errors import ArgumentError
from thawline.stack.series import StageSeries


@dataclass(frozen=True)
class Phase:
    """A span of epochs with one set of learning layers.

    Attributes:
        train: names of stages, or patterns of layers like "base/block_16*"; everything else is frozen. None leaves
            every layer as it is.
        epochs: how many epochs.
        optimizer: a Keras optimizer or its name; by default a fresh one like the stack's.
        learning_rate: sets the optimizer's learning rate.
        strategy: "auto", "joint", "precomputed" or "streamed".
        views: how many views of each image; by default the strategy's choice.

    Raises:
        ArgumentError: no epochs, or a learning rate that is not above 0.
    """

    train: str | Sequence[str] | None
    epochs: int
    optimizer: Any = None
    learning_rate: float | None = None
    strategy: str = "auto"
    views: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.epochs, int) or self.epochs < 1:
            raise ArgumentError(f"A phase's epochs are a whole number from 1 up; got {self.epochs!r}.")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ArgumentError(f"A phase's learning_rate is above 0; got {self.learning_rate!r}.")

    @property
    def patterns(self) -> tuple[str, ...]:
        """What learns, always as a tuple; empty where layers are left as they are."""
        return (self.train,) if isinstance(self.train, str) else tuple(self.train or ())


def freeze_and_thaw(series: StageSeries, patterns: Sequence[str]) -> None:
    """Makes the layers that match learn, and freezes all others.

    Raises:
        ArgumentError: a pattern matches neither a stage nor a layer; the nearest names are given.
    """
    layers = [item for stage in series.stages for item in _named_layers(stage.model, stage.name)]
    names = [name for name, _ in layers]
    stages = [stage.name for stage in series.stages]
    for pattern in patterns:
        if pattern not in stages and not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, stages + names, 3, cutoff=0.3)
            raise ArgumentError(
                f"{pattern!r} matches no stage and no layer. Stages are {', '.join(stages)}; "
                f"near are {', '.join(near) or 'none'}."
            )
    for stage in series.stages:
        # A container that is frozen would hide what learns inside it.
        stage.model.trainable = True
    for name, layer in layers:
        stage_name = name.split("/", 1)[0]
        layer.trainable = any(pattern == stage_name or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
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


def _named_layers(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every innermost layer with its path, like ("base/block_16_expand", layer)."""
    inner = getattr(layer, "layers", None)
    if not inner:
        yield path, layer
    for child in inner or ():
        yield from _named_layers(child, f"{path}/{child.name}")
