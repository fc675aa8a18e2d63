"""Where an epoch's seconds go: waiting for the next batch, training on it, measuring, everything else."""

import time


class StepClock:
    """Splits the time of an epoch.

    Keras takes its batches inside a step, which may hold several of them, so what a step waited is found out from when
    each batch was there: one that came after the step could begin with it made the step wait. Time before anybody made
    it, as while Keras traces its first step, is the step's own.

    Example:
        >>> clock = StepClock()
        >>> clock.begin_epoch(now=0.0)
        >>> clock.begin_step(0, now=0.0)
        >>> clock.make_batch(0, now=1.0)
        >>> clock.batch_is_there(0, now=3.0)
        >>> clock.end_step(0, now=5.0)
        >>> clock.shares(now=10.0)
        {'waiting': 0.2, 'training': 0.3, 'measuring': 0.0}
    """

    def __init__(self) -> None:
        self.waited_s = self.trained_s = self.measured_s = 0.0
        self._started = self._step_began = self._test_began = 0.0
        self._first = 0
        # The feed's thread writes, whoever trains reads.
        self._begun: dict[int, float] = {}
        self._there: dict[int, float] = {}
        # What a batch takes when it need not wait: the least that was seen.
        self._batch_s = 0.0

    def begin_epoch(self, now: float | None = None) -> None:
        """All times count from here."""
        self.waited_s = self.trained_s = self.measured_s = 0.0
        self._started = _now(now)

    def make_batch(self, batch: int, now: float | None = None) -> None:
        """The feed begins to make this batch, counted from 0 in its epoch."""
        self._begun[batch] = _now(now)

    def batch_is_there(self, batch: int, now: float | None = None) -> None:
        """The feed has made this batch."""
        self._there[batch] = _now(now)

    def begin_step(self, batch: int, now: float | None = None) -> None:
        """A step begins, with this batch as its first."""
        self._first, self._step_began = batch, _now(now)

    def end_step(self, batch: int, now: float | None = None) -> None:
        """The step has ended, with this batch as its last."""
        began, took = self._step_began, _now(now) - self._step_began
        at, waited = began, 0.0
        for each in range(self._first, batch + 1):
            at = max(self._begun.get(each, at), at)
            there = self._there.get(each, at)
            waited += max(there - at, 0.0)
            at = max(there, at) + self._batch_s
        waited = min(waited, took)
        batch_s = (took - waited) / max(batch + 1 - self._first, 1)
        self._batch_s = min(self._batch_s, batch_s) if self._batch_s else batch_s
        self.waited_s += waited
        self.trained_s += took - waited

    def begin_test(self, now: float | None = None) -> None:
        """Validation images are measured from here."""
        self._test_began = _now(now)

    def end_test(self, now: float | None = None) -> None:
        """They are measured."""
        self.measured_s += _now(now) - self._test_began

    def seconds(self, now: float | None = None) -> float:
        """Since the epoch began."""
        return _now(now) - self._started

    def shares(self, now: float | None = None) -> dict[str, float]:
        """What share of the epoch so far went where, from 0 to 1; callbacks and keeping the state took the rest."""
        seconds = max(self.seconds(now), 1e-9)
        return {
            "waiting": self.waited_s / seconds,
            "training": self.trained_s / seconds,
            "measuring": self.measured_s / seconds,
        }


def _now(now: float | None) -> float:
    return time.perf_counter() if now is None else now
