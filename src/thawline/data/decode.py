"""Bytes of an image file -> uint8 pixels of one size.

OpenCV decodes and resizes (it releases the GIL); Pillow reads the header first, so that a file's format and
its size in pixels are known before anything is spent on it, and gives the reason when a file is broken.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from thawline.errors import ArgumentError, UnreadableImageError

# The formats a source takes, by the endings of their files. Endings are compared in lower case, with the dot.
EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
FORMATS = tuple(sorted(set(EXTENSIONS.values())))

# A larger image is refused before it is decoded: 8-bit RGB of this size takes 240 MB.
MAX_PIXELS = 80_000_000

ColorMode = Literal["rgb", "grayscale"]
Interpolation = Literal["nearest", "bilinear", "area"]

# What a file of each format begins with.
_SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data.startswith(b"\xff\xd8\xff"),
    "PNG": lambda data: data.startswith(b"\x89PNG\r\n"),
    "BMP": lambda data: data.startswith(b"BM"),
    "WEBP": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
}

_CHANNELS = {"rgb": 3, "grayscale": 1}
_READ_FLAGS = {"rgb": cv2.IMREAD_COLOR_RGB, "grayscale": cv2.IMREAD_GRAYSCALE}
_INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}

# Threads come from the batches around it; OpenCV's own would fight with them (measured: slower on 2 cores).
cv2.setNumThreads(1)
# What OpenCV would print about a broken file, the raised error says with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class Decoding:
    """How the bytes of a file become pixels.

    Attributes:
        image_size: height and width of every image, in pixels.
        color_mode: "rgb" for 3 channels, "grayscale" for 1. Alpha is dropped; 16 bits become 8 by scaling.
        interpolation: "area" averages what falls into one pixel when shrinking (and is bilinear when
            enlarging); "bilinear" and "nearest" sample points.

    Raises:
        ArgumentError: a size is not a whole number from 1 up, or a word is not known.
    """

    image_size: tuple[int, int]
    color_mode: ColorMode = "rgb"
    interpolation: Interpolation = "area"
    max_pixels: int = field(default=MAX_PIXELS, repr=False)

    def __post_init__(self) -> None:
        size = self.image_size
        is_pair = isinstance(size, tuple | list) and len(size) == 2
        if not is_pair or not all(isinstance(side, int) and side > 0 for side in size):
            raise ArgumentError(f"image_size is (height, width) in whole pixels, like (160, 160); got {size!r}.")
        object.__setattr__(self, "image_size", tuple(size))
        _check_word("color_mode", self.color_mode, get_args(ColorMode))
        _check_word("interpolation", self.interpolation, get_args(Interpolation))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return (*self.image_size, _CHANNELS[self.color_mode])

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the bytes, for a fingerprint."""
        return {
            "image_size": list(self.image_size),
            "color_mode": self.color_mode,
            "interpolation": self.interpolation,
            "opencv": cv2.__version__,
        }


def decode(data: bytes, decoding: Decoding, *, name: str = "image") -> np.ndarray:
    """Pixels of one image file: uint8 (height, width, channels), 0 to 255, RGB or grey.

    The orientation that a camera noted in EXIF is applied. The file's ending does not matter, its content does.

    Args:
        data: the bytes of a JPEG, PNG, BMP or WebP file.
        decoding: size, colour and interpolation.
        name: the file's name, for errors.

    Raises:
        UnreadableImageError: the bytes are not an image of a known format, are cut off, or hold more than
            `decoding.max_pixels` pixels.

    Example:
        >>> import cv2, numpy as np
        >>> data = cv2.imencode(".png", np.full((8, 6, 3), 200, np.uint8))[1].tobytes()
        >>> decode(data, Decoding((4, 4))).shape
        (4, 4, 3)
    """
    _check_header(data, decoding, name)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_FLAGS[decoding.color_mode])
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UnreadableImageError(
            f"{name}: cannot be decoded: {_reason(data)}. Replace the file or take it out of the folder."
        )
    height, width = decoding.image_size
    if pixels.shape[:2] != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=_INTERPOLATIONS[decoding.interpolation])
    shaped: np.ndarray = pixels.reshape(decoding.shape)
    return shaped


def _check_header(data: bytes, decoding: Decoding, name: str) -> None:
    """Refuses what is no image, or too large a one, before it is decoded."""
    if not data:
        raise UnreadableImageError(f"{name}: the file is empty. Replace it or take it out of the folder.")
    try:
        width, height = Image.open(io.BytesIO(data), formats=FORMATS).size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(f"{name}: {error} Shrink the image or take it out of the folder.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        for form, begins in _SIGNATURES.items():
            if begins(data):
                raise UnreadableImageError(
                    f"{name}: begins as {form}, but is cut off or damaged. "
                    "Replace the file or take it out of the folder."
                ) from error
        raise UnreadableImageError(
            f"{name}: expected an image ({', '.join(FORMATS)}), but the content is none of them. "
            "Convert the file or take it out of the folder."
        ) from error
    if width * height > decoding.max_pixels:
        raise UnreadableImageError(
            f"{name}: {width} x {height} pixels; at most {decoding.max_pixels:,} are decoded. "
            "Shrink the image or take it out of the folder."
        )


def _reason(data: bytes) -> str:
    """Why a file with a good header cannot be decoded, in Pillow's words."""
    try:
        Image.open(io.BytesIO(data), formats=FORMATS).load()
    except Exception as error:
        return str(error) or type(error).__name__
    return "the pixel data are damaged"


def _check_word(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ArgumentError(f"{argument} is one of {', '.join(map(repr, allowed))}; got {value!r}.")
