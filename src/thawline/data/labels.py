"""Labels: what a model should answer for each image.

One class for each label mode; all of them know the dtype and shape of their targets and which images are alike, so that
splits can keep the shares. A source asks for the targets of a batch by the rows of its images.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np

from thawline.data.captions import tell_numbers
from thawline.data.class_names import class_numbers, is_empty, is_list
from thawline.errors import ArgumentError, DataError
from thawline.specs import PIXELS, TensorSpec

LabelMode = Literal["categorical", "sparse", "binary", "multi_label", "regression", "input", "none"]

Targets = np.ndarray | dict[str, np.ndarray] | None
TargetSpec = TensorSpec | dict[str, TensorSpec] | None

# Regression values are alike when they fall between the same two of these quantiles.
_BINS = 10


class Look(Protocol):
    """One view of the images of a batch, for labels that are made of pixels."""

    def images(self) -> np.ndarray:
        """The images as the model sees them: uint8 (n, height, width, channels), 0 to 255, or standardized float32."""

    def follow(self, masks: list[np.ndarray]) -> list[np.ndarray]:
        """Masks, one for each image, moved as the view moves the images."""


class Labels:
    """The contract of all labels, and label mode "none": no answer is wanted.

    Attributes:
        values: what is known of each row, or None.
        class_names: the classes in the order of their numbers; empty where there are none.
        spec: what a batch of targets is; a dictionary for several outputs, None without targets.
        answers_classes: whether targets are made of class numbers, whose meaning is in `class_names`.
        has_numbers_only: whether `class_names` are numbers that nobody gave names, so that only their order counts.
        second_value: of masks that hold 0 and one other number only, the number that stands for class 1; else None.

    Example:
        >>> Labels().targets(np.array([0]), look=None) is None
        True
    """

    spec: TargetSpec = None
    answers_classes = False
    has_numbers_only = False
    second_value: int | None = None

    def __init__(self, values: np.ndarray | None = None, class_names: Sequence[str] = ()) -> None:
        self.values = values
        self.class_names = tuple(class_names)

    def _chosen(self, rows: np.ndarray) -> np.ndarray:
        """The values of these rows; only labels that have some ask for them."""
        assert self.values is not None
        values: np.ndarray = self.values[rows]
        return values

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """What a model should answer for these rows; `look` is needed by labels made of pixels only."""
        return None

    def strata(self, rows: np.ndarray) -> np.ndarray:
        """A number for each of these rows, int64 (n,); rows with the same number are alike."""
        return np.zeros(len(rows), np.int64) if self.values is None else self._chosen(rows).astype(np.int64)

    def members(self, rows: np.ndarray) -> np.ndarray:
        """Which classes each of these rows shows, bool (n, classes)."""
        if self.values is None:
            return np.zeros((len(rows), 0), bool)
        classes: np.ndarray = np.eye(len(self.class_names), dtype=bool)[self._chosen(rows)]
        return classes

    def content(self, rows: np.ndarray) -> bytes:
        """What the targets of these rows depend on, to tell one training from another."""
        return b"" if self.values is None else np.ascontiguousarray(self._chosen(rows)).tobytes()

    def text(self, row: int) -> str:
        """The label of a row for people: the name of its class; empty where there is none."""
        return self.class_names[int(self.values[row])] if self.values is not None and self.class_names else ""

    def renumbered(self, numbers: np.ndarray, class_names: Sequence[str]) -> "Labels":
        """The same labels where class k is number `numbers[k]` of other names; only `answers_classes` has it.

        Args:
            numbers: int64 (classes,); -1 for a class that no row shows which is asked for.
            class_names: the classes in the new order.
        """
        raise NotImplementedError


class ClassLabels(Labels):
    """Labels of one class per image: values are int32 (n,), class numbers."""

    answers_classes = True

    def renumbered(self, numbers: np.ndarray, class_names: Sequence[str]) -> Labels:
        """The class numbers, replaced one by one."""
        assert self.values is not None
        return type(self)(numbers[self.values].astype(self.values.dtype), class_names)


class Categorical(ClassLabels):
    """Class numbers as one-hot targets: float32 (n, classes), 0 or 1; values are int32 (n,).

    Example:
        >>> Categorical(np.array([1, 0]), ["cat", "dog"]).targets(np.array([0]), None)
        array([[0., 1.]], dtype=float32)
    """

    def __init__(self, values: np.ndarray, class_names: Sequence[str]) -> None:
        super().__init__(values, class_names)
        self.spec: TargetSpec = TensorSpec((None, len(class_names)), "float32", (0.0, 1.0))

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """One row of zeros with a single one for each image."""
        one_hot: np.ndarray = np.eye(len(self.class_names), dtype=np.float32)[self._chosen(rows)]
        return one_hot


class Sparse(ClassLabels):
    """Class numbers as they are: int32 (n,), 0 to classes - 1.

    Example:
        >>> Sparse(np.array([1, 0], np.int32), ["cat", "dog"]).targets(np.array([0]), None)
        array([1], dtype=int32)
    """

    spec: TargetSpec = TensorSpec((None,), "int32")

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The class numbers."""
        return self._chosen(rows)


