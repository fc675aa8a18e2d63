"""Phase: a span of epochs with one set of learning layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from thawline.arguments import as_whole, plain
from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.training.callbacks import as_callbacks
from thawline.training.phase_words import check_words


@dataclass(frozen=True)
class Phase:
    """A span of epochs with one set of learning layers.

    Attributes:
        train: names of stages, or patterns of layers like "base/block_16*"; everything else is frozen. None leaves
            every layer as it is.
        epochs: how many epochs, at most.
        optimizer: a Keras optimizer or its name; by default a fresh one like the stack's. One that several phases are
            given is copied, without its state, where other weights learn.
        learning_rate: sets the optimizer's learning rate.
        loss: the loss of this phase; by default the stack's.
        loss_at: the stage whose output the loss looks at; by default the last one. The stages after it do not run in
            this phase, and its losses and metrics, those on validation images too, are those of the stages up to it.
        probe: a Keras layer or model that turns an output which is no answer into one, for this phase only: it is put
            on the output of `loss_at` (by default of the last stage that `train` names), learns along, and is dropped.
        callbacks: Keras callbacks for this phase only, one or several, beside those of `fit`; they begin and end with
            the phase.
        early_stopping: ends the phase when it got no better for so many epochs, and sets what learns back to the best
            epoch. A number is the patience, on val_loss (on loss without validation); or a dictionary with "patience"
            and any of "monitor", "min_delta" and "mode", as in `keras.callbacks.EarlyStopping`.
        learning_rate_factors: what the learning rate is multiplied with, by the name of a stage or by a pattern as in
            `train`. Of several that match a layer, the last one counts.
        strategy: "auto", "joint", "precomputed" or "streamed".
        views: how many views of each image; by default the strategy's choice.
        metrics: the metrics of this phase; by default the stack's.

    Raises:
        ArgumentError: an argument has a value that cannot work.

    Example:
        >>> phase = Phase(["head", "base/block_16*"], epochs=20, early_stopping=3, learning_rate_factors={"base": 0.1})
        >>> phase.patterns
        ('head', 'base/block_16*')
    """

    train: str | Sequence[str] | None
    epochs: int
    optimizer: Any = None
    learning_rate: float | None = None
    loss: Any = None
    loss_at: str | None = None
    probe: Any = None
    callbacks: Any = ()
    early_stopping: int | Mapping[str, Any] | None = None
    learning_rate_factors: Mapping[str, float] | None = None
    strategy: str = "auto"
    views: int | None = None
    metrics: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.early_stopping, keras.callbacks.Callback):
            raise ArgumentError(
                "early_stopping is a number of epochs; a Keras callback belongs into the phase's callbacks."
            )
        check_words(self.epochs, self.learning_rate, self.early_stopping, self.learning_rate_factors)
        object.__setattr__(self, "epochs", as_whole(self.epochs))
        for name in ("learning_rate", "early_stopping", "views"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if self.probe is not None and not isinstance(self.probe, keras.layers.Layer):
            raise ArgumentError(
                f"A phase's probe is a Keras layer or model; got {type(self.probe).__name__}. "
                "Put several layers into keras.Sequential([...])."
            )
        object.__setattr__(self, "callbacks", as_callbacks(self.callbacks, "A phase"))

    @property
    def patterns(self) -> tuple[str, ...]:
        """What learns, always as a tuple; empty where layers are left as they are."""
        return (self.train,) if isinstance(self.train, str) else tuple(self.train or ())

    @property
    def stopping(self) -> dict[str, Any] | None:
        """`early_stopping` as a dictionary; None where the phase runs to its end."""
        if self.early_stopping is None or isinstance(self.early_stopping, Mapping):
            return None if self.early_stopping is None else dict(self.early_stopping)
        return {"patience": self.early_stopping}

    def describe(self) -> dict[str, Any]:
        """Plain values that are equal for phases which train the same; callbacks and what was not given are left out.

        A probe is described by its kind and, once it is built, its number of weights.
        """
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "callbacks" and getattr(self, field.name) != field.default
        }
        plain = {"train": list(self.patterns), "early_stopping": self.stopping}
        return {name: plain[name] if name in plain else _describe(value) for name, value in given.items()}


def _describe(value: Any) -> Any:
    """A value of a phase in plain words: objects by their kind, and what they hold where that is plain."""
    value = plain(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _describe(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(part) for part in value]
    if isinstance(value, keras.layers.Layer):
        return [type(value).__name__, value.count_params() if value.built else None]
    return getattr(value, "__name__", type(value).__name__)


def make_phases(epochs: int | None, phases: Sequence[Phase], strategy: str, views: int | None) -> Sequence[Phase]:
    """The phases of a training, however it was asked for."""
    if phases and epochs is not None:
        raise ArgumentError("Give epochs or phases, not both: each phase has its own epochs.")
    if phases and (strategy != "auto" or views is not None):
        raise ArgumentError("With phases, strategy and views belong to each Phase.")
    return phases or [Phase(None, 1 if epochs is None else epochs, strategy=strategy, views=views)]
