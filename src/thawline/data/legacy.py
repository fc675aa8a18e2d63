"""The pixels and the random numbers of Keras 3.15.1's ImageDataGenerator, without its side effects.

For results that were published, or models that are compared, with Keras' generator. Everything is reproduced that
decides what a picture looks like: the order of the draws, the affine that moves pictures along the wrong axis and
turns them about the wrong centre, brightness through an 8-bit copy, Pillow's loading. What is not reproduced is where
the numbers come from: a private `numpy.random.RandomState` with the same seed gives the same numbers, and NumPy's
global generator is neither read nor written. New work should use `thawline.Augmentation`, which has those errors
mended and is several times as fast.

SciPy does the affine (`pip install 'thawline[legacy]'`); it is imported on first use.
"""

import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from thawline.errors import ArgumentError, DataError, MissingDependencyError, UnreadableImageError

# Pillow's names for what Keras calls interpolation when a file is loaded.
RESAMPLINGS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "hamming": Image.Resampling.HAMMING,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}

# Endings of the files that Keras lists; compared without the dot, as there: "notjpg" counts.
KERAS_ENDINGS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

# The modes that count as done for each colour mode, and the mode that others are converted to.
_MODES = {
    "grayscale": (("L", "I;16", "I"), "L"),
    "rgb": (("RGB",), "RGB"),
    "rgba": (("RGBA",), "RGBA"),
}
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}

# Keras adds this to every standard deviation before it divides.
_TINY = 1e-6

_CHANNEL_AXIS = {"channels_last": 2, "channels_first": 0}

Preprocessing = Callable[[np.ndarray], np.ndarray]


