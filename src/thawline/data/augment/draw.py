"""Draw: the numbers of one view of one image, and where they come from.

Uniform numbers come from BLAKE3 in its extendable-output mode, not from NumPy's generators, whose streams may change
between versions. Every number has its place in the stream and is drawn whether used or not: switching one argument
on never changes what the others do, and new numbers are appended, so that old ones stay.
"""

import math
import operator
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from blake3 import blake3

from thawline.errors import ArgumentError

Bounds = tuple[float, float]

# One uniform number each. The order is the contract: append, never insert.
NUMBERS = (
    "rotation",
    "shift_x",
    "shift_y",
    "shear",
    "zoom_x",
    "zoom_y",
    "flip_horizontal",
    "flip_vertical",
    "brightness",
    "channel_shift",
    "contrast",
    "saturation",
    "hue",
    "grayscale",
    "blur",
    "noise",
    "erase",
    "erase_area",
    "erase_aspect",
    "erase_left",
    "erase_top",
    "crop_area",
    "crop_aspect",
    "crop_left",
    "crop_top",
    "entropy",
)
_WORDS = struct.Struct(f"<{len(NUMBERS)}Q")


class Draw(NamedTuple):
    """The random numbers of one view of one image. Plain numbers: print them, save them, apply them again.

    Attributes:
        rotation: degrees, counter-clockwise.
        shift_x: pixels; positive moves the picture to the left, as in ImageDataGenerator.
        shift_y: pixels; positive moves the picture up.
        shear: degrees.
        zoom_x, zoom_y: factors; above 1 the picture becomes smaller, as in ImageDataGenerator.
        flip_horizontal, flip_vertical: whether the picture is mirrored.
        brightness: factor on the pixel values.
        channel_shift: grey levels added to all channels.
        contrast: factor on the distance from each channel's mean.
        saturation: factor on the saturation; 0 is grey.
        hue: turn of the colour circle, 1 is once around.
        grayscale: whether colours become grey.
        blur: standard deviation of a Gaussian, in pixels.
        noise: standard deviation of what is added to each value, in grey levels.
        erase_left, erase_top, erase_width, erase_height: the erased rectangle, in parts of width and height.
        crop_left, crop_top, crop_width, crop_height: the rectangle that is shown, in parts of width and height.
        entropy: a whole number below 2^53 from which noise, erased pixels and users' functions get their
            generators; 0 when there are none.

    Example:
        >>> numbers = Draw(rotation=12.5, flip_horizontal=True)
        >>> Draw.from_dict(numbers.as_dict()) == numbers
        True
        >>> print(numbers)
        rotation 12.5, flip_horizontal
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
    channel_shift: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    grayscale: bool = False
    blur: float = 0.0
    noise: float = 0.0
    erase_left: float = 0.0
    erase_top: float = 0.0
    erase_width: float = 0.0
    erase_height: float = 0.0
    crop_left: float = 0.0
    crop_top: float = 0.0
    crop_width: float = 1.0
    crop_height: float = 1.0
    entropy: int = 0

    @property
    def moves_pixels(self) -> bool:
        """Whether the affine is anything but the identity."""
        moved = (self.rotation, self.shift_x, self.shift_y, self.shear, self.zoom_x, self.zoom_y)
        return moved != (0.0, 0.0, 0.0, 0.0, 1.0, 1.0) or self.crops

    @property
    def crops(self) -> bool:
        """Whether less than the whole image is shown."""
        return (self.crop_left, self.crop_top, self.crop_width, self.crop_height) != (0.0, 0.0, 1.0, 1.0)

    def __str__(self) -> str:
        """The numbers that change something, short."""
        parts = []
        for name, number in self.as_dict().items():
            if number != _NEUTRAL[name] and name != "entropy":
                parts.append(name if isinstance(number, bool) else f"{name} {number:.3g}")
        return ", ".join(parts) or "as it is"

    def as_dict(self) -> dict[str, float | bool | int]:
        """All numbers by their names: what JSON takes, and `from_dict` back."""
        return self._asdict()

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Self:
        """The draw that `as_dict` wrote down. Numbers that are missing change nothing.

        Raises:
            ArgumentError: a name is not known, or a value is no finite number or true and false.
        """
        for name, value in numbers.items():
            if name not in _NEUTRAL:
                raise ArgumentError(f"A draw has no number {name!r}. Known are {', '.join(_NEUTRAL)}.")
            wanted = type(_NEUTRAL[name])
            taken = (int, float) if wanted is float else wanted
            if (
                not isinstance(value, taken)
                or isinstance(value, bool) is not (wanted is bool)
                or not abs(value) < math.inf
            ):
                raise ArgumentError(f"A draw's {name} is of type {wanted.__name__}; got {value!r}.")
        return cls(**numbers)


_NEUTRAL = Draw().as_dict()


def uniform_numbers(seed: int, image: bytes, view: int) -> dict[str, float]:
    """One number in [0, 1) for each of `NUMBERS`, which depend on nothing but what is given here."""
    key = operator.index(seed).to_bytes(8, "little") + operator.index(view).to_bytes(8, "little") + image
    words = _WORDS.unpack(blake3(key).digest(length=_WORDS.size))
    # 53 bits fill a float's mantissa.
    return {name: (word >> 11) * 2.0**-53 for name, word in zip(NUMBERS, words, strict=True)}


def generator(numbers: Draw, position: int) -> np.random.Generator:
    """The generator of one part of one view: the same for the same draw and position, whatever else is on.

    Args:
        numbers: the view's draw.
        position: 0 for noise, 1 for erased pixels, from 2 on the user's functions in their order.
    """
    return np.random.Generator(np.random.PCG64([numbers.entropy, position]))


def shift_of(reach: float | int | Sequence[float], size: int, uniform: float) -> float:
    """A shift in pixels, from a `..._shift_range` argument.

    Args:
        reach: a float, a whole number or a list, as in `Augmentation`.
        size: the image's width or height in pixels.
        uniform: a number in [0, 1).
    """
    if isinstance(reach, float):
        limit = reach * (size if reach < 1 else 1)
        return -limit + 2 * limit * uniform
    if reach == 0:
        return 0.0
    # Each with either sign; a whole number n stands for 0, 1, ..., n - 1, as in numpy.random.choice.
    choices = range(reach) if isinstance(reach, int) else reach
    place = int(uniform * 2 * len(choices))
    # By size, not as Keras has it by the largest: it takes [-3] for three times the width.
    is_fraction = not isinstance(reach, int) and max(abs(choice) for choice in choices) < 1
    return float(choices[place // 2] * (-1 if place % 2 == 0 else 1) * (size if is_fraction else 1))


def crop_rectangle(area: Bounds, aspect: Bounds, uniform: Mapping[str, float]) -> dict[str, float]:
    """A random rectangle to show, in parts of width and height; its aspect is relative to the image's."""
    part = area[0] + (area[1] - area[0]) * uniform["crop_area"]
    width, height = _sides(part, _aspect(aspect, uniform["crop_aspect"]))
    left, top = (1 - width) * uniform["crop_left"], (1 - height) * uniform["crop_top"]
    return {"crop_left": left, "crop_top": top, "crop_width": width, "crop_height": height}


