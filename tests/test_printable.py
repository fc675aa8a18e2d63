"""Names on a terminal: nothing in them controls it, nothing in them is lost, and lines break between words."""

import io

import pytest

from thawline.printable import ENCODING_ERRORS, lines_of, printable, printable_lines, wrapped


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rose (1).jpg", "rose (1).jpg"),
        ("größe 猫 é.png", "größe 猫 é.png"),
        ("a\x1b[2J\x1b]0;owned\a.png", r"a\x1b[2J\x1b]0;owned\x07.png"),
        ("line\nbreak\tand\rreturn", r"line\nbreak\tand\rreturn"),
        ("\x9b31mred", r"\x9b31mred"),
        ("exe\u202egnp.a", r"exe\u202egnp.a"),
        ("a\u2028b\u2066c", r"a\u2028b\u2066c"),
        (b"caf\xe9.png".decode("utf-8", "surrogateescape"), r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_cannot_be_seen_is_shown_by_its_code(name, shown):
    assert printable(name) == shown
    # Idempotent, and safe for any stream.
    assert printable(shown) == shown
    shown.encode("utf-8")


def test_messages_keep_their_lines_and_nothing_else():
    assert printable_lines("a\n\tb\x1b[2Jc\r") == "a\n\tb\\x1b[2Jc\\r"


def test_lines_break_between_words_and_long_words_stay_whole():
    text = (
        "error: 'a/very/long/path/that/is/longer/than/a/line.png' cannot be read. Run  thawline train  again.\n  in two"
    )
    lines = wrapped(text, 40).split("\n")
    assert " ".join(lines[:-1]).split() == text.split("\n")[0].split()
    assert "'a/very/long/path/that/is/longer/than/a/line.png'" in lines
    assert all(len(line) <= 40 or " " not in line for line in lines)
    assert lines[-1] == "  in two"


def test_a_line_that_continues_keeps_its_indent_and_short_ones_stay_as_they_are():
    assert wrapped("  one two three", 11) == "  one two\n  three"
    table = "a     b\n1     2   "
    assert wrapped(table, 20) == table


@pytest.mark.parametrize(("encoding", "written"), [("utf-8", "é".encode()), ("ascii", b"?")])
def test_a_stream_writes_the_bytes_of_names_and_a_question_mark_for_what_it_cannot_say(encoding, written):
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, errors=ENCODING_ERRORS) as stream:
        stream.write("caf\udce9-é")
        stream.flush()
        assert raw.getvalue() == b"caf\xe9-" + written


@pytest.mark.parametrize(
    "mark", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_a_name_is_one_line_of_a_file_for_whoever_reads_it(mark):
    names = ["red", f"dark{mark}blue", "größe \udcff", "a\tb"]
    text = lines_of(names)
    assert len(text.splitlines()) == 4
    assert [line for line in text.splitlines() if "dark" not in line] == [names[0], *names[2:]]
