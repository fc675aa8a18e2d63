"""Where the time of a run goes."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds that one part of the run took, or would have taken.

    Attributes:
        label: what took the time, like "extracting features".
        seconds: how long, in seconds.
        note: a remark beside it, like "1,280 images/s".
        is_estimate: whether it was forecast and not measured. It is marked as such, and has no share of the total.
    """

    label: str
    seconds: float
    note: str = ""
    is_estimate: bool = False


class Clock:
    """Notes where the time goes, from `started` on, in seconds of `time.perf_counter`."""

    def __init__(self, started: float) -> None:
        self.timings: list[Timing] = []
        self._last = started

    def lap(self, label: str) -> None:
        """The time since the last lap went into this."""
        now = time.perf_counter()
        self.timings.append(Timing(label, now - self._last))
        self._last = now

    def split(self, *known: tuple[str, float], rest: str) -> None:
        """The time since the last lap went into parts that were measured, and a rest."""
        now = time.perf_counter()
        parts = [*known, (rest, now - self._last - sum(seconds for _, seconds in known))]
        self.timings += [Timing(label, seconds) for label, seconds in parts]
        self._last = now
