"""Who watches a phase: that frozen weights stay, that numbers stay finite, and which epoch was the best."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.errors import ArgumentError, DivergedError, FrozenWeightsMovedError
from thawline.features.fingerprint import digest_weights
from thawline.stack.learning import find_layers
from thawline.stack.series import StageSeries
from thawline.training.part import Part
from thawline.training.untouched import assign, values_of


def moving_weights(suffix: Any) -> list[Any]:
    """The weights above the thaw line that training may change: those that learn, and their layers' statistics.

    Args:
        suffix: the Keras model above the line; frozen layers may lie in it, too.
    """
    frozen = {id(weight) for layer in suffix._flatten_layers() if not layer.trainable for weight in layer.weights}
    return [weight for weight in suffix.weights if id(weight) not in frozen]


class FrozenWatch:
    """Notes what every frozen weight of a stack is, and finds the one that changed.

    Args:
        stack: the whole stack; stages that do not run in the phase are frozen, too.
        moving: the weights that may change.
    """

    def __init__(self, stack: StageSeries, moving: Sequence[Any]) -> None:
        self._stack = stack
        may_change = {id(weight) for weight in moving}
        self._frozen = [weight for weight in stack.model.weights if id(weight) not in may_change]
        self._before = [digest_weights([weight]) for weight in self._frozen]

    def check(self, number: int) -> None:
        """Raises FrozenWeightsMovedError when a frozen weight is not what it was; the message names its layer."""
        moved = [
            weight
            for weight, before in zip(self._frozen, self._before, strict=True)
            if digest_weights([weight]) != before
        ]
        if moved:
            raise FrozenWeightsMovedError(
                f"A frozen weight changed in phase {number}: {moved[0].name!r} of layer {self._layer_of(moved[0])!r}. "
                "Something besides thawline assigns to it: look for callbacks that set weights, and for layers that "
                "change their own weights in training although they are frozen."
            )

    def _layer_of(self, weight: Any) -> str:
        for stage in self._stack.stages:
            for path, layer in find_layers(self._stack.stages, stage.name):
                if any(weight is own for own in layer.weights):
                    return path
        # A subclassed model may have weights of its own, beside its layers'.
        return str(weight.path)


class LastGoodEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a phase as soon as its loss or a weight is not finite, with the weights of the last good epoch.

    Args:
        part: what the phase trains.
        moving: the weights that may change; they are copied after each epoch.
        optimizer: the phase's, for the message.
    """

    def __init__(self, part: Part, moving: Sequence[Any], optimizer: Any) -> None:
        super().__init__()
        self._part = part
        self._moving = moving
        self._optimizer = optimizer
        self._epoch = 0
        self._batches_seen = 0
        self._middle = (0, 0)
        self._good = values_of(moving)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights of the last good epoch, by names that hold in the next process."""
        return {f"good/{index}": values for index, values in enumerate(self._good)}

    def resume(self, epoch: int, batches: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on in the middle of an epoch, of which so many batches are done, with what `arrays` gave."""
        self._middle = (epoch, batches)
        self._good = [arrays[f"good/{index}"] for index in range(len(self._moving))]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes where the training is."""
        self._epoch, self._batches_seen = epoch, self._middle[1] if epoch == self._middle[0] else 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss; Keras gives it as a number with every batch, or with the last of several."""
        first, self._batches_seen = self._batches_seen + 1, min(batch + 1, self.params["steps"])
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            last = self._batches_seen
            where = f"batch {last}" if first == last else f"one of the batches {first} to {last}"
            self._give_up(f"The loss became {loss}", f", {where}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the weights, and keeps them when they are good."""
        after = values_of(self._moving)
        for weight, values in zip(self._moving, after, strict=True):
            if not np.isfinite(values).all():
                self._give_up(f"Weight {weight.path!r} is no longer finite", "")
        self._good = after

    def _give_up(self, what: str, batch: str) -> None:
        assign(self._moving, self._good)
        rate = getattr(self._optimizer, "learning_rate", None)
        is_now = "" if rate is None else f" (it is {float(keras.ops.convert_to_numpy(rate)):g})"
        since = f"after epoch {self._epoch}" if self._epoch else "before training"
        raise DivergedError(
            f"{what} in {self._part}, epoch {self._epoch + 1}{batch}. Lower the learning rate{is_now}, clip the "
            "gradients (clipnorm=1.0 in the optimizer), or look at the labels and at the value_range of the first "
            f"stage. The weights are set back to what they were {since}."
        )


class BestEpoch(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Keras' early stopping for one phase, which also goes on after an interruption.

    It keeps the weights that may change, statistics of BatchNormalization included, and sets them back to the best
    epoch when the phase is over.

    Args:
        options: "patience", and any of "monitor", "min_delta" and "mode".
        moving: the weights that may change.
        has_validation: whether there are figures on validation images.
    """

    def __init__(self, options: Mapping[str, Any], moving: Sequence[Any], *, has_validation: bool) -> None:
        monitor = options.get("monitor", "val_loss" if has_validation else "loss")
        super().__init__(**{**options, "monitor": monitor})
        self._moving = moving
        self._best_values: list[np.ndarray] = []
        self._resumed: Mapping[str, Any] | None = None

    def state(self) -> dict[str, Any] | None:
        """Plain values to go on from; None before the first epoch."""
        if not self._best_values:
            return None
        return {"best": float(self.best), "wait": self.wait, "best_epoch": self.best_epoch}

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights of the best epoch, by names that hold in the next process."""
        return {f"best/{index}": values for index, values in enumerate(self._best_values)}

    def resume(self, state: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` and `arrays` gave."""
        if state is not None:
            self._resumed = state
            self._best_values = [arrays[f"best/{index}"] for index in range(len(self._moving))]
            self._take(state)

    def _take(self, state: Mapping[str, Any]) -> None:
        self.best, self.wait, self.best_epoch = state["best"], state["wait"], state["best_epoch"]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins anew, or where an interrupted run was."""
        super().on_train_begin(logs)
        if self._resumed is not None:
            self._take(self._resumed)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judges the epoch, and keeps its weights when it is the best."""
        self.get_monitor_value(logs)
        try:
            super().on_epoch_end(epoch, logs)
        except ValueError as error:
            raise ArgumentError(
                f"early_stopping cannot tell whether {self.monitor!r} should rise or fall. "
                "Write {'patience': ..., 'monitor': ..., 'mode': 'max'} (or 'min')."
            ) from error
        if self.best_epoch == epoch or not self._best_values:
            self._best_values = values_of(self._moving)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Sets the weights back to the best epoch."""
        self.restore()

    def restore(self) -> None:
        """Sets the weights back to the best epoch, if there was one."""
        if self._best_values:
            assign(self._moving, self._best_values)

    def get_monitor_value(self, logs: dict[str, Any] | None) -> Any:
        """The watched figure of an epoch.

        Raises:
            ArgumentError: the epoch has no figure of this name.
        """
        value = (logs or {}).get(self.monitor)
        if value is None:
            raise ArgumentError(
                f"early_stopping watches {self.monitor!r}, but an epoch gives {', '.join(sorted(logs or {}))}. "
                "Name one of these, or give validation_data."
            )
        return value
