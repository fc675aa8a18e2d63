"""Optimizers as users give them: found by name, copied without a state, and known by the weights they were built for.

An optimizer belongs to the weights it was built for. Where other weights learn, a copy of it is taken as it was before
it was built, with everything that a user said about it: arguments of subclasses, schedules, what does not decay.
"""

import copy
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.training.keras_names import KINDS, find_in_keras

# Copies as the optimizers were just before they were built.
_UNBUILT: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

# What a copy shares with its original: schedules and functions have no state, and TensorFlow allows one of these only.
_SHARED = (keras.optimizers.schedules.LearningRateSchedule, keras.layers.Layer)


def find_optimizer(given: Any, place: str) -> Any:
    """The optimizer that a user named or gave.

    Args:
        given: an optimizer, its name, or its configuration.
        place: who was given it, for the error, like "compile()".

    Raises:
        ArgumentError: Keras has no optimizer of this name.
    """
    return find_in_keras(given, KINDS["optimizer"], place)


def remember_unbuilt(optimizer: Any) -> None:
    """Keeps an optimizer as it is now, for `fresh_copy`; to be called before it is built."""
    if not optimizer.built:
        _UNBUILT[optimizer] = _copy(optimizer)


def fresh_copy(optimizer: Any) -> Any:
    """The same optimizer without a state, as it was before it was built.

    Raises:
        ArgumentError: it was built by somebody else, and cannot be made from its configuration.

    Example:
        >>> given = keras.optimizers.AdamW(1e-3, weight_decay=0.5)
        >>> given.exclude_from_weight_decay(var_names=["bias"])
        >>> bias = keras.Variable([0.0], name="bias")
        >>> fresh_copy(given)._use_weight_decay(bias)
        False
    """
    if not optimizer.built:
        return _copy(optimizer)
    if optimizer in _UNBUILT:
        return _copy(_UNBUILT[optimizer])
    kind = type(optimizer)
    try:
        made = kind.from_config(optimizer.get_config())
    except Exception as error:
        raise ArgumentError(
            f"The optimizer {kind.__name__} has trained before, and no copy without its state can be made: "
            f"{str(error).splitlines()[0]}. Give a new one, or a get_config() with all arguments of its __init__."
        ) from error
    for name, value in vars(optimizer).items():
        if name.startswith("_exclude_from_weight_decay"):
            vars(made)[name] = copy.copy(value)
    return made


def set_constant_rate(optimizer: Any, rate: float) -> None:
    """Gives an optimizer that is not built a learning rate in the place of its own, or of its schedule."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner._learning_rate, keras.Variable):
        # Keras has no way from a schedule back to a number: it is set as its own __init__ sets it.
        plain = keras.optimizers.SGD(rate)
        inner._learning_rate = plain._learning_rate
        inner._track_variable(plain._learning_rate)
    inner.learning_rate = rate


def built_for(optimizer: Any) -> tuple[int, ...]:
    """Ids of the weights that an optimizer was built for, in their order; none before it is built."""
    if not optimizer.built:
        return ()
    # A LossScaleOptimizer hands the gradients to the one inside it.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return tuple(id(variable) for variable in inner._trainable_variables)


def check_own_weights(optimizer: Any, weights: Iterable[Any], place: str) -> None:
    """Raises ArgumentError for an optimizer that was built for weights of another model.

    Args:
        optimizer: the optimizer.
        weights: all weights of the stack, and of what is trained along.
        place: who was given it.
    """
    if set(built_for(optimizer)) <= {id(weight) for weight in weights}:
        return
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = type(optimizer).__name__
    raise ArgumentError(
        f"{place} has an optimizer {name} that trained another model ({inner._trainable_variables[0].path!r} and so "
        f"on): its state belongs to those weights. Give a new one, keras.optimizers.{name}(...), to each stack."
    )


def _copy(optimizer: Any) -> Any:
    """A copy of an optimizer that is not built; Keras' own, by saving, needs a get_config() that knows everything."""
    made = object.__new__(type(optimizer))
    memo: dict[int, Any] = {id(optimizer): made}
    attributes = vars(optimizer)
    for part in keras.tree.flatten([value for value in attributes.values() if isinstance(value, list | tuple)]):
        _note(part, memo)
    for value in attributes.values():
        _note(value, memo)
    vars(made).update({name: _copied(value, memo) for name, value in attributes.items()})
    return made


def _note(value: Any, memo: dict[int, Any]) -> None:
    """Settles how a value of an optimizer is copied, where that is not by its parts."""
    if isinstance(value, keras.optimizers.Optimizer) and id(value) not in memo:
        memo[id(value)] = _copy(value)
    elif isinstance(value, _SHARED):
        memo[id(value)] = value


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except (TypeError, RuntimeError, NotImplementedError):
        # Locks, files, and TensorFlow's strategy of devices are there once.
        return value
