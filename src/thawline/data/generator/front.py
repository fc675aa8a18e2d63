"""ImageDataGenerator: Keras' words, with their errors mended or, with legacy=True, with every pixel as it was."""

import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.data.augment import Augmentation, Draw
from thawline.data.generator.differences import is_equal, tell_changes
from thawline.data.generator.iterators import ImageIterator, Iterator, LegacyIterator
from thawline.data.generator.listing import (
    FOLDER_MODES,
    SUBSETS,
    array_rows,
    check_same_answers,
    folder_rows,
    fractions,
    keras_folder_rows,
    keras_part,
    table_rows,
)
from thawline.data.generator.looks import Copies, KerasLooks, OwnLooks, Reading, as_pixels, channels_last
from thawline.data.generator.rows import Rows, split_by_content
from thawline.data.legacy import LegacyTransform, check_word
from thawline.data.sources.pictures import ArrayPictures, FilePictures, Pictures
from thawline.errors import ArgumentError, DataError

# The arguments that are an Augmentation's, too; the layout of the axes is the generator's own.
_AUGMENTS = {field.name for field in fields(Augmentation)} & {field.name for field in fields(LegacyTransform)} - {
    "data_format"
}

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
    its `.source`: the same images, views, answers and order.

    The arguments mean what Keras' documentation says. Where Keras does something else, a `ChangedMeaningWarning` says
    so on the first use: shifts move along their own axis, pictures turn about their centre, brightness is a factor.
    Pixels are augmented as uint8 by thawline's own decoder and its one resampling; random numbers depend on (seed,
    image, epoch) only, and NumPy's global generator is never touched. Validation subsets are never augmented.

    With `legacy=True` every pixel and every draw is that of Keras 3.15.1 with the same seed (needs
    `pip install 'thawline[legacy]'`), again without the global generator.

    Args:
        featurewise_center, featurewise_std_normalization, zca_whitening, zca_epsilon: by statistics from `fit`.
        samplewise_center, samplewise_std_normalization: by each image's own mean and deviation.
        rotation_range, width_shift_range, height_shift_range, brightness_range, shear_range, zoom_range,
            channel_shift_range, fill_mode, cval, horizontal_flip, vertical_flip, interpolation_order: as in
            `thawline.Augmentation`.
        rescale: a factor, after the preprocessing function; give one of the two.
        preprocessing_function: a float32 image, 0 to 255, laid out as `data_format` says, to an array of its shape.
        data_format: "channels_last" or "channels_first"; Keras' setting by default.
        validation_split: the share of the subset "validation", above 0 and below 1.
        dtype: of the images; Keras' setting by default.
        legacy: whether pixels, draws and lists of files are those of Keras.

    Raises:
        ArgumentError: a value that cannot work.

    Example:
        >>> generator = ImageDataGenerator(horizontal_flip=True, rescale=1 / 255)
        >>> batches = generator.flow(np.zeros((5, 8, 8, 3), np.uint8), np.arange(5), batch_size=2, seed=7)
        >>> [len(images) for images, answers in batches]
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
        given = {name: value for name, value in locals().items() if name != "self"}
        if validation_split and not 0 < validation_split < 1:
            raise ArgumentError(f"validation_split is a share between 0 and 1, like 0.2; got {validation_split!r}.")
        self.legacy = legacy
        self.validation_split = validation_split
        self.data_format = data_format or keras.config.image_data_format()
        self.dtype = dtype or keras.config.floatx()
        self._random = np.random.RandomState()
        if legacy:
            settled = {**given, "data_format": self.data_format, "dtype": self.dtype}
            names = {item.name for item in fields(LegacyTransform) if item.init}
            self._keras = LegacyTransform(**{name: value for name, value in settled.items() if name in names})
        else:
            self._augmentation = self._settle(given)

    def _settle(self, given: dict[str, Any]) -> Augmentation:
        """Takes the arguments in their own meaning, and says where that is not Keras'."""
        check_word("data_format", self.data_format, ("channels_last", "channels_first"))
        defaults = {name: parameter.default for name, parameter in signature(ImageDataGenerator).parameters.items()}
        used = {name: given[name] for name in _AUGMENTS if not is_equal(given[name], defaults[name])}
        if self.data_format == "channels_first" and given["preprocessing_function"] is not None:
            used["preprocessing_function"] = partial(_call_channels_first, given["preprocessing_function"])
        augmentation = Augmentation(**used)
        tell_changes(given, defaults)
        return augmentation

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
            x: (n, height, width, channels) of 1, 3 or 4 channels, pixels from 0 to 255 or fractions from 0 to 1 (which
                are augmented as the nearest of 256 and come back as fractions); or (images, other inputs).
            y: n answers of any kind, or None.
            batch_size: images per batch.
            shuffle: whether each epoch has an order of its own.
            sample_weight: float (n,), or None.
            seed: decides order and draws; None draws one.
            save_to_dir, save_prefix, save_format: where copies of the augmented pixels go, for a look at them.
            ignore_class_split: with legacy=True, whether subsets may lack classes.
            subset: "training" or "validation", by `validation_split`.

        Returns:
            An iterator over (images, y), (images, y, weights) or images.

        Raises:
            DataError: lengths differ, or values are neither pixels nor fractions.
        """
        rows = array_rows(x, y, sample_weight, self.dtype if self.legacy else None)
        if self.legacy:
            if subset is not None and not ignore_class_split:
                check_same_answers(rows.labels, self.validation_split)
            rows = keras_part(rows, fractions(subset, self.validation_split))
        copies = Copies(save_to_dir, save_prefix, save_format)
        return self._iterator(rows, None, subset, copies, batch_size=batch_size, shuffle=shuffle, seed=seed)

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
            color_mode: "rgb", "grayscale" or, with legacy=True, "rgba".
            classes: the class folders in the order of their numbers, or None for all in sorted order.
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
        reading = Reading(target_size, color_mode, interpolation, keep_aspect_ratio)
        copies = Copies(save_to_dir, save_prefix, save_format)
        return self._iterator(rows, reading, subset, copies, batch_size=batch_size, shuffle=shuffle, seed=seed)

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: str | Sequence[str] = "class",
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
            y_col: the column of answers, or the columns with `class_mode="multi_output"`.
            weight_col: the column of weights, or None.
            classes: the classes in the order of their numbers, or None for all, sorted; rows of others are left out.
            class_mode: "categorical" (text, or lists of text as multi-hot), "binary", "sparse", "raw" (the values),
                "multi_output" (a tuple of values), "input" (the images) or None.
            validate_filenames: whether files that are not there are left out, with a warning.
            target_size, color_mode, batch_size, shuffle, seed, save_to_dir, save_prefix, save_format, subset,
                interpolation: as in `flow_from_directory`.
            **kwargs: nothing; words that are not known are refused.

        Returns:
            An iterator over (images, answers), (images, answers, weights) or images.

        Raises:
            ArgumentError: a word or a column is not known.
            DataError: a cell is not what its column should hold.
        """
        if kwargs:
            raise ArgumentError(f"flow_from_dataframe() has no argument {next(iter(kwargs))!r}. Leave it out.")
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
        reading = Reading(target_size, color_mode, interpolation)
        copies = Copies(save_to_dir, save_prefix, save_format)
        return self._iterator(rows, reading, subset, copies, batch_size=batch_size, shuffle=shuffle, seed=seed)

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
            return self._keras.draw(img_shape, self._stream(seed))
        size = img_shape[1:3] if self.data_format == "channels_first" else img_shape[:2]
        start = self._random.randint(2**31) if seed is None else seed
        drawn = self._augmentation.draw(start, b"", 0, image_size=(size[0], size[1])).as_dict()
        answer: dict[str, Any] = {name: drawn[own] for name, own in _KERAS_NAMES.items()}
        if not self._augmentation.channel_shift_range:
            answer["channel_shift_intensity"] = None
        if self._augmentation.brightness_range is None:
            answer["brightness"] = None
        return answer

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """The image as the numbers say.

        Args:
            x: one image, pixels from 0 to 255 or fractions from 0 to 1; it is not changed.
            transform_parameters: as from `get_random_transform`; what is missing does nothing.

        Returns:
            The image, of the same shape; float32, or as in Keras with legacy=True.
        """
        if self.legacy:
            return self._keras.apply(x, transform_parameters)
        numbers = {}
        for name, value in transform_parameters.items():
            if name not in _KERAS_NAMES:
                raise ArgumentError(f"A transform has no number {name!r}; it has {', '.join(_KERAS_NAMES)}.")
            if value is not None:
                numbers[_KERAS_NAMES[name]] = value
        pixels, scale = as_pixels(channels_last(x, self.data_format))
        moved = self._augmentation.transform(np.ascontiguousarray(pixels), Draw(**numbers))
        values = moved.astype(np.float32) * np.float32(scale)
        return values.transpose(2, 0, 1) if self.data_format == "channels_first" else values

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
            return self._keras.standardize(x)
        self._check_fitted()
        images = np.array(channels_last(x, self.data_format), np.float32)
        if images.ndim > 3:
            values = np.stack([self._augmentation.standardize(image) for image in images])
        else:
            values = self._augmentation.standardize(images)
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
            self._keras.fit(x, self._stream(seed), augment=augment, rounds=rounds)
            return
        images = np.asarray(x)
        if images.ndim != 4:
            raise DataError(f"fit() takes images as one array, (n, height, width, channels); got {images.shape}.")
        if augment:
            copies = [image for _ in range(rounds) for image in images]
            seeds = [None if seed is None else seed + number for number in range(len(copies))]
            images = np.stack([self.random_transform(*pair) for pair in zip(copies, seeds, strict=True)])
        if self._augmentation.needs_statistics:
            self._augmentation = self._augmentation.fit(channels_last(images, self.data_format))

    # -- inside ----------------------------------------------------------------------------------------------

    def _stream(self, seed: int | None) -> np.random.RandomState:
        return self._random if seed is None else np.random.RandomState(seed)

    def _check_fitted(self) -> None:
        if self._augmentation.needs_statistics and self._augmentation.statistics is None:
            raise ArgumentError(
                "featurewise_center, featurewise_std_normalization and zca_whitening need statistics of the training "
                "images. Call fit(images) first."
            )

    def _iterator(
        self, rows: Rows, reading: Reading | None, subset: str | None, copies: Copies, **order: Any
    ) -> Iterator:
        """Batches of these rows, from files as they are read or from arrays; `order` is size, shuffle and seed."""
        if self.legacy:
            loading = {} if reading is None else reading.loading()
            return LegacyIterator(rows, KerasLooks(rows, self._keras, loading, copies), **order)
        check_word("subset", subset, (*SUBSETS, None))
        if subset is not None and not self.validation_split:
            raise ArgumentError(f"subset={subset!r} needs ImageDataGenerator(validation_split=...), like 0.2.")
        self._check_fitted()
        scale = 1.0
        pictures: Pictures
        if reading is None:
            images, scale = as_pixels(channels_last(np.asarray(rows.images), self.data_format))
            rows, pictures = replace(rows, images=images), ArrayPictures(images)
        else:
            pictures = FilePictures([Path(path) for path in rows.filepaths], reading.decoding())
        kept = np.arange(len(rows))
        if subset is not None:
            sides = split_by_content(rows, pictures.digests(kept, show_progress=True), self.validation_split)
            kept = sides[SUBSETS.index(subset)]
        is_validation = subset == "validation"
        looks = OwnLooks(
            rows,
            pictures,
            kept,
            self._augmentation.without_chance() if is_validation else self._augmentation,
            scale=scale,
            data_format=self.data_format,
            dtype=self.dtype,
            copies=copies,
            is_validation=is_validation,
        )
        return ImageIterator(rows if subset is None else rows.select(kept), looks, **order)


def _call_channels_first(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """A function for images with their channels first, called with one that has them last."""
    return np.asarray(function(image.transpose(2, 0, 1))).transpose(1, 2, 0)
