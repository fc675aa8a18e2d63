"""Table: columns by name, from a CSV file as people have them, or from a DataFrame."""

import csv
import difflib
import io
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thawline.errors import ArgumentError, DataError, FolderNotFoundError

# What may stand between cells, the likeliest first.
_SEPARATORS = (",", ";", "\t", "|")

# How files begin that carry tables but are no text.
_NO_TEXT = {b"PK\x03\x04": "an Excel workbook or another zip archive", b"PAR1": "a Parquet file", b"\x1f\x8b": "packed"}

# Excel's first line that says what stands between cells.
_SEP_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)

# A number as it is written where semicolons stand between cells.
_COMMA_NUMBER = re.compile(r"\s*[-+]?\d*,\d+\s*")


@dataclass(frozen=True)
class Table:
    """Columns by name, all of the same length.

    Attributes:
        columns: the cells of each column.
        home: the folder that relative names start from.
        has_decimal_commas: whether 1,5 is one and a half, as in the CSV files of Excel where semicolons stand between
            cells.
        index_name: what the index of a DataFrame is called, for errors.
    """

    columns: dict[str, list[Any]]
    home: Path
    has_decimal_commas: bool = False
    index_name: Any = None

    def find(self, name: Any) -> list[Any] | None:
        """The cells of a column, whose name may have blanks around it in the table; None where there is none.

        Example:
            >>> Table({" class": ["rose"]}, Path()).find("class")
            ['rose']
        """
        bare = [known for known in self.columns if known.strip() == str(name)]
        return self.columns.get(str(name), self.columns[bare[0]] if len(bare) == 1 else None)

    def column(self, name: Any, argument: str) -> list[Any]:
        """The cells of a column.

        Raises:
            ArgumentError: there is none of this name; the nearest is named.
        """
        cells = self.find(name)
        if cells is not None:
            return cells
        near = difflib.get_close_matches(str(name), self.columns, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(self.columns) or 'no columns'}."
        if self.index_name is not None and self.index_name == name:
            hint = "It is the index of the table: give table.reset_index()."
        raise ArgumentError(f"{argument}: the table has no column {name!r}. {hint}")

    def numbers(self, name: Any, argument: str) -> list[Any]:
        """The cells of a column of numbers, decimal commas as points.

        Raises:
            ArgumentError: there is no such column.
            DataError: points and commas are used at once, so that 1.500 could be either.
        """
        cells = self.column(name, argument)
        if not self.has_decimal_commas:
            return cells
        commas = [row for row, cell in enumerate(cells) if _COMMA_NUMBER.fullmatch(cell)]
        points = [row for row, cell in enumerate(cells) if "." in cell]
        if commas and points:
            raise DataError(
                f"Column {name!r} has numbers with commas and with points, first {cells[commas[0]]!r} in row "
                f"{commas[0]} and {cells[points[0]]!r} in row {points[0]}. Write all with one of them."
            )
        return [cell.replace(",", ".") for cell in cells] if commas else cells


def read_table(table: Any, path_column: Any) -> Table:
    """The table that a user gave.

    Args:
        table: the path of a CSV file with a header: UTF-8 or UTF-16, cells apart by commas, semicolons, tabs or bars;
            or a DataFrame, or anything else that has `columns` and gives a column by its name.
        path_column: the column with the files' names; the cells are taken apart so that the header has it.

    Raises:
        FolderNotFoundError: there is no such file.
        ArgumentError: it is no table.
        DataError: the file is none, two columns have one name, or rows have other numbers of cells than the header.
    """
    if isinstance(table, str | os.PathLike):
        return _read_csv(Path(table), str(path_column))
    if not hasattr(table, "columns") or not hasattr(table, "__getitem__"):
        raise ArgumentError(f"The table is the path of a CSV file or a DataFrame; got {type(table).__name__}.")
    _refuse_twice([str(name) for name in table.columns], "The table")
    columns = {str(name): list(table[name]) for name in table.columns}
    return Table(columns, Path(), index_name=getattr(getattr(table, "index", None), "name", None))


def _read_csv(path: Path, path_column: str) -> Table:
    text = _text(path)
    said = _SEP_LINE.match(text)
    text = text[said.end() :] if said else text
    try:
        separator = said[1] if said else _separator(text, path_column)
        is_spaced = any(name != name.lstrip() for name in _header(text, separator, is_spaced=False))
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=is_spaced, strict=True)
        names = [name.strip() for name in next(lines, [])]
        _refuse_twice([name for name in names if name], str(path))
        rows = []
        for row in lines:
            if any(cell.strip() for cell in row):
                _check_row(row, names, separator, path, lines.line_num + bool(said))
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file in UTF-8: {error}. Save it as one.") from None
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names) if name}
    return Table(columns, path.parent, has_decimal_commas=separator == ";")


def _text(path: Path) -> str:
    """The text of a file in UTF-8 or, where it says so, UTF-16."""
    if not path.is_file():
        raise FolderNotFoundError(f"No CSV file {str(path)!r}. Check the path.")
    data = path.read_bytes()
    kind = next((kind for start, kind in _NO_TEXT.items() if data.startswith(start)), None)
    if kind is not None:
        raise DataError(f"{path} is no CSV file but {kind}. Save it as CSV, or read it with pandas and give the table.")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is no CSV file in UTF-8: line {line} has the byte 0x{data[error.start]:02x}, as other encodings "
            "(Windows-1252, Latin-1) have it. Save it as UTF-8 (in Excel: CSV UTF-8), or read it with "
            "pandas.read_csv(path, encoding='cp1252') and give the table."
        ) from None
    if "\0" in text:
        raise DataError(f"{path} is no CSV file in UTF-8: it holds NUL characters. Save it as one.")
    return text


def _separator(text: str, path_column: str) -> str:
    """The separator of the header: the one that gives the column of names, else the one that gives most columns."""
    headers = {separator: [name.strip() for name in _header(text, separator)] for separator in _SEPARATORS}
    fitting = [separator for separator, names in headers.items() if path_column in names]
    return fitting[0] if fitting else max(_SEPARATORS, key=lambda separator: len(headers[separator]))


def _header(text: str, separator: str, *, is_spaced: bool = True) -> list[str]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=is_spaced)
    return next(lines, [])


def _refuse_twice(names: list[str], place: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{place} has the column {name!r} {count} times. Rename one.")


def _check_row(row: list[str], names: list[str], separator: str, path: Path, line: int) -> None:
    if len(row) != len(names):
        character = {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(separator, repr(separator))
        raise DataError(
            f"{path}: line {line} has {len(row)} cells, but the header has {len(names)}. Put cells that hold "
            f"{character} in quotes."
        )
