"""Names that stand for optimizers, losses and metrics of Keras: found, or refused with the nearest ones."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thawline.backend import keras
from thawline.errors import ArgumentError


@dataclass(frozen=True)
class Kind:
    """Things that a name may stand for.

    Attributes:
        word: what it is called, like "optimizer".
        module: Keras' module of these, like "keras.optimizers".
        get: finds one by its name.
        base: the class that all of them have.
        more: names that Keras looks into itself when it knows the answers.
    """

    word: str
    module: str
    get: Callable[[Any], Any]
    base: type
    more: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """All names that Keras knows, as they are written, by the same in small letters."""
        module = getattr(keras, self.module.partition(".")[2])
        found = {name: value for name, value in vars(module).items() if callable(value) and name not in _NO_NAMES}
        kinds = [name for name, value in found.items() if isinstance(value, type) and issubclass(value, self.base)]
        functions = [name for name in found if name.islower() and name[0] != "_"]
        return {name.lower(): name for name in (*kinds, *functions, *self.more)}


_NO_NAMES = ("get", "serialize", "deserialize")

_ACCURACY = ("accuracy", "acc")
_CROSSENTROPY = ("crossentropy", "ce")

KINDS: Mapping[str, Kind] = {
    "optimizer": Kind("optimizer", "keras.optimizers", keras.optimizers.get, keras.optimizers.Optimizer),
    "loss": Kind("loss", "keras.losses", keras.losses.get, keras.losses.Loss, _CROSSENTROPY),
    "metric": Kind("metric", "keras.metrics", keras.metrics.get, keras.metrics.Metric, _ACCURACY + _CROSSENTROPY),
}


def find_in_keras(given: Any, kind: Kind, place: str) -> Any:
    """Things that a user named or gave.

    Args:
        given: the thing itself, its name, or its configuration.
        kind: what it should be.
        place: who was given it, for the error, like "compile()".

    Raises:
        ArgumentError: Keras knows nothing of this name.

    Example:
        >>> find_in_keras("addam", KINDS["optimizer"], "compile()")
        Traceback (most recent call last):
        thawline.errors.ArgumentError: compile(): 'addam' is no optimizer of Keras. Did you mean 'Adam'?
    """
    try:
        return kind.get(given)
    except (ValueError, TypeError) as error:
        if not isinstance(given, str):
            raise ArgumentError(f"{place}: {given!r} is no {kind.word}: {str(error).splitlines()[0]}") from None
    names, word = kind.names, given.lower()
    near = [name for name in names if len(word) > 1 and name.startswith(word)]
    near += difflib.get_close_matches(word, names, 1)
    advice = f"Did you mean {names[near[0]]!r}?" if near else f"Look for the name in {kind.module}."
    raise ArgumentError(f"{place}: {given!r} is no {kind.word} of Keras. {advice}")


def check_names(given: Any, kind: Kind, place: str) -> None:
    """Raises ArgumentError for the first name, in lists and dictionaries of them, that Keras does not know."""
    for part in keras.tree.flatten(given):
        if isinstance(part, str) and part.lower() not in kind.more:
            find_in_keras(part, kind, place)
