"""The words and numbers of a phase, checked; Keras is not needed for that."""

from collections.abc import Mapping
from typing import Any

from thawline.arguments import as_whole, is_number
from thawline.errors import ArgumentError

# What `early_stopping` may say, as in `keras.callbacks.EarlyStopping`.
_STOPPING_KEYS = ("patience", "monitor", "min_delta", "mode")


def check_words(epochs: Any, learning_rate: Any, early_stopping: Any, factors: Mapping[str, Any] | None) -> None:
    """Refuses words of a `Phase` that cannot work; they are described there.

    Raises:
        ArgumentError: one of them has such a value.

    Example:
        >>> check_words(3, 1e-3, {"patience": 2}, {"base": 0.1})
    """
    if (as_whole(epochs) or 0) < 1:
        raise ArgumentError(f"A phase's epochs are a whole number from 1 up; got {epochs!r}.")
    if learning_rate is not None and not learning_rate > 0:
        raise ArgumentError(f"A phase's learning_rate is above 0; got {learning_rate!r}.")
    _check_stopping(early_stopping)
    for pattern, factor in (factors or {}).items():
        if not is_number(factor) or not 0 < factor < float("inf"):
            raise ArgumentError(
                f"learning_rate_factors are numbers above 0; {pattern!r} has {factor!r}. "
                "What should not learn is left out of train."
            )


def _check_stopping(value: Any) -> None:
    """Raises ArgumentError unless the value is a patience, or a dictionary with one."""
    if value is None:
        return
    patience = value.get("patience") if isinstance(value, Mapping) else value
    if (as_whole(patience) or 0) < 1:
        raise ArgumentError(
            f"early_stopping is a number of epochs from 1 up, or a dictionary like {{'patience': 3}}; got {value!r}."
        )
    unknown = [key for key in value if key not in _STOPPING_KEYS] if isinstance(value, Mapping) else []
    if unknown:
        raise ArgumentError(f"early_stopping knows {', '.join(_STOPPING_KEYS)}; got {unknown[0]!r}.")
    if isinstance(value, Mapping) and value.get("mode", "auto") not in ("auto", "min", "max"):
        raise ArgumentError(f"early_stopping's mode is 'auto', 'min' or 'max'; got {value['mode']!r}.")