def erased_rectangle(
    probability: float, area: Bounds, aspect: Bounds, image_size: tuple[int, int], uniform: Mapping[str, float]
) -> dict[str, float]:
    """A random rectangle to erase, in parts of width and height, after "Random Erasing" (arXiv:1708.04896).

    Unlike there, nothing is drawn again: an aspect that does not fit into the image is moved until it does.
    """
    if uniform["erase"] >= probability:
        return {}
    part = area[0] + (area[1] - area[0]) * uniform["erase_area"]
    image_height, image_width = image_size
    width, height = _sides(part, _aspect(aspect, uniform["erase_aspect"]) * image_height / image_width)
    left, top = (1 - width) * uniform["erase_left"], (1 - height) * uniform["erase_top"]
    return {"erase_left": left, "erase_top": top, "erase_width": width, "erase_height": height}


def _aspect(bounds: Bounds, uniform: float) -> float:
    """Uniform in its logarithm: twice as wide is as likely as twice as high."""
    low, high = math.log(bounds[0]), math.log(bounds[1])
    return math.exp(low + (high - low) * uniform)


def _sides(area: float, aspect: float) -> tuple[float, float]:
    """Width and height of a rectangle inside the unit square: of this area, of this aspect where it fits."""
    if area == 0:
        return 0.0, 0.0
    aspect = min(max(aspect, area), 1 / area)
    return min(math.sqrt(area * aspect), 1.0), min(math.sqrt(area / aspect), 1.0)
