"""ImageFrame: images named in a table."""

import csv
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from thawline.arguments import height_and_width
from thawline.data.decode import ColorMode, Decoding, Interpolation, Resize
from thawline.data.labels import LabelMode, Labels, Outputs, check_label_mode, class_labels, is_empty, read_labels
from thawline.data.sources.keras_words import as_label_mode, take_words
from thawline.data.sources.masks import MaskPictures, Masks
from thawline.data.sources.pictures import FilePictures
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

Columns = dict[str, list[Any]]


class ImageFrame(ImageSource):
    """Images named in a table, one row each: a CSV file or a pandas DataFrame.

    Args:
        table: the path of a CSV file with a header, in UTF-8; or a DataFrame, or anything else that has `columns` and
            gives a column by its name.
        path_column: the column with the files' names.
        label_columns: the column with the labels, or a list of columns (of numbers, for "regression"); a dictionary
            gives several outputs by name. It is not looked at for label_mode "none", and for "input" only
            where it is there.
        weight_column: the column with sample weights, numbers from 0 up, or None.
        mask_column: the column with the files of masks, which are the targets then, as in `ImageFolder(masks=)`;
            labels are not looked at.
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
        on_error: "raise" ends with an error that names the file when an image cannot be decoded; "skip" tries every
            file first, leaves the bad ones out and lists them in `unreadable`.
        label_mode: "categorical" (one-hot float32), "sparse" (int32), "binary" (float32 0 or 1), "multi_label"
            (multi-hot float32), "regression" (float32 (n, k)), "input" (the image itself as it is shown, float32
            pixels / 255, for an autoencoder) or "none"; a dictionary for several outputs.
        label_separator: what stands between the classes of one cell for "multi_label"; a cell of a DataFrame may also
            hold a list.
        class_names: the classes in the order of their numbers; None takes those that occur, sorted. A dictionary for
            several outputs.
        others: words of Keras' loaders, as in `ImageFolder`.

    Raises:
        FolderNotFoundError: there is no such CSV file.
        ArgumentError: the table has no such column (the nearest is named), or a word is not known.
        DataError: files are missing, labels are empty or are not what label_mode needs.

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
        directory: str | os.PathLike[str] | None = None,
        image_size: tuple[int, int] | int = (256, 256),
        batch_size: int = 32,
        seed: int = 0,
        color_mode: ColorMode = "rgb",
        interpolation: Interpolation = "area",
        resize: Resize = "stretch",
        background: tuple[int, int, int] = (255, 255, 255),
        fast_jpeg: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        label_mode: LabelMode | Mapping[str, LabelMode] = "categorical",
        label_separator: str = "|",
        class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        **others: Any,
    ) -> None:
        words = take_words(
            type(self), others, {"label_mode": as_label_mode(label_mode), "resize": resize, "shuffle": True}
        )
        label_mode, resize = words["label_mode"], words["resize"]
        self._columns, home = _read_table(table)
        self.directory = home if directory is None else Path(directory)
        names = _column(self._columns, path_column, "path_column")
        if not names:
            raise DataError("The table has no rows.")
        pictures = FilePictures(
            _existing_files(names, self.directory, path_column),
            Decoding(
                height_and_width(image_size),
                color_mode,
                interpolation,
                resize=resize,
                background=background,
                fast_jpeg=fast_jpeg,
            ),
        )
        reader = _LabelReader(self._columns, len(names), pictures.shape, label_separator)
        weights = None
        if weight_column is not None:
            weights = _weights(_column(self._columns, weight_column, "weight_column"), weight_column)
        labels: Labels
        if mask_column is None:
            labels = reader.read(label_columns, label_mode, class_names)
        else:
            masks = _existing_files(_column(self._columns, mask_column, "mask_column"), self.directory, mask_column)
            labels = Masks(MaskPictures(masks, pictures.decoding.image_size))
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
        values = self._columns.get(name)
        return None if values is None else [values[row] for row in self.rows]


class _LabelReader:
    """Makes labels of the columns of a table."""

    def __init__(self, columns: Columns, count: int, shape: tuple[int, int, int], separator: str) -> None:
        if not isinstance(separator, str) or not separator:
            raise ArgumentError(f"label_separator is a text, like '|'; got {separator!r}.")
        self._columns = columns
        self._count = count
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

    def _one_set(self, columns: str | Sequence[str], mode: LabelMode, class_names: Sequence[str] | None) -> Labels:
        check_label_mode(mode)
        names = [columns] if isinstance(columns, str) else list(columns)
        if mode == "none" or (mode == "input" and not set(names) <= set(self._columns)):
            return class_labels(mode, None, (), self._shape)
        given = [_column(self._columns, name, "label_columns") for name in names]
        title = f"column {names[0]!r}" if len(names) == 1 else f"columns {', '.join(map(repr, names))}"
        if mode == "regression":
            return read_labels(mode, list(zip(*given, strict=True)), None, self._shape, title)
        if len(names) != 1:
            raise ArgumentError(
                f"label_columns has {len(names)} columns, but label_mode={mode!r} takes one. Use "
                "label_mode='regression' for numbers, or a dictionary for several outputs."
            )
        values = given[0]
        if mode == "multi_label":
            values = [self._classes_of(value) for value in values]
        return read_labels(mode, values, class_names, self._shape, title)

    def _classes_of(self, value: Any) -> list[str] | None:
        """The classes in one cell; None when it is empty."""
        if isinstance(value, str):
            parts = [part.strip() for part in value.split(self._separator)]
            return [part for part in parts if part] or None
        if hasattr(value, "__iter__"):
            return [str(part) for part in value]
        return None if is_empty(value) else [str(value)]


def _read_table(table: Any) -> tuple[Columns, Path]:
    """The columns by name, and the folder that relative names start from."""
    if isinstance(table, str | os.PathLike):
        return _read_csv(Path(table)), Path(table).parent
    if not hasattr(table, "columns") or not hasattr(table, "__getitem__"):
        raise ArgumentError(f"The table is the path of a CSV file or a DataFrame; got {type(table).__name__}.")
    return {str(name): list(table[name]) for name in table.columns}, Path()


def _read_csv(path: Path) -> Columns:
    if not path.is_file():
        raise FolderNotFoundError(f"No CSV file {str(path)!r}. Check the path.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            rows = [row for row in lines if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file in UTF-8: {error}. Save it as one.") from None
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} {header.count(twice[0])} times. Rename one.")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(
                f"{path}: row {number} has {len(row)} cells, but the header has {len(header)}. Put cells that "
                "hold a comma in quotes."
            )
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def _column(columns: Columns, name: str, argument: str) -> list[Any]:
    if name not in columns:
        near = difflib.get_close_matches(str(name), columns, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(columns) or 'no columns'}."
        raise ArgumentError(f"{argument}: the table has no column {name!r}. {hint}")
    return columns[name]


def _existing_files(names: list[Any], directory: Path, column: str) -> list[Path]:
    """The files of all rows; those that are not there are counted and the first is named."""
    empty = [row for row, name in enumerate(names) if is_empty(name)]
    if empty:
        raise DataError(
            f"{len(empty)} of {len(names)} rows have no file in column {column!r}, first row {empty[0]}. "
            "Fill it in or leave the row out."
        )
    paths = [directory / str(name) for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} files of column {column!r} are missing, first {str(missing[0])!r}. "
            "Give the folder that they lie in as directory=, or leave the rows out."
        )
    return paths


def _weights(values: list[Any], column: str) -> np.ndarray:
    for row, value in enumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            raise DataError(f"Row {row} has the weight {value!r} in column {column!r}, which is no number.") from None
    return np.array([float(value) for value in values], np.float32)
