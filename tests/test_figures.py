"""Figures for people: written with three digits and a unit, and read back."""

import pytest

from thawline.errors import ArgumentError
from thawline.figures import format_bytes, format_count, parse_bytes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (3_900, "3.9 k"),
        (99_940, "99.9 k"),
        (99_960, "100 k"),
        (999_499, "999 k"),
        (999_500, "1 M"),
        (569e6, "569 M"),
        (3.86e9, "3.9 G"),
    ],
)
def test_counts_have_two_or_three_figures(value, text):
    assert format_count(value) == text
    assert format_bytes(value) == (f"{text}B" if " " in text else f"{text} B")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("500000", 500_000),
        ("9007199254740993", 9_007_199_254_740_993),
        ("7B", 7),
        ("500MB", 500_000_000),
        ("10GB", 10_000_000_000),
        (" 10 gb ", 10_000_000_000),
        ("1.5GiB", 3 * 2**29),
        ("1.5G", 1_500_000_000),
        (".5 k", 500),
        ("64Ki", 65_536),
        ("2TiB", 2**41),
        ("0.1 B", 0),
    ],
)
def test_sizes_are_read_in_thousands_and_in_1024s(text, size_bytes):
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("size_bytes", [0, 512, 31_400, 2_800_000_000, 10**15])
def test_a_size_that_was_written_is_read_back(size_bytes):
    assert parse_bytes(format_bytes(size_bytes)) == size_bytes


@pytest.mark.parametrize("text", ["", "ten", "-5", "5 iB", "1e9", "10 XB", "1.2.3", "5 MBB", "GB", "nan", "."])
def test_what_is_no_size_is_an_error_that_shows_some(text):
    with pytest.raises(ArgumentError, match=r"A size is a number of bytes, like 500000, 500MB, 10GB or 1\.5GiB; got "):
        parse_bytes(text)
