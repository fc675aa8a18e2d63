"""A learning rate of its own for each weight, on any Keras optimizer."""

from collections.abc import Callable, Sequence
from typing import Any


def scale_learning_rates(optimizer: Any, factors: Sequence[float]) -> None:
    """Makes an optimizer multiply its learning rate with a factor for each weight, until it is told otherwise.

    The rate is scaled, not the gradient: Adam and its kin divide a gradient's scale away. Whatever else happens with
    the rate (a schedule, a callback) happens to all weights alike. The optimizer keeps its class and its state; the
    factors are the caller's affair, and are not saved with it. A function that Keras compiled before keeps the factors
    of then: compile the model anew.

    Args:
        optimizer: a Keras optimizer that is built.
        factors: one number for each weight, in the order in which the optimizer was built for them; all 1 takes
            earlier factors away.
    """
    # A LossScaleOptimizer hands the gradients to the one inside it.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for name in ("update_step", "_apply_weight_decay"):
        vars(inner).pop(name, None)
    if all(factor == 1 for factor in factors):
        return
    # Methods of the class, found on the instance: Keras calls them for each weight, and for all weights.
    update, decay = inner.update_step, inner._apply_weight_decay

    def factor_of(variable: Any) -> float:
        index: int = inner._get_variable_index(variable)
        return factors[index]

    def scaled_update(gradient: Any, variable: Any, learning_rate: Any) -> Any:
        return update(gradient, variable, learning_rate * factor_of(variable))

    def scaled_decay(variables: Sequence[Any]) -> None:
        """Decoupled weight decay goes with the learning rate, which Keras reads from the optimizer."""
        for variable in variables:
            _at_rate(inner, factor_of(variable), decay, [variable])

    inner.update_step = scaled_update
    inner._apply_weight_decay = scaled_decay


def _at_rate(optimizer: Any, factor: float, work: Callable[[Any], Any], argument: Any) -> None:
    """Does a piece of work while the optimizer says that its rate is the factor times what it is."""
    rate = optimizer._get_current_learning_rate
    optimizer._get_current_learning_rate = lambda: rate() * factor
    try:
        work(argument)
    finally:
        del optimizer._get_current_learning_rate
