"""Where the pixels of a generator's iterator come from: Keras' way, or thawline's own."""

import copy
import io
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from PIL import Image

from thawline.data.augment import Augmentation, Draw
from thawline.data.decode import Decoding, decode
from thawline.data.generator.rows import Rows
from thawline.data.generator.steps import STANDARDIZES
from thawline.data.legacy import CHANNELS, RESAMPLINGS, LegacyTransform, check_word, load_image, stretched_image
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError, UnreadableImageError

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
        rows: the images; arrays hold uint8 pixels, channels last.
        augmentation: what happens to them, or None.
        steps: preprocessing function, rescale, samplewise, featurewise and ZCA.
        decoding: how files are decoded; None for arrays.
        scale: what pixels are multiplied by before the steps: 1 / 255 where arrays were given as fractions.
        copies: where copies go.
        folder: the same images as a source, or None.
        is_validation: whether they are the validation side of a split.
    """

    rows: Rows
    augmentation: Augmentation | None
    steps: LegacyTransform
    decoding: Decoding | None = None
    scale: float = 1.0
    copies: Copies = Copies()
    folder: ImageFolder | None = None
    is_validation: bool = False

    @property
    def dtype(self) -> str:
        """Of images; answers are float32."""
        return self.steps.dtype

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image."""
        shape = shape_of(self.rows.images) if self.decoding is None else self.decoding.shape
        return ordered(shape, self.steps.data_format)

    def source(self, batch_size: int, seed: int) -> ImageSource:
        """The same images for a Stack.

        Raises:
            ArgumentError: there is none; the message says why.
        """
        if self.folder is None:
            raise ArgumentError(
                "Only flow_from_directory gives images for a Stack so far. Use keras.Model.fit, or write the images "
                "into one folder per class."
            )
        if self.rows.class_mode == "input":
            raise ArgumentError("class_mode='input' gives no labels for a Stack. Use keras.Model.fit.")
        for name in STANDARDIZES:
            if getattr(self.steps, name):
                raise ArgumentError(
                    f"A Stack takes pixels from 0 to 255 and scales them itself, by Stage(..., value_range=...). Leave "
                    f"{name} out of the ImageDataGenerator."
                )
        source = copy.copy(self.folder)
        source.batch_size, source.seed = batch_size, seed
        source.augmentation, source.is_validation = self.augmentation, self.is_validation
        return source

    def images(self, indices: np.ndarray, seed: int, view: int) -> np.ndarray:
        """One view of the images of these rows, made by as many threads as there are cores."""

        def look(index: int) -> np.ndarray:
            return self._look(index, seed, view)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.stack(list(pool.map(look, indices.tolist()))).astype(self.dtype)

    def _look(self, index: int, seed: int, view: int) -> np.ndarray:
        pixels, digest = self._pixels(index)
        if self.augmentation is not None:
            pixels = apply_to(self.augmentation, pixels, seed, digest, view)
        if self.copies.folder is not None:
            self.copies.save(stretched_image(pixels, stretch=False), index, view)
        values = pixels.astype(np.float32)
        if self.scale != 1:
            values *= np.float32(self.scale)
        return self.steps.standardize(values.transpose(2, 0, 1) if self.steps.data_format == _FIRST else values)

    def _pixels(self, index: int) -> tuple[np.ndarray, bytes]:
        """The pixels as they are, and the digest of their content."""
        if self.decoding is None:
            assert self.rows.images is not None
            pixels = self.rows.images[index]
            return pixels, digest_pixels(pixels)
        data = read(self.rows.filepaths[index])
        return decode(data, self.decoding, name=self.rows.filepaths[index]), blake3(data).digest()

    def digests(self) -> Iterable[bytes]:
        """What tells the images apart, 32 bytes each."""
        if self.decoding is None:
            assert self.rows.images is not None
            return map(digest_pixels, self.rows.images)
        return (blake3(read(path)).digest() for path in self.rows.filepaths)


def apply_to(augmentation: Augmentation, pixels: np.ndarray, seed: int, image: bytes, view: int) -> np.ndarray:
    """One view of an image, uint8 in and out."""
    numbers: Draw = augmentation.draw(seed, image, view, image_size=pixels.shape[:2])
    return augmentation.transform(pixels, numbers)


def keras_loading(target_size: tuple[int, int], color_mode: str, interpolation: str, keep: bool) -> dict[str, Any]:
    """Options of `load_image`."""
    check_word("color_mode", color_mode, CHANNELS)
    check_word("interpolation", interpolation, RESAMPLINGS)
    size = tuple(target_size)
    return {
        "target_size": size,
        "color_mode": color_mode,
        "interpolation": interpolation,
        "keep_aspect_ratio": keep,
    }


def keras_decoding(target_size: tuple[int, int], color_mode: str, interpolation: str, keep: bool) -> Decoding:
    """thawline's decoding under Keras' words: averaging is called "box" there."""
    words: Any = (color_mode, {"box": "area"}.get(interpolation, interpolation))
    size: Any = tuple(target_size)
    return Decoding(size, *words, resize="crop" if keep else "stretch")


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


def digest_pixels(pixels: np.ndarray) -> bytes:
    """What tells one array of pixels from another, 32 bytes."""
    return blake3(np.ascontiguousarray(pixels).data).digest()


def read(path: str) -> bytes:
    """A file's bytes, or an error that names it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read: {error.strerror}. Check the file.") from error
