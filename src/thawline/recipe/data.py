"""The images of a recipe: where they lie, and what becomes of their pixels."""

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import field_validator

from thawline.data.decode import ColorMode, Interpolation, Resize
from thawline.data.labels import LabelMode
from thawline.recipe.strict import Strict

# What a table is told by, where there is no such file.
_TABLE_ENDINGS = (".csv", ".tsv")


class DataRecipe(Strict):
    """Images, and what becomes of their pixels.

    `train` is a folder with one folder per class, a folder with such folders called train, validation and test, or a
    table with a row for each image: a CSV file, of which `paths`, `labels` and `weights` name columns and `images` the
    folder that the names of files start from.
    """

    train: str
    validation: float | str = 0.2
    images: str | None = None
    paths: str | None = None
    labels: str | None = None
    weights: str | None = None
    image_size: tuple[int, int] | None = None
    batch_size: int = 32
    seed: int = 0
    color_mode: ColorMode = "rgb"
    interpolation: Interpolation = "area"
    resize: Resize = "stretch"
    background: tuple[int, int, int] = (255, 255, 255)
    fast_jpeg: bool = False
    file_range: tuple[float, float] | Literal["image"] | None = None
    on_error: Literal["raise", "skip"] = "raise"
    label_mode: Literal["categorical", "sparse", "binary"] = "categorical"
    limit: int | None = None
    groups: str | None = None
    exact: bool = False

    @field_validator("image_size", mode="before")
    @classmethod
    def _may_be_one_number(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("label_mode", mode="before")
    @classmethod
    def _classifies(cls, value: Any) -> Any:
        if value in get_args(LabelMode) and value not in ("categorical", "sparse", "binary"):
            raise ValueError(
                f"a recipe trains on one class per image: categorical, sparse or binary. For {value} use "
                f"tl.ImageFrame(label_mode={value!r}) and Stack.fit in Python"
            )
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _is_one_column(cls, value: Any) -> Any:
        if isinstance(value, list | dict):
            raise ValueError(
                "a recipe trains on one column of classes. For several columns use tl.ImageFrame(label_columns=...) "
                "and Stack.fit in Python"
            )
        return value


def is_table(place: str | Path) -> bool:
    """Tells whether a path is a table that names images, not a folder of them: by its ending, or because it is a file.

    Example:
        >>> is_table("flowers/labels.csv"), is_table("flowers")
        (True, False)
    """
    return Path(place).suffix.lower() in _TABLE_ENDINGS or Path(place).is_file()
