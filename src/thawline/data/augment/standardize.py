"""From pixels to what a model's input wants: float32, scaled, centred, whitened; nothing of it is left to chance.

Order: `preprocessing_function`, `rescale`, samplewise, featurewise, ZCA. `measure` takes the statistics in the same
order, which ImageDataGenerator's `fit` does not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from thawline.errors import ArgumentError, DataError
from thawline.source_code import digest_arrays
from thawline.specs import PIXELS

# The largest pixel.
_BRIGHTEST = PIXELS[1]

# Keras': what is added to a standard deviation before it divides.
EPSILON = 1e-6

# Values of one image. ZCA's matrix has the square of it; at 64x64x3 that is 0.6 GB, and minutes to compute.
MAX_WHITENED = 64 * 64 * 3


@dataclass(frozen=True, eq=False)
class Statistics:
    """What `Augmentation.fit` measured on training images. Plain arrays; equal when their values are.

    Attributes:
        mean: float32 (channels,), the mean of each channel.
        std: float32 (channels,), the standard deviation of each channel.
        whitening: float32 (values, values) for images of so many values, or None without ZCA.
    """

    mean: np.ndarray
    std: np.ndarray
    whitening: np.ndarray | None = None

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that stand for the values."""
        return digest_arrays([self.mean, self.std, *([] if self.whitening is None else [self.whitening])])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def prepare(
    image: np.ndarray,
    *,
    function: Callable[[np.ndarray], np.ndarray] | None,
    rescale: float | None,
    centre: bool,
    scale: bool,
) -> np.ndarray:
    """The part that needs no statistics: float32 of the image's shape, always an array of its own.

    Raises:
        DataError: the function gives something that is not an array of numbers of the same shape.
        ArgumentError: the function scales pixels itself, and a factor is given, too.
    """
    if function is not None:
        if rescale is not None:
            _refuse_scaled(function, image.shape)
        values = _call(function, image.astype(np.float32))
        if rescale is not None:
            values *= np.float32(rescale)
    else:
        # One pass: both make float32 of a pixel, then multiply.
        values = np.multiply(image, np.float32(1 if rescale is None else rescale), dtype=np.float32)
    if centre:
        values -= values.mean()
    if scale:
        values /= values.std() + np.float32(EPSILON)
    return values


def featurewise(values: np.ndarray, statistics: Statistics, *, centre: bool, scale: bool, whiten: bool) -> np.ndarray:
    """The part that needs statistics, float32 (height, width, channels) in and out."""
    if centre:
        values = values - statistics.mean
    if scale:
        values = values / (statistics.std + np.float32(EPSILON))
    if whiten and statistics.whitening is not None:
        if values.size != len(statistics.whitening):
            raise DataError(
                f"zca_whitening was fitted on images of {len(statistics.whitening):,} values; this one is "
                f"{values.shape} with {values.size:,}. Fit again with images of the size that is used."
            )
        values = (values.reshape(1, -1) @ statistics.whitening).reshape(values.shape)
    return values


def measure(images: Iterable[np.ndarray], *, zca_epsilon: float | None) -> Statistics:
    """Mean and standard deviation per channel, and the ZCA matrix.

    The matrix is U diag(sqrt(n) / (s + epsilon)) U^T with U and s from the singular value decomposition of the n
    centred images as columns: that of Keras' `ImageDataGenerator.fit`. For it, all images are held at once.

    Args:
        images: float32 (height, width, channels) each, all of one shape.
        zca_epsilon: None for no ZCA.

    Raises:
        DataError: there are no images, or their shapes differ.
        ArgumentError: the images are too large for ZCA.
    """
    shape: tuple[int, ...] = ()
    count = 0
    total = squares = np.zeros(0)
    rows = []
    for image in images:
        if count == 0:
            shape = image.shape
            total = squares = np.zeros(shape[-1])
            if zca_epsilon is not None:
                check_whitening_size(shape)
        if image.shape != shape:
            raise DataError(f"fit() needs images of one shape; image 0 is {shape}, image {count} is {image.shape}.")
        values = image.reshape(-1, shape[-1]).astype(np.float64)
        total, squares, count = total + values.mean(0), squares + np.square(values).mean(0), count + 1
        if zca_epsilon is not None:
            rows.append(image.ravel())
    if count == 0:
        raise DataError("fit() got no images. Give it at least one, better a few hundred.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    whitening = None
    if zca_epsilon is not None:
        centred = np.stack(rows).astype(np.float64) - np.tile(mean, len(rows[0]) // len(mean))
        vectors, sizes, _ = np.linalg.svd(centred.T, full_matrices=False)
        whitening = ((vectors * (np.sqrt(count) / (sizes + zca_epsilon))) @ vectors.T).astype(np.float32)
    return Statistics(mean.astype(np.float32), std.astype(np.float32), whitening)


def check_whitening_size(shape: tuple[int, ...]) -> None:
    """Refuses ZCA for images whose matrix nobody can wait for.

    Raises:
        ArgumentError: the images have more than 64 x 64 x 3 values.
    """
    values = int(np.prod(shape))
    if values > MAX_WHITENED:
        raise ArgumentError(
            f"zca_whitening of images of {' x '.join(map(str, shape))} needs a matrix of {values:,} x {values:,} "
            f"numbers, {4 * values**2 / 1e9:.1f} GB. It is taken up to 64 x 64 x 3 (0.6 GB). Use smaller images, or "
            "featurewise_std_normalization."
        )


def _call(function: Callable[[np.ndarray], Any], values: np.ndarray) -> np.ndarray:
    result = np.asarray(function(values))
    if result.shape != values.shape or result.dtype.kind not in "fiu":
        raise DataError(
            f"preprocessing_function {getattr(function, '__name__', function)!r} expects to give numbers of shape "
            f"{values.shape}, as it got them, but gave {result.dtype} {result.shape}. Return an array of the image's "
            "shape."
        )
    # One of its own: what comes next works in place, and the function may have kept what it gave.
    return np.array(result, np.float32)


def _refuse_scaled(function: Callable[[np.ndarray], Any], shape: tuple[int, ...]) -> None:
    """Refuses a function beside a factor when it does not keep pixels, by what it makes of all values from 0 to 255.

    `preprocess_input` of keras.applications scales or centres them; the factor would do it once more.
    """
    low, high = _answers(function, shape)
    if low >= 0 and 1 < high <= _BRIGHTEST:
        return
    raise ArgumentError(
        f"rescale and preprocessing_function exclude each other here: the function makes values from {low:.4g} to "
        f"{high:.4g} of pixels from 0 to 255, and the factor would scale them once more, which is never what "
        "keras.applications' preprocess_input wants. Drop rescale, or keep pixels from 0 to 255 in the function."
    )


@lru_cache(maxsize=64)
def _answers(function: Callable[[np.ndarray], Any], shape: tuple[int, ...]) -> tuple[float, float]:
    """The smallest and the largest value that a function makes of an image that holds all pixels from 0 to 255."""
    probe = np.linspace(0, _BRIGHTEST, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    values = _call(function, probe)
    return float(values.min()), float(values.max())