class Binary(ClassLabels):
    """Two classes as one number: float32 (n, 1), 0 or 1; values are int32 (n,).

    Raises:
        DataError: there are not exactly two classes.

    Example:
        >>> Binary(np.array([1, 0]), ["cat", "dog"]).targets(np.array([0]), None)
        array([[1.]], dtype=float32)
    """

    spec: TargetSpec = TensorSpec((None, 1), "float32", (0.0, 1.0))

    def __init__(self, values: np.ndarray, class_names: Sequence[str]) -> None:
        if len(class_names) != 2:
            raise DataError(
                f"label_mode='binary' needs exactly two classes, but there are {len(class_names)} "
                f"({', '.join(class_names)}). Use label_mode='categorical' or 'sparse'."
            )
        super().__init__(values, class_names)

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """0 for the first class, 1 for the second."""
        return self._chosen(rows).astype(np.float32)[:, None]


class MultiLabel(Labels):
    """Any number of classes per image as multi-hot targets: float32 (n, classes), 0 or 1.

    Two images are alike when they show the same set of classes.

    Args:
        values: float32 (n, classes), 1 where the image shows the class, else 0.
        class_names: the classes.

    Example:
        >>> MultiLabel(np.array([[1, 1], [0, 1]], np.float32), ["sea", "sky"]).targets(np.array([0]), None)
        array([[1., 1.]], dtype=float32)
    """

    answers_classes = True

    def __init__(self, values: np.ndarray, class_names: Sequence[str]) -> None:
        super().__init__(values, class_names)
        self.spec: TargetSpec = TensorSpec((None, len(class_names)), "float32", (0.0, 1.0))

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """A one for each class that an image shows."""
        return self._chosen(rows)

    def strata(self, rows: np.ndarray) -> np.ndarray:
        """Each set of classes is a stratum."""
        sets: np.ndarray = np.unique(self.members(rows), axis=0, return_inverse=True)[1].reshape(-1)
        return sets

    def members(self, rows: np.ndarray) -> np.ndarray:
        """Where the values are 1."""
        shown: np.ndarray = self._chosen(rows) > 0
        return shown

    def text(self, row: int) -> str:
        """The names of the classes that the row shows."""
        shown = self.members(np.array([row]))[0]
        return ", ".join(name for name, is_shown in zip(self.class_names, shown, strict=True) if is_shown) or "none"

    def renumbered(self, numbers: np.ndarray, class_names: Sequence[str]) -> Labels:
        """The columns, moved to their new places."""
        assert self.values is not None
        kept = numbers >= 0
        moved = np.zeros((len(self.values), len(class_names)), self.values.dtype)
        moved[:, numbers[kept]] = self.values[:, kept]
        return MultiLabel(moved, class_names)


