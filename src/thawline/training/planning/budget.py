"""Budget: how much disk, memory and time a training may take."""

from dataclasses import dataclass
from typing import Any

from thawline.arguments import is_number
from thawline.errors import ArgumentError
from thawline.figures import format_bytes
from thawline.progress import format_seconds
from thawline.training.planning.forecast import Forecast


@dataclass(frozen=True)
class Budget:
    """What a training may take at most; None leaves it to what is there.

    Attributes:
        max_disk: bytes of disk that a phase's features may take, those that are stored already included.
        max_ram: bytes of memory that a phase's features and batches may take; Keras' own is not counted.
        max_time: seconds that the training may take, all phases together.

    Raises:
        ArgumentError: one of them is no number above 0.

    Example:
        >>> Budget(max_time=60).max_time
        60
    """

    max_disk: float | None = None
    max_ram: float | None = None
    max_time: float | None = None

    def __post_init__(self) -> None:
        for name, kind in (("max_disk", "bytes"), ("max_ram", "bytes"), ("max_time", "seconds")):
            _check(name, getattr(self, name), kind)

    def excess(self, forecast: Forecast) -> list[str]:
        """Why a forecast does not fit, leaving `max_disk` aside, which the disk itself has a say in."""
        problems = []
        if self.max_ram is not None and forecast.ram_bytes > self.max_ram:
            problems.append(
                f"needs {format_bytes(forecast.ram_bytes)} of memory, max_ram is {format_bytes(self.max_ram)}"
            )
        if self.max_time is not None and forecast.total_s > self.max_time:
            problems.append(f"takes {format_seconds(forecast.total_s)}, {format_seconds(self.max_time)} may be taken")
        return problems

    def share(self, forecast: Forecast) -> float:
        """By how many times a forecast is beyond the budget where it is furthest; at most 1 where it fits."""
        needs = ((forecast.disk_bytes, self.max_disk), (forecast.ram_bytes, self.max_ram))
        limited = [*needs, (forecast.total_s, self.max_time)]
        return max([need / limit for need, limit in limited if limit is not None], default=0.0)


def _check(name: str, value: Any, kind: str) -> None:
    if value is not None and not (is_number(value) and value > 0):
        example = "10e9 for 10 GB" if kind == "bytes" else "1800 for half an hour"
        raise ArgumentError(f"{name} is a number of {kind} above 0, like {example}; got {value!r}.")