@dataclass
class LegacyTransform:
    """What Keras' generator does to one image, with its arguments.

    Attributes:
        rotation_range, width_shift_range, ..., interpolation_order: as in `keras...ImageDataGenerator`, with its
            meanings: `height_shift_range` moves pictures sideways, shear is in degrees, zoom has no lower guard.
        data_format: "channels_last" or "channels_first".
        dtype: of the arrays that `fit` works on.
        mean, std, zca_whitening_matrix: what `fit` found, or None.

    Raises:
        ArgumentError: a range is not a number or a pair, or `data_format` is not known.

    Example:
        >>> legacy = LegacyTransform(rotation_range=20, horizontal_flip=True)
        >>> numbers = legacy.draw((150, 150, 3), np.random.RandomState(7))
        >>> round(numbers["theta"], 3), bool(numbers["flip_horizontal"])
        (-16.948, False)
    """

    featurewise_center: bool = False
    samplewise_center: bool = False
    featurewise_std_normalization: bool = False
    samplewise_std_normalization: bool = False
    zca_whitening: bool = False
    zca_epsilon: float = 1e-6
    rotation_range: float = 0
    width_shift_range: float | Sequence[float] = 0.0
    height_shift_range: float | Sequence[float] = 0.0
    brightness_range: Sequence[float] | None = None
    shear_range: float = 0.0
    zoom_range: float | Sequence[float] = 0.0
    channel_shift_range: float = 0.0
    fill_mode: str = "nearest"
    cval: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    rescale: float | None = None
    preprocessing_function: Preprocessing | None = None
    data_format: str = "channels_last"
    interpolation_order: int = 1
    dtype: str = "float32"
    mean: np.ndarray | None = field(default=None, init=False)
    std: np.ndarray | None = field(default=None, init=False)
    zca_whitening_matrix: np.ndarray | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.data_format not in _CHANNEL_AXIS:
            raise ArgumentError(f"data_format is 'channels_last' or 'channels_first'; got {self.data_format!r}.")
        zoom = self.zoom_range
        if isinstance(zoom, int | float):
            self.zoom_range = (1 - zoom, 1 + zoom)
        elif len(zoom) != 2 or not all(isinstance(bound, int | float) for bound in zoom):
            raise ArgumentError(f"zoom_range is a number or a pair (low, high) of numbers; got {zoom!r}.")
        bounds = self.brightness_range
        if bounds is not None and (not isinstance(bounds, tuple | list) or len(bounds) != 2):
            raise ArgumentError(f"brightness_range is a pair (low, high) of numbers; got {bounds!r}.")
        for implied, implying in (
            ("featurewise_center", "zca_whitening"),
            ("featurewise_center", "featurewise_std_normalization"),
            ("samplewise_center", "samplewise_std_normalization"),
        ):
            if getattr(self, implying) and not getattr(self, implied):
                warnings.warn(f"{implying} switches {implied} on.", stacklevel=3)
                setattr(self, implied, True)
        if self.zca_whitening and self.featurewise_std_normalization:
            warnings.warn("zca_whitening switches featurewise_std_normalization off.", stacklevel=3)
            self.featurewise_std_normalization = False

    # -- random numbers --------------------------------------------------------------------------------------

    def draw(self, shape: tuple[int, ...], random: np.random.RandomState) -> dict[str, Any]:
        """The numbers of one look at one image, in the order in which Keras draws them.

        The order is theta; height; width; shear; both zooms; both flips, which are drawn also when they are off;
        channel shift; brightness. Anything else that is off draws nothing.

        Args:
            shape: the image's shape, for shifts given as fractions.
            random: where the numbers come from; it moves on.

        Returns:
            Keras' dictionary: theta and shear in degrees, tx (from `height_shift_range`) and ty in pixels, factors
            zx and zy, flip_horizontal, flip_vertical, channel_shift_intensity and brightness or None.
        """
        height, width = (shape[1], shape[2]) if self.data_format == "channels_first" else (shape[0], shape[1])

        def around_zero(reach: float) -> float:
            return random.uniform(-reach, reach) if reach else 0

        low, high = self._zoom_bounds
        theta = around_zero(self.rotation_range)
        tx = _draw_shift(self.height_shift_range, height, random)
        ty = _draw_shift(self.width_shift_range, width, random)
        shear = around_zero(self.shear_range)
        zx, zy = (1, 1) if low == high == 1 else random.uniform(low, high, 2)
        flips = [random.random_sample() < 0.5, random.random_sample() < 0.5]
        return {
            "theta": theta,
            "tx": tx,
            "ty": ty,
            "shear": shear,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": flips[0] * self.horizontal_flip,
            "flip_vertical": flips[1] * self.vertical_flip,
            "channel_shift_intensity": around_zero(self.channel_shift_range) if self.channel_shift_range else None,
            "brightness": None if self.brightness_range is None else _between(self.brightness_range, random),
        }

    @property
    def _zoom_bounds(self) -> tuple[float, float]:
        low, high = self.zoom_range  # type: ignore[misc]  # a pair since __post_init__
        return low, high

    # -- pixels ----------------------------------------------------------------------------------------------

    def apply(self, image: np.ndarray, numbers: dict[str, Any]) -> np.ndarray:
        """The image as the numbers say: affine, channel shift, flips, brightness, in this order.

        Args:
            image: (height, width, channels), or channels first, of any dtype; it is not changed.
            numbers: as from `draw`; what is missing does nothing.

        Returns:
            An array of the same shape; the image itself when nothing happens to it.
        """
        axis = _CHANNEL_AXIS[self.data_format]
        image = self._affine(image, numbers, axis)
        if (offset := numbers.get("channel_shift_intensity")) is not None:
            # Channels lie one after the other in memory, as in Keras: sums over the image add up in that order.
            planes = np.ascontiguousarray(np.moveaxis(image, axis, 0))
            image = np.moveaxis(np.clip(planes + offset, planes.min(), planes.max()), 0, axis)
        rows, columns = (1, 2) if axis == 0 else (0, 1)
        if numbers.get("flip_horizontal", False):
            image = np.flip(image, columns)
        if numbers.get("flip_vertical", False):
            image = np.flip(image, rows)
        if (factor := numbers.get("brightness")) is not None:
            image = _brighten(image, factor)
        return image

    def _affine(self, image: np.ndarray, numbers: dict[str, Any], channel_axis: int) -> np.ndarray:
        planes = np.moveaxis(image, channel_axis, 0)
        matrix = legacy_matrix(numbers, (planes.shape[1], planes.shape[2]))
        if matrix is None:
            return image
        ndimage = _import_ndimage()
        try:
            moved = [
                ndimage.affine_transform(
                    plane,
                    matrix[:2, :2],
                    matrix[:2, 2],
                    order=self.interpolation_order,
                    mode=self.fill_mode,
                    cval=self.cval,
                )
                for plane in planes
            ]
        except RuntimeError as error:
            raise ArgumentError(
                f"fill_mode={self.fill_mode!r} with interpolation_order={self.interpolation_order!r}: SciPy says "
                f"{error}. Use 'nearest', 'constant', 'reflect' or 'wrap' and an order from 0 to 5."
            ) from error
        return np.moveaxis(np.stack(moved), 0, channel_axis)

    def standardize(self, image: np.ndarray) -> np.ndarray:
        """Preprocessing function, rescale, samplewise, featurewise, ZCA, in Keras' order.

        Args:
            image: float (..., height, width, channels), one image or several; it is changed in place.

        Returns:
            The same array, unless the preprocessing function or ZCA gave another.
        """
        if self.preprocessing_function:
            image = self.preprocessing_function(image)
        if self.rescale:
            image *= self.rescale
        if self.samplewise_center:
            image -= np.mean(image, keepdims=True)
        if self.samplewise_std_normalization:
            image /= np.std(image, keepdims=True) + _TINY
        if (mean := self._fitted("featurewise_center", self.mean)) is not None:
            image -= mean
        if (std := self._fitted("featurewise_std_normalization", self.std)) is not None:
            image /= std + _TINY
        if (matrix := self._fitted("zca_whitening", self.zca_whitening_matrix)) is not None:
            flat = image.reshape(-1, math.prod(image.shape[-3:]))
            image = (flat @ matrix).reshape(image.shape)
        return image

    def _fitted(self, argument: str, found: np.ndarray | None) -> np.ndarray | None:
        """What `fit` found for an argument that is on; None when it is off or, with a warning, was never fitted."""
        if not getattr(self, argument):
            return None
        if found is None:
            warnings.warn(f"{argument} does nothing before fit(images) was called.", stacklevel=4)
        return found

    # -- statistics ------------------------------------------------------------------------------------------

    def fit(self, images: np.ndarray, random: np.random.RandomState, *, augment: bool = False, rounds: int = 1) -> None:
        """Takes mean, standard deviation and the ZCA matrix from images.

        They are rescaled first and never go through the preprocessing function, as in Keras.

        Args:
            images: (n, height, width, channels), or channels first, of any dtype.
            random: where the numbers of `augment` come from.
            augment: whether each image is augmented first.
            rounds: how many augmented copies of each image are used.

        Raises:
            DataError: the array has not four axes.
        """
        images = np.array(images, dtype=self.dtype)
        if images.ndim != 4:
            raise DataError(
                f"fit() takes images as one array with four axes, (n, height, width, channels); got {images.shape}."
            )
        if self.rescale:
            images *= self.rescale
        if augment:
            copies = [self.apply(image, self.draw(image.shape, random)) for _ in range(rounds) for image in images]
            # In C order, as in Keras: sums over the images add up in the order of memory.
            images = np.stack(copies, out=np.empty((len(copies), *images.shape[1:]), self.dtype), casting="unsafe")
        channel_axis = _CHANNEL_AXIS[self.data_format] + 1
        others = tuple(axis for axis in range(4) if axis != channel_axis)
        shape = [images.shape[axis] if axis == channel_axis else 1 for axis in range(1, 4)]
        if self.featurewise_center:
            self.mean = np.mean(images, axis=others).reshape(shape)
            images -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.std(images, axis=others).reshape(shape)
            images /= self.std + _TINY
        if self.zca_whitening:
            flat = images.reshape(len(images), -1)
            axes, strengths, _ = np.linalg.svd(flat.T, full_matrices=False)
            scales = np.sqrt(len(images)) / (strengths + self.zca_epsilon)
            self.zca_whitening_matrix = (axes * scales).dot(axes.T)