class Regression(Labels):
    """Numbers as they are: (n, ...), of the values' shape and dtype.

    Images are alike when their first numbers lie in the same tenth.

    Args:
        values: float32 or int32 (n, ...), all finite.

    Raises:
        DataError: a number is not finite.

    Example:
        >>> Regression(np.array([[1.5], [2.5]], np.float32)).targets(np.array([1]), None)
        array([[2.5]], dtype=float32)
    """

    def __init__(self, values: np.ndarray) -> None:
        odd = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(odd):
            raise DataError(
                f"{len(odd)} of {len(values)} images have a label that is no finite number, first row {odd[0]}: "
                f"{values[odd[0]].tolist()}. Fill it in or leave the row out."
            )
        super().__init__(values)
        self._first = values.reshape(len(values), -1)[:, 0]
        self.spec: TargetSpec = TensorSpec((None, *values.shape[1:]), str(values.dtype))

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The numbers."""
        return self._chosen(rows)

    def strata(self, rows: np.ndarray) -> np.ndarray:
        """The tenth of all values that the first number lies in."""
        edges = np.unique(np.quantile(self._first, np.arange(1, _BINS) / _BINS))
        bins: np.ndarray = np.searchsorted(edges, self._first[rows], side="right")
        return bins

    def text(self, row: int) -> str:
        """The first numbers."""
        assert self.values is not None
        return tell_numbers(self.values[row].reshape(-1).tolist())

    def members(self, rows: np.ndarray) -> np.ndarray:
        """Numbers are no classes."""
        return np.zeros((len(rows), 0), bool)


class Input(Labels):
    """The image itself, for an autoencoder: float32 (n, height, width, channels), 0 to 1 unless scaled otherwise.

    It is the very view that the model sees, augmentation included: pixels / 255, or the values as they are where the
    source standardizes them (`rescale` and the like).

    Args:
        shape: height, width and channels of the images.
        values: int32 class numbers by which splits keep the shares, or None.
        class_names: the names of those classes.
        divisor: what pixels are divided by.

    Example:
        >>> print(Input((8, 8, 3)).spec)
        float32 (None, 8, 8, 3) in [0, 1]
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        values: np.ndarray | None = None,
        class_names: Sequence[str] = (),
        *,
        divisor: float = PIXELS[1],
    ) -> None:
        super().__init__(values, class_names)
        self._divisor = np.float32(divisor)
        low, high = sorted(bound / divisor for bound in PIXELS)
        self.spec: TargetSpec = TensorSpec((None, *shape), "float32", (low, high))

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The images of this look."""
        assert look is not None
        images = look.images()
        return images.astype(np.float32) / self._divisor if images.dtype == np.uint8 else images


class Outputs(Labels):
    """Several outputs by name: targets are a dictionary, as Keras takes it for a model with named outputs.

    Images are alike when they are alike in every output.

    Args:
        parts: the labels of each output.

    Example:
        >>> kind = Sparse(np.array([1], np.int32), ["cat", "dog"])
        >>> both = Outputs({"kind": kind, "size": Regression(np.ones((1, 1), np.float32))})
        >>> sorted(both.targets(np.array([0]), None))
        ['kind', 'size']
    """

    def __init__(self, parts: Mapping[str, Labels]) -> None:
        super().__init__()
        self.parts = dict(parts)
        specs = {name: part.spec for name, part in self.parts.items()}
        self.spec: TargetSpec = {name: spec for name, spec in specs.items() if isinstance(spec, TensorSpec)}

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The targets of every output."""
        given = {name: part.targets(rows, look) for name, part in self.parts.items()}
        return {name: value for name, value in given.items() if isinstance(value, np.ndarray)}

    def strata(self, rows: np.ndarray) -> np.ndarray:
        """Each combination that occurs is a stratum."""
        columns = np.stack([part.strata(rows) for part in self.parts.values()], axis=1)
        combinations: np.ndarray = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)
        return combinations

    def text(self, row: int) -> str:
        """The label of every output, with the output's name."""
        return "; ".join(f"{name}: {part.text(row)}" for name, part in self.parts.items())

    def content(self, rows: np.ndarray) -> bytes:
        """The contents of every output, in order."""
        return b"".join(part.content(rows) for part in self.parts.values())


def check_label_mode(mode: str) -> None:
    """Raises ArgumentError for a word that is no label mode."""
    if mode not in get_args(LabelMode):
        raise ArgumentError(f"label_mode is one of {', '.join(get_args(LabelMode))}; got {mode!r}.")


def class_labels(
    mode: LabelMode, numbers: np.ndarray | None, class_names: Sequence[str], shape: tuple[int, int, int]
) -> Labels:
    """Labels of images that show one class each, or none.

    Args:
        mode: any mode but multi_label and regression.
        numbers: int32 (n,), the class of each image, or None.
        class_names: the classes.
        shape: height, width and channels of the images.

    Raises:
        ArgumentError: the mode is not known, or needs more than a class per image.
        DataError: "binary" without exactly two classes.
    """
    check_label_mode(mode)
    if mode == "input":
        return Input(shape, numbers, class_names)
    if mode == "none" or numbers is None:
        return Labels(numbers, class_names)
    kinds: dict[str, type[Categorical | Sparse | Binary]] = {
        "categorical": Categorical,
        "sparse": Sparse,
        "binary": Binary,
    }
    if mode not in kinds:
        raise ArgumentError(
            f"label_mode={mode!r} needs more than one class per image. Use ImageFrame or ImageArrays for it."
        )
    return kinds[mode](numbers, class_names)


