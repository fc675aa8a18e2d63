"""Where the pixels of a generator's iterator come from: Keras' way, or thawline's own."""

import io
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from thawline.data.augment import Augmentation
from thawline.data.decode import Decoding
from thawline.data.generator.rows import Rows
from thawline.data.generator.targets import stack_labels
from thawline.data.legacy import CHANNELS, RESAMPLINGS, LegacyTransform, check_word, load_image, stretched_image
from thawline.data.sources.pictures import Pictures
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError

_FIRST = "channels_first"


@dataclass(frozen=True)
class Copies:
    """Where copies of the images go that an iterator gives, or nowhere.

    Attributes:
        folder: an existing folder, or None for no copies.
        prefix: what their names begin with.
        ending: their format: "png", "jpeg", ...
    """

    folder: str | os.PathLike[str] | None = None
    prefix: str = ""
    ending: str = "png"

    def save(self, image: Image.Image, index: int, mark: int) -> None:
        """Writes one copy, named by the image's index and a mark."""
        data = io.BytesIO()
        image.save(data, format={"jpg": "jpeg"}.get(self.ending, self.ending))
        Path(self.folder or ".", f"{self.prefix}_{index}_{mark}.{self.ending}").write_bytes(data.getvalue())


@dataclass(frozen=True)
class KerasLooks:
    """Pixels as Keras gives them.

    Attributes:
        rows: the images.
        transform: what happens to them.
        loading: how files are loaded: the options of `load_image`.
        copies: where stretched copies go.
    """

    rows: Rows
    transform: LegacyTransform
    loading: Mapping[str, Any] = field(default_factory=dict)
    copies: Copies = Copies()

    @property
    def dtype(self) -> str:
        """Of images and, as in Keras, of answers."""
        return self.transform.dtype

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image."""
        if self.rows.images is not None:
            return shape_of(self.rows.images)
        return ordered((*self.loading["target_size"], CHANNELS[self.loading["color_mode"]]), self.transform.data_format)

    def images(self, indices: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """The images of these rows, each with the next numbers of the stream."""
        batch = np.zeros((len(indices), *self.image_shape), self.dtype)
        for place, index in enumerate(indices):
            image = self._pixels(index)
            numbers = self.transform.draw(image.shape, random)
            batch[place] = self.transform.standardize(self.transform.apply(image, numbers))
        if self.copies.folder is not None:
            # Keras draws the marks from the stream too: they move the order of the next epoch.
            highest = 10_000 if self.rows.images is not None else 10_000_000
            for image, index in zip(batch, indices, strict=True):
                picture = stretched_image(channels_last(image, self.transform.data_format))
                self.copies.save(picture, int(index), random.randint(highest))
        return batch

    def _pixels(self, index: int) -> np.ndarray:
        if self.rows.images is not None:
            given: np.ndarray = self.rows.images[index].astype(self.dtype)
            return given
        image = load_image(self.rows.filepaths[index], **self.loading)
        return image.transpose(2, 0, 1) if self.transform.data_format == _FIRST else image


@dataclass(frozen=True)
class OwnLooks:
    """Pixels as thawline gives them: uint8 that are decoded and augmented, then standardized in float32.

    Attributes:
        rows: the images that were listed; arrays hold uint8 pixels, channels last.
        pictures: their pixels and digests.
        kept: int64, the rows that are shown.
        augmentation: what happens to them; it may be nothing.
        scale: what pixels are multiplied by before they are standardized: 1 / 255 where arrays were given as fractions.
        data_format: "channels_last" or "channels_first", of what the iterator gives.
        dtype: of images; answers are float32.
        copies: where copies go.
        is_validation: whether they are the validation side of a split.
    """

    rows: Rows
    pictures: Pictures
    kept: np.ndarray
    augmentation: Augmentation
    scale: float = 1.0
    data_format: str = "channels_last"
    dtype: str = "float32"
    copies: Copies = Copies()
    is_validation: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image."""
        return ordered(self.pictures.shape, self.data_format)

    def source(self, batch_size: int, seed: int) -> ImageSource:
        """The same images for a Stack.

        Raises:
            ArgumentError: a Stack cannot take them; the message says why.
            DataError: answers are no numbers, or weights are negative.
        """
        self._check_for_stack()
        factor = self.scale * (self.augmentation.rescale or 1.0)
        source = ImageSource(
            self.pictures,
            stack_labels(self.rows, self.pictures.shape, factor),
            batch_size=batch_size,
            seed=seed,
            weights=self.rows.weights,
        ).select(self.kept)
        augmentation = self.augmentation if self.scale == 1 else replace(self.augmentation, rescale=factor)
        source.augmentation = None if augmentation.is_identity else augmentation
        source.is_validation = self.is_validation
        return source

    def _check_for_stack(self) -> None:
        if self.data_format == _FIRST:
            raise ArgumentError("A Stack takes data_format='channels_last'. Leave data_format out, or use keras.Model.")
        if self.rows.extras:
            raise ArgumentError(
                "A Stack takes images only; flow() got more inputs beside them. Give flow(images, answers), or use "
                "keras.Model.fit."
            )
        if self.copies.folder is not None:
            raise ArgumentError(
                "A Stack writes no copies of what it sees. Leave save_to_dir out; for a look at the images use "
                ".source.preview(path=...)."
            )
        if self.scale != 1 and self.augmentation.preprocessing_function is not None:
            raise ArgumentError(
                "preprocessing_function gets pixels from 0 to 255 in a Stack, but flow() got fractions. Give flow() "
                "pixels, like (images * 255).round().astype('uint8')."
            )

    def images(self, indices: np.ndarray, seed: int, view: int) -> np.ndarray:
        """One view of the images with these places in `kept`, made by as many threads as there are cores."""

        def look(index: int) -> np.ndarray:
            return self._look(index, seed, view)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.stack(list(pool.map(look, indices.tolist()))).astype(self.dtype)

    def _look(self, index: int, seed: int, view: int) -> np.ndarray:
        pixels, digest = self.pictures.pixels(int(self.kept[index]))
        if self.augmentation.is_random:
            numbers = self.augmentation.draw(seed, digest, view, image_size=pixels.shape[:2])
            pixels = self.augmentation.transform(pixels, numbers)
        if self.copies.folder is not None:
            self.copies.save(stretched_image(pixels, stretch=False), index, view)
        values = self.augmentation.standardize(pixels.astype(np.float32) * np.float32(self.scale))
        return values.transpose(2, 0, 1) if self.data_format == _FIRST else values


