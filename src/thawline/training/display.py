"""What a training shows while it runs: one live view on a terminal, a line per epoch elsewhere, or JSON lines."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from thawline.backend import keras
from thawline.progress import SAY_EVERY_S, current_mode, emit, format_seconds
from thawline.training.step_clock import StepClock

# How often the live view is drawn anew, and JSON tells how far an epoch is.
_DRAWN_PER_S = 4
_EMIT_EVERY_S = 1.0

# In epochs that are over sooner nobody asks where the time went.
_WORTH_SHARES_S = 1.0

# What takes less of an epoch is not mentioned when it is over.
_WORTH_SAYING = 0.1


@dataclass(frozen=True)
class PhaseFacts:
    """What does not change while a phase runs.

    Attributes:
        number: the phase, counted from 1.
        phases: how many there are.
        learned: what learns: patterns as the phase gave them, or names of stages.
        strategy: "joint", "precomputed" or "streamed".
        views: distinct views of each image.
        image_count: training images per epoch.
        batch_size: images per batch.
        last_epoch: the number of the phase's last epoch, counted from 1 over all phases.
        all_epochs: how many epochs all phases have together.
        from_cache: how many of the views of images that are needed were in the cache, and how many are needed; None
            where nothing is kept.
    """

    number: int
    phases: int
    learned: tuple[str, ...]
    strategy: str
    views: int
    image_count: int
    batch_size: int
    last_epoch: int
    all_epochs: int
    from_cache: tuple[int, int] | None = None

    def __str__(self) -> str:
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        text = f"phase {self.number} of {self.phases}: {', '.join(self.learned)}; {self.strategy}, {views}"
        if self.from_cache is not None:
            text += f"; {self.from_cache[0]:,} of {self.from_cache[1]:,} from the cache"
        return text


class EpochDisplay(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows the epochs of a phase on stderr: how far, figures, images per second, time left, what is waited for.

    Args:
        facts: what the phase is.
        clock: told by the feed when batches are there.
        waits_for: says what steps wait for, and what share of the waiting each takes, like {"images": 1.0}.
    """

    def __init__(self, facts: PhaseFacts, clock: StepClock, waits_for: Callable[[], Mapping[str, float]]) -> None:
        super().__init__()
        self._facts = facts
        self._clock = clock
        self._waits_for = waits_for
        self._mode = current_mode()
        self._console = Console(stderr=True, force_terminal=True if self._mode == "live" else None)
        self._live: Live | None = None
        self._epoch = 0
        self._done = 0
        self._figures: Mapping[str, Any] = {}
        self._before: Mapping[str, Any] = {}
        self._epoch_s: list[float] = []
        self._told = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Opens the view with the phase's first epoch."""
        self._epoch, self._done, self._figures = epoch + 1, 0, {}
        self._clock.begin_epoch()
        self._told = time.monotonic()
        if self._mode == "live" and self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._view,
                refresh_per_second=_DRAWN_PER_S,
                transient=True,
                # Results on stdout are not ours.
                redirect_stdout=False,
            )
            self._live.start()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes that a step begins."""
        self._clock.begin_step(batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves on; the last batch may be short, and a step may hold several batches."""
        self._clock.end_step(batch)
        self._done = min((batch + 1) * self._facts.batch_size, self._facts.image_count)
        self._figures = logs or {}
        now = time.monotonic()
        if self._mode == "lines" and now - self._told >= SAY_EVERY_S and self._done < self._facts.image_count:
            self._told = now
            self._print(f"{self._name}: {self._done:,} of {self._facts.image_count:,} images, {self._rate}")
        elif self._mode == "json" and now - self._told >= _EMIT_EVERY_S:
            self._told = now
            self._emit("training")

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Notes that validation images are measured from here."""
        self._clock.begin_test()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Notes that they are measured."""
        self._clock.end_test()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leaves a line."""
        self._figures = self._before = dict(logs or {})
        self._done = self._facts.image_count
        seconds = self._clock.seconds()
        self._epoch_s.append(seconds)
        if self._mode == "json":
            self._emit("epoch")
        if self._mode in ("json", "quiet"):
            return
        spent = format_seconds(seconds)
        if seconds >= _WORTH_SHARES_S:
            spent += f", {self._rate}; {self._shares(_WORTH_SAYING)}"
        self._print(f"{self._name}  {_format_figures(self._figures)}  ({spent})")

    def close(self) -> None:
        """Takes the view away, also when an epoch does not end by itself."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def _name(self) -> str:
        return f"epoch {self._epoch}/{self._facts.last_epoch}"

    @property
    def _images_per_s(self) -> float:
        """While images are trained on: validation is not counted."""
        spent = self._clock.seconds() - self._clock.measured_s
        return self._done / spent if self._done and spent > 0 else 0.0

    @property
    def _rate(self) -> str:
        return f"{self._images_per_s:,.0f} images/s"

    def _spent(self) -> dict[str, float]:
        """What share of the epoch so far went where."""
        shares = self._clock.shares()
        return {
            **{f"waiting for {what}": part * shares["waiting"] for what, part in self._waits_for().items()},
            "training": shares["training"],
            "measuring": shares["measuring"],
            "all else": max(1 - sum(shares.values()), 0.0),
        }

    def _shares(self, least: float = 0.005) -> str:
        return ", ".join(f"{what} {share:.0%}" for what, share in self._spent().items() if share >= least)

    def _left_s(self) -> tuple[float, float] | None:
        """Seconds left of this phase and of all phases, where later ones are as fast as this one; None at first."""
        done = self._done / self._facts.image_count
        if self._epoch_s:
            # The first epoch of a phase also traces the step, reads features for the first time, and so on.
            later = self._epoch_s[1:] or self._epoch_s
            epoch_s = sum(later) / len(later)
        elif done:
            epoch_s = self._clock.seconds() / done
        else:
            return None
        rest = 1 - done
        epochs_left = (self._facts.last_epoch - self._epoch + rest, self._facts.all_epochs - self._epoch + rest)
        return epochs_left[0] * epoch_s, epochs_left[1] * epoch_s

    def _view(self) -> RenderableType:
        """Three lines that change: what runs, how far this epoch is, and where its time goes."""
        line = Table.grid(padding=(0, 1))
        line.add_row(
            self._name,
            ProgressBar(total=self._facts.image_count, completed=self._done, width=30),
            f"{self._done:,}/{self._facts.image_count:,} images",
            Text(self._rate, style="progress.data.speed"),
            Text(_format_figures(self._figures or self._before), style="bold"),
        )
        left = self._left_s()
        rest = "" if left is None else f"left: {_format_left(left[0])} of this phase"
        if left is not None and self._facts.number < self._facts.phases:
            rest += f", {_format_left(left[1])} of all at this pace"
        return Group(Text(str(self._facts), style="dim"), line, Text(f"{rest}   {self._shares()}", style="dim"))

    def _emit(self, event: str) -> None:
        left = self._left_s()
        emit(
            event,
            phase=self._facts.number,
            phases=self._facts.phases,
            epoch=self._epoch,
            last_epoch=self._facts.last_epoch,
            images=self._done,
            of=self._facts.image_count,
            figures={name: float(value) for name, value in self._figures.items()},
            seconds=round(self._clock.seconds(), 3),
            images_per_s=round(self._images_per_s, 1),
            time={what: round(share, 3) for what, share in self._spent().items()},
            left_s=None if left is None else {"phase": round(left[0], 1), "all": round(left[1], 1)},
        )

    def _print(self, text: str) -> None:
        if self._live is None:
            # The stream as it is now, whatever it was when the phase began.
            sys.stderr.write(text + "\n")
        else:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _format_figures(figures: Mapping[str, Any]) -> str:
    """Losses and metrics with four digits: 'loss 0.5123  accuracy 0.8100'; learning rates may be small."""
    return "  ".join(
        f"{name} {float(value):.3g}" if name.startswith("learning_rate") else f"{name} {float(value):.4f}"
        for name, value in figures.items()
    )


def _format_left(seconds: float) -> str:
    return format_seconds(seconds) if seconds >= 60 else f"{seconds:.0f} s"