def read_labels(
    mode: LabelMode, given: Sequence[Any], class_names: Any, shape: tuple[int, int, int], name: str
) -> Labels:
    """Labels from what a table or an array says of each image.

    Args:
        mode: any label mode.
        given: for each image a class, a list of classes (multi_label), which may be empty, or a row of numbers
            (regression). Classes are text or numbers, which are taken as text.
        class_names: the classes in the order of their numbers; None takes those that occur, sorted as text.
        shape: height, width and channels of the images.
        name: what the labels are called in errors.

    Raises:
        ArgumentError: the mode is not known, or class_names are no names.
        DataError: a label is empty, is no number, or is not one of class_names.
    """
    check_label_mode(mode)
    if mode == "regression":
        return Regression(_numbers(given, name))
    if mode == "multi_label":
        return _read_multi_label(given, class_names, name)
    empty = [row for row, value in enumerate(given) if is_empty(value)]
    if empty:
        raise DataError(
            f"{len(empty)} of {len(given)} images have an empty label in {name}, first row {empty[0]}. "
            "Fill it in or leave the row out."
        )
    several = [row for row, value in enumerate(given) if is_list(value)]
    if several:
        raise DataError(
            f"Row {several[0]} has {given[several[0]]!r} in {name}, but label_mode={mode!r} takes one class per image. "
            "Use label_mode='multi_label' for several."
        )
    names, numbers = class_numbers(given, range(len(given)), class_names, name)
    return class_labels(mode, numbers, names, shape)


def _read_multi_label(given: Sequence[Sequence[Any]], class_names: Any, name: str) -> MultiLabel:
    rows = [row for row, labels in enumerate(given) for _ in labels]
    if not rows and class_names is None:
        raise DataError(
            f"No image has a class in {name}: all of {len(given)} are empty. Fill them in, or name the classes."
        )
    names, numbers = class_numbers([label for labels in given for label in labels], rows, class_names, name)
    hot = np.zeros((len(given), len(names)), np.float32)
    hot[rows, numbers] = 1
    return MultiLabel(hot, names)


def _numbers(given: Sequence[Any], name: str) -> np.ndarray:
    """Rows of numbers, or of arrays of one shape, as float32 (n, ...)."""
    rows = []
    for row, values in enumerate(given):
        try:
            rows.append(np.array([_as_number(value) for value in values], np.float32))
        except (TypeError, ValueError):
            rows.append(np.empty(0, np.float32))
        if not rows[-1].size:
            raise DataError(
                f"Row {row} has {values!r} in {name}; label_mode='regression' needs numbers. "
                "Correct it or leave the row out."
            )
        if rows[-1].shape != rows[0].shape:
            raise DataError(
                f"Row {row} has numbers of shape {rows[-1].shape} in {name}, but row 0 has {rows[0].shape}. Give as "
                "many for every image."
            )
    return np.stack(rows)


def _as_number(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.array(value, np.float32)


# How much each image counts in the loss, float32 (n,); for several outputs maybe a dictionary of these.
SampleWeights = np.ndarray | dict[str, np.ndarray] | None


def checked_weights(weights: Any, count: int, outputs: TargetSpec = None) -> SampleWeights:
    """Sample weights as float32 (n,), for several outputs maybe by their names, or an error that says what is wrong.

    Args:
        weights: what was given.
        count: how many images there are.
        outputs: what the targets are.
    """
    if isinstance(weights, Mapping):
        known = outputs if isinstance(outputs, dict) else {}
        unknown = [name for name in weights if name not in known]
        if unknown:
            have = f"outputs {', '.join(map(repr, known))}" if known else "one output, which takes an array of weights"
            raise DataError(f"sample weights are for the output {unknown[0]!r}, but the labels have {have}.")
        return {name: _checked(part, count) for name, part in weights.items()}
    return _checked(weights, count)


def chosen_weights(weights: SampleWeights, chosen: np.ndarray) -> SampleWeights:
    """The weights of some images."""
    if isinstance(weights, dict):
        return {name: part[chosen] for name, part in weights.items()}
    return None if weights is None else weights[chosen]


def _checked(weights: Any, count: int) -> np.ndarray:
    try:
        checked = np.asarray(weights, np.float32)
    except (TypeError, ValueError):
        raise DataError("sample weights are numbers, one per image; some are none.") from None
    if checked.shape != (count,):
        raise DataError(f"sample weights are one number per image, {count}; got shape {checked.shape}.")
    odd = np.flatnonzero(~np.isfinite(checked) | (checked < 0))
    if len(odd):
        raise DataError(
            f"{len(odd)} sample weights are negative or no finite number, first row {odd[0]}: {checked[odd[0]]}. "
            "A weight is a number from 0 up; 0 leaves an image out of the loss."
        )
    return checked