@dataclass(frozen=True)
class Reading:
    """How files become images, in Keras' words.

    Attributes:
        target_size: height and width.
        color_mode, interpolation: Keras' words; averaging is called "box" there.
        keep_aspect_ratio: whether the centre is cut out in the right shape instead of stretching.
    """

    target_size: tuple[int, int]
    color_mode: str
    interpolation: str
    keep_aspect_ratio: bool = False

    def loading(self) -> dict[str, Any]:
        """Options of `load_image`."""
        check_word("color_mode", self.color_mode, CHANNELS)
        check_word("interpolation", self.interpolation, RESAMPLINGS)
        return {**asdict(self), "target_size": tuple(self.target_size)}

    def decoding(self) -> Decoding:
        """thawline's decoding."""
        size: Any = tuple(self.target_size)
        words: Any = (self.color_mode, {"box": "area"}.get(self.interpolation, self.interpolation))
        return Decoding(size, *words, resize="crop" if self.keep_aspect_ratio else "stretch")


def as_pixels(images: np.ndarray) -> tuple[np.ndarray, float]:
    """Images as uint8 from 0 to 255, and the factor that leads back to the values given.

    Whole pixels stay what they are; fractions from 0 to 1 are rounded to the nearest of 256.

    Args:
        images: of any dtype, 0 to 255, or fractions from 0 to 1.

    Raises:
        DataError: values lie elsewhere.

    Example:
        >>> as_pixels(np.array([0.0, 0.5, 1.0]))[0].tolist()
        [0, 128, 255]
    """
    if images.dtype == np.uint8:
        return images, 1.0
    lowest, highest = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not 0 <= lowest <= highest <= 255:
        raise DataError(
            f"Images are pixels from 0 to 255, or fractions from 0 to 1; these go from {lowest:g} to {highest:g}. Give "
            "pixels, and scale them with rescale=, samplewise_center= or featurewise_center=."
        )
    # All-black images count as pixels of whatever kind.
    is_fraction = images.dtype.kind == "f" and 0 < highest <= 1
    pixels = np.rint(images * 255.0 if is_fraction else images).astype(np.uint8)
    return pixels, 1 / 255 if is_fraction else 1.0


def channels_last(image: np.ndarray, data_format: str) -> np.ndarray:
    """An image (..., height, width, channels), from either format."""
    return np.moveaxis(image, -3, -1) if data_format == _FIRST else image


def ordered(shape: tuple[int, int, int], data_format: str) -> tuple[int, int, int]:
    """Height, width and channels in the order of a format."""
    return (shape[2], shape[0], shape[1]) if data_format == _FIRST else shape


def shape_of(images: np.ndarray | None) -> tuple[int, int, int]:
    """The shape of each image of an array."""
    assert images is not None
    first, second, third = images.shape[1:]
    return first, second, third
