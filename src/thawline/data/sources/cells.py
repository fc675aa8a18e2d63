"""Cells of a table: several classes, rows of numbers, and the 0 and 1 of columns that stand for a class each."""

import ast
import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from thawline.data.class_names import is_empty, is_list
from thawline.errors import DataError

# What people put between the classes of a cell; a blank or a slash often belongs to a name.
_CERTAIN, _LIKELY = ("|", ",", ";", "\n", "\t"), ("/", "+", "&", " ")

_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def class_lists(
    cells: Sequence[Any], separator: str, class_names: Collection[str] | None, title: str
) -> list[list[Any]]:
    """The classes in each cell; none where it is empty.

    Args:
        cells: texts with a separator between classes, texts as Python writes a list, lists, or single labels.
        separator: what stands between classes.
        class_names: the classes where they are known: a cell that is one of them is not taken apart.
        title: what the column is called in errors.

    Raises:
        DataError: a cell looks like a list but cannot be read, or no cell holds the separator and another one does its
            work.

    Example:
        >>> class_lists(["sea|sky", "['sea', 'sky']", "", ["sky"]], "|", None, "column 'tags'")
        [['sea', 'sky'], ['sea', 'sky'], [], ['sky']]
    """
    names = frozenset(class_names or ())
    lists = [_classes(cell, row, separator, names, title) for row, cell in enumerate(cells)]
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip() not in names]
    if texts and not any(separator in text or list_in(text) is not None for text in texts):
        _refuse_other_separator(cells, texts, separator, title)
    if are_flag_lists(lists):
        raise DataError(
            f"Row 0 has {cells[0]!r} in {title}, and all rows have lists of 0 and 1. Give a column for each class, as "
            "label_columns=['sea', 'sky'], or lists of the classes themselves."
        )
    return lists


def number_rows(cells: Sequence[Any]) -> list[Any]:
    """The content of each cell of a column of numbers: the numbers of a list or array, or the one number of a row."""
    rows: list[Any] = []
    for cell in cells:
        is_row = is_list(cell) and getattr(cell, "ndim", True)
        listed = list_in(cell) if isinstance(cell, str) else None
        rows.append(cell if is_row else (cell,) if listed is None else listed)
    return rows


def flags(cells: Sequence[Any], column: str) -> np.ndarray:
    """A column of 0 and 1, float32 (n,); true and false are taken, too.

    Raises:
        DataError: a cell is empty or something else.

    Example:
        >>> flags(["1", 0.0, True], "sea").tolist()
        [1.0, 0.0, 1.0]
    """
    found = [_flag(cell) for cell in cells]
    if None in found:
        row = found.index(None)
        came = "nothing" if is_empty(cells[row]) else repr(cells[row])
        raise DataError(
            f"Row {row} has {came} in column {column!r}; a column for each class holds 0 or 1. Correct it or leave the "
            "row out."
        )
    return np.array(found, np.float32)


def are_flags(cells: Sequence[Any]) -> bool:
    """Tells whether a column holds nothing but 0 and 1, apart from empty cells."""
    given = [cell for cell in cells if not is_empty(cell)]
    return bool(given) and all(_flag(cell) is not None for cell in given)


def are_flag_lists(lists: Sequence[Sequence[Any]]) -> bool:
    """Tells whether lists are all 0 and 1 and of one length: hardly names of classes, but a place for each class."""
    if not lists or len({len(each) for each in lists}) != 1 or len(lists[0]) < 2:
        return False
    return all(not isinstance(part, str) and _flag(part) is not None for each in lists for part in each)


@lru_cache(maxsize=65_536)
def list_in(text: str) -> tuple[Any, ...] | None:
    """The texts and numbers of a list as Python or JSON writes it, which is how pandas writes one; None for other text.

    Example:
        >>> list_in("['sea', 'sky']"), list_in("[1, 2]"), list_in("sea"), list_in("['sea' 'sky']")
        (('sea', 'sky'), (1, 2), None, None)
    """
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "()", "{}") or "\n" in text:
        return None
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return None
    written = text.encode()
    values = tuple(_value(part, written[part.col_offset : part.end_col_offset].decode()) for part in node.elts)
    return None if None in values else values


def _value(node: ast.expr, written: str) -> str | int | float | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    if isinstance(value, str):
        # To Python 'sea' 'sky', as NumPy writes an array, is one text.
        return value if written in (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False)) else None
    return value if isinstance(value, int | float) else None


def _classes(cell: Any, row: int, separator: str, names: frozenset[str], title: str) -> list[Any]:
    if not isinstance(cell, str):
        if is_list(cell):
            return [part for part in cell if not is_empty(part)]
        return [] if is_empty(cell) else [cell]
    text = cell.strip()
    if text in names:
        return [text]
    listed = list_in(text)
    if listed is not None:
        return [part for part in listed if not is_empty(part)]
    if text[:1] + text[-1:] == "[]":
        raise DataError(
            f"Row {row} has {cell!r} in {title}, which is no list that can be read. Write the classes as "
            f"'a{separator}b' or \"['a', 'b']\"."
        )
    return [part.strip() for part in text.split(separator) if part.strip()]


def _refuse_other_separator(cells: Sequence[Any], texts: Sequence[str], separator: str, title: str) -> None:
    """Refuses what another separator seems to take apart: one name for several classes would be wrong in silence."""
    for other in (*_CERTAIN, *_LIKELY):
        holding = [row for row, cell in enumerate(cells) if isinstance(cell, str) and other in cell.strip()]
        if holding and other != separator and (other in _CERTAIN or _is_shared(texts, other)):
            raise DataError(
                f"No cell of {title} holds {separator!r}, but {len(holding)} of {len(cells)} hold {other!r}, first row "
                f"{holding[0]}: {cells[holding[0]]!r}. Where it stands between classes, give "
                f"label_separator={other!r}; where it is part of their names, give class_names=."
            )


def _is_shared(texts: Sequence[str], separator: str) -> bool:
    """Tells whether the parts at a separator occur in several cells: one as a class by itself, or each in two cells."""
    sets = {frozenset(part.strip() for part in text.split(separator) if part.strip()) for text in texts}
    several = [parts for parts in sets if len(parts) > 1]
    alone = {part for parts in sets if len(parts) == 1 for part in parts}
    counts: dict[str, int] = {}
    for part in (part for parts in sets for part in parts):
        counts[part] = counts.get(part, 0) + 1
    return any(parts & alone for parts in several) or (
        len(several) > 1 and all(counts[part] > 1 for parts in several for part in parts)
    )


def _flag(cell: Any) -> int | None:
    """0 or 1, or None for all other values."""
    if isinstance(cell, str):
        return _FLAGS.get(cell.strip().lower())
    if isinstance(cell, bool | np.bool_ | int | float | np.integer | np.floating):
        return int(cell) if cell in (0, 1) else None
    return None
