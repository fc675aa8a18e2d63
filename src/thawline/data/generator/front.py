"""ImageDataGenerator: Keras' words, with their errors mended or, with legacy=True, with every pixel as it was."""

import os
import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np

from thawline.arguments import height_and_width, share
from thawline.backend import keras, print_message
from thawline.data.augment import Augmentation, Draw
from thawline.data.generator import settings
from thawline.data.generator.differences import CHANGES, pass_over, tell_changes
from thawline.data.generator.drawing import present_draw, present_stream
from thawline.data.generator.float_images import are_pixels, range_of, transform_values
from thawline.data.generator.iterators import Iterator
from thawline.data.generator.listing import (
    FOLDER_MODES,
    array_rows,
    check_same_answers,
    folder_rows,
    fractions,
    keras_folder_rows,
    keras_part,
    table_rows,
)
from thawline.data.generator.looks import Copies, Reading, channels_last
from thawline.data.generator.open_iterator import open_iterator
from thawline.data.generator.rows import CLASS_MODES
from thawline.data.generator.unseeded import take_seed
from thawline.data.legacy import LegacyTransform, check_word
from thawline.errors import ArgumentError, DataError

# Methods that iterators call when a subclass has its own.
_METHODS = ("get_random_transform", "apply_transform", "random_transform", "standardize")

# Keras' names for the numbers of a draw.
_KERAS_NAMES = {
    "theta": "rotation",
    "tx": "shift_x",
    "ty": "shift_y",
    "shear": "shear",
    "zx": "zoom_x",
    "zy": "zoom_y",
    "flip_horizontal": "flip_horizontal",
    "flip_vertical": "flip_vertical",
    "channel_shift_intensity": "channel_shift",
    "brightness": "brightness",
}


