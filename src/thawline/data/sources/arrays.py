"""ImageArrays: images that are in memory already."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thawline.arguments import as_whole, height_and_width
from thawline.data.class_names import as_class_names
from thawline.data.labels import LabelMode, Labels, Outputs, check_label_mode, class_labels, read_labels
from thawline.data.resize import FILE_CHANNELS
from thawline.data.sources.cells import are_flag_lists
from thawline.data.sources.keras_words import as_label_mode, take_words
from thawline.data.sources.masks import Masks, mask_arrays, refuse_without_masks
from thawline.data.sources.pictures import ArrayPictures
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError

# OpenCV's limit.
_MOST_CHANNELS = 512


class ImageArrays(ImageSource):
    """Images that are in memory already, with their labels.

    Args:
        images: uint8 (n, height, width, channels), any number of channels, or (n, height, width) for grey, 0 to 255.
            The array is not copied: leave it as it is. Files have 1, 3 or 4 channels: a stack that learned from others
            answers arrays, and is not exported.
        labels: what is known of each image, or None. One class each (names, or numbers from 0); for "multi_label" a
            list of classes each, or 0 and 1 as (n, classes); for "regression" numbers (n,) or (n, k). A dictionary
            gives several outputs by name.
        image_size: height and width to bring every image to, in pixels, or one number for a square; None leaves them as
            they are.
        batch_size: images per batch.
        seed: decides order, views and splits; 0 to 2**32 - 1.
        interpolation: "area", "bilinear", "nearest", "bicubic" or "lanczos", where the size changes.
        label_mode: "categorical" (one-hot float32), "sparse" (int32), "binary" (float32 0 or 1), "multi_label"
            (multi-hot float32), "regression" (float32 (n, k)), "input" (the image itself as it is shown, float32
            pixels / 255, for an autoencoder) or "none"; a dictionary for several outputs. Without labels it is "none"
            unless it says "input".
        class_names: the classes in the order of their numbers; None takes those that occur. Whole numbers as labels are
            class numbers, so that the classes are called "0", "1" and so on to the largest, in the order of their
            values; names are sorted as text, as class folders are ("10" comes before "2"). A dictionary for several
            outputs.
        sample_weights: float32 (n,), from 0 up: how much each image counts in the loss; None where all count the same.
            Of several outputs one array for all, or a dictionary by output, where those that are left out count 1.
        masks: for each image a mask of its size, whole numbers from 0 to 65,535 or booleans, (n, height, width) or (n,
            height, width, 1). Targets are the masks then, uint8 (n, height, width, 1), int32 for class numbers above
            255, which are resized to the nearest pixel and get the geometry of their image's view; where all masks
            hold 0 and one other number, that is class 1. Labels, one class each, serve exact splits only.
        mask_colors: the colours of masks (n, height, width, 3) in the order of the classes, like [(0, 0, 0), (128, 0,
            0)], or the numbers in masks of one channel, like [0, 255]; None where these are class numbers.
        others: words of Keras' loaders, as in `ImageFolder`.

    Raises:
        ArgumentError: an argument or a word is not known.
        DataError: the images are no uint8 pixels of that shape, or the labels do not fit them.

    Example:
        >>> images = ImageArrays(np.zeros((4, 8, 6, 3), np.uint8), ["cat", "dog", "cat", "cat"])
        >>> print(images)
        ImageArrays(4 images in 2 classes, uint8 (None, 8, 6, 3) in [0, 255])
        >>> images.targets(np.array([1])).tolist()
        [[0.0, 1.0]]
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: Any = None,
        *,
        image_size: tuple[int, int] | int | None = None,
        batch_size: int = 32,
        seed: int = 0,
        interpolation: str = "area",
        label_mode: LabelMode | Mapping[str, LabelMode] = "categorical",
        class_names: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
        sample_weights: Any = None,
        masks: Any = None,
        mask_colors: Sequence[tuple[int, int, int] | int] | None = None,
        **others: Any,
    ) -> None:
        words = take_words(type(self), others, {"label_mode": as_label_mode(label_mode), "shuffle": True})
        label_mode = words["label_mode"]
        array = _checked_images(images)
        if image_size is not None:
            image_size = height_and_width(image_size)
        pictures = ArrayPictures(array, image_size, interpolation)
        mode = label_mode if masks is None else "none"
        wanted = _labels(labels, mode, class_names, len(array), pictures.shape)
        refuse_without_masks(masks, mask_colors)
        if masks is not None:
            if len(masks) != len(array):
                raise DataError(f"masks are one for each of {len(array)} images; got {len(masks)}.")
            drawn = mask_arrays(masks, (array.shape[1], array.shape[2]), pictures.shape[:2], mask_colors)
            wanted = Masks(drawn, wanted.values, wanted.class_names)
        super().__init__(
            pictures,
            wanted,
            batch_size=batch_size,
            seed=seed,
            weights=sample_weights,
        )
        self.shuffle = words["shuffle"]


