"""State that an interrupted run of the same training kept, and how much of it has been put back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from thawline.training.checkpoints.callback_state import CallbackStates
from thawline.training.checkpoints.random_state import put_random_state, random_state
from thawline.training.planning.measured import PhaseTimes
from thawline.training.planning.phase_plan import PhasePlan
from thawline.training.record import PhaseMark
from thawline.training.untouched import assign, values_of


@dataclass(frozen=True)
class MidEpoch:
    """Position of a training in the middle of an epoch.

    Attributes:
        batches: how many of the epoch's batches are done.
        seconds: how long they took.
        arrays: the state of the metrics, and the weights of the last good epoch.
    """

    batches: int
    seconds: float
    arrays: dict[str, np.ndarray]


class Resumed:
    """The state that a run goes on from; empty and false for a run that begins.

    Args:
        state: what `Checkpoint.load` gave.
        callbacks: the callbacks, whose state is in it.

    Attributes:
        progress: plain values: where the interrupted run was, and its history.
        arrays: variables and arrays by name.
    """

    def __init__(self, state: tuple[dict[str, Any], dict[str, np.ndarray]] | None, callbacks: CallbackStates) -> None:
        self.progress: Mapping[str, Any] = state[0] if state else {}
        self.arrays: dict[str, np.ndarray] = state[1] if state else {}
        self._at = self.progress.get("at", "")
        self._callbacks = callbacks

    def __bool__(self) -> bool:
        return bool(self.progress)

    @property
    def phase(self) -> int:
        """The phase that was interrupted, from 1; 0 for a run that begins."""
        return int(self.progress.get("phase", 0))

    @property
    def callbacks_had_begun(self) -> bool:
        """Whether callbacks of the whole fit had begun when the state was kept; thawline 0.1 let each phase begin."""
        return bool(self.progress.get("callbacks_begun", self._at == "epoch over"))

    def goes_on(self, phase: int) -> bool:
        """Tells whether an interrupted run had begun to train this phase, but had not finished it."""
        return phase == self.phase and self._at in ("epoch over", "mid epoch")

    def batches_done(self, phase: int) -> int:
        """Batches of the epoch in which this phase goes on that are done; 0 where it begins with an epoch."""
        return int(self.progress.get("batches_done", 0)) if self.goes_on(phase) else 0

    def fill(self, history: Any) -> list[int]:
        """Fills a history and its record with the epochs that are done; gives the phase of each."""
        history.epoch = self.progress["epochs"]
        history.history.update(self.progress["history"])
        history.phases = [PhaseMark(**{**mark, "learned": tuple(mark["learned"])}) for mark in self.progress["phases"]]
        history.record.resumed_epochs = len(history.epoch)
        history.record.plans = [PhasePlan.from_dict(plan) for plan in self.progress["plans"]]
        history.record.times = [PhaseTimes(**times) for times in self.progress["times"]]
        phase_of_epoch: list[int] = self.progress["phase_of_epoch"]
        return phase_of_epoch

    def begin_again(self, callbacks: Sequence[Any], *, had_begun: bool) -> None:
        """To be called before these callbacks begin in this process; see `CallbackStates.begin_again`."""
        if self:
            self._callbacks.begin_again(self.progress["callbacks"], callbacks, had_begun=had_begun)

    @contextmanager
    def unnoticed(self, variables: Sequence[Any]) -> Iterator[None]:
        """Callbacks may begin in the block, as they had in the interrupted run: what that changed is put back.

        Args:
            variables: what callbacks may change when they begin: weights, and the optimizer's state and rate.
        """
        values, (drawn, arrays) = values_of(variables), random_state()
        yield
        assign(variables, values)
        put_random_state(drawn, arrays)
        self._callbacks.put_back(self.progress["callbacks"], self.arrays)

    def values(self, group: str) -> list[np.ndarray]:
        """The arrays of a group, like "metric", in their order."""
        names = (f"{group}/{index}" for index in range(len(self.arrays)))
        return [self.arrays[name] for name in names if name in self.arrays]

    def put_back(self, *places: str) -> None:
        """Lets callbacks and random numbers go on, when the interrupted run kept its state at one of these places."""
        if self and self._at in places:
            self._callbacks.put_back(self.progress["callbacks"], self.arrays)
            put_random_state(self.progress["random"], self.arrays)
            self._at = "put back"
