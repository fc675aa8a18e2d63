"""Augmentation in two steps: draw numbers, then apply them.

`Augmentation.draw(seed, image, view)` gives plain numbers that depend on nothing else, so that any batch size,
order and number of threads sees the same picture; `apply(image, numbers)` uses them: rotation, shifts, shear and
zoom as one composed affine with one resampling, then flips, then brightness.

Arguments and directions are those of Keras' ImageDataGenerator, with its errors mended: `width_shift_range`
moves pictures along the width, everything turns about the true centre, zoom factors are above zero.
"""

import difflib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import cv2
import numpy as np
from blake3 import blake3

from thawline.errors import ArgumentError

FillMode = Literal["constant", "nearest", "reflect", "wrap"]

# SciPy's names, as in ImageDataGenerator: its "reflect" repeats the edge pixel (d c b a | a b c d).
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}

# Raised when the same arguments begin to give other pixels, so that cached features are not taken for new ones.
_VERSION = 1

# One uniform number each, in this order, drawn whether used or not: switching one argument on never changes
# what the others do.
_NUMBERS = (
    "rotation",
    "shift_x",
    "shift_y",
    "shear",
    "zoom_x",
    "zoom_y",
    "flip_horizontal",
    "flip_vertical",
    "brightness",
)


@dataclass(frozen=True)
class Draw:
    """The random numbers of one view of one image. Plain numbers: print them, save them, apply them again.

    Attributes:
        rotation: degrees, counter-clockwise.
        shift_x: pixels; positive moves the picture to the left, as in ImageDataGenerator.
        shift_y: pixels; positive moves the picture up.
        shear: degrees.
        zoom_x, zoom_y: factors; above 1 the picture becomes smaller, as in ImageDataGenerator.
        flip_horizontal, flip_vertical: whether the picture is mirrored.
        brightness: factor on the pixel values.
    """

    rotation: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    shear: float = 0.0
    zoom_x: float = 1.0
    zoom_y: float = 1.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    brightness: float = 1.0

    @property
    def moves_pixels(self) -> bool:
        """Whether the affine is anything but the identity."""
        numbers = (self.rotation, self.shift_x, self.shift_y, self.shear, self.zoom_x, self.zoom_y)
        return numbers != (0.0, 0.0, 0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image, with the arguments of ImageDataGenerator.

    Attributes:
        rotation_range: degrees; the rotation is uniform in [-r, r].
        width_shift_range, height_shift_range: below 1 a fraction of the width or height, from 1 up pixels.
        shear_range: degrees; uniform in [-s, s]. Below 1 degree nothing can be seen, which is warned about.
        zoom_range: z for [1 - z, 1 + z], or (low, high); drawn for both axes on their own.
        horizontal_flip, vertical_flip: with probability one half.
        brightness_range: (low, high) of a factor on the pixel values; results are clipped to 0..255.
        fill_mode: what lies beyond the edge: "nearest", "constant", "reflect" or "wrap".
        cval: the value beyond the edge with fill_mode="constant", 0 to 255.

    Raises:
        ArgumentError: a range is negative, a zoom factor would reach 0, or a word is not known.

    Example:
        >>> augmentation = Augmentation(rotation_range=20, horizontal_flip=True)
        >>> numbers = augmentation.draw(seed=7, image=b"digest", view=0, image_size=(160, 160))
        >>> -20 <= numbers.rotation <= 20
        True
        >>> augmentation.draw(7, b"digest", 0, image_size=(160, 160)) == numbers
        True
    """

    rotation_range: float = 0.0
    width_shift_range: float = 0.0
    height_shift_range: float = 0.0
    shear_range: float = 0.0
    zoom_range: float | Sequence[float] = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    brightness_range: Sequence[float] | None = None
    fill_mode: FillMode = "nearest"
    cval: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rotation_range", "width_shift_range", "height_shift_range", "shear_range"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise ArgumentError(f"{name} is a number from 0 up; got {value!r}.")
        if 0 < self.shear_range < 1:
            warnings.warn(
                f"shear_range is in degrees: {self.shear_range:g} cannot be seen. Did you mean a value above 1?",
                stacklevel=3,
            )
        if self.shear_range >= 90:
            raise ArgumentError(f"shear_range is in degrees, below 90; got {self.shear_range!r}.")
        object.__setattr__(self, "zoom_range", _zoom_bounds(self.zoom_range))
        if self.brightness_range is not None:
            bounds = _bounds("brightness_range", self.brightness_range, least=0.0)
            object.__setattr__(self, "brightness_range", bounds)
        if self.fill_mode not in get_args(FillMode):
            allowed = ", ".join(map(repr, get_args(FillMode)))
            raise ArgumentError(f"fill_mode is one of {allowed}; got {self.fill_mode!r}.")
        if not isinstance(self.cval, int | float) or not 0 <= self.cval <= 255:
            raise ArgumentError(f"cval is a pixel value from 0 to 255; got {self.cval!r}.")

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

    @property
    def is_identity(self) -> bool:
        """Whether every view of an image is the image itself."""
        return self == Augmentation(fill_mode=self.fill_mode, cval=self.cval)

    def identity(self) -> dict[str, Any]:
        """What the pixels of a view depend on besides seed, image and view, for a fingerprint."""
        return {**asdict(self), "version": _VERSION}

    def draw(self, seed: int, image: bytes, view: int, *, image_size: tuple[int, int]) -> Draw:
        """The numbers of one view, which depend on nothing but what is given here.

        They come from BLAKE3 in its extendable-output mode, not from NumPy's generators, whose streams may
        change between versions.

        Args:
            seed: the source's seed.
            image: what identifies the image: the digest of its file.
            view: the view's number, from 0.
            image_size: height and width in pixels, for shifts given as fractions.
        """
        key = seed.to_bytes(8, "little") + view.to_bytes(8, "little") + image
        words = np.frombuffer(blake3(key).digest(length=8 * len(_NUMBERS)), "<u8")
        # 53 bits fill a float's mantissa: uniform in [0, 1).
        uniform = dict(zip(_NUMBERS, ((words >> np.uint64(11)) * 2.0**-53).tolist(), strict=True))

        def between(name: str, low: float, high: float) -> float:
            return float(low + (high - low) * uniform[name])

        height, width = image_size
        reach_x = self.width_shift_range * (width if self.width_shift_range < 1 else 1)
        reach_y = self.height_shift_range * (height if self.height_shift_range < 1 else 1)
        zoom_low, zoom_high = _zoom_bounds(self.zoom_range)
        return Draw(
            rotation=between("rotation", -self.rotation_range, self.rotation_range),
            shift_x=between("shift_x", -reach_x, reach_x),
            shift_y=between("shift_y", -reach_y, reach_y),
            shear=between("shear", -self.shear_range, self.shear_range),
            zoom_x=between("zoom_x", zoom_low, zoom_high),
            zoom_y=between("zoom_y", zoom_low, zoom_high),
            flip_horizontal=self.horizontal_flip and uniform["flip_horizontal"] < 0.5,
            flip_vertical=self.vertical_flip and uniform["flip_vertical"] < 0.5,
            brightness=1.0 if self.brightness_range is None else between("brightness", *self.brightness_range),
        )

    def apply(self, image: np.ndarray, numbers: Draw) -> np.ndarray:
        """The image as the numbers say: uint8 (height, width, channels) in, the same out.

        Pixels of the affine are interpolated linearly and rounded once.
        """
        shape = image.shape
        if numbers.moves_pixels:
            height, width = shape[:2]
            image = cv2.warpAffine(
                image,
                affine_matrix(numbers, (height, width)),
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=_BORDERS[self.fill_mode],
                borderValue=(self.cval,) * 4,
                hint=cv2.ALGO_HINT_ACCURATE,
            )
        # OpenCV's codes: 1 mirrors left and right, 0 up and down, -1 both.
        if numbers.flip_horizontal or numbers.flip_vertical:
            image = cv2.flip(
                image,
                -1 if numbers.flip_horizontal and numbers.flip_vertical else int(numbers.flip_horizontal),
            )
        if numbers.brightness != 1.0:
            table = np.clip(np.rint(np.arange(256) * numbers.brightness), 0, 255).astype(np.uint8)
            image = cv2.LUT(image, table)
        return image.reshape(shape)


def affine_matrix(numbers: Draw, image_size: tuple[int, int]) -> np.ndarray:
    """The affine from output to input coordinates (x, y), float64 (2, 3).

    M = C R(rotation) T(shift) S(shear) Z(zoom) C^-1, where C moves the origin to the image's centre
    ((width - 1) / 2, (height - 1) / 2). The order and the signs are those of Keras' `apply_affine_transform`.
    """
    height, width = image_size
    theta, shear = math.radians(numbers.rotation), math.radians(numbers.shear)
    centre = _translation((width - 1) / 2, (height - 1) / 2)
    back = _translation(-(width - 1) / 2, -(height - 1) / 2)
    rotation = np.array([[math.cos(theta), -math.sin(theta), 0], [math.sin(theta), math.cos(theta), 0], [0, 0, 1]])
    shearing = np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([numbers.zoom_x, numbers.zoom_y, 1.0])
    matrix: np.ndarray = centre @ rotation @ _translation(numbers.shift_x, numbers.shift_y) @ shearing @ zoom @ back
    return matrix[:2]


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _zoom_bounds(zoom_range: float | Sequence[float]) -> tuple[float, float]:
    if isinstance(zoom_range, int | float):
        zoom_range = (1 - zoom_range, 1 + zoom_range)
    low, high = _bounds("zoom_range", zoom_range, least=-math.inf)
    if low <= 0:
        raise ArgumentError(
            f"zoom_range gives factors from {low:g} to {high:g}; they must stay above 0. "
            "Use a number below 1, or (low, high) with low above 0."
        )
    return low, high


def _bounds(name: str, value: Sequence[float], *, least: float) -> tuple[float, float]:
    """A pair (low, high) of numbers, or an error that names the argument."""
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} is a pair (low, high) of numbers; got {value!r}.") from None
    if not least <= low <= high < math.inf:
        raise ArgumentError(f"{name} is a pair (low, high) with low at most high; got {value!r}.")
    return low, high
