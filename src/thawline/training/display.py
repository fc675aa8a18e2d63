"""What a training shows while it runs: a live bar per epoch on a terminal, and one line per finished epoch."""

import time
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from thawline.backend import keras
from thawline.progress import Advance, format_seconds, progress


class EpochDisplay(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows epochs on stderr, with images per second and time left.

    Args:
        image_count: images per epoch.
        batch_size: images per batch.
        last_epoch: the number of the last epoch, counted from 1.
    """

    def __init__(self, image_count: int, batch_size: int, last_epoch: int) -> None:
        super().__init__()
        self._image_count = image_count
        self._batch_size = batch_size
        self._last_epoch = last_epoch
        self._console = Console(stderr=True)
        self._bar = ExitStack()
        self._advance: Advance
        self._started = 0.0
        self._shown = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Opens the epoch's bar."""
        self._started = time.monotonic()
        self._shown = 0
        title = f"epoch {epoch + 1}/{self._last_epoch}"
        self._advance = self._bar.enter_context(
            progress(title, self._image_count, show=self._console.is_terminal, keep=False)
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar; the last batch may be short, and a step may hold several batches."""
        done = min((batch + 1) * self._batch_size, self._image_count)
        note = _format_logs(logs) if self._console.is_terminal else ""
        self._advance(done - self._shown, note)
        self._shown = done

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Closes the bar and leaves a line."""
        self._bar.close()
        seconds = time.monotonic() - self._started
        self._console.print(
            f"epoch {epoch + 1}/{self._last_epoch}  {_format_logs(logs)}  ({format_seconds(seconds)})",
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Takes the bar away when an epoch does not end by itself."""
        self._bar.close()


def _format_logs(logs: dict[str, Any] | None) -> str:
    """Losses and metrics with four digits: 'loss 0.5123  accuracy 0.8100'."""
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
