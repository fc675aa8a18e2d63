"""Progress: silent where nobody looks, one line where no terminal is, always on stderr."""

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from thawline import progress as module
from thawline.progress import current_mode, format_seconds, progress, say, showing


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by hand: clock(2.5) lets 2.5 seconds pass."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (125, "2 min 05 s"), (3600, "1 h 00 min")],
)
def test_seconds_read_as_people_write_them(seconds, text):
    assert format_seconds(seconds) == text


def test_without_a_terminal_a_long_piece_of_work_is_one_line_on_stderr(clock, capsys):
    with progress("extracting", 3000) as advance:
        clock(2.0)
        advance(3000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "extracting: 3,000 images in 2.0 s (1,500 images/s)\n"


def test_what_is_over_soon_is_not_mentioned(clock, capsys):
    with progress("reading", 10) as advance:
        clock(0.5)
        advance(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"total": 0}, {"total": 5, "show": False}, {"total": 5, "keep": False}])
def test_nothing_is_said_when_nothing_is_to_be_said(clock, capsys, options):
    with progress("reading", **options) as advance:
        clock(10)
        advance(5, "a note")
    assert capsys.readouterr() == ("", "")


def test_an_error_inside_passes_through_and_what_was_done_is_said(clock, capsys):
    with pytest.raises(ValueError, match="inside"), progress("reading", 10) as advance:
        clock(2)
        advance(4)
        raise ValueError("inside")
    assert capsys.readouterr().err == "reading: stopped after 4 of 10 images in 2.0 s (2 images/s)\n"


def test_without_a_terminal_long_work_shows_life_now_and_then(clock, capsys):
    with progress("extracting", 100) as advance:
        for _ in range(4):
            clock(10)
            advance(25)
    assert capsys.readouterr().err.splitlines() == [
        "extracting: 50 of 100 images (2 images/s, 20.0 s left)",
        "extracting: 100 images in 40.0 s (2 images/s)",
    ]


def test_on_a_terminal_a_bar_says_what_how_far_and_the_note(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with progress("epoch 1", 4, unit="batches") as advance:
        advance(3)
        advance(1, "loss 0.5")
    for part in ("epoch 1", "4/4", "batches/s", "loss 0.5"):
        assert part in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_json_tells_each_second_how_far_it_is_and_what_is_said(clock, capsys):
    with showing("json"), progress("extracting", 100) as advance:
        for _ in range(4):
            clock(0.5)
            advance(25)
        say("that was it")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = {"event": "progress", "what": "extracting", "total": 100, "unit": "images"}
    assert events == [
        {**told, "done": 50, "seconds": 1.0},
        {**told, "done": 100, "seconds": 2.0},
        {"event": "message", "text": "that was it"},
        {**told, "done": 100, "seconds": 2.0},
    ]


def test_quiet_is_quiet_whoever_speaks(clock, capsys):
    with showing("quiet"), progress("extracting", 100) as advance:
        clock(60)
        advance(100)
        say("nothing")
    assert capsys.readouterr() == ("", "")
    assert current_mode() == "lines"


def test_a_warning_is_one_line_while_a_command_runs():
    before = warnings.formatwarning
    with showing("lines"):
        assert warnings.formatwarning("two\n lines", UserWarning, "file.py", 3) == "warning: two lines\n"
    with showing("json"):
        line = warnings.formatwarning(UserWarning("bad image"), UserWarning, "file.py", 3)
        assert json.loads(line) == {"event": "warning", "text": "bad image"}
    assert warnings.formatwarning is before


NATIVE = """
import json, os, sys, warnings
from thawline.progress import say, showing
with showing("json"):
    os.write(2, b"Corrupt JPEG data: 102 extraneous bytes before marker 0xd9\\n")
    say("a message")
    sys.__stderr__.write("from a logger\\n"); sys.__stderr__.flush()
    warnings.warn("careful")
    os.write(2, b"without an end")
sys.stderr.write("afterwards\\n")
"""


def test_in_json_what_libraries_write_by_themselves_are_events_too():
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", NATIVE], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    *lines, last = done.stderr.splitlines()
    assert last == "afterwards"
    told = [(event["event"], event["text"]) for event in map(json.loads, lines)]
    assert sorted(told) == [
        ("message", "Corrupt JPEG data: 102 extraneous bytes before marker 0xd9"),
        ("message", "a message"),
        ("message", "from a logger"),
        ("message", "without an end"),
        ("warning", "careful"),
    ]
