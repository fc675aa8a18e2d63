"""What a training shows: lines, JSON lines, or one live view, with what the machine waits for."""

import io
import json
import re
import sys

import pytest

from thawline import progress
from thawline.training.display import EpochDisplay, PhaseFacts
from thawline.training.step_clock import StepClock


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by hand."""
    now = [100.0]
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(progress.time, name, lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


FACTS = PhaseFacts(
    number=1,
    phases=2,
    learned=("head",),
    strategy="precomputed",
    views=2,
    image_count=80,
    batch_size=32,
    last_epoch=3,
    all_epochs=5,
    from_cache=(150, 160),
)


def train_epoch(display, clock, epoch, between=lambda: None):
    """80 images in 3 steps of 1 s, half of it waiting, and 1 s of measuring: 4 s."""
    display.on_epoch_begin(epoch)
    for batch in range(3):
        display.on_train_batch_begin(batch)
        display._clock.make_batch(batch)
        clock(0.5)
        display._clock.batch_is_there(batch)
        clock(0.5)
        display.on_train_batch_end(batch, {"loss": 1.0 - batch / 10})
        between()
    display.on_test_begin()
    clock(1.0)
    display.on_test_end()
    display.on_epoch_end(epoch, {"loss": 0.75, "learning_rate": 1e-5})


def show(mode, clock, epochs=1, between=lambda: None):
    with progress.showing(mode):
        display = EpochDisplay(FACTS, StepClock(), lambda: {"features": 1.0})
        for epoch in range(epochs):
            train_epoch(display, clock, epoch, between)
        display.close()


def test_lines_say_how_fast_an_epoch_was_and_where_its_time_went(clock, capsys):
    show("lines", clock)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "epoch 1/3  loss 0.7500  learning_rate 1e-05  "
        "(4.0 s, 27 images/s; waiting for features 38%, training 38%, measuring 25%)\n"
    )


def test_long_epochs_show_life_now_and_then(clock, capsys):
    show("lines", clock, between=lambda: clock(15))
    assert capsys.readouterr().err.splitlines()[0] == "epoch 1/3: 64 of 80 images, 4 images/s"


def test_json_gives_an_object_per_line(clock, capsys):
    show("json", clock, epochs=2)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in events] == ["training", "training", "training", "epoch"] * 2
    assert events[3] == {
        "event": "epoch",
        "phase": 1,
        "phases": 2,
        "epoch": 1,
        "last_epoch": 3,
        "images": 80,
        "of": 80,
        "figures": {"loss": 0.75, "learning_rate": 1e-5},
        "seconds": 4.0,
        "images_per_s": 26.7,
        "time": {"waiting for features": 0.375, "training": 0.375, "measuring": 0.25, "all else": 0.0},
        "left_s": {"phase": 8.0, "all": 16.0},
    }
    assert events[7]["left_s"] == {"phase": 4.0, "all": 12.0}


def test_a_terminal_has_one_live_view_and_keeps_a_line_per_epoch(clock, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    views = []
    with progress.showing("auto"):
        display = EpochDisplay(FACTS, StepClock(), lambda: {"features": 1.0})

        def look():
            display._live.refresh()
            views.append(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()))

        train_epoch(display, clock, 0, look)
        train_epoch(display, clock, 1, look)
        display.close()
    for part in (
        "phase 1 of 2: head; precomputed, 2 views; 150 of 160 from the cache",
        "32/80 images",
        "32 images/s",
        "loss 1.0000",
        "waiting for features 50%",
        "of this phase",
        "of all at this pace",
    ):
        assert part in views[0], part
    # 2 s of 4 s are left of epoch 2 when two of its three batches are done, and one more epoch.
    assert "left: 5 s of this phase, 13 s of all at this pace" in views[4]
    assert "epoch 1/3  loss 0.7500" in views[4]
    # The cursor is shown again, and the view is gone.
    assert screen.getvalue().endswith(("\x1b[?25h", "\x1b[2K"))


def test_quiet_shows_nothing(clock, capsys):
    show("quiet", clock)
    assert capsys.readouterr() == ("", "")


def test_several_batches_in_a_step_wait_for_those_that_came_late():
    clock = StepClock()
    clock.begin_epoch(now=0.0)
    for batch in range(4):
        clock.make_batch(batch, now=float(batch))
        clock.batch_is_there(batch, now=0.0)
    # Nothing to wait for: 1 s for each of 4 batches.
    clock.begin_step(0, now=4.0)
    clock.end_step(3, now=8.0)
    assert (clock.waited_s, clock.trained_s) == (0.0, 4.0)
    # The fourth is there 2 s after the three before it are done.
    for batch, there in zip(range(4, 8), (0.0, 0.0, 0.0, 13.0), strict=True):
        clock.make_batch(batch, now=0.0)
        clock.batch_is_there(batch, now=there)
    clock.begin_step(4, now=8.0)
    clock.end_step(7, now=14.0)
    assert (clock.waited_s, clock.trained_s) == (2.0, 8.0)


def test_time_before_a_batch_is_begun_is_the_steps_own():
    """Keras traces the first step before it asks for a batch."""
    clock = StepClock()
    clock.begin_step(0, now=0.0)
    clock.make_batch(0, now=5.0)
    clock.batch_is_there(0, now=6.0)
    clock.end_step(0, now=7.0)
    assert (clock.waited_s, clock.trained_s) == (1.0, 6.0)
