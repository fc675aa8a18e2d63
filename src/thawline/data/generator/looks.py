"""Where the pixels of a generator's iterator come from: Keras' way, or thawline's own."""

import io
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from blake3 import blake3
from PIL import Image

from thawline.data.augment import Augmentation
from thawline.data.decode import Decoding
from thawline.data.generator.drawing import ViewDraw, drawing, place_key
from thawline.data.generator.float_images import as_eight_bits, transform_values
from thawline.data.generator.rows import Rows
from thawline.data.generator.targets import stack_labels
from thawline.data.legacy import CHANNELS, RESAMPLINGS, LegacyTransform, check_word, load_image, stretched_image
from thawline.data.sources.pictures import ArrayPictures, Pictures
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.specs import ValueRange

_FIRST = "channels_first"

# Marks of copies are below this, as in Keras.
_MARKS = 10_000_000

# Formats of copies that hold neither transparency nor, as GIF does, anything but a palette.
_WITHOUT_ALPHA = ("JPEG", "BMP", "PPM")


class Generator(Protocol):
    """The settings and methods of an `ImageDataGenerator` that its iterators use.

    Attributes:
        data_format: "channels_last" or "channels_first".
        dtype: of images.
        legacy: whether pixels and draws are Keras'.
        validation_split: the share of the validation subset.
    """

    data_format: str
    dtype: str
    legacy: bool
    validation_split: float

    @property
    def overridden(self) -> frozenset[str]:
        """The methods that a subclass has its own of, out of those that iterators call."""

    def settled(self, *, is_validation: bool) -> Augmentation:
        """The augmentation with the arguments that are set now."""

    def check_fitted(self) -> None:
        """Raises ArgumentError where statistics are needed and not there."""

    def keras_transform(self) -> LegacyTransform:
        """Keras' transform with the arguments that are set now."""

    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> dict[str, Any]:
        """Draws the numbers of one look."""

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """Moves and colours an image."""

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Draws and applies."""

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Scales and centres an image."""