def legacy_matrix(numbers: dict[str, Any], image_size: tuple[int, int]) -> np.ndarray | None:
    """Keras' affine from output to input coordinates (row, column), float64 (3, 3), or None when nothing moves.

    M = C R(theta) T(tx, ty) S(shear) Z(zx, zy) C^-1 is composed for (x, y) and then changes its rows and its columns,
    although tx was drawn along the rows and C built as (height, width): hence pictures that move along the other axis,
    and turn about a point that is the centre of square images only.

    Example:
        >>> legacy_matrix({"tx": 3}, (10, 20))[:2, 2].tolist()
        [0.0, 3.0]
    """
    theta, shear = np.deg2rad(numbers.get("theta", 0)), np.deg2rad(numbers.get("shear", 0))
    tx, ty, zx, zy = (numbers.get(name, start) for name, start in (("tx", 0), ("ty", 0), ("zx", 1), ("zy", 1)))
    if (theta, tx, ty, shear, zx, zy) == (0, 0, 0, 0, 1, 1):
        return None
    centre_y, centre_x = (float(side) / 2 - 0.5 for side in image_size)
    factors = [
        [[1, 0, centre_y], [0, 1, centre_x], [0, 0, 1]],
        _product(
            [[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]],
            [[1, 0, tx], [0, 1, ty], [0, 0, 1]],
            [[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]],
            [[zx, 0, 0], [0, zy, 0], [0, 0, 1]],
        ),
        [[1, 0, -centre_y], [0, 1, -centre_x], [0, 0, 1]],
    ]
    swapped: np.ndarray = _product(*factors)[[1, 0, 2]][:, [1, 0, 2]]
    return swapped


