"""Printed text: names stand as they are, whatever is in them, and control nothing."""

import json
import sys

import pytest
import rich.console

from thawline import progress
from thawline.cli import output
from thawline.cli.output import print_line, print_table
from thawline.cli.predict import FORMS


@pytest.mark.parametrize(
    "name", ["blue [old]", "a[/b]", "[bold]", "[red]x[/red]", "[link=file:///etc]y", "\\[z]", ":smile:"]
)
def test_brackets_in_names_stay(name, capsys):
    print_table(["class", name], [[name, "1"], [f"{name}2", "2"]], title=f"On {name}")
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].strip() == f"On {name}"
    assert lines[1].split("   ", 1)[1].strip().startswith(name)
    assert lines[2].startswith(name)
    assert lines[3].startswith(f"{name}2")


def test_a_name_is_one_row_and_moves_no_cursor(capsys):
    print_table(["image"], [["line\nbreak\x1b[2J"]])
    assert capsys.readouterr().out.splitlines()[1].rstrip() == r"line\nbreak\x1b[2J"
    print_line("error in 'a\x1b]0;owned\a'\nand more")
    assert capsys.readouterr().out == "error in 'a\\x1b]0;owned\\x07'\nand more\n"


def test_a_row_of_predict_is_one_line_and_csv_keeps_the_name():
    row = {"path": "line\nbreak\x1b[2J.png", "classes": [{"name": "a\nb", "probability": 0.5}]}
    (table,) = FORMS["table"](iter([row]), 1)
    assert table.split() == [r"line\nbreak\x1b[2J.png", r"a\nb", "50.0%"]
    assert table.count("\n") == 1
    (jsonl,) = FORMS["jsonl"](iter([row]), 1)
    assert json.loads(jsonl) == row
    assert '"line\nbreak\x1b[2J.png","a\nb",0.5' in "".join(FORMS["csv"](iter([row]), 1))


def test_warnings_and_messages_move_no_cursor(capsys):
    progress.say("reading a\x1b[2J.png")
    sys.stderr.write(progress._format_warning("a\x1b[2J", UserWarning, "", 0))
    assert capsys.readouterr().err == "reading a\\x1b[2J.png\nwarning: a\\x1b[2J\n"


@pytest.fixture
def narrow_terminal(monkeypatch):
    """Streams that count as a terminal of 30 columns."""
    original = rich.console.Console

    def narrow(**options):
        return original(**{**options, "force_terminal": True, "width": 30})

    monkeypatch.setattr(output, "Console", narrow)
    monkeypatch.setattr(progress, "Console", narrow)


def test_on_a_terminal_messages_break_between_words(capsys, narrow_terminal):
    text = "error: a message of many words that is longer than a line of this terminal"
    for tell in (print_line, progress.say):
        tell(text)
    out, err = capsys.readouterr()
    for told in (out, err):
        assert told.split() == text.split()
        assert 1 < max(map(len, told.splitlines())) <= 30
    assert progress._format_warning(text, UserWarning, "", 0).split() == ["warning:", *text.split()]
    assert max(map(len, progress._format_warning(text, UserWarning, "", 0).splitlines())) <= 30


def test_elsewhere_messages_are_one_line(capsys):
    text = "error: " + "word " * 100 + "end"
    print_line(text)
    progress.say(text)
    assert capsys.readouterr() == (f"{text}\n", f"{text}\n")