def _checked_images(images: Any) -> np.ndarray:
    """The images as (n, height, width, channels), or an error that says what they should be."""
    shapes = sorted({np.shape(image) for image in images}) if isinstance(images, list | tuple) else []
    if len(shapes) > 1:
        raise DataError(
            f"images are of one size; some have the shape {shapes[0]}, some {shapes[-1]}. Resize them to one, or write "
            "them to files for ImageFiles or ImageFrame, which resize."
        )
    array = images if isinstance(images, np.ndarray) else np.asarray(images)
    if array.dtype != np.uint8:
        raise DataError(f"images are uint8 pixels from 0 to 255; got {_described(array)}")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or _is_channels_first(array.shape[1:]):
        raise DataError(
            f"images are (n, height, width) or (n, height, width, channels); got shape {np.shape(images)}. Put the "
            "channels last."
        )
    if array.shape[3] > _MOST_CHANNELS:
        raise DataError(f"images have at most {_MOST_CHANNELS} channels; got shape {np.shape(images)}.")
    if 0 in array.shape:
        raise DataError(f"There are no images in an array of shape {np.shape(images)}.")
    return array


def _described(array: np.ndarray) -> str:
    """Describes an array that is no pixels, and says what to do with it."""
    if not array.size or array.dtype.kind not in "biuf":
        return f"{array.dtype}. Give uint8 pixels."
    low, high = array.min(), array.max()
    given = f"{array.dtype} from {low:g} to {high:g}"
    if array.dtype.kind != "f":
        advice = "Give images.astype('uint8')." if 0 <= low <= high <= 255 else "Give uint8 pixels."
        return f"{given}. {advice}"
    pixels = "(images * 255).round().astype('uint8')" if low >= 0 and high <= 1 else "uint8 pixels"
    return (
        f"{given}. Give {pixels}; numbers that are no pixels go through tl.ImageDataGenerator().flow(images, labels)."
    )


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    """Tells whether three axes look like (channels, height, width): a small one, then large ones."""
    first, second, last = shape
    return last not in FILE_CHANNELS and (first in FILE_CHANNELS or 2 * first <= second == last)


def _labels(given: Any, mode: Any, class_names: Any, count: int, shape: tuple[int, int, int]) -> Labels:
    """The labels of all images; a dictionary gives one set for each output."""
    if isinstance(given, Mapping):
        for argument, value in (("label_mode", mode), ("class_names", class_names)):
            if isinstance(value, Mapping) and set(value) - set(given):
                name = sorted(set(value) - set(given))[0]
                raise ArgumentError(f"{argument} has the output {name!r}, but labels have {', '.join(given)}.")
        parts = {}
        for name, values in given.items():
            part_mode = mode.get(name, "categorical") if isinstance(mode, Mapping) else mode
            part_names = class_names.get(name) if isinstance(class_names, Mapping) else class_names
            parts[name] = _one_set(values, part_mode, part_names, count, shape, f"labels[{name!r}]")
        return Outputs(parts)
    if isinstance(mode, Mapping) or isinstance(class_names, Mapping):
        raise ArgumentError(
            f"{'label_mode' if isinstance(mode, Mapping) else 'class_names'} is a dictionary, as for several outputs, "
            "but labels are no dictionary. Give labels by output, too, or for one output class_names as a list in the "
            "order of the numbers."
        )
    return _one_set(given, mode, class_names, count, shape, "labels")