def load_image(
    path: str | Path,
    *,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> np.ndarray:
    """Pixels of one file as Keras' `load_img` gives them: float32 (height, width, channels), 0 to 255.

    The orientation in EXIF is not applied, 16-bit RGB saturates, and nothing is scaled: 16-bit grey goes to 65535.

    Args:
        path: a file that Pillow can read.
        color_mode: "rgb", "rgba" or "grayscale".
        target_size: height and width; None keeps the file's.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos".
        keep_aspect_ratio: whether the centre is cut out first, in the shape of `target_size`.

    Raises:
        ArgumentError: a word is not known.
        UnreadableImageError: Pillow cannot read the file.
    """
    check_word("color_mode", color_mode, _MODES)
    check_word("interpolation", interpolation, RESAMPLINGS)
    try:
        image: Image.Image = Image.open(io.BytesIO(Path(path).read_bytes()))
        kept, wanted = _MODES[color_mode]
        if image.mode not in kept:
            image = image.convert(wanted)
        if target_size is not None and image.size != target_size[::-1]:
            box = _centre_box(image.size, target_size) if keep_aspect_ratio else None
            image = image.resize(target_size[::-1], RESAMPLINGS[interpolation], box=box)
        pixels = np.asarray(image, dtype=np.float32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{path}: cannot be read: {error}. Replace the file or take it out.") from error
    return pixels.reshape(*pixels.shape[:2], -1)


def stretched_image(pixels: np.ndarray, *, stretch: bool = True) -> Image.Image:
    """A picture of an array as Keras' `array_to_img` makes it.

    Args:
        pixels: (height, width, channels), 1, 3 or 4 channels.
        stretch: whether the smallest value becomes 0 and the largest 255; otherwise fractions are cut off.

    Raises:
        ArgumentError: another number of channels.
    """
    pixels = np.asarray(pixels, dtype=np.float32)
    channels = pixels.shape[2]
    if channels not in (1, 3, 4):
        raise ArgumentError(
            f"A picture has 1, 3 or 4 channels on its last axis; got {channels}. Brightness and saved copies need "
            "data_format='channels_last', in Keras' generator as here."
        )
    if stretch:
        pixels = pixels - np.min(pixels)
        if (highest := np.max(pixels)) != 0:
            pixels /= highest
        pixels *= 255
    return Image.fromarray(pixels.astype(np.uint8)[:, :, 0] if channels == 1 else pixels.astype(np.uint8))


def check_word(argument: str, value: object, allowed: Sequence[Any] | dict[str, Any]) -> None:
    """Refuses a word that is not among those allowed."""
    if value not in allowed:
        raise ArgumentError(f"{argument} is one of {', '.join(map(repr, allowed))}; got {value!r}.")


def _between(bounds: Sequence[float], random: np.random.RandomState) -> float:
    low, high = bounds
    return random.uniform(low, high)


def _draw_shift(reach: float | Sequence[float], side: int, random: np.random.RandomState) -> Any:
    """Pixels: an element of a list with a random sign, a whole number below an int, or uniform for a float."""
    if isinstance(reach, int | float) and not reach:
        return 0
    if isinstance(reach, Integral) or np.ndim(reach):
        shift: Any = random.choice(reach)
        shift *= random.choice([-1, 1])
    else:
        shift = random.uniform(-reach, reach)  # type: ignore[operator]  # a float
    return shift * side if np.max(reach) < 1 else shift


def _brighten(image: np.ndarray, factor: float) -> np.ndarray:
    """Brightness on an 8-bit copy. What goes beyond 0..255 is stretched to it first, and back afterwards."""
    lowest, highest = np.min(image), np.max(image)
    is_beyond = bool(lowest < 0 or highest > 255)
    picture = ImageEnhance.Brightness(stretched_image(image, stretch=is_beyond)).enhance(factor)
    pixels = np.asarray(picture, dtype=np.float32).reshape(image.shape)
    return pixels / 255 * (highest - lowest) + lowest if is_beyond else pixels


def _centre_box(size: tuple[int, int], target_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box of the target's shape in the middle: left, upper, right, lower."""
    width, height = size
    target_height, target_width = target_size
    kept_height = min(height, width * target_height // target_width)
    kept_width = min(width, height * target_width // target_height)
    left, upper = (width - kept_width) // 2, (height - kept_height) // 2
    return left, upper, left + kept_width, upper + kept_height


def _product(*matrices: Any) -> np.ndarray:
    product: np.ndarray = reduce(np.dot, map(np.asarray, matrices))
    return product


def _import_ndimage() -> ModuleType:
    try:
        return import_module("scipy.ndimage")
    except ImportError as error:
        raise MissingDependencyError(
            "legacy=True moves pixels with SciPy, which is not installed: run  pip install 'thawline[legacy]'."
        ) from error
