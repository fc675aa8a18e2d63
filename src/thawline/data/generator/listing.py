"""Which images a generator goes through: a folder, a table or arrays -> rows.

The functions named after Keras list what Keras' generator lists; the others list what should be listed.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.data.class_names import is_empty
from thawline.data.decode import EXTENSIONS
from thawline.data.generator.rows import CLASS_MODES, Rows
from thawline.data.legacy import KERAS_ENDINGS, check_word
from thawline.data.sources.class_folders import list_classes
from thawline.data.sources.named_files import Folders
from thawline.data.sources.sides import refuse_sides
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

FOLDER_MODES = ("categorical", "binary", "sparse", "input", None)
TABLE_MODES = ("binary", "categorical", "input", "multi_output", "raw", "sparse", None)
SUBSETS = ("training", "validation")

# Class modes in which answers are looked up in columns of the table.
_WITH_ANSWERS = (*CLASS_MODES, "raw", "multi_output")


def keras_folder_rows(
    directory: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None,
    class_mode: str | None,
    follow_links: bool,
    part: tuple[float, float] | None,
) -> Rows:
    """The files of a folder in Keras' order: hidden and empty class folders count, endings are read without the dot.

    Args:
        directory: the folder with the class folders.
        classes: the class folders, or None for all in sorted order.
        class_mode: what the answers are.
        follow_links: whether folders that are symbolic links are entered.
        part: the fractions of each class's files between which they are taken, or None for all.

    Raises:
        FolderNotFoundError: there is no such folder.
    """
    root = _existing(directory)
    names = class_names(classes) or tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir()))
    filenames: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = [
            os.path.relpath(os.path.join(parent, file), root)  # noqa: PTH118  # as strings, which users compare
            for parent, _, files in sorted(os.walk(root / name, followlinks=follow_links), key=lambda step: step[0])
            for file in sorted(files)
            if file.lower().endswith(KERAS_ENDINGS)
        ]
        if part is not None:
            found = found[int(part[0] * len(found)) : int(part[1] * len(found))]
        filenames += found
        labels += [label] * len(found)
    return Rows(
        class_mode,
        np.array(labels, np.int32),
        {name: number for number, name in enumerate(names)},
        tuple(filenames),
        tuple(str(root / name) for name in filenames),
    )


def folder_rows(
    directory: str | os.PathLike[str], *, classes: Sequence[str] | None, class_mode: str | None, follow_links: bool
) -> Rows:
    """The images of a folder as `ImageFolder` lists them; one class is enough.

    Raises:
        FolderNotFoundError: there is no such folder.
        DataError: no images, sides of a split in place of classes, or "binary" without two classes.
    """
    root = Path(directory)
    wanted = class_names(classes)
    if not wanted and root.is_dir():
        refuse_sides(root, "Give one of the sides, like flow_from_directory({train}), and another one for each other.")
    listing = list_classes(root, wanted or None, are_needed=class_mode in CLASS_MODES, follow_links=follow_links)
    names = listing.class_names
    if class_mode == "binary" and len(names) != 2:
        raise DataError(
            f"class_mode='binary' needs two classes; {str(root)!r} has {len(names)} ({', '.join(names)}). Use "
            "class_mode='categorical' or 'sparse'."
        )
    if class_mode in CLASS_MODES and len(names) == 1:
        warnings.warn(
            f"One class in {str(root)!r}: {names[0]!r}; every answer is the same. Without answers use class_mode=None.",
            stacklevel=4,
        )
    files = tuple(str(path.relative_to(root)) for path in listing.paths)
    indices = {name: number for number, name in enumerate(names)}
    return Rows(class_mode, listing.numbers, indices, files, tuple(map(str, listing.paths)))


def class_names(classes: Any) -> tuple[str, ...]:
    """Classes as users give them, of any kind of list and as text; empty where none are given.

    Raises:
        ArgumentError: a single text, which stands for its letters nowhere.

    Example:
        >>> class_names(np.array([0, 1])), class_names(None)
        (('0', '1'), ())
    """
    if isinstance(classes, str):
        raise ArgumentError(f"classes is a list of names; got {classes!r}. Write [{classes!r}].")
    return () if classes is None else tuple(str(name) for name in classes)


def table_rows(
    table: Any,
    directory: str | os.PathLike[str] | None,
    *,
    x_col: str,
    y_col: str | Sequence[str] | None,
    weight_col: str | None,
    classes: Sequence[str] | None,
    class_mode: str | None,
    validate_filenames: bool,
    legacy: bool,
) -> Rows:
    """The rows of a pandas DataFrame whose files are there and whose classes are wanted.

    Args:
        table: the DataFrame; it is not changed.
        directory: what relative names are relative to.
        x_col, y_col, weight_col: the columns of file names, answers and weights.
        classes: the classes in the order of their numbers; rows of others are left out. None: all, sorted.
        class_mode: what the answers are.
        validate_filenames: whether files that are not there or no images are left out, with a warning.
        legacy: whether images are known by Keras' endings, or by all that are decoded.

    Raises:
        ArgumentError: a column that is not there, or a class mode that is not known.
        DataError: a cell is not what its column should hold.
    """
    answers = _check_columns(table, x_col, y_col, weight_col, class_mode)
    filenames = list(table[x_col])
    paths = [os.path.join(directory or "", name) for name in filenames]  # noqa: PTH118  # as strings, as in Keras
    kept = list(range(len(paths)))
    if validate_filenames:
        endings = KERAS_ENDINGS if legacy else tuple(EXTENSIONS)
        if not legacy:
            _find_as_written(filenames, paths, Path(directory or ""), x_col)
        kept = [index for index in kept if paths[index].lower().endswith(endings) and Path(paths[index]).is_file()]
        _say_what_is_missing(paths, kept, x_col, is_refused=not legacy)
    labels: Any = None
    indices: dict[str, int] = {}
    if class_mode in CLASS_MODES:
        kept, labels, indices = _class_numbers(list(table[answers[0]]), kept, classes, class_mode, answers[0])
    elif class_mode == "raw":
        labels = _values(table[list(answers) if _are_several(y_col) else y_col].to_numpy()[kept])
    elif class_mode == "multi_output":
        labels = [np.array(table[column].tolist())[kept] for column in answers]
    return Rows(
        class_mode,
        labels,
        indices,
        tuple(filenames[index] for index in kept),
        tuple(paths[index] for index in kept),
        weights=None if weight_col is None else table[weight_col].to_numpy()[kept],
        columns=answers,
    )


def _find_as_written(filenames: Sequence[str], paths: list[str], directory: Path, x_col: str) -> None:
    """Puts files in the place of paths that are none, where a single file has nearly the name; that is told once."""
    lost = [index for index, path in enumerate(paths) if not Path(path).is_file()]
    folders = Folders(directory)
    fitting = {index: folders.fitting(filenames[index]) for index in lost}
    found = [index for index in lost if len(fitting[index]) == 1]
    for index in found:
        paths[index] = str(fitting[index][0])
    if found:
        warnings.warn(
            f"{len(found)} of {len(paths)} names in column {x_col!r} are not written as their files are (ending, case, "
            f"blanks, slashes or accents), and the only file that fits is taken: for {filenames[found[0]]!r} "
            f"{paths[found[0]]!r}.",
            stacklevel=5,
        )


def _say_what_is_missing(paths: Sequence[str], kept: Sequence[int], x_col: str, *, is_refused: bool) -> None:
    """Warns of files that are not there, or refuses a table without a single one."""
    if len(kept) == len(paths):
        return
    is_kept = set(kept)
    missing = next(path for index, path in enumerate(paths) if index not in is_kept)
    told = f"{len(paths) - len(kept)} of {len(paths)} files in column {x_col!r} are not there or no images"
    if is_refused and not kept:
        raise DataError(f"{told}, first {missing!r}. Give the folder that they lie in as directory=.")
    warnings.warn(f"{told} and are left out, first {missing!r}.", stacklevel=5)


def array_rows(x: Any, y: Any, sample_weight: Any, dtype: str | None) -> Rows:
    """Rows of arrays, with more inputs where x is (images, other inputs).

    Args:
        x: (n, height, width, channels), or a pair of it and an array or a list of arrays with n rows.
        y: n answers, or None.
        sample_weight: n numbers, or None.
        dtype: what images are brought to; None leaves them as they are.

    Raises:
        DataError: the arrays differ in length, or images have not four axes.
    """
    others: list[Any] = []
    if isinstance(x, tuple | list):
        if len(x) != 2 or getattr(x[0], "ndim", 3) == 3:
            raise DataError(
                f"x is one array (n, height, width, channels), or (images, other inputs) with several of them in a "
                f"list; got a {type(x).__name__} of {len(x)}. Images of one size become an array by np.stack(x)."
            )
        others = list(x[1]) if isinstance(x[1], list) else [x[1]]
        x = x[0]
    images = np.asarray(x, dtype=dtype)
    if images.ndim != 4:
        raise DataError(f"Images are one array with four axes, (n, height, width, channels); got {images.shape}.")
    extras = tuple(map(np.asarray, others))
    weights = None if sample_weight is None else np.asarray(sample_weight)
    outputs = _outputs(y, len(images))
    labels: Any = list(outputs.values()) if outputs is not None else None if y is None else _array("y", y)
    answers = [("y", labels)] if outputs is None else [(f"y[{name!r}]", part) for name, part in outputs.items()]
    named = [*answers, ("sample_weight", weights), *(("x[1]", extra) for extra in extras)]
    for name, given in named:
        if given is not None and len(given) != len(images):
            raise DataError(f"x has {len(images)} images, but {name} has {len(given)} rows. Give one for each image.")
    if outputs is not None:
        names = tuple(map(str, outputs))
        is_named = isinstance(y, Mapping)
        return Rows(
            "multi_output", labels, images=images, extras=extras, weights=weights, columns=names, is_named=is_named
        )
    return Rows("raw" if y is not None else None, labels, images=images, extras=extras, weights=weights)


def _outputs(y: Any, count: int) -> dict[str, np.ndarray] | None:
    """The answers of several outputs, of a dictionary or of a list of n answers each; None for a single output."""
    if isinstance(y, Mapping):
        return {str(name): _array(f"y[{name!r}]", part) for name, part in y.items()}
    if not isinstance(y, tuple | list) or len(y) == count or not y or not all(hasattr(part, "__len__") for part in y):
        return None
    if any(isinstance(part, str) or len(part) != count for part in y):
        return None
    return {f"output {place}": _array(f"y[{place}]", part) for place, part in enumerate(y)}


def _array(name: str, given: Any) -> np.ndarray:
    """An array of answers.

    Raises:
        DataError: rows of different lengths, or a single number.
    """
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{name} cannot be one array: {error}. Give rows of one shape.") from None
    if not array.ndim:
        raise DataError(f"{name} is one answer for each image; got {given!r}.")
    return array


def _values(cells: np.ndarray) -> np.ndarray:
    """Answers of a column as one array: cells that hold arrays of one shape become rows of it.

    Example:
        >>> cells = np.empty(2, object)
        >>> cells[:] = [np.ones(3), np.zeros(3)]
        >>> _values(cells).shape
        (2, 3)
    """
    if cells.dtype != object or cells.ndim != 1 or not len(cells) or isinstance(cells[0], str):
        return cells
    try:
        return np.stack([np.asarray(cell) for cell in cells])
    except ValueError:
        # Of several shapes: users may go through them, and a loss is told that it cannot.
        return cells


def keras_part(rows: Rows, part: tuple[float, float] | None) -> Rows:
    """The rows between two fractions of all, as Keras takes them from tables and arrays."""
    if part is None:
        return rows
    return rows.select(np.arange(int(part[0] * len(rows)), int(part[1] * len(rows))))


def fractions(subset: str | None, validation_split: float) -> tuple[float, float] | None:
    """Between which fractions of the files Keras finds a subset: validation is the first part.

    Example:
        >>> fractions("training", 0.25), fractions(None, 0.25)
        ((0.25, 1.0), None)
    """
    check_word("subset", subset, (*SUBSETS, None))
    return {None: None, "validation": (0.0, validation_split), "training": (validation_split, 1.0)}[subset]


def check_same_answers(answers: Any, share: float) -> None:
    """Refuses subsets of which one has answers that the other lacks, as Keras does."""
    if not isinstance(answers, np.ndarray):
        return
    first = int(len(answers) * share)
    if not np.array_equal(np.unique(answers[:first]), np.unique(answers[first:])):
        raise DataError(
            "The first images, which Keras takes for validation, have other classes than the rest. Shuffle the arrays, "
            "or pass ignore_class_split=True."
        )


def _existing(directory: str | os.PathLike[str]) -> Path:
    root = Path(directory)
    if not root.is_dir():
        raise FolderNotFoundError(f"The folder of images {str(root)!r} does not exist. Check the path.")
    return root


def _check_columns(
    table: Any, x_col: str, y_col: str | Sequence[str] | None, weight_col: str | None, class_mode: str | None
) -> tuple[str, ...]:
    """The columns of the answers, which are all there."""
    check_word("class_mode", class_mode, TABLE_MODES)
    if not hasattr(table, "columns"):
        raise ArgumentError(f"The table is a pandas DataFrame; got {type(table).__name__}. Use pandas.read_csv(path).")
    if class_mode == "multi_output" and not _are_several(y_col):
        raise ArgumentError(f"class_mode='multi_output' takes a list of columns as y_col; got {y_col!r}.")
    answers: tuple[str, ...] = ()
    if class_mode in _WITH_ANSWERS:
        if y_col is None:
            raise ArgumentError(f"class_mode={class_mode!r} needs y_col, the column of answers, or class_mode=None.")
        answers = tuple(y_col) if _are_several(y_col) else (y_col,)  # type: ignore[assignment]
    if class_mode in CLASS_MODES and len(answers) != 1:
        raise ArgumentError(
            f"class_mode={class_mode!r} takes one column as y_col; got {len(answers)}. For columns of 0 and 1 use "
            "class_mode='raw'; for several answers 'multi_output'."
        )
    for column in (x_col, *([] if weight_col is None else [weight_col]), *answers):
        if column not in table.columns:
            raise ArgumentError(f"The table has no column {column!r}; it has {', '.join(map(repr, table.columns))}.")
        if getattr(table[column], "ndim", 1) > 1:
            raise ArgumentError(f"The table has several columns {column!r}. Rename them, or leave all but one out.")
    odd = [name for name in table[x_col] if not isinstance(name, str)]
    if odd:
        raise DataError(f"Column {x_col!r} holds file names, but {odd[0]!r} is none. Correct it or leave the row out.")
    if weight_col is not None and table[weight_col].to_numpy().dtype.kind not in "biuf":
        raise DataError(f"Column {weight_col!r} holds weights, which are numbers; it has other values.")
    return answers


def _are_several(columns: Any) -> bool:
    """Tells a list of columns from the name of one, which may be a number."""
    return np.iterable(columns) and not isinstance(columns, str)


def _class_numbers(
    cells: list[Any], kept: list[int], classes: Sequence[str] | None, class_mode: str, y_col: Any
) -> tuple[list[int], list[Any], dict[str, int]]:
    """The rows that show a wanted class, the numbers of their classes, and the number of each class."""
    kinds: tuple[type, ...] = (str, list, tuple) if class_mode == "categorical" else (str,)
    if class_mode == "categorical":
        # Files that keep lists, like Parquet, give arrays.
        cells = [list(cell) if isinstance(cell, np.ndarray | set | frozenset) else cell for cell in cells]
    for row, cell in enumerate(cells):
        if not isinstance(cell, kinds) and is_empty(cell):
            raise DataError(
                f"Row {row} has no class in column {y_col!r}. Fill it in, or leave such rows out, like "
                f"table.dropna(subset=[{y_col!r}])."
            )
        if not isinstance(cell, kinds):
            raise DataError(
                f"Column {y_col!r} holds {cell!r}; class_mode={class_mode!r} takes "
                f"{'text or lists of text' if len(kinds) > 1 else 'text'}. Convert it, like "
                f"table[{y_col!r}].astype(str), or use class_mode='raw'."
            )
    lists = {index: [cells[index]] if isinstance(cells[index], str) else list(cells[index]) for index in kept}
    names = list(dict.fromkeys(class_names(classes))) or sorted({name for row in lists.values() for name in row})
    if class_mode == "binary" and len(names) != 2:
        raise DataError(f"class_mode='binary' needs two classes; there are {len(names)} ({', '.join(names)}).")
    indices = {name: number for number, name in enumerate(names)}
    numbers = {index: [indices[name] for name in row if name in indices] for index, row in lists.items()}
    wanted = [index for index in kept if numbers[index] or not lists[index]]
    labels = [numbers[index][0] if isinstance(cells[index], str) else numbers[index] for index in wanted]
    return wanted, labels, indices