def call_methods(
    generator: Generator, image: np.ndarray, draws: AbstractContextManager[None], *, is_validation: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """An image by the methods of a user's subclass, in the order in which Keras' iterators call them.

    `random_transform`, which Keras 2 called, takes the place of the two methods that it stands for.

    Returns:
        The image before and after `standardize`.
    """
    with draws:
        if is_validation:
            moved = image
        elif "random_transform" in generator.overridden:
            moved = generator.random_transform(image)
        else:
            moved = generator.apply_transform(image, generator.get_random_transform(image.shape))
        # Keras' own standardize works in place.
        return moved, np.asarray(generator.standardize(np.array(moved)))


@dataclass(frozen=True)
class Copies:
    """Where copies of the images go that an iterator gives, or nowhere.

    Attributes:
        folder: an existing folder, or None for no copies.
        prefix: what their names begin with.
        ending: their format by the ending of their names: "png", "jpeg", "tif", ...

    Raises:
        ArgumentError: there is no such folder, or Pillow writes no such format.
    """

    folder: str | os.PathLike[str] | None = None
    prefix: str = ""
    ending: str = "png"

    def __post_init__(self) -> None:
        if self.folder is None:
            return
        if not Path(self.folder).is_dir():
            raise ArgumentError(f"save_to_dir={str(self.folder)!r} is no folder. Make it first, or correct the path.")
        if self._format not in Image.SAVE:
            known = sorted(ending[1:] for ending, form in Image.registered_extensions().items() if form in Image.SAVE)
            raise ArgumentError(f"save_format is one of {', '.join(known)}; got {self.ending!r}.")

    @property
    def _format(self) -> str:
        ending = str(self.ending).lower().removeprefix(".")
        return Image.registered_extensions().get(f".{ending}", ending.upper())

    def save(self, image: Image.Image, index: int, mark: int) -> None:
        """Writes one copy, named by the image's index and a mark."""
        data = io.BytesIO()
        fits = image.convert("RGB") if image.mode == "RGBA" and self._format in _WITHOUT_ALPHA else image
        fits.save(data, format=self._format)
        Path(self.folder or ".", f"{self.prefix}_{index}_{mark}.{self.ending}").write_bytes(data.getvalue())


@dataclass(frozen=True)
class KerasLooks:
    """Pixels as Keras gives them.

    Attributes:
        rows: the images.
        generator: what happens to them.
        loading: how files are loaded: the options of `load_image`.
        copies: where stretched copies go.
    """

    rows: Rows
    generator: Generator
    loading: Mapping[str, Any] = field(default_factory=dict)
    copies: Copies = Copies()

    @property
    def dtype(self) -> str:
        """Of images and, as in Keras, of answers."""
        return self.generator.dtype

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image."""
        if self.rows.images is not None:
            return shape_of(self.rows.images)
        return ordered((*self.loading["target_size"], CHANNELS[self.loading["color_mode"]]), self.generator.data_format)

    def images(self, indices: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """The images of these rows, each with the next numbers of the stream."""
        transform = self.generator.keras_transform()
        batch = np.zeros((len(indices), *self.image_shape), self.dtype)
        for place, index in enumerate(indices):
            image = self._pixels(index)
            if self.generator.overridden:
                batch[place] = call_methods(self.generator, image, drawing(random))[1]
            else:
                batch[place] = transform.standardize(transform.apply(image, transform.draw(image.shape, random)))
        if self.copies.folder is not None:
            # Keras draws the marks from the stream too: they move the order of the next epoch.
            highest = 10_000 if self.rows.images is not None else 10_000_000
            for image, index in zip(batch, indices, strict=True):
                picture = stretched_image(channels_last(image, self.generator.data_format))
                self.copies.save(picture, int(index), random.randint(highest))
        return batch

    def _pixels(self, index: int) -> np.ndarray:
        if self.rows.images is not None:
            given: np.ndarray = self.rows.images[index].astype(self.dtype)
            return given
        image = load_image(self.rows.filepaths[index], **self.loading)
        return image.transpose(2, 0, 1) if self.generator.data_format == _FIRST else image


@dataclass(frozen=True)
class OwnLooks:
    """Pixels as thawline gives them: decoded and augmented as uint8, or as floats where arrays hold others.

    Attributes:
        rows: the images that were listed; arrays lie channels last.
        pictures: their pixels and digests; None for floats, which are the images of `rows`.
        kept: int64, the rows that are shown.
        generator: what happens to them; it may be nothing.
        value_range: of floats, see `float_images.range_of`.
        copies: where copies go.
        is_validation: whether they are the validation side of a split.
    """

    rows: Rows
    pictures: Pictures | None
    kept: np.ndarray
    generator: Generator
    value_range: ValueRange = (0.0, 255.0)
    copies: Copies = Copies()
    is_validation: bool = False

    @property
    def dtype(self) -> str:
        """Of images; answers are float32."""
        return self.generator.dtype

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of every image."""
        shape = shape_of(self.rows.images) if self.pictures is None else self.pictures.shape
        return ordered(shape, self.generator.data_format)

    # -- for a Stack -----------------------------------------------------------------------------------------

    def source(self, batch_size: int, seed: int) -> ImageSource:
        """The same images for a Stack.

        Raises:
            ArgumentError: a Stack cannot take them; the message says why.
            DataError: answers are no numbers, or weights are negative.
        """
        augmentation = self.generator.settled(is_validation=self.is_validation)
        self._check_for_stack(augmentation)
        self.generator.check_fitted()
        pictures, scale = self._eight_bits()
        factor = scale * (augmentation.rescale or 1.0)
        source = ImageSource(
            pictures,
            stack_labels(self.rows, pictures.shape, factor),
            batch_size=batch_size,
            seed=seed,
            weights=self.rows.weights,
        ).select(self.kept)
        if scale != 1:
            # Its words for values are in the units of the fractions.
            units = {name: getattr(augmentation, name) / scale for name in ("channel_shift_range", "cval")}
            augmentation = replace(augmentation, rescale=factor, **units)
        source.augmentation = None if augmentation.is_identity else augmentation
        source.is_validation = self.is_validation
        return source

    def _eight_bits(self) -> tuple[Pictures, float]:
        """The pictures as pixels, and the factor that leads back to the values given."""
        if self.pictures is not None:
            return self.pictures, 1.0
        assert self.rows.images is not None
        pixels = as_eight_bits(self.rows.images)
        if pixels is None:
            low, high = self.value_range
            raise ArgumentError(
                f"A Stack takes pixels of 8 bits, but flow() got other values, from {low:g} to {high:g}. Round them "
                "to uint8 from 0 to 255, or use keras.Model.fit, which sees the values as they are."
            )
        return ArrayPictures(pixels), 1 / 255

    def _check_for_stack(self, augmentation: Augmentation) -> None:
        if self.generator.overridden:
            raise ArgumentError(
                f"A Stack does not call methods of a subclass, but {type(self.generator).__name__} has its own "
                f"{' and '.join(sorted(self.generator.overridden))}. Use keras.Model.fit, or "
                "ImageFolder(...).augment(functions=[...])."
            )
        if self.generator.data_format == _FIRST:
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
        if self.pictures is None and augmentation.preprocessing_function is not None:
            raise ArgumentError(
                "preprocessing_function gets pixels from 0 to 255 in a Stack, but flow() got fractions. Give flow() "
                "pixels, like (images * 255).round().astype('uint8')."
            )

    # -- for Keras -------------------------------------------------------------------------------------------

    def images(self, indices: np.ndarray, seed: int, view: int, threads: int) -> np.ndarray:
        """One view of the images with these places in `kept`, made by so many threads."""
        augmentation = self.generator.settled(is_validation=self.is_validation)
        self.generator.check_fitted()

        # Functions and methods of users need not stand several threads, and may draw from NumPy's generator: they are
        # called one image after the other, as Keras does.
        if self.generator.overridden:
            looks = [self._look_by_methods(index, seed, view) for index in indices.tolist()]
            return np.stack(looks).astype(self.dtype)

        def move(index: int) -> np.ndarray:
            return self._moved(index, seed, view, augmentation)

        def finish(pixels: np.ndarray) -> np.ndarray:
            return self._standardized(pixels, augmentation)

        with ThreadPoolExecutor(threads) as pool:
            if augmentation.preprocessing_function is None:
                made = pool.map(lambda index: finish(move(index)), indices.tolist())
            else:
                made = map(finish, pool.map(move, indices.tolist()))
            return np.stack(list(made)).astype(self.dtype)

    def _moved(self, index: int, seed: int, view: int, augmentation: Augmentation) -> np.ndarray:
        pixels = self._values(int(self.kept[index]))
        if augmentation.is_random:
            numbers = augmentation.draw(seed, place_key(index), view, image_size=pixels.shape[:2])
            if self.pictures is None:
                pixels = transform_values(pixels, numbers, augmentation, self.value_range)
            else:
                pixels = augmentation.transform(pixels, numbers)
        self._save(pixels, index, seed, view)
        return pixels

    def _standardized(self, pixels: np.ndarray, augmentation: Augmentation) -> np.ndarray:
        values = augmentation.standardize(pixels if self.pictures is None else pixels.astype(np.float32))
        return values.transpose(2, 0, 1) if self.generator.data_format == _FIRST else values

    def _look_by_methods(self, index: int, seed: int, view: int) -> np.ndarray:
        given = self._values(int(self.kept[index])).astype(np.float32)
        image = given.transpose(2, 0, 1) if self.generator.data_format == _FIRST else given
        draws = drawing(ViewDraw(seed, index, view))
        moved, values = call_methods(self.generator, image, draws, is_validation=self.is_validation)
        self._save(channels_last(moved, self.generator.data_format), index, seed, view)
        return values

    def _values(self, row: int) -> np.ndarray:
        if self.pictures is not None:
            return self.pictures.pixels(row)[0]
        assert self.rows.images is not None
        return np.array(self.rows.images[row], np.float32)

    def _save(self, pixels: np.ndarray, index: int, seed: int, view: int) -> None:
        if self.copies.folder is None:
            return
        if pixels.dtype != np.uint8:
            low, high = self.value_range
            pixels = ((pixels - low) * (255 / ((high - low) or 1))).clip(0, 255).round()
        self.copies.save(stretched_image(pixels, stretch=False), index, _mark(index, seed, view))


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

    def settings(self) -> dict[str, Any]:
        """The words, as Keras' iterators have them as attributes."""
        return asdict(self)

    def loading(self) -> dict[str, Any]:
        """Options of `load_image`."""
        check_word("color_mode", self.color_mode, CHANNELS)
        check_word("interpolation", self.interpolation, RESAMPLINGS)
        return self.settings()

    def decoding(self) -> Decoding:
        """thawline's decoding."""
        words: Any = (self.color_mode, {"box": "area"}.get(self.interpolation, self.interpolation))
        return Decoding(self.target_size, *words, resize="crop" if self.keep_aspect_ratio else "stretch")


def _mark(index: int, seed: int, view: int) -> int:
    """A number that tells copies apart: those of one iterator, and those of several that write into one folder."""
    key = b"".join(number.to_bytes(8, "little") for number in (seed, index, view))
    return int.from_bytes(blake3(key, derive_key_context="thawline copy").digest(length=8), "little") % _MARKS


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
