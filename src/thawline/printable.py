"""Text for a terminal: names as they can be shown, and long lines that break between words.

Names of files and classes may hold anything: line breaks, sequences that clear a terminal or turn the direction of what
follows, bytes that are no UTF-8. As `ls` and `git` do, such characters are shown by their codes.
"""

import codecs
import re
import textwrap
from collections.abc import Iterable

# Control characters (C0, DEL, C1), breaks of lines and paragraphs, marks that turn the direction of what follows, and
# what stands for bytes that are no UTF-8.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# What ends a line for those who read a file line by line.
_LINE_BREAKS = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

# In whole messages, lines and columns stay.
_LAYOUT = "\n\t"

# The name of `encode_names` among Python's error handlers.
ENCODING_ERRORS = "thawline-names"


def printable(name: str) -> str:
    r"""A name of a file or a class in one line, with the codes of what cannot be shown.

    Example:
        >>> print(printable("a\x1b[2J\nb \udcff"))
        a\x1b[2J\nb \xff
    """
    return _UNSEEN.sub(lambda found: _code(found[0]), name)


def lines_of(names: Iterable[str]) -> str:
    r"""Text with a line for each name, whatever is in it: line breaks are written by their codes.

    Example:
        >>> print(lines_of(["red", "dark\nblue"]), end="")
        red
        dark\nblue
    """
    return "".join(f"{_LINE_BREAKS.sub(lambda found: _code(found[0]), name)}\n" for name in names)


def printable_lines(text: str) -> str:
    r"""A message of one or more lines, in which only line breaks and tabs are more than what can be shown.

    Example:
        >>> print(printable_lines("two\nlines\x07"))
        two
        lines\x07
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in _LAYOUT else _code(found[0]), text)


def wrapped(text: str, width: int) -> str:
    """Lines broken between words, so that a terminal does not break them inside; longer words stay whole.

    Args:
        text: one line or more; a line's indent is kept by those that continue it.
        width: characters in a line.

    Example:
        >>> print(wrapped("error: there is no such file", 20))
        error: there is no
        such file
    """
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def encode_names(error: UnicodeError) -> tuple[str | bytes, int]:
    """Error handler of streams: writes the bytes of names that are no UTF-8, and "?" for what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = map(ord, error.object[error.start : error.end])
    return bytes(code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else ord("?") for code in codes), error.end


codecs.register_error(ENCODING_ERRORS, encode_names)


def _code(character: str) -> str:
    # Such a character stands for the byte that its last two digits say.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _wrapped_line(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= width:
        return line
    return textwrap.fill(
        line,
        max(width, len(indent) + 1),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
