"""One look for everything that takes longer than a second: what, how far, images/s, time left.

On a terminal a live bar; elsewhere one plain line per finished piece of work; or JSON, one object per line, for
programs. Always on stderr, so that results on stdout can be piped.
"""

import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from thawline.printable import printable_lines, wrapped

# How progress is shown: "auto" is live on a terminal, else in lines.
Mode = Literal["auto", "live", "lines", "json", "quiet"]

_mode: Mode = "auto"

# How often JSON tells how far a piece of work is.
_EMIT_EVERY_S = 1.0

# A bar that would be gone within this time only flickers.
SHOW_AFTER_S = 1.0

# How often plain lines are written: a log should show life, not fill up.
SAY_EVERY_S = 15.0


class Advance(Protocol):
    """Tells a progress display that `count` more pieces are done, and optionally what to say beside it."""

    def __call__(self, count: int, note: str = "") -> None: ...


class _RateColumn(ProgressColumn):
    """Pieces per second over the last half minute, with their unit."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


class _Lines:
    """Progress where no bar can be drawn: a line now and then, and one at the end."""

    def __init__(self, console: Console, description: str, total: int | None, unit: str) -> None:
        self._console = console
        self._description = description
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = self._said = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        """Counts, and says how far it is when nothing was said for a while."""
        self._done += count
        now = time.monotonic()
        if now - self._said < SAY_EVERY_S or self._done == self._total:
            return
        self._said = now
        rate = self._done / (now - self._started)
        if self._total is None:
            self._say(f"{self._done:,} {self._unit} so far ({rate:,.0f} {self._unit}/s)")
            return
        left = format_seconds((self._total - self._done) / rate) if rate else "unknown"
        self._say(f"{self._done:,} of {self._total:,} {self._unit} ({rate:,.0f} {self._unit}/s, {left} left)")

    def close(self) -> None:
        """Says what was done; nothing for work that was over at once."""
        seconds = time.monotonic() - self._started
        rate = f"in {format_seconds(seconds)} ({self._done / max(seconds, 1e-9):,.0f} {self._unit}/s)"
        if self._total is not None and self._done < self._total:
            self._say(f"stopped after {self._done:,} of {self._total:,} {self._unit} {rate}")
        elif seconds >= SHOW_AFTER_S:
            self._say(f"{self._done:,} {self._unit} {rate}")

    def _say(self, text: str) -> None:
        self._console.print(f"{self._description}: {text}", highlight=False, markup=False, soft_wrap=True)


class _Events:
    """Progress as JSON lines: at most one a second, and one at the end."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._fields: dict[str, Any] = {"what": description, "total": total, "unit": unit}
        self._done = 0
        self._started = self._told = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        """Counts, and tells when nothing was told for a while."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= _EMIT_EVERY_S:
            self._told = now
            self.close()

    def close(self) -> None:
        """Tells how far it is."""
        seconds = round(time.monotonic() - self._started, 3)
        emit("progress", **self._fields, done=self._done, seconds=seconds)


def current_mode() -> Literal["live", "lines", "json", "quiet"]:
    """How progress is shown now, where "auto" looks at stderr."""
    if _mode != "auto":
        return _mode
    return "live" if Console(stderr=True).is_terminal else "lines"


@contextmanager
def showing(mode: Mode) -> Iterator[None]:
    """Shows all progress of this process in a mode while the block runs; warnings are one line each.

    Example:
        >>> with showing("quiet"):
        ...     say("nobody hears this")
    """
    global _mode
    before, format_before = _mode, warnings.formatwarning
    _mode, warnings.formatwarning = mode, _format_warning
    try:
        with _native_lines_as_events() if mode == "json" else nullcontext():
            yield
    finally:
        _mode, warnings.formatwarning = before, format_before


@contextmanager
def _native_lines_as_events() -> Iterator[None]:
    """Turns lines that libraries write to stderr by themselves into events: libjpeg tells of damaged files there."""
    if not _is_native_stderr():
        yield
        return
    sys.stderr.flush()
    before, kept = sys.stderr, os.dup(2)
    reading, writing = os.pipe()
    # Rather a line too few than code that waits for ever for a reader who waits for it.
    os.set_blocking(writing, False)
    os.dup2(writing, 2)
    os.close(writing)
    telling = threading.Thread(target=_emit_lines, args=(reading,), daemon=True)
    with open(kept, "w", encoding=before.encoding, errors=before.errors, closefd=False) as sys.stderr:
        telling.start()
        try:
            yield
        finally:
            # This closes the pipe, unless a process that was started meanwhile still holds it.
            os.dup2(kept, 2)
            telling.join(timeout=1.0)
            sys.stderr.flush()
            sys.stderr = before
    os.close(kept)


def _is_native_stderr() -> bool:
    try:
        return sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        return False


def _emit_lines(reading: int) -> None:
    with open(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                emit("message", text=line.rstrip("\n"))


def emit(event: str, **fields: Any) -> None:
    """One event as a line of JSON, on stderr."""
    sys.stderr.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """A line about the work, on stderr."""
    mode = current_mode()
    if mode == "json":
        emit("message", text=text)
    elif mode != "quiet":
        sys.stderr.write(for_stderr(text) + "\n")


def for_stderr(text: str) -> str:
    """A message as people can read it on stderr: on a terminal it breaks between words; nothing in it controls one."""
    console = Console(stderr=True)
    shown = printable_lines(text)
    return wrapped(shown, console.width) if console.is_terminal else shown


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as one line; where in the code it came up says nothing to whoever types commands."""
    text = " ".join(str(message).split())
    if _mode == "json":
        return json.dumps({"event": "warning", "text": text}) + "\n"
    return for_stderr(f"warning: {text}") + "\n"


def format_seconds(seconds: float) -> str:
    """Seconds as people write them: '0.4 s', '12.3 s', '2 min 05 s', '1 h 02 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress(
    description: str, total: int | None, *, unit: str = "images", show: bool = True, keep: bool = True
) -> Iterator[Advance]:
    """Shows how far a piece of work is, while the block runs.

    Args:
        description: what is done, like "extracting".
        total: how many pieces there are; with 0 nothing is shown. None where nobody knows.
        unit: the name of the pieces, plural.
        show: False shows nothing.
        keep: whether something stays to be read when the work is done.

    Yields:
        A function to be called with the number of pieces that were finished since the last call.

    Example:
        >>> with progress("reading", 3, show=False) as advance:
        ...     for _ in range(3):
        ...         advance(1)
    """
    mode = current_mode()
    if not show or total == 0 or mode == "quiet":
        yield lambda count, note="": None
        return
    # "live" was asked for, or stderr is a terminal.
    console = Console(stderr=True, force_terminal=True if mode == "live" else None)
    if mode != "live":
        lines = _Events(description, total, unit) if mode == "json" else _Lines(console, description, total, unit)
        try:
            yield lines.advance
        finally:
            if keep:
                lines.close()
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=not keep,
    )
    with bar:
        task = bar.add_task(description, total=total, unit=unit, note="")

        def advance(count: int, note: str = "") -> None:
            bar.advance(task, count)
            if note:
                bar.update(task, note=note)

        yield advance
