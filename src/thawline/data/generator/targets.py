"""What a Stack should answer for a generator's rows: Keras' class modes as thawline's labels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thawline.data.generator.rows import Rows
from thawline.data.labels import (
    Binary,
    Categorical,
    Input,
    Labels,
    MultiLabel,
    Outputs,
    Regression,
    Sparse,
)
from thawline.errors import DataError


def stack_labels(rows: Rows, shape: tuple[int, int, int], factor: float) -> Labels:
    """The labels of all rows, with the values that Keras' batches have.

    Several outputs go by the names of their columns.

    Args:
        rows: the rows.
        shape: height, width and channels of the images.
        factor: what pixels are multiplied by where the images themselves are the targets.

    Raises:
        DataError: answers are no finite numbers.
    """
    names = list(rows.class_indices)
    makers: dict[str | None, Callable[[], Labels]] = {
        "categorical": lambda: _categorical(rows.labels, names),
        "sparse": lambda: Sparse(np.array(rows.labels, np.int32), names),
        "binary": lambda: Binary(np.array(rows.labels, np.int32), names),
        "input": lambda: Input(shape, rows.labels, names, divisor=1 / factor),
        "raw": lambda: _numbers(rows.labels, rows.columns),
        "multi_output": lambda: Outputs(
            {name: _numbers(values, (name,)) for name, values in zip(rows.columns, rows.labels, strict=True)}
        ),
    }
    # Without a class mode nothing is to be answered, but a folder still has its classes.
    return makers[rows.class_mode]() if rows.class_mode is not None else Labels(rows.labels, names)


def _categorical(labels: Any, names: Sequence[str]) -> Labels:
    """One class for each row, or where a cell held a list, several."""
    if not any(isinstance(label, list) for label in labels):
        return Categorical(np.array(labels, np.int32), names)
    hot = np.zeros((len(labels), len(names)), np.float32)
    for row, label in enumerate(labels):
        hot[row, label] = 1
    return MultiLabel(hot, names)


def _numbers(values: Any, columns: Sequence[str]) -> Labels:
    """Answers as they were given; rows of zeros with a single one are classes."""
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        where, first = f"Column {columns[0]!r}" if columns else "y", given.reshape(-1).tolist()[0]
        raise DataError(
            f"{where} holds {first!r}; a Stack learns numbers. For classes by name use flow_from_dataframe("
            "class_mode='categorical'), or give their numbers."
        )
    if given.ndim == 2 and given.shape[1] > 1 and np.isin(given, (0, 1)).all() and (given.sum(axis=1) == 1).all():
        are_named = len(columns) == given.shape[1]
        names = columns if are_named else [str(number) for number in range(given.shape[1])]
        classes = Categorical(given.argmax(axis=1).astype(np.int32), names)
        classes.has_numbers_only = not are_named
        return classes
    if given.dtype.kind == "f":
        return Regression(given.astype(np.float32))
    # Class numbers or whole numbers: the loss knows. As in Keras, one axis is enough for either.
    whole = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
    return Regression(whole.astype(np.int32))
