"""ImageFrame: images named in a table."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from thawline.arguments import height_and_width
from thawline.data.class_names import as_class_names, is_empty
from thawline.data.decode import ColorMode, Decoding, FileRange, Interpolation, Resize
from thawline.data.labels import (
    LabelMode,
    Labels,
    MultiLabel,
    Outputs,
    check_label_mode,
    class_labels,
    read_labels,
)
from thawline.data.sources.cells import are_flags, class_lists, flags, list_in, number_rows
from thawline.data.sources.keras_words import as_label_mode, take_words
from thawline.data.sources.masks import MaskFiles, Masks, refuse_without_masks
from thawline.data.sources.named_files import named_files
from thawline.data.sources.pictures import FilePictures
from thawline.data.sources.source import ImageSource
from thawline.data.sources.table import Table, read_table
from thawline.errors import ArgumentError, DataError


class ImageFrame(ImageSource):
    """Images named in a table, one row each: a CSV file or a pandas DataFrame.

    Args:
        table: the path of a CSV file with a header, in UTF-8 or UTF-16, its cells apart by commas, semicolons (decimal
            commas are read then), tabs or bars; or a DataFrame, or anything else that has `columns` and gives a column
            by its name.
        path_column: the column with the files' names. A name that is no file is looked up without its ending, in
            another case, with blanks around it, with backslashes and with accents composed otherwise; where a single
            file fits it is taken, which is told once.
        label_columns: the column with the labels, or a list of columns: of numbers for "regression", else a column of 0
            and 1 for each class, which is called as its class. A dictionary gives several outputs by name. It is not
            looked at for label_mode "none", and for "input" only where it is there.
        weight_column: the column with sample weights, numbers from 0 up, or None.
        mask_column: the column with the files of masks, which are the targets then, as in `ImageFolder(masks=)`;
            labels are not looked at.
        mask_colors: the colours of the masks in the order of the classes, as in `ImageFolder`.
        mask_background: the class number around masks of padded images.
        directory: the folder that relative names start from; by default the CSV file's own, or the working folder.
        image_size: height and width that every image is brought to, in pixels, or one number for a square.
        batch_size: images per batch.
        seed: decides order, views and splits; 0 to 2**32 - 1.
        color_mode: "rgb", "grayscale" or "rgba".
        interpolation: "area", "bilinear", "nearest", "bicubic" or "lanczos".
        resize: "stretch", "crop" (the largest part of the right aspect) or "pad" (with the background).
        background: red, green and blue, 0 to 255, of what lies under transparent pixels and around padded images.
        fast_jpeg: decode large JPEGs at a part of their size: up to 2.6 times as fast, with slightly other pixels (see
            `thawline.data.decode.Decoding`); needs interpolation="area".
        file_range: the numbers in files of 16 bits that become 0 and 255, like (0, 4095), or "image" for the smallest
            and the largest of each image; None takes 0 and 65535. Files of 8 bits stay as they are.
        on_error: "raise" ends with an error that names the file when an image cannot be decoded; "skip" tries every
            file first, leaves the bad ones out and lists them in `unreadable`.
        label_mode: "categorical" (one-hot float32), "sparse" (int32), "binary" (float32 0 or 1), "multi_label"
            (multi-hot float32), "regression" (float32 (n, k)), "input" (the image itself as it is shown, float32
            pixels / 255, for an autoencoder) or "none"; a dictionary for several outputs.
        label_separator: what stands between the classes of one cell for "multi_label"; a cell may also hold a list, as
            text (`['sea', 'sky']`), too. An empty cell shows none of the classes.
        class_names: the classes in the order of their numbers, text or numbers, which are taken as text; None takes
            those that occur, sorted as text, as class folders are ("10" comes before "2"). A dictionary for several
            outputs.
        others: words of Keras' loaders, as in `ImageFolder`.

    Raises:
        FolderNotFoundError: there is no such CSV file.
        ArgumentError: the table has no such column (the nearest is named), or a word is not known.
        DataError: files are missing or two fit one name, labels are empty or are not what label_mode needs, or another
            separator than label_separator seems to stand between classes.

    Example:
        >>> import tempfile, cv2
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "beds.csv").write_text("filename,class\\na.png,rose\\nb.png,tulip\\n")
        >>> for name in ("a.png", "b.png"):
        ...     _ = cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))
        >>> print(ImageFrame(folder / "beds.csv", image_size=(8, 8)))
        ImageFrame(2 images in 2 classes, uint8 (None, 8, 8, 3) in [0, 255])
    """

    def __init__(
        self,
        table: Any,
        *,
        path_column: str = "filename",
        label_columns: str | Sequence[str] | Mapping[str, str | Sequence[str]] = "class",
        weight_column: str | None = None,
        mask_column: str | None = None,
        mask_colors: Sequence[tuple[int, int, int] | int] | None = None,
        mask_background: int = 0,
        directory: str | os.PathLike[str] | None = None,
        image_size: tuple[int, int] | int = (256, 256),
        batch_size: int = 32,
        seed: int = 0,
        color_mode: ColorMode = "rgb",
        interpolation: Interpolation = "area",
        resize: Resize = "stretch",
        background: tuple[int, int, int] = (255, 255, 255),
        fast_jpeg: bool = False,
        file_range: FileRange = None,
        on_error: Literal["raise", "skip"] = "raise",
        label_mode: LabelMode | Mapping[str, LabelMode] = "categorical",
        label_separator: str = "|",
        class_names: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
        **others: Any,
    ) -> None:
        words = take_words(
            type(self), others, {"label_mode": as_label_mode(label_mode), "resize": resize, "shuffle": True}
        )
        label_mode, resize = words["label_mode"], words["resize"]
        self._table = read_table(table, path_column)
        self.directory = self._table.home if directory is None else Path(directory)
        names = self._table.column(path_column, "path_column")
        if not names:
            raise DataError("The table has no rows.")
        pictures = FilePictures(
            named_files(names, self.directory, path_column),
            Decoding(
                height_and_width(image_size),
                color_mode,
                interpolation,
                resize=resize,
                background=background,
                fast_jpeg=fast_jpeg,
                file_range=file_range,
            ),
        )
        reader = _LabelReader(self._table, pictures.shape, label_separator)
        weights = None if weight_column is None else _weights(self._table, weight_column)
        labels: Labels
        refuse_without_masks(mask_column, mask_colors, mask_background)
        if mask_column is None:
            labels = reader.read(label_columns, label_mode, class_names)
        else:
            masks = named_files(self._table.column(mask_column, "mask_column"), self.directory, mask_column)
            labels = Masks(MaskFiles(masks, pictures, colors=mask_colors, background=mask_background))
        super().__init__(
            pictures,
            labels,
            batch_size=batch_size,
            seed=seed,
            weights=weights,
        )
        self.shuffle = words["shuffle"]
        self._leave_out_unreadable(on_error)

    def column(self, name: str) -> list[Any] | None:
        """What the table says of each image in the column of this name; None where there is no such column."""
        values = self._table.find(name)
        return None if values is None else [values[row] for row in self.rows]


class _LabelReader:
    """Makes labels of the columns of a table."""

    def __init__(self, table: Table, shape: tuple[int, int, int], separator: str) -> None:
        if not isinstance(separator, str) or not separator:
            raise ArgumentError(f"label_separator is a text, like '|'; got {separator!r}.")
        self._table = table
        self._shape = shape
        self._separator = separator

    def read(self, columns: Any, mode: Any, class_names: Any) -> Labels:
        """The labels of one output, or of several by name."""
        if not isinstance(columns, Mapping):
            if isinstance(mode, Mapping) or isinstance(class_names, Mapping):
                raise ArgumentError(
                    "label_mode or class_names is a dictionary, but label_columns is none. Give label_columns by "
                    "output, too."
                )
            return self._one_set(columns, mode, class_names)
        for argument, value in (("label_mode", mode), ("class_names", class_names)):
            if isinstance(value, Mapping) and set(value) - set(columns):
                name = sorted(set(value) - set(columns))[0]
                raise ArgumentError(f"{argument} has the output {name!r}, but label_columns have {', '.join(columns)}.")
        parts = {}
        for name, part in columns.items():
            part_mode = mode.get(name, "categorical") if isinstance(mode, Mapping) else mode
            part_names = class_names.get(name) if isinstance(class_names, Mapping) else class_names
            parts[name] = self._one_set(part, part_mode, part_names)
        return Outputs(parts)

    def _one_set(self, columns: Any, mode: LabelMode, class_names: Any) -> Labels:
        check_label_mode(mode)
        is_one = isinstance(columns, str) or not hasattr(columns, "__iter__")
        names = [str(name) for name in ([columns] if is_one else columns)]
        if mode == "none" or (mode == "input" and not set(names) <= set(self._table.columns)):
            return class_labels(mode, None, (), self._shape)
        cells = [self._table.column(name, "label_columns") for name in names]
        title = f"column {names[0]!r}" if len(names) == 1 else f"columns {', '.join(map(repr, names))}"
        if mode == "regression":
            return read_labels(mode, self._numbers(names), None, self._shape, title)
        if len(names) > 1 or (mode == "multi_label" and not is_one and are_flags(cells[0])):
            return self._from_flags(names, cells, mode, class_names)
        known = None if class_names is None else as_class_names(class_names)
        given = cells[0]
        if mode == "multi_label":
            given = class_lists(given, self._separator, known, title)
        else:
            # A list as text is no class, unless it was named as one.
            given = [_listed(cell) if isinstance(cell, str) and cell not in (known or ()) else cell for cell in given]
        return read_labels(mode, given, known, self._shape, title)

    def _numbers(self, names: Sequence[str]) -> list[Any]:
        """A row of numbers for each image, of one column that may hold lists, or of several."""
        columns = [self._table.numbers(name, "label_columns") for name in names]
        return number_rows(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))

    def _from_flags(self, names: list[str], cells: list[list[Any]], mode: LabelMode, class_names: Any) -> Labels:
        """A column of 0 and 1 for each class; for one class per image, exactly one 1 in each row."""
        order = names if class_names is None else as_class_names(class_names)
        if sorted(order) != sorted(names):
            raise ArgumentError(
                f"class_names are {', '.join(order)}, but label_columns are {', '.join(names)}. A column of 0 and 1 is "
                "called as its class: name the same, or leave class_names out."
            )
        if mode != "multi_label" and not all(map(are_flags, cells)):
            raise ArgumentError(
                f"label_columns has {len(names)} columns, but label_mode={mode!r} takes one with the class, or one of "
                "0 and 1 for each class. Use label_mode='regression' for numbers, or a dictionary for several outputs."
            )
        by_name = {name: flags(column, name) for name, column in zip(names, cells, strict=True)}
        hot = np.stack([by_name[name] for name in order], axis=1)
        if mode == "multi_label":
            return MultiLabel(hot, order)
        odd = np.flatnonzero(hot.sum(axis=1) != 1)
        if len(odd):
            raise DataError(
                f"Row {odd[0]} has {int(hot[odd[0]].sum())} classes in columns {', '.join(map(repr, names))}, but "
                f"label_mode={mode!r} takes one. Use label_mode='multi_label'."
            )
        return class_labels(mode, hot.argmax(axis=1).astype(np.int32), order, self._shape)


def _listed(text: str) -> Any:
    listed = list_in(text) if text[:1] in "[({" else None
    return text if listed is None else list(listed)


def _weights(table: Table, column: str) -> np.ndarray:
    weights = []
    for row, value in enumerate(table.numbers(column, "weight_column")):
        try:
            weights.append(float(value))
        except (TypeError, ValueError):
            weights.append(math.nan)
        if not math.isfinite(weights[-1]):
            came = "no weight" if is_empty(value) else f"the weight {value!r}, which is no number,"
            raise DataError(
                f"Row {row} has {came} in column {column!r}. A weight is a number from 0 up; fill it in or leave the "
                "row out."
            )
    return np.array(weights, np.float32)
