"""Bytes of an image file -> uint8 pixels of one size.

Pillow reads the header first (`formats`), so that a file's format and its size in pixels are known before anything is
spent on it. OpenCV decodes what it decodes right, which is nearly every photo, and everything with 16 bits; Pillow
decodes the rest: transparency, CMYK, animations, GIF, TIFF, PPM, AVIF and HEIF. Both release the GIL. `resize` makes it
one size.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import cv2
import numpy as np
import PIL
from PIL import Image, ImageFile, TiffImagePlugin

from thawline.arguments import height_and_width, whole_numbers
from thawline.data.formats import (
    EXTENSIONS,
    FORMATS,
    MAX_PIXELS,
    is_deep,
    largest_grey,
    largest_of_ppm,
    open_header,
    reason_of,
)
from thawline.data.png_notes import without_long_notes
from thawline.data.resize import Interpolation, Resize, resize_pixels
from thawline.errors import ArgumentError, UnreadableImageError

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "ColorMode",
    "Decoding",
    "FileRange",
    "Interpolation",
    "Resize",
    "decode",
    "turn",
    "turn_of",
]

ColorMode = Literal["rgb", "grayscale", "rgba"]

# The numbers in files of more than 8 bits that become 0 and 255: stated, each image's own, or None for all that fit.
FileRange = tuple[float, float] | Literal["image"] | None

_CHANNELS = {"rgb": 3, "grayscale": 1, "rgba": 4}

# OpenCV's flags for 8 bits without alpha. RGBA gets its alpha afterwards.
_READ_FLAGS = {"rgb": cv2.IMREAD_COLOR_RGB, "grayscale": cv2.IMREAD_GRAYSCALE, "rgba": cv2.IMREAD_COLOR_RGB}

# What OpenCV decodes as Pillow does, when nothing is transparent or animated.
_OPENCV_FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
_OPENCV_MODES = ("1", "L", "P", "RGB")

# OpenCV's flags for JPEGs at a part of their size; with IMREAD_COLOR_RGB they give colours, alone they give grey.
_REDUCED_FLAGS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}

# In OpenCV blue comes first; by the number of channels.
_RED_FIRST = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}

_ORIENTATION = 0x0112

# Rows with alpha are composed so many pixels at a time, so that 16-bit products of a large image do not lie in memory.
_BAND_PIXELS = 1 << 18

# Threads come from the batches around it; OpenCV's own would fight with them (measured: slower on 2 cores).
cv2.setNumThreads(1)
# What OpenCV would print about a broken file, the raised error says with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class Decoding:
    """How the bytes of a file become pixels.

    Attributes:
        image_size: height and width of every image, in pixels.
        color_mode: "rgb" for 3 channels, "grayscale" for 1 (ITU-R BT.601), "rgba" for 4. 16 bits become 8 by scaling
            with 255 / 65535.
        interpolation: "area" averages what falls into one pixel when shrinking, and is the only one that does not
            alias then; when an axis grows it is bilinear. "nearest", "bilinear" (2 x 2 pixels), "bicubic" (4 x 4) and
            "lanczos" (8 x 8) look at so many pixels of the file however much it shrinks: below half its size fine
            patterns turn into coarse ones. They are for enlarging, and for pixels as another tool makes them.
        resize: "stretch" changes the aspect; "crop" takes the largest part of the right aspect from the centre; "pad"
            fits the whole image inside and fills the rest with the background (in "rgba" with transparent pixels).
        background: red, green and blue, 0 to 255, of what lies under transparent pixels and around padded images.
            White by default: what has transparent pixels (logos, cut-outs, drawings) was mostly made to lie on a
            page, and its dark lines would vanish on black.
        fast_jpeg: decode a JPEG that is at least 2, 4 or 8 times as large as image_size at that part of its size; needs
            interpolation="area". Two photos of 640x427 at 150x150 were decoded and resized 1.5 to 2.6 times as fast,
            and their pixels moved by 1.2 and 3.1 of 255 on average, single ones by 74; at 50x50 by 3.4 and 5.6, single
            ones by 105. Off by default: nothing changes unasked.
        file_range: which numbers become 0 and 255 in PNG, TIFF and PGM files of more than 8 bits: (0, 4095) for 12 bits
            in 16, or "image" for the smallest and the largest number of each image; what lies outside becomes 0 or 255.
            With a range, TIFFs of 32 bits and of numbers below 0 are read, too. None takes 0 and 65535. Files of 8 bits
            stay as they are. (A stage's `value_range` is what a model takes; this is what files hold.)

    Raises:
        ArgumentError: a size or colour is not made of whole numbers in range, a range is none, or a word is not known.

    Example:
        >>> Decoding((160, 160), resize="pad").shape
        (160, 160, 3)
    """

    image_size: tuple[int, int]
    color_mode: ColorMode = "rgb"
    interpolation: Interpolation = "area"
    resize: Resize = field(default="stretch", kw_only=True)
    background: tuple[int, int, int] = field(default=(255, 255, 255), kw_only=True)
    fast_jpeg: bool = field(default=False, kw_only=True)
    file_range: FileRange = field(default=None, kw_only=True)
    max_pixels: int = field(default=MAX_PIXELS, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        colour = whole_numbers(self.background, 3)
        if colour is None or min(colour) < 0 or max(colour) > 255:
            raise ArgumentError(
                f"background is (red, green, blue), whole numbers from 0 to 255; got {self.background!r}."
            )
        object.__setattr__(self, "image_size", height_and_width(self.image_size))
        object.__setattr__(self, "background", tuple(colour))
        object.__setattr__(self, "file_range", _checked_range(self.file_range))
        _check_word("color_mode", self.color_mode, get_args(ColorMode))
        _check_word("interpolation", self.interpolation, get_args(Interpolation))
        _check_word("resize", self.resize, get_args(Resize))
        if self.fast_jpeg and self.interpolation != "area":
            raise ArgumentError(
                f"fast_jpeg=True averages pixels, which interpolation={self.interpolation!r} does not. "
                "Use interpolation='area', or leave fast_jpeg out."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return (*self.image_size, _CHANNELS[self.color_mode])

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on besides the bytes, for a fingerprint."""
        known: dict[str, Any] = {
            "image_size": list(self.image_size),
            "color_mode": self.color_mode,
            "interpolation": self.interpolation,
            "resize": self.resize,
            "background": list(self.background),
            "fast_jpeg": self.fast_jpeg,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
        }
        # Only where it is given: what was made without it stays what it is.
        return known if self.file_range is None else {**known, "file_range": self.file_range}


def decode(data: bytes, decoding: Decoding, *, name: str = "image") -> np.ndarray:
    """Pixels of one image file: uint8 (height, width, channels), 0 to 255, RGB, grey or RGB with alpha.

    The orientation that a camera noted in EXIF is applied; transparent pixels are laid over `decoding.background`; of
    an animation or a file with pages the first image is taken. The file's ending does not matter, its content does.

    Args:
        data: the bytes of a JPEG, PNG, BMP, GIF, WebP, TIFF, PPM (PGM, PBM) or AVIF file, or of HEIF (HEIC) where
            pillow-heif is installed (`pip install 'thawline[heic]'`).
        decoding: size, colour and interpolation.
        name: the file's name, for errors.

    Raises:
        UnreadableImageError: the bytes are not an image of a known format, are cut off, hold more than
            `decoding.max_pixels` pixels, or numbers of 32 bits.

    Example:
        >>> import cv2, numpy as np
        >>> data = cv2.imencode(".png", np.full((8, 6, 3), 200, np.uint8))[1].tobytes()
        >>> decode(data, Decoding((4, 4))).shape
        (4, 4, 3)
    """
    # For OpenCV, too, which complains on stderr of profiles that it does not use.
    data = without_long_notes(data)
    image = open_header(data, max_pixels=decoding.max_pixels, name=name)
    try:
        pixels = _read_pixels(data, image, decoding)
    # Decoders raise exceptions of all kinds for damaged pixels.
    except Exception as error:
        raise UnreadableImageError(
            f"{name}: cannot be decoded: {reason_of(error)}. Replace the file or take it out of the folder."
        ) from error
    return resize_pixels(
        pixels,
        decoding.image_size,
        resize=decoding.resize,
        interpolation=decoding.interpolation,
        fill=fill_colour(decoding),
    )


def fill_colour(decoding: Decoding) -> tuple[int, ...]:
    """The background in the channels of the colour mode; transparent where there is alpha."""
    if decoding.color_mode == "rgba":
        return (*decoding.background, 0)
    if decoding.color_mode == "grayscale":
        return (int(_as_grey(np.array([[decoding.background]], np.uint8))[0, 0, 0]),)
    return decoding.background


def _read_pixels(data: bytes, image: ImageFile.ImageFile, decoding: Decoding) -> np.ndarray:
    """The whole image, upright, in the channels of the colour mode."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        return _in_mode(_read_wide(image, decoding.file_range), decoding)
    if image.mode.startswith("I;16") and not is_deep(image, data):
        # 12 bits in a TIFF, which Pillow alone would cut off at 255.
        return _in_mode(_read_wide(image, decoding.file_range or (0, largest_grey(image, data))), decoding)
    if is_deep(image, data):
        return _in_mode(_read_deep(data, image, decoding.file_range), decoding)
    is_plain = image.mode in _OPENCV_MODES and not image.has_transparency_data
    if is_plain and image.format in _OPENCV_FORMATS and not getattr(image, "is_animated", False):
        return _read_plain(data, image, decoding)
    return _in_mode(_read_with_pillow(image, data, decoding.file_range), decoding)


def _read_plain(data: bytes, image: ImageFile.ImageFile, decoding: Decoding) -> np.ndarray:
    """By OpenCV: 8 bits, no alpha, one image; EXIF's orientation is applied."""
    flags = _READ_FLAGS[decoding.color_mode]
    if decoding.fast_jpeg and image.format == "JPEG":
        # By the smaller side and the larger target, so that it holds for images that EXIF turns, too.
        factor = min(image.size) // max(decoding.image_size)
        flags |= next((flag for times, flag in _REDUCED_FLAGS.items() if factor >= times), 0)
    pixels = _opencv(data, flags, image)
    return _with_alpha(pixels) if decoding.color_mode == "rgba" else pixels


def _opencv(data: bytes, flags: int, image: ImageFile.ImageFile) -> np.ndarray:
    """What OpenCV decodes, always with a third axis; where it fails, Pillow gives the reason."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        reason = "the pixel data are damaged"
    except cv2.error as error:
        pixels, reason = None, reason_of(error)
    if pixels is None:
        image.load()
        raise ValueError(reason)
    shaped: np.ndarray = pixels if pixels.ndim == 3 else pixels[..., None]
    return shaped


def _read_wide(image: ImageFile.ImageFile, file_range: FileRange) -> np.ndarray:
    """By Pillow: grey numbers of 12 or 32 bits; the range of these has to be given."""
    if file_range is None:
        raise ValueError(
            "it holds numbers of 32 bits, whose range is not known; 8 and 16 bits are read, others with file_range="
        )
    image.load()
    return _upright(_ranged(np.asarray(image)[..., None], file_range), image)


def _read_deep(data: bytes, image: ImageFile.ImageFile, file_range: FileRange) -> np.ndarray:
    """By OpenCV: 16 bits as they are, with their alpha, scaled to 8; Pillow would cut colours to their upper half."""
    deep = _opencv(data, cv2.IMREAD_UNCHANGED, image)
    if deep.dtype != np.uint16 and file_range is None:
        raise ValueError(
            f"it holds numbers of the type {deep.dtype}; 8 and 16 bits without sign are read, others with file_range="
        )
    pixels = _scaled(deep) if file_range is None else _ranged(deep, file_range)
    clear = image.info.get("transparency")
    if pixels.shape[2] == 1 and isinstance(clear, int):
        # The grey that stands for transparent in a PNG; OpenCV sees to it in colours only.
        pixels = np.dstack([pixels.repeat(3, axis=2), np.where(deep == clear, 0, 255).astype(np.uint8)])
    elif pixels.shape[2] in _RED_FIRST:
        pixels = cv2.cvtColor(pixels, _RED_FIRST[pixels.shape[2]])
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # OpenCV turns TIFFs by itself, but leaves those that count from white to black as they are.
        counts_from_white = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
        return 255 - pixels if counts_from_white else pixels
    return _upright(pixels, image)


def _read_with_pillow(image: ImageFile.ImageFile, data: bytes, file_range: FileRange) -> np.ndarray:
    """By Pillow: 8 bits with whatever transparency there is, the first frame or page."""
    image.load()
    if image.mode == "I":
        # PGM of more than 8 bits, which Pillow scales to 65535.
        spread = np.asarray(image).astype(np.uint16)[..., None]
        return _scaled(spread) if file_range is None else _ranged(spread * (largest_of_ppm(data) / 65535), file_range)
    converted: Image.Image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return _upright(np.asarray(converted), image)


def _scaled(deep: np.ndarray) -> np.ndarray:
    """16 bits as 8: divided by 257 and rounded, so that 65535 becomes 255."""
    pixels: np.ndarray = cv2.convertScaleAbs(deep, alpha=1 / 257)
    return pixels.reshape(deep.shape)


def _ranged(numbers: np.ndarray, file_range: FileRange) -> np.ndarray:
    """Numbers (height, width, channels) as 8 bits: those of the range become 0 to 255, rounded; alpha is 16 bits."""
    has_alpha = numbers.shape[2] == 4
    values = numbers[..., :3] if has_alpha else numbers
    finite = values[np.isfinite(values)]
    if isinstance(file_range, tuple):
        low, high = file_range
    else:
        low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
    # An image of one number is black: it has no range.
    span = float(high) - float(low) or math.inf
    shares = (np.nan_to_num(values.astype(np.float64), nan=float(low)) - float(low)) * (255 / span)
    pixels: np.ndarray = shares.clip(0, 255).round().astype(np.uint8)
    return np.dstack([pixels, _scaled(numbers[..., 3])]) if has_alpha else pixels


def turn_of(image: ImageFile.ImageFile, *, by_header: bool = False) -> int:
    """The orientation that EXIF notes, 1 to 8; 1, upright, where there is none or it cannot be read.

    Args:
        image: from `open_header`.
        by_header: do not look behind the pixels, for which a PNG would be decoded.
    """
    try:
        exif = Image.Image.getexif(image) if by_header else image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
    except Exception:
        orientation = 1
    return orientation if orientation in range(2, 9) else 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels (height, width, ...) as they stand upright.

    Args:
        pixels: as they lie in the file.
        orientation: EXIF's number, 1 to 8.

    Example:
        >>> turn(np.array([[1, 2, 3]]), 6).tolist()
        [[1], [2], [3]]
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    # How the axes that are then left run, per EXIF's table.
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _upright(pixels: np.ndarray, image: ImageFile.ImageFile) -> np.ndarray:
    """Applies the orientation in EXIF; what cannot be read there counts as upright."""
    return turn(pixels, turn_of(image))


def _in_mode(pixels: np.ndarray, decoding: Decoding) -> np.ndarray:
    """Grey, RGB or RGBA pixels in the channels of the colour mode; alpha is laid over the background."""
    if decoding.color_mode == "grayscale" and pixels.shape[2] == 1:
        return pixels
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    if decoding.color_mode == "rgba":
        return pixels if pixels.shape[2] == 4 else _with_alpha(pixels)
    if pixels.shape[2] == 4:
        pixels = _composed(pixels, decoding.background)
    return _as_grey(pixels) if decoding.color_mode == "grayscale" else pixels


def _composed(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """RGBA over a colour: alpha * colour + (1 - alpha) * background, rounded."""
    height, width = pixels.shape[:2]
    composed = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = pixels[top : top + rows]
        alpha = band[..., 3:].astype(np.uint16)
        # At most 255 * 255 + 127, which fits in 16 bits.
        total = band[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
        composed[top : top + rows] = (total + 127) // 255
    return composed


def _as_grey(pixels: np.ndarray) -> np.ndarray:
    grey: np.ndarray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return grey[..., None]


def _with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def _checked_range(given: object) -> FileRange:
    """A range of numbers as floats, or the word for each image's own."""
    if given is None:
        return None
    if isinstance(given, str) and given == "image":
        return "image"
    parts = list(given) if isinstance(given, tuple | list) else []
    numbers = [float(part) for part in parts if isinstance(part, int | float | np.number)]
    if len(parts) != 2 or len(numbers) != 2 or not all(map(math.isfinite, numbers)) or not numbers[0] < numbers[1]:
        raise ArgumentError(
            "file_range is (lowest, highest), the numbers in files that become 0 and 255, like (0, 4095), or 'image' "
            f"for each image's own; got {given!r}."
        )
    return numbers[0], numbers[1]


def _check_word(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ArgumentError(f"{argument} is one of {', '.join(map(repr, allowed))}; got {value!r}.")
