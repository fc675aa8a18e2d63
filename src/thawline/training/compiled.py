"""What `Stack.compile` was given, and the optimizer of each phase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thawline.errors import ArgumentError
from thawline.training.optimizers import built_for, find_optimizer, fresh_copy, remember_unbuilt
from thawline.training.part import Part
from thawline.training.rates import scale_learning_rates


@dataclass
class Compiled:
    """What `Stack.compile` was given, and how it is used now.

    Attributes:
        optimizer: the optimizer in use; at first the one that was given.
        options: all other arguments of `keras.Model.compile`.
        optimized: ids of the weights that the optimizer was built for, in their order.
        is_free_in_steps: whether steps may be taken several at a time where nobody notices; else as the options say.
        is_phases_own: whether the optimizer in use is one that a phase brought along.
    """

    optimizer: Any
    options: dict[str, Any]
    is_free_in_steps: bool = False
    optimized: tuple[int, ...] = ()
    is_phases_own: bool = False

    def __post_init__(self) -> None:
        self.kind = type(self.optimizer)
        self.given = self.optimizer
        self.optimized = self.optimized or built_for(self.optimizer)

    def fresh_optimizer(self) -> Any:
        """The optimizer that `compile` was given, as it was before it was built: no state, and its first rate."""
        return fresh_copy(self.given)

    def start_anew(self) -> None:
        """Forgets the optimizer in use with its state."""
        self.optimizer, self.optimized, self.is_phases_own = self.fresh_optimizer(), (), False

    def build_optimizer(self, variables: Sequence[Any]) -> None:
        """Builds the optimizer in use for these weights, unless it is built."""
        if not self.optimizer.built:
            remember_unbuilt(self.optimizer)
            self.optimizer.build(list(variables))
            self.optimized = tuple(id(variable) for variable in variables)

    def phase_options(self, part: Part) -> dict[str, Any]:
        """The options of a phase: those of `compile`, with the phase's own loss and metrics."""
        options = dict(self.options)
        if part.phase.loss is not None:
            options["loss"] = part.phase.loss
            if not isinstance(part.phase.loss, Mapping | list | tuple):
                # Weights of several losses say nothing about one.
                options["loss_weights"] = None
        if part.phase.metrics is not None:
            options["metrics"], options["weighted_metrics"] = part.phase.metrics, None
        return options

    def phase_optimizer(self, part: Part) -> Any:
        """The phase's optimizer, built for the weights that learn in the order in which the stack saves them.

        Where other weights learn than the stack's (a probe's), it is left behind with the phase.
        """
        phase, variables = part.phase, part.series.model.trainable_variables
        wanted = tuple(id(variable) for variable in variables)
        is_stacks = wanted == tuple(id(variable) for variable in part.stack.model.trainable_variables)
        optimizer = self.optimizer
        if phase.optimizer is not None:
            optimizer = find_optimizer(phase.optimizer, f"Phase {part.number}")
            if built_for(optimizer) not in ((), wanted):
                optimizer = fresh_copy(optimizer)
        elif not is_stacks or self.is_phases_own or self.optimized not in ((), wanted):
            # An optimizer belongs to the weights it was built for.
            optimizer = self.fresh_optimizer()
        remember_unbuilt(optimizer)
        if phase.learning_rate is not None:
            _set_learning_rate(optimizer, phase.learning_rate, part.number)
        if not optimizer.built:
            optimizer.build(variables)
        scale_learning_rates(optimizer, part.learning_rate_factors())
        if is_stacks:
            self.optimizer, self.optimized, self.is_phases_own = optimizer, wanted, phase.optimizer is not None
        return optimizer

    def check_rate(self, part: Part) -> None:
        """Raises ArgumentError when a phase sets the rate of an optimizer that has a schedule."""
        given = part.phase.optimizer
        optimizer = self.given if given is None else find_optimizer(given, f"Phase {part.number}")
        if part.phase.learning_rate is not None:
            _set_learning_rate(fresh_copy(optimizer), part.phase.learning_rate, part.number)


def _set_learning_rate(optimizer: Any, rate: float, number: int) -> None:
    try:
        optimizer.learning_rate = rate
    except (TypeError, AttributeError) as error:
        raise ArgumentError(
            f"Phase {number} has a learning_rate, but its optimizer has a schedule or several rates. "
            "Give the phase an optimizer of its own."
        ) from error
