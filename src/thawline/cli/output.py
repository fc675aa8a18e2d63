"""How results look on stdout: tables for people, JSON for programs."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thawline import progress
from thawline.printable import printable, printable_lines, wrapped


def print_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def print_line(text: str = "") -> None:
    """A line on stdout, or several; on a terminal long ones break between words."""
    console, shown = Console(), printable_lines(text)
    sys.stdout.write((wrapped(shown, console.width) if console.is_terminal else shown) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A table on stdout; every column but the first is right-aligned. Cells are text: nothing in them is markup."""
    table = Table(title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.title = None if title is None else Text(printable(title))
    for index, column in enumerate(columns):
        table.add_column(Text(printable(column)), justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        # Nothing is wrapped: a script wants its lines whole.
        console.width = 200
    console.print(table)


def percent(share: float) -> str:
    """A share as percent; a dash where it is not known.

    Example:
        >>> percent(0.742), percent(float("nan"))
        ('74.2%', '-')
    """
    return "-" if math.isnan(share) else f"{share:.1%}"


def say(text: str, *, quiet: bool) -> None:
    """A line about the work, on stderr, unless nothing should be said."""
    if not quiet:
        progress.say(text)
