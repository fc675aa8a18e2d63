"""How long epochs take: noted for the record, and said aloud when they are far from their forecast."""

import time
from collections.abc import Callable
from typing import Any

from thawline.backend import keras
from thawline.progress import format_seconds
from thawline.training.planning.forecast import Forecast
from thawline.training.planning.profile import Cost

# An epoch is as forecast when it takes between half and one and a half times as long.
_LEAST, _MOST = 0.5, 1.5

# A difference of less is of no use to anybody.
_WORTH_SAYING_S = 1.0


class EpochTimes(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes what each epoch costs, and says once when one is far from its forecast.

    The first epoch says nothing: Keras traces the training step in it.

    Args:
        forecast: what the phase was forecast to take; None to compare with nothing.
        first: the number of the phase's first epoch.
        say: takes the sentence.
        earlier_s: seconds that an interrupted run spent in the first epoch here.

    Attributes:
        trained: the cost of each epoch's training steps.
        measured: the cost of each epoch's validation, where there is one.
    """

    def __init__(
        self,
        forecast: Forecast | None = None,
        first: int = 0,
        say: Callable[[str], None] | None = None,
        earlier_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.trained: list[Cost] = []
        self.measured: list[Cost] = []
        self._forecast = forecast
        self._first = first
        self._say = say
        # Seconds that an interrupted run spent in the epoch in whose middle this one goes on.
        self._earlier_s = earlier_s
        self._began = self._test_began = (0.0, 0.0)

    @property
    def last_s(self) -> float:
        """Seconds of the last epoch, validation included."""
        measured = self.measured[-1].wall_s if self.measured else 0.0
        earlier_s = self._earlier_s if len(self.trained) == 1 else 0.0
        return earlier_s + self.trained[-1].wall_s + measured

    @property
    def so_far_s(self) -> float:
        """Seconds of the present epoch until now."""
        return (0.0 if self.trained else self._earlier_s) + _since(self._began).wall_s

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes when an epoch begins."""
        self._began = _now()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Notes when its validation begins."""
        self._test_began = _now()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Notes what the validation cost."""
        self.measured.append(_since(self._test_began))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes what the epoch cost."""
        whole = _since(self._began)
        measured = self.measured[-1] if self.measured else Cost()
        self.trained.append(Cost(whole.wall_s - measured.wall_s, whole.cpu_s - measured.cpu_s))
        if self._forecast is None or self._say is None or len(self.trained) == 1:
            return
        sentence = compare_epoch(whole.wall_s, self._forecast.epoch_s(epoch - self._first))
        if sentence:
            self._say(f"epoch {epoch + 1} {sentence}")
            self._say = None


def compare_epoch(measured_s: float, forecast_s: float) -> str:
    """What there is to say about an epoch that took so long; nothing where it is as forecast.

    Example:
        >>> compare_epoch(31.0, 12.0)
        'took 31.0 s, 2.6 times its forecast of 12.0 s: is the machine busy with something else?'
        >>> compare_epoch(13.0, 12.0)
        ''
    """
    if abs(measured_s - forecast_s) < _WORTH_SAYING_S or _LEAST * forecast_s <= measured_s <= _MOST * forecast_s:
        return ""
    times = f"took {format_seconds(measured_s)}, {measured_s / max(forecast_s, 1e-9):.1f} times its forecast of "
    why = ": is the machine busy with something else?" if measured_s > forecast_s else ""
    return f"{times}{format_seconds(forecast_s)}{why}"


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> Cost:
    wall, processor = _now()
    return Cost(wall - began[0], processor - began[1])
