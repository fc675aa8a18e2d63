"""Augmentation: what may happen to an image, with the words of Keras' ImageDataGenerator and a few more.

Its errors are mended: `width_shift_range` moves pictures along the width, everything turns about the true centre,
zoom factors are above zero, and statistics that were never measured are an error.
"""

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import cv2
import numpy as np

from thawline.data.augment import arguments as clean
from thawline.data.augment.colour import colour, erase
from thawline.data.augment.draw import (
    Bounds,
    Draw,
    crop_rectangle,
    erased_rectangle,
    generator,
    shift_of,
    uniform_numbers,
)
from thawline.data.augment.geometry import INTERPOLATIONS, FillMode, move
from thawline.data.augment.standardize import Statistics, featurewise, measure, prepare
from thawline.errors import ArgumentError, DataError
from thawline.source_code import describe_callable
from thawline.specs import PIXELS, ValueRange

# Raised when the same arguments begin to give other pixels, so that cached features are not taken for new ones.
# 2: shifts given as a whole number move by whole pixels.
_VERSION = 2

# What a view's pixels do not depend on as long as nothing else is on.
_WAYS = (
    "fill_mode",
    "cval",
    "mask_cval",
    "interpolation_order",
    "data_format",
    "crop_aspect_range",
    "erasing_area_range",
    "erasing_aspect_range",
    "erasing_value",
    "zca_epsilon",
    "statistics",
)
# What is the same for every view, validation images included.
_FIXED = (
    "rescale",
    "preprocessing_function",
    "samplewise_center",
    "samplewise_std_normalization",
    "featurewise_center",
    "featurewise_std_normalization",
    "zca_whitening",
)
# Positions of generators that are not the user's: noise and erased pixels.
_OWN_GENERATORS = 2


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image. Everything is off until it is asked for.

    It happens in this order: crop, affine and flips (one resampling), channel shift, brightness, contrast,
    saturation, hue, grey, blur, noise, erasing, `functions`; the result is uint8. Then, in float32 and only where
    asked for: `preprocessing_function`, `rescale`, samplewise, featurewise, ZCA.

    Attributes:
        rotation_range: degrees; the rotation is uniform in [-r, r].
        width_shift_range, height_shift_range: a float is uniform in [-s, s], below 1 as a fraction of the width or
            height, from 1 up in pixels. A whole number n gives whole pixels from -(n - 1) to n - 1. A list gives
            one of its elements with a random sign, as a fraction when all are below 1.
        shear_range: degrees; uniform in [-s, s]. Below 1 degree nothing can be seen, which is warned about.
        zoom_range: z for [1 - z, 1 + z], or (low, high); drawn for both axes on their own.
        horizontal_flip, vertical_flip: with probability one half.
        brightness_range: (low, high) of a factor on the pixel values; results are clipped to 0..255.
        fill_mode: what lies beyond the edge: "nearest", "constant", "reflect" or "wrap".
        cval: the value beyond the edge with fill_mode="constant", 0 to 255.
        channel_shift_range: grey levels; one offset for all channels, uniform in [-c, c]; clipped to 0..255, not, as
            Keras does it, to each image's own smallest and largest value, which would undo shifts of flat images.
        interpolation_order: 0 takes the nearest pixel, 1 is linear, 3 cubic (over 4 pixels; not SciPy's spline).
        data_format: None or "channels_last"; other layouts are refused.
        rescale: factor on the pixel values, last of all; None or 0 for none. A `preprocessing_function` beside it keeps
            pixels from 0 to 255; one that scales them itself is refused on the first image.
        preprocessing_function: `image -> image` of the same shape; it gets float32 from 0 to 255 of its own.
        samplewise_center: each image less its own mean.
        samplewise_std_normalization: each image centred, then divided by its own standard deviation + 1e-6.
        featurewise_center: each channel less its mean over the images given to `fit`.
        featurewise_std_normalization: centred, then divided by each channel's standard deviation + 1e-6.
        zca_whitening: centred per channel and multiplied by the whitening matrix from `fit`; up to 64 x 64 x 3.
        zca_epsilon: added to the singular values.
        contrast_range: (low, high) of a factor on the distance from each channel's mean, or c for [1 - c, 1 + c].
        saturation_range: (low, high) of a factor on the saturation (HSV), or s for [1 - s, 1 + s]; 0 is grey.
        hue_range: (low, high) in turns of the colour circle, from -1 to 1, or h for [-h, h].
        grayscale_probability: how often an image becomes grey (0.299 R + 0.587 G + 0.114 B).
        blur_range: (low, high) of a Gaussian's standard deviation in pixels, or s for [0, s].
        noise_range: (low, high) of the standard deviation, in grey levels, of normal noise, or s for [0, s].
        erasing_probability: how often a rectangle is erased.
        erasing_area_range: (low, high) of its part of the image's area.
        erasing_aspect_range: (low, high) of its width by its height.
        erasing_value: the value in it, 0 to 255, or None for random ones.
        crop_area_range: (low, high), the part of the image's area that a random crop shows, resized to the whole;
            None for no crop. Part of the one affine.
        crop_aspect_range: (low, high) of a factor between the crop's width by height and the image's; an area that
            is too large for it wins.
        functions: `(image, rng) -> image`, uint8 of the same shape in and out; `rng` is a NumPy generator of the
            view and the function's position in the list.
        mask_cval: what a mask has beyond the edge with fill_mode="constant".
        statistics: what `fit` measured.

    Raises:
        ArgumentError: a range is negative, a zoom factor would reach 0, a word is not known, or two arguments
            exclude each other.

    Example:
        >>> augmentation = Augmentation(rotation_range=20, horizontal_flip=True)
        >>> numbers = augmentation.draw(seed=7, image=b"digest", view=0, image_size=(160, 160))
        >>> -20 <= numbers.rotation <= 20
        True
        >>> augmentation.draw(7, b"digest", 0, image_size=(160, 160)) == numbers
        True
    """

    rotation_range: float = 0.0
    width_shift_range: float | Sequence[float] = 0.0
    height_shift_range: float | Sequence[float] = 0.0
    shear_range: float = 0.0
    zoom_range: float | Sequence[float] = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    brightness_range: Sequence[float] | None = None
    fill_mode: FillMode = "nearest"
    cval: float = 0.0
    channel_shift_range: float = 0.0
    interpolation_order: int = 1
    data_format: str | None = None
    rescale: float | None = None
    preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None
    samplewise_center: bool = False
    samplewise_std_normalization: bool = False
    featurewise_center: bool = False
    featurewise_std_normalization: bool = False
    zca_whitening: bool = False
    zca_epsilon: float = 1e-6
    contrast_range: float | Sequence[float] | None = None
    saturation_range: float | Sequence[float] | None = None
    hue_range: float | Sequence[float] = 0.0
    grayscale_probability: float = 0.0
    blur_range: float | Sequence[float] | None = None
    noise_range: float | Sequence[float] | None = None
    erasing_probability: float = 0.0
    erasing_area_range: Sequence[float] = (0.02, 0.33)
    erasing_aspect_range: Sequence[float] = (0.3, 3.3)
    erasing_value: float | None = None
    crop_area_range: Sequence[float] | None = None
    crop_aspect_range: Sequence[float] = (3 / 4, 4 / 3)
    functions: Sequence[Callable[[np.ndarray, np.random.Generator], np.ndarray]] = ()
    mask_cval: int = 0
    statistics: Statistics | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            cleaned = clean.check(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, cleaned)
        if 0 < self.shear_range < 1:
            warnings.warn(
                f"shear_range is in degrees: {self.shear_range:g} cannot be seen. Did you mean a value above 1?",
                stacklevel=3,
            )
        for name in ("width_shift_range", "height_shift_range"):
            if isinstance(getattr(self, name), int) and getattr(self, name) == 1:
                warnings.warn(
                    f"{name}=1 moves nothing: a whole number n gives whole pixels from -(n - 1) to n - 1. "
                    "Use 1.0 for up to one pixel, or 2 for one whole pixel.",
                    stacklevel=3,
                )
        if self.zca_whitening and self.featurewise_std_normalization:
            warnings.warn(
                "zca_whitening takes the place of featurewise_std_normalization, as in ImageDataGenerator. "
                "Drop one of the two.",
                stacklevel=3,
            )
            object.__setattr__(self, "featurewise_std_normalization", False)

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """An augmentation from words and values, as users write them.

        Raises:
            ArgumentError: a word is not known (the nearest known one is named), or a value cannot work.
        """
        known = [field.name for field in fields(cls)]
        for word in arguments:
            if word not in known:
                near = difflib.get_close_matches(word, known, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(known)}."
                raise ArgumentError(f"augment() has no argument {word!r}. {hint}")
        return cls(**arguments)

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def is_random(self) -> bool:
        """Whether two views of an image may differ."""
        return self._differs(leaving_out=(*_WAYS, *_FIXED))

    @property
    def is_identity(self) -> bool:
        """Whether every view of an image is the image itself."""
        return not self._differs(leaving_out=_WAYS)

    @property
    def needs_statistics(self) -> bool:
        """Whether `fit` has to come first."""
        return self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening

    @property
    def output_dtype(self) -> str:
        """What `apply` gives: "uint8", or "float32" when pixels are standardized."""
        return "uint8" if self.only_rescales and not self.rescale else "float32"

    @property
    def value_range(self) -> ValueRange | None:
        """The smallest and the largest value `apply` can give, or None where they are not known.

        Example:
            >>> Augmentation(rotation_range=5).value_range, Augmentation(rescale=1 / 255).value_range
            ((0.0, 255.0), (0.0, 1.0))
        """
        if not self.only_rescales:
            return None
        low, high = sorted(bound * (self.rescale or 1.0) for bound in PIXELS)
        return low, high

    @property
    def only_rescales(self) -> bool:
        """Whether `standardize` is a factor on each value, or nothing."""
        return all(getattr(self, name) in (None, False) for name in _FIXED if name != "rescale")

    def identity(self) -> dict[str, Any]:
        """What the pixels of a view depend on besides seed, image and view, for a fingerprint.

        Only arguments that are not at their default, so that a new argument leaves old fingerprints as they are.
        """
        described: dict[str, Any] = {"version": _VERSION}
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if value == getattr(_DEFAULT, name):
                continue
            if name == "functions":
                described[name] = [describe_callable(function) for function in value]
            elif name == "preprocessing_function":
                described[name] = describe_callable(value)
            elif name == "statistics":
                described[name] = value.digest
            else:
                described[name] = value
        if self._needs_entropy:
            # Its generators' streams may change between versions.
            described["numpy"] = np.__version__
        if self.is_random:
            described["opencv"] = cv2.__version__
        return described

    def without_chance(self) -> Self:
        """What is left for images to measure on: the scaling alone, the same for every view.

        Example:
            >>> Augmentation(rotation_range=5, rescale=0.5).without_chance() == Augmentation(rescale=0.5)
            True
        """
        kept = (*_FIXED, "zca_epsilon", "statistics")
        return type(self)(**{name: getattr(self, name) for name in kept})

    # -- statistics ------------------------------------------------------------------------------------------

    def fit(self, images: Iterable[np.ndarray]) -> Self:
        """The same augmentation with the statistics of these images, for featurewise arguments and ZCA.

        Images pass through `preprocessing_function`, `rescale` and the samplewise steps first, as they do when they
        are used. To measure augmented views, give those.

        Args:
            images: uint8 (height, width, channels) each, 0 to 255, or one array of them.

        Raises:
            DataError: there are no images, or their shapes differ.
            ArgumentError: ZCA on images of more than 64 x 64 x 3 values.

        Example:
            >>> images = np.full((2, 4, 4, 3), 100, np.uint8)
            >>> fitted = Augmentation(featurewise_center=True).fit(images)
            >>> float(fitted.statistics.mean[0]), float(fitted.apply(images[0], Draw()).max())
            (100.0, 0.0)
        """
        epsilon = self.zca_epsilon if self.zca_whitening else None
        return replace(self, statistics=measure((self._prepare(image) for image in images), zca_epsilon=epsilon))

    def check_fitted(self) -> None:
        """Refuses featurewise arguments and ZCA without their statistics.

        Raises:
            ArgumentError: `fit` did not come first.
        """
        if self.needs_statistics and (
            self.statistics is None or (self.zca_whitening and self.statistics.whitening is None)
        ):
            wanted = [name for name in _FIXED[-3:] if getattr(self, name)]
            raise ArgumentError(
                f"{' and '.join(wanted)} needs statistics of the training images. Call fit(images) and use the "
                "augmentation that it returns."
            )

    # -- drawing ---------------------------------------------------------------------------------------------

    def draw(self, seed: int, image: bytes, view: int, *, image_size: tuple[int, int]) -> Draw:
        """The numbers of one view, which depend on nothing but what is given here.

        Args:
            seed: the source's seed.
            image: what identifies the image: the digest of its file.
            view: the view's number, from 0.
            image_size: height and width in pixels, for shifts given as fractions.
        """
        uniform = uniform_numbers(seed, image, view)
        height, width = image_size
        numbers: dict[str, Any] = {name: low + (high - low) * uniform[name] for name, low, high in self._intervals}
        if self.width_shift_range:
            numbers["shift_x"] = shift_of(self.width_shift_range, width, uniform["shift_x"])
        if self.height_shift_range:
            numbers["shift_y"] = shift_of(self.height_shift_range, height, uniform["shift_y"])
        if self.horizontal_flip:
            numbers["flip_horizontal"] = uniform["flip_horizontal"] < 0.5
        if self.vertical_flip:
            numbers["flip_vertical"] = uniform["flip_vertical"] < 0.5
        if self.grayscale_probability:
            numbers["grayscale"] = uniform["grayscale"] < self.grayscale_probability
        if self.erasing_probability:
            erasing = self._pair("erasing_area_range"), self._pair("erasing_aspect_range")
            numbers |= erased_rectangle(self.erasing_probability, *erasing, image_size, uniform)
        if self.crop_area_range is not None:
            numbers |= crop_rectangle(self._pair("crop_area_range"), self._pair("crop_aspect_range"), uniform)
        if self._needs_entropy:
            numbers["entropy"] = int(uniform["entropy"] * 2**53)
        return Draw(**numbers)

    # -- applying --------------------------------------------------------------------------------------------

    def apply(self, image: np.ndarray, numbers: Draw) -> np.ndarray:
        """The image as the numbers say, then standardized where that is asked for.

        Args:
            image: uint8 (height, width, channels), 0 to 255.
            numbers: from `draw`, or written by hand.

        Returns:
            An array of the same shape, of `output_dtype`, in `value_range`.

        Raises:
            ArgumentError: statistics are needed and `fit` did not come first.
            DataError: a function gives something else than an image of the same shape.
        """
        return self.standardize(self.transform(image, numbers))

    def transform(self, image: np.ndarray, numbers: Draw) -> np.ndarray:
        """The image as the numbers say: uint8 (height, width, channels), 0 to 255, in and out.

        The affine's pixels are interpolated and rounded once, all changes of colour together once more.
        """
        shape = image.shape
        order = INTERPOLATIONS[self.interpolation_order]
        image = move(image, numbers, fill_mode=self.fill_mode, cval=self.cval, interpolation=order).reshape(shape)
        image = erase(colour(image, numbers), numbers, self.erasing_value)
        for position, function in enumerate(self.functions, _OWN_GENERATORS):
            image = _call(function, image, generator(numbers, position))
        return image

    def standardize(self, image: np.ndarray) -> np.ndarray:
        """The image as a model's input wants it: what is not left to chance.

        Args:
            image: uint8 (height, width, channels), 0 to 255.

        Returns:
            The image itself when nothing is asked for, else float32 of the same shape.

        Raises:
            ArgumentError: statistics are needed and `fit` did not come first.
            DataError: `preprocessing_function` gives something else than numbers of the same shape.
        """
        if self.output_dtype == "uint8":
            return image
        self.check_fitted()
        values = self._prepare(image)
        if self.statistics is None or not self.needs_statistics:
            return values
        scale, whiten = self.featurewise_std_normalization, self.zca_whitening
        return featurewise(values, self.statistics, centre=True, scale=scale, whiten=whiten)

    def apply_mask(self, mask: np.ndarray, numbers: Draw) -> np.ndarray:
        """A mask of the image with the same moves: the nearest pixel, never a value between two, and no colours.

        Beyond the edge a mask has what the image shows there: the repeated pixels of "nearest", "reflect" and
        "wrap", and `mask_cval` with "constant". Erased rectangles stay what they were.

        Args:
            mask: integers or booleans, (height, width) or (height, width, channels), of the image's size.
            numbers: the image's draw.

        Returns:
            An array of the same shape and dtype.

        Raises:
            DataError: the mask has another dtype or number of axes.

        Example:
            >>> Augmentation().apply_mask(np.array([[1, 2, 3]]), Draw(flip_horizontal=True))
            array([[3, 2, 1]])
        """
        if mask.dtype.kind not in "biu" or mask.ndim not in (2, 3):
            raise DataError(
                "A mask is integers or booleans of shape (height, width) or (height, width, channels); got "
                f"{mask.dtype} {mask.shape}."
            )
        # What OpenCV moves; float64 holds every other integer up to 2^53.
        taken = mask.dtype if mask.dtype in (np.uint8, np.uint16, np.int16) else np.dtype(np.float64)
        moved = move(
            mask.astype(taken), numbers, fill_mode=self.fill_mode, cval=self.mask_cval, interpolation=INTERPOLATIONS[0]
        )
        return moved.astype(mask.dtype).reshape(mask.shape)

    # -- inside ----------------------------------------------------------------------------------------------

    @property
    def _needs_entropy(self) -> bool:
        erases = self.erasing_probability > 0 and self.erasing_value is None
        return erases or self._pair("noise_range")[1] > 0 or len(self.functions) > 0

    @cached_property
    def _intervals(self) -> tuple[tuple[str, float, float], ...]:
        """(number, low, high) of every number that is uniform between two bounds and not always neutral."""
        neutral = Draw()
        bounds = {
            "rotation": (-self.rotation_range, self.rotation_range),
            "shear": (-self.shear_range, self.shear_range),
            "zoom_x": self._pair("zoom_range"),
            "zoom_y": self._pair("zoom_range"),
            "brightness": (1.0, 1.0) if self.brightness_range is None else self.brightness_range,
            "channel_shift": (-self.channel_shift_range, self.channel_shift_range),
            **{name: self._pair(f"{name}_range") for name in ("contrast", "saturation", "hue", "blur", "noise")},
        }
        return tuple(
            (name, float(low), float(high))
            for name, (low, high) in bounds.items()
            if not low == high == getattr(neutral, name)
        )

    def _pair(self, name: str) -> Bounds:
        """An argument that has become (low, high)."""
        pair: Bounds = getattr(self, name)
        return pair

    def _differs(self, leaving_out: tuple[str, ...]) -> bool:
        names = (field.name for field in fields(self) if field.name not in leaving_out)
        return any(getattr(self, name) != getattr(_DEFAULT, name) for name in names)

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        return prepare(
            image,
            function=self.preprocessing_function,
            rescale=self.rescale,
            centre=self.samplewise_center or self.samplewise_std_normalization,
            scale=self.samplewise_std_normalization,
        )


def _call(function: Callable[..., Any], image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A user's function, which must give an image like the one it got; what it does to its own is its own."""
    result = function(image.copy(), rng)
    if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != image.shape:
        came = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
        name = getattr(function, "__name__", function)
        raise DataError(
            f"functions: {name!r} expects to give uint8 {image.shape}, as it got it, "
            f"but gave {came}. Round and clip to 0..255, and keep the shape."
        )
    return result


_DEFAULT = Augmentation()
