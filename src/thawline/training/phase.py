"""Phase: a span of epochs with one set of learning layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thawline.errors import ArgumentError


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