def _one_set(
    given: Any, mode: LabelMode, class_names: Any, count: int, shape: tuple[int, int, int], name: str
) -> Labels:
    check_label_mode(mode)
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        # A DataFrame; its columns name the classes of multi_label.
        class_names = given.columns if mode == "multi_label" and class_names is None else class_names
        given = given.to_numpy()
    given_names = class_names
    class_names = None if class_names is None else as_class_names(class_names)
    if given is None:
        return class_labels("input" if mode == "input" else "none", None, (), shape)
    if len(given) != count:
        raise DataError(f"{name} are one for each of {count} images; got {len(given)}.")
    if mode == "multi_label":
        hot = read_labels(mode, _label_sets(given, class_names, name), _multi_names(given, class_names), shape, name)
        hot.has_numbers_only = class_names is None and _is_multi_hot(given)
        return hot
    if mode == "regression":
        table = np.asarray(given)
        if table.ndim not in (1, 2):
            raise DataError(f"{name} are (n,) or (n, k) numbers for label_mode='regression'; got shape {table.shape}.")
        return read_labels(mode, table.reshape(count, -1).tolist(), None, shape, name)
    column = _class_numbers(np.asarray(given))
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DataError(
            f"{name} are one class per image, (n,); got shape {column.shape}. From one-hot rows take "
            "labels.argmax(axis=1), for several classes per image give label_mode='multi_label'."
        )
    if column.dtype.kind not in "biu":
        return read_labels(mode, column.tolist(), class_names, shape, name)
    numbers = column.astype(np.int64)
    names = class_names or [str(number) for number in range(int(numbers.max()) + 1)]
    odd = np.flatnonzero((numbers < 0) | (numbers >= len(names)))
    if len(odd):
        is_name = str(numbers[odd[0]]) in names
        advice = "Names are text: give labels.astype(str)." if is_name else "Correct it or give more class_names."
        raise DataError(
            f"{name} are class numbers from 0 to {len(names) - 1}; row {odd[0]} has {numbers[odd[0]]}. {advice}"
        )
    if class_names is not None:
        _refuse_moved_numbers(given_names, name)
    labels = class_labels(mode, numbers.astype(np.int32), names, shape)
    labels.has_numbers_only = class_names is None
    return labels


def _refuse_moved_numbers(names: Any, labels: str) -> None:
    """Refuses numbers as names of other class numbers: which of the two a label means is not clear."""
    numbers = [as_whole(name) for name in names]
    moved = [number for number, called in enumerate(numbers) if called != number]
    if moved and sorted(map(str, numbers)) == sorted(map(str, range(len(numbers)))):
        raise ArgumentError(
            f"{labels} are class numbers, and class_names calls class {moved[0]} {numbers[moved[0]]}. Give the labels "
            "as text, labels.astype(str), or the names as text in the order of the class numbers."
        )


def _class_numbers(labels: np.ndarray) -> np.ndarray:
    """Labels as whole numbers where they are, as floats, say, or in pandas' arrays with gaps; bytes as text."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
        return labels.astype(np.int64)
    if labels.dtype.kind == "O" and all(as_whole(label) is not None for label in labels.reshape(-1).tolist()):
        return labels.astype(np.int64)
    return labels


def _is_multi_hot(given: Any) -> bool:
    return isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype.kind in "biuf"


def _label_sets(given: Any, class_names: Sequence[str] | None, name: str) -> list[list[str]]:
    """The classes of each image, from lists or from rows of 0 and 1."""
    if not _is_multi_hot(given):
        for row, labels in enumerate(given):
            if isinstance(labels, str) or not hasattr(labels, "__iter__"):
                raise DataError(
                    f"Row {row} has {labels!r} in {name}; label_mode='multi_label' needs a list of classes."
                )
        lists = [list(labels) for labels in given]
        if are_flag_lists(lists):
            raise DataError(
                f"{name} are lists of 0 and 1. Give them as an array, np.array(labels), which has a column for each "
                "class, or give lists of the classes themselves."
            )
        return lists
    if not np.isin(given, (0, 1)).all():
        raise DataError(f"{name} as (n, classes) hold 0 and 1 only for label_mode='multi_label'.")
    names = _multi_names(given, class_names) or []
    if len(names) != given.shape[1]:
        raise DataError(f"{name} have {given.shape[1]} columns, but class_names {len(names)} names.")
    return [[names[number] for number in np.flatnonzero(row)] for row in given]


def _multi_names(given: Any, class_names: Sequence[str] | None) -> list[str] | None:
    if class_names is None and _is_multi_hot(given):
        return [str(number) for number in range(given.shape[1])]
    return None if class_names is None else list(class_names)