class ImageDataGenerator:
    """Augmented batches from folders, tables and arrays, with the arguments of Keras' ImageDataGenerator.

    What `flow*` return goes into `keras.Model.fit`, `evaluate` and `predict`, and into those of a `Stack`, which takes
    its `.source`: the same images, answers and order.

    The arguments mean what Keras' documentation says, and are attributes that may be set later. Where Keras does
    something else, a `ChangedMeaningWarning` says so on the first use (docs/image_data_generator.md lists all): shifts
    move along their own axis, pictures turn about their centre, brightness is a factor. Files, and arrays of whole
    numbers from 0 to 255, are augmented as uint8 with one resampling; other arrays keep their values. Random numbers
    depend on (seed, place in the listing, view) only: two generators with one seed, for images and for their masks,
    move in step. NumPy's global generator is never touched. Validation subsets are never augmented. Methods that a
    subclass overrides are called as Keras' iterators call them.

    With `legacy=True` every pixel and every draw is that of Keras 3.15.1 with the same seed (needs
    `pip install 'thawline[legacy]'`), again without the global generator.

    Args:
        featurewise_center, featurewise_std_normalization, zca_whitening, zca_epsilon: by statistics from `fit`.
        samplewise_center, samplewise_std_normalization: by each image's own mean and deviation.
        rotation_range, width_shift_range, height_shift_range, brightness_range, shear_range, zoom_range,
            channel_shift_range, fill_mode, cval, horizontal_flip, vertical_flip, interpolation_order: as in
            `thawline.Augmentation`.
        rescale: a factor, after the preprocessing function, which has to keep pixels from 0 to 255 then.
        preprocessing_function: a float32 image, laid out as `data_format` says, to an array of its shape; it gets
            pixels from 0 to 255, or the values of an array as they are.
        data_format: "channels_last" or "channels_first"; Keras' setting by default.
        validation_split: the share of the subset "validation", above 0 and below 1.
        dtype: of the images; Keras' setting by default.
        legacy: whether pixels, draws and lists of files are those of Keras.

    Attributes:
        mean, std, zca_whitening_matrix: what `fit` measured, in Keras' shapes, or None; they may be set by hand, like
            `generator.mean = [123.68, 116.779, 103.939]`.
        overridden: the methods that a subclass has its own of, out of those that iterators call.
        channel_axis, row_axis, col_axis: the axes of a batch.

    Raises:
        ArgumentError: a value that cannot work.

    Example:
        >>> generator = ImageDataGenerator(horizontal_flip=True, rescale=1 / 255)
        >>> batches = generator.flow(np.zeros((5, 8, 8, 3), np.uint8), np.arange(5), batch_size=2, seed=7)
        >>> [len(batches[index][0]) for index in range(len(batches))]
        [2, 2, 1]
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: float | Sequence[float] = 0.0,
        height_shift_range: float | Sequence[float] = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: str | None = None,
        legacy: bool = False,
    ) -> None:
        vars(self).update({name: value for name, value in locals().items() if name != "self"})
        self.validation_split = share("validation_split", validation_split) if validation_split else 0.0
        # Keras' name for it, which subclasses read.
        self._validation_split = self.validation_split
        self.data_format = data_format or keras.config.image_data_format()
        self.dtype = dtype or keras.config.floatx()
        check_word("data_format", self.data_format, ("channels_last", "channels_first"))
        axes = (1, 2, 3) if self.data_format == "channels_first" else (3, 1, 2)
        self.channel_axis, self.row_axis, self.col_axis = axes
        self.mean = self.std = self.zca_whitening_matrix = None
        self._made: dict[str, Any] = {}
        if legacy:
            settings.take_implied(self, self.keras_transform())
        else:
            # A pair, as Keras has it.
            self.zoom_range = list(Augmentation(zoom_range=zoom_range).zoom_range)  # type: ignore[arg-type]
            self.settled()

    legacy: bool
    mean: Any
    std: Any
    zca_whitening_matrix: Any

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # Attributes that are set count from the next batch on.
        super().__setattr__("_made", {})

    @property
    def overridden(self) -> frozenset[str]:
        """The methods that a subclass, or this very object, has its own of, out of those that iterators call."""
        own = {name: getattr(getattr(self, name), "__func__", None) for name in _METHODS}
        return frozenset(name for name in _METHODS if own[name] is not getattr(ImageDataGenerator, name))

    def settled(self, *, is_validation: bool = False) -> Augmentation:
        """The augmentation that the attributes stand for now; without chance for a validation subset."""
        made = self._made
        if "augmentation" not in made:
            augmentation = settings.own_augmentation(self)
            made |= {"augmentation": augmentation, "validation": augmentation.without_chance()}
            tell_changes({name: getattr(self, name) for name in CHANGES}, _DEFAULTS)
        chosen: Augmentation = made["validation" if is_validation else "augmentation"]
        return chosen

    def keras_transform(self) -> LegacyTransform:
        """Keras' transform with the attributes as they are now."""
        made = self._made
        if "keras" not in made:
            made["keras"] = settings.keras_transform(self)
        transform: LegacyTransform = made["keras"]
        return transform

    def check_fitted(self) -> None:
        """Raises ArgumentError where featurewise arguments or ZCA lack their statistics."""
        settings.check_fitted(self)

    # -- iterators -------------------------------------------------------------------------------------------

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> Iterator:
        """Batches of images in memory.

        Args:
            x: (n, height, width, channels) of any number of channels: pixels, whole numbers from 0 to 255, which are
                augmented as uint8; or other numbers (fractions, centred values, more than 8 bits), which keep their
                values, are interpolated as float32, and have `cval` and `channel_shift_range` in their own units; or
                (images, other inputs).
            y: n answers of any kind, or None; a dictionary or a list of such answers for a model of several outputs.
            batch_size: images per batch.
            shuffle: whether each epoch has an order of its own.
            sample_weight: float (n,), or None.
            seed: decides order and draws. None takes one from where NumPy's global generator is, which stays there:
                another one each time, and the same again after `keras.utils.set_random_seed`.
            save_to_dir, save_prefix, save_format: where copies of the augmented pixels go, for a look at them.
            ignore_class_split: with legacy=True, whether subsets may lack classes.
            subset: "training" or "validation", by `validation_split`.

        Returns:
            An iterator over (images, y), (images, y, weights) or images.

        Raises:
            DataError: lengths differ, or values are not finite.
        """
        rows = array_rows(x, y, sample_weight, self.dtype if self.legacy else None)
        if self.legacy:
            if subset is not None and not ignore_class_split:
                check_same_answers(rows.labels, self.validation_split)
            rows = keras_part(rows, fractions(subset, self.validation_split))
        copies = Copies(save_to_dir, save_prefix, save_format)
        return open_iterator(self, rows, None, subset, copies, {}, batch_size=batch_size, shuffle=shuffle, seed=seed)

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> Iterator:
        """Batches of the images in a folder with one folder per class.

        Args:
            directory: the folder with the class folders.
            target_size: height and width that every image is brought to.
            color_mode: "rgb", "grayscale" or "rgba".
            classes: the class folders in the order of their numbers, or None for all in sorted order; ["."] takes the
                images directly inside as one class. A class without images keeps its number.
            class_mode: "categorical" (one-hot), "binary" and "sparse" (class numbers), "input" (the images) or None.
            batch_size, shuffle, seed, save_to_dir, save_prefix, save_format, subset: as in `flow`.
            follow_links: whether folders that are symbolic links are entered.
            interpolation: how files are resized: "nearest", "bilinear", "box" and more with legacy=True.
            keep_aspect_ratio: whether the centre is cut out in the right shape instead of stretching.

        Returns:
            An iterator over (images, answers), or images without class mode.

        Raises:
            FolderNotFoundError: there is no such folder.
            DataError: no images, or `class_mode="binary"` without two classes.
        """
        check_word("class_mode", class_mode, FOLDER_MODES)
        options: dict[str, Any] = {"classes": classes, "class_mode": class_mode, "follow_links": follow_links}
        if self.legacy:
            rows = keras_folder_rows(directory, part=fractions(subset, self.validation_split), **options)
        else:
            rows = folder_rows(directory, **options)
        print_message(f"Found {len(rows)} images belonging to {len(rows.class_indices)} classes.")
        reading = Reading(_target_size(target_size), color_mode, interpolation, keep_aspect_ratio)
        copies = Copies(save_to_dir, save_prefix, save_format)
        place = {"directory": directory}
        return open_iterator(
            self, rows, reading, subset, copies, place, batch_size=batch_size, shuffle=shuffle, seed=seed
        )

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: str | Sequence[str] | None = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        **kwargs: Any,
    ) -> Iterator:
        """Batches of the images that a pandas DataFrame names.

        Args:
            dataframe: one image per row.
            directory: what relative file names are relative to.
            x_col: the column of file names.
            y_col: the column of answers, or the columns with `class_mode="multi_output"` or "raw"; it is not looked at
                where images have no answers, and may be None.
            weight_col: the column of weights, or None.
            classes: the classes in the order of their numbers, or None for all, sorted; rows of others are left out.
            class_mode: "categorical" (text, or lists of text as multi-hot), "binary", "sparse", "raw" (the values),
                "multi_output" (a tuple of values), "input" (the images) or None.
            validate_filenames: whether files that are not there are left out, with a warning.
            target_size, color_mode, batch_size, shuffle, seed, save_to_dir, save_prefix, save_format, subset,
                interpolation: as in `flow_from_directory`.
            **kwargs: `has_ext`, `sort` and `drop_duplicates` of older Keras are passed over with a warning; other words
                are refused.

        Returns:
            An iterator over (images, answers), (images, answers, weights) or images.

        Raises:
            ArgumentError: a word or a column is not known.
            DataError: a cell is not what its column should hold.
        """
        pass_over(kwargs)
        if class_mode == "other":
            warnings.warn('class_mode="other" is called "raw" now.', DeprecationWarning, stacklevel=2)
            class_mode = "raw"
        rows = table_rows(
            dataframe,
            directory,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            classes=classes,
            class_mode=class_mode,
            validate_filenames=validate_filenames,
            legacy=self.legacy,
        )
        if self.legacy:
            rows = keras_part(rows, fractions(subset, self.validation_split))
        validated = "validated" if validate_filenames else "non-validated"
        classified = f" belonging to {len(rows.class_indices)} classes" if class_mode in CLASS_MODES else ""
        print_message(f"Found {len(rows)} {validated} image filenames{classified}.")
        reading = Reading(_target_size(target_size), color_mode, interpolation)
        copies = Copies(save_to_dir, save_prefix, save_format)
        place = {"directory": directory or ""}
        return open_iterator(
            self, rows, reading, subset, copies, place, batch_size=batch_size, shuffle=shuffle, seed=seed
        )

    # -- single images ---------------------------------------------------------------------------------------

    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> dict[str, Any]:
        """The numbers of one look at an image, under Keras' names.

        Args:
            img_shape: the image's shape, for shifts given as fractions.
            seed: the same seed gives the same numbers; None gives others each time.

        Returns:
            theta and shear in degrees, tx and ty in pixels, factors zx and zy, flip_horizontal, flip_vertical,
            channel_shift_intensity and brightness, None where they are off.
        """
        if self.legacy:
            return self.keras_transform().draw(img_shape, _stream(seed))
        augmentation = self.settled()
        size = img_shape[1:3] if self.data_format == "channels_first" else img_shape[:2]
        present = present_draw() if seed is None else None
        key = present.take() if present is not None else (take_seed() if seed is None else seed, b"", 0)
        drawn = augmentation.draw(*key, image_size=(size[0], size[1])).as_dict()
        answer: dict[str, Any] = {name: drawn[own] for name, own in _KERAS_NAMES.items()}
        if not augmentation.channel_shift_range:
            answer["channel_shift_intensity"] = None
        if augmentation.brightness_range is None:
            answer["brightness"] = None
        return answer

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """The image as the numbers say.

        Args:
            x: one image, pixels from 0 to 255 or other numbers, as in `flow`; it is not changed.
            transform_parameters: as from `get_random_transform`; what is missing does nothing.

        Returns:
            The image, of the same shape. Pixels and floats keep their dtype, so that uint8 can be shown as uint8; other
            numbers become float32. As in Keras with legacy=True.
        """
        if self.legacy:
            return self.keras_transform().apply(x, transform_parameters)
        numbers = {}
        for name, value in transform_parameters.items():
            if name not in _KERAS_NAMES:
                raise ArgumentError(f"A transform has no number {name!r}; it has {', '.join(_KERAS_NAMES)}.")
            if value is not None:
                numbers[_KERAS_NAMES[name]] = value
        values, augmentation = channels_last(np.asarray(x), self.data_format), self.settled()
        dtype = values.dtype if values.dtype.kind == "f" else np.float32
        if are_pixels(values):
            pixels, dtype = np.ascontiguousarray(values, np.uint8), values.dtype
            moved = augmentation.transform(pixels, Draw(**numbers))
        else:
            given = np.ascontiguousarray(values, np.float32)
            moved = transform_values(given, Draw(**numbers), augmentation, range_of(values))
        moved = moved.astype(dtype, copy=False)
        return moved.transpose(2, 0, 1) if self.data_format == "channels_first" else moved

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """One look at an image; arguments and answer as in `get_random_transform` and `apply_transform`."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Preprocessing function, rescale, samplewise, featurewise, ZCA, in this order.

        Args:
            x: float (height, width, channels), or several images along a first axis; changed in place with
                legacy=True, as in Keras.

        Raises:
            ArgumentError: `fit` did not come first, where it has to.
        """
        if self.legacy:
            return self.keras_transform().standardize(x)
        self.check_fitted()
        augmentation = self.settled()
        images = np.array(channels_last(x, self.data_format), np.float32)
        if images.ndim > 3:
            values = np.stack([augmentation.standardize(image) for image in images])
        else:
            values = augmentation.standardize(images)
        return np.moveaxis(values, -1, -3) if self.data_format == "channels_first" else values

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Takes statistics from images, for the featurewise arguments and ZCA.

        Images go through preprocessing function, rescale and the samplewise steps first, as they do in batches;
        with legacy=True through rescale only, as in Keras.

        Args:
            x: (n, height, width, channels), pixels from 0 to 255 or fractions from 0 to 1.
            augment: whether statistics are those of augmented images.
            rounds: how many augmented copies of each image are used.
            seed: of the augmentation.

        Raises:
            DataError: the array has not four axes.
            ArgumentError: ZCA on images of more than 64 x 64 x 3 values.
        """
        if self.legacy:
            transform = self.keras_transform()
            transform.fit(x, _stream(seed), augment=augment, rounds=rounds)
            self.mean, self.std = transform.mean, transform.std
            self.zca_whitening_matrix = transform.zca_whitening_matrix
            return
        images = np.asarray(x)
        if images.ndim != 4:
            raise DataError(f"fit() takes images as one array, (n, height, width, channels); got {images.shape}.")
        if augment:
            copies = [image for _ in range(rounds) for image in images]
            seeds = [None if seed is None else seed + number for number in range(len(copies))]
            images = np.stack([self.random_transform(*pair) for pair in zip(copies, seeds, strict=True)])
        augmentation = self.settled()
        if augmentation.needs_statistics:
            fitted = augmentation.fit(channels_last(images, self.data_format))
            assert fitted.statistics is not None
            settings.take_statistics(self, fitted.statistics)


# The arguments as attributes of a generator that was given none.
_DEFAULTS = {name: parameter.default for name, parameter in signature(ImageDataGenerator).parameters.items()} | {
    "zoom_range": [1, 1]
}


def _stream(seed: int | None) -> np.random.RandomState:
    """The numbers that Keras would draw: those of a seed, of the batch that is being made, or new ones."""
    present = present_stream() if seed is None else None
    return np.random.RandomState(take_seed() if seed is None else seed) if present is None else present


def _target_size(target_size: Any) -> tuple[int, int]:
    try:
        return height_and_width(target_size)
    except ArgumentError as error:
        raise ArgumentError(str(error).replace("image_size", "target_size")) from None
