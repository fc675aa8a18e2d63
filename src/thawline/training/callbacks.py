"""Users' callbacks: as they are given, and as one fit tells them of its phases.

Every phase is a `keras.Model.fit` of its own, but to a callback all phases are one training: it is told of one begin
and one end, and of every epoch between them. Callbacks that judge how a training develops begin afresh in every phase.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from thawline.backend import keras
from thawline.errors import ArgumentError

# They compare an epoch with those before it, which have another meaning where other layers learn.
BEGIN_AFRESH = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)

_REFUSED = {
    keras.callbacks.BackupAndRestore: (
        "{name} cannot continue a training of thawline: Keras' own fit alone asks it where to go on. Give fit() "
        "checkpoint=, a folder, in its place: the same call then goes on with the same weights, optimizer and random "
        "numbers."
    ),
}


def as_callbacks(given: Any, place: str) -> tuple[Any, ...]:
    """Callbacks one after another, however they were given: one alone, a list, lists in lists, a `CallbackList`.

    Args:
        given: what a user gave; None is none.
        place: who was given it, for the error, like "fit()".

    Raises:
        ArgumentError: something else than a Keras callback, or one that cannot work here.

    Example:
        >>> as_callbacks(keras.callbacks.TerminateOnNaN(), "fit()")  # doctest: +ELLIPSIS
        (<keras...TerminateOnNaN object at ...>,)
        >>> as_callbacks([keras.callbacks.EarlyStopping], "fit()")
        Traceback (most recent call last):
        thawline.errors.ArgumentError: fit() takes Keras callbacks; got the class EarlyStopping itself. Write \
EarlyStopping(...).
    """
    if given is None:
        return ()
    if isinstance(given, keras.callbacks.CallbackList):
        given = given.callbacks
    if isinstance(given, list | tuple):
        return tuple(callback for part in given for callback in as_callbacks(part, place))
    if isinstance(given, type) and issubclass(given, keras.callbacks.Callback):
        name = given.__name__
        raise ArgumentError(f"{place} takes Keras callbacks; got the class {name} itself. Write {name}(...).")
    if not isinstance(given, keras.callbacks.Callback):
        raise ArgumentError(f"{place} takes Keras callbacks, one or a list of them; got {given!r}.")
    for kind, reason in _REFUSED.items():
        if isinstance(given, kind):
            raise ArgumentError(reason.format(name=type(given).__name__))
    return (given,)


@dataclass(eq=False)
class WholeFit:
    """The callbacks that are told once that a training begins, and once that it ends, whatever phases it has.

    Attributes:
        callbacks: those among a fit's that do not begin afresh in every phase.
        model: the whole stack's model, which they see.
        params: what they know of the training as `params`, as in Keras: epochs of all phases, steps per epoch, verbose.
        is_begun: whether they were told that it begins.
        told_lost: the figures that were warned of.
    """

    callbacks: Sequence[Any] = ()
    model: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    is_begun: bool = False
    told_lost: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Tells them that the training begins."""
        self.is_begun = True
        for callback in self.callbacks:
            callback.set_params(self.params)
            callback.set_model(self.model)
        for callback in self.callbacks:
            callback.on_train_begin()

    def warn_of_columns(self, figures: Sequence[str], phase: int) -> None:
        """Warns once of each figure that a CSVLogger, whose columns are those of its first epoch, leaves out."""
        for callback in self.callbacks:
            if not isinstance(callback, keras.callbacks.CSVLogger):
                continue
            lost = sorted(set(figures) - set(callback.keys or figures) - self.told_lost)
            if lost:
                self.told_lost.update(lost)
                warnings.warn(
                    f"The file {callback.filename!r} of CSVLogger has the columns of its first epoch: "
                    f"{', '.join(lost)} of phase {phase} {'is' if len(lost) == 1 else 'are'} not in it. The history "
                    "that fit() returns has all figures.",
                    stacklevel=2,
                )


def whole_fit(callbacks: Sequence[Any], model: Any, params: dict[str, Any]) -> WholeFit:
    """The part of a fit's callbacks that is told of one begin and one end."""
    return WholeFit([each for each in callbacks if not isinstance(each, BEGIN_AFRESH)], model, params)


class PhaseCallbacks(keras.callbacks.CallbackList):  # type: ignore[misc]
    """All callbacks of one phase, as Keras tells them of it.

    What is fitted is a part of the stack; users' callbacks see the whole stack's model.

    Args:
        callbacks: all of them in their order.
        users: those among them that see the stack's model.
        told_again: those that are told of the beginning of an epoch that goes on in its middle; an interrupted run told
            the others.
        whole: those that are told of begin and end of the whole training only, not of the phase's.
        is_last: whether the training ends with this phase.
        model: what is fitted.
        stack_model: the whole stack's model.
        middle: the epoch that goes on in its middle, and how many of its batches are done.
        add_progbar: whether Keras writes a line per epoch.
        params: what callbacks know of the phase as `params`.
    """

    callbacks: list[Any]

    def __init__(
        self,
        callbacks: Sequence[Any],
        *,
        users: Sequence[Any],
        told_again: Sequence[Any],
        whole: WholeFit,
        is_last: bool,
        model: Any,
        stack_model: Any,
        middle: tuple[int, int],
        add_progbar: bool,
        **params: Any,
    ) -> None:
        self._whole = {id(callback) for callback in whole.callbacks}
        self._is_last = is_last
        self._told_again = {id(callback) for callback in told_again}
        self._middle = middle
        # Batches of the present epoch that an interrupted run has done: Keras counts from 0.
        self._done = 0
        model.history = keras.callbacks.History()
        super().__init__([*callbacks, model.history], add_progbar=add_progbar, **params)
        seen = {id(callback) for callback in users}
        for callback in self.callbacks:
            if id(callback) not in self._whole:
                callback.set_model(stack_model if id(callback) in seen else model)
        for callback in whole.callbacks:
            callback.set_params(whole.params)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Tells those who begin with the phase."""
        with self._only([each for each in self.callbacks if id(each) not in self._whole]):
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells everybody, or those who are told again when it is an epoch that goes on in its middle."""
        self._done = self._middle[1] if epoch == self._middle[0] else 0
        everybody = [each for each in self.callbacks if not self._done or id(each) in self._told_again]
        with self._only(everybody):
            super().on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the batches that an interrupted run has done."""
        super().on_train_batch_begin(batch + self._done, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the batches that an interrupted run has done."""
        super().on_train_batch_end(batch + self._done, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Tells those who end with the phase; with the last one that is everybody."""
        with self._only([each for each in self.callbacks if self._is_last or id(each) not in self._whole]):
            super().on_train_end(logs)

    @contextmanager
    def _only(self, some: list[Any]) -> Iterator[None]:
        """In the block only some callbacks are told."""
        everybody, self.callbacks = self.callbacks, some
        try:
            yield
        finally:
            self.callbacks = everybody
