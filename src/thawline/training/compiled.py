"""What `Stack.compile` was given."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Compiled:
    """What `Stack.compile` was given, and how it is used now.

    Attributes:
        optimizer: the optimizer in use; at first the one that was given.
        options: all other arguments of `keras.Model.compile`.
        optimized: ids of the weights that the optimizer was built for, in their order.
        is_phases_own: whether the optimizer in use is one that a phase brought along.
    """

    optimizer: Any
    options: dict[str, Any]
    optimized: tuple[int, ...] = ()
    is_phases_own: bool = False

    def __post_init__(self) -> None:
        self.kind = type(self.optimizer)
        self._config = self.optimizer.get_config()

    def fresh_optimizer(self) -> Any:
        """An optimizer as `compile` was given it: no state, and the learning rate of then."""
        return self.kind.from_config(self._config)
