"""Golden images: what is sent through the stack and through an artefact, to be compared.

Held-out images as they are, and odd ones made of the first of them: odd sizes, grey, alpha, 16 bits, a palette, four
inks, a turned camera.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from thawline.data.decode import Decoding, decode
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError

HELD_OUT = "held out"

# Of more held-out images some are taken, evenly.
MOST = 200

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Golden:
    """One image to compare answers on.

    Attributes:
        kind: "held out", or what is odd about it.
        name: what it is called in a certificate.
        data: the content of its file.
    """

    kind: str
    name: str
    data: bytes


def source_images(source: ImageSource) -> list[Path | np.ndarray]:
    """Up to 200 images of a source, evenly: files, or pixels where it has none."""
    places = _evenly(len(source))
    if all(source.paths[place].is_file() for place in places):
        return [source.paths[place] for place in places]
    return [source.pictures.pixels(int(source.rows[place]))[0] for place in places]


def gather(images: Sequence[str | Path | np.ndarray], image_size: tuple[int, int]) -> list[Golden]:
    """Golden images from held-out ones.

    Args:
        images: files, or uint8 arrays (height, width, channels); up to 200 are taken, evenly. Without any, odd ones are
            made of a drawn picture.
        image_size: height and width that the model takes; odd sizes are larger and smaller.

    Raises:
        ArgumentError: an array is no image.
    """
    held_out = [_held_out(images[place], place) for place in _evenly(len(images))]
    first = _picture(held_out[0].data) if held_out else _drawn()
    return held_out + _odd(first, image_size)


def _evenly(count: int) -> list[int]:
    """Up to 200 places among so many."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int)).tolist()
    return places


def _held_out(image: str | Path | np.ndarray, number: int) -> Golden:
    if not isinstance(image, np.ndarray):
        return Golden(HELD_OUT, str(image), Path(image).read_bytes())
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ArgumentError(
            f"A golden image is a file or uint8 (height, width, 1, 3 or 4); got {image.dtype} {image.shape}."
        )
    return Golden(HELD_OUT, f"images[{number}]", _encoded(image.squeeze(axis=2) if image.shape[2] == 1 else image))


def _picture(data: bytes) -> np.ndarray:
    """RGB of a file at its own size, uint8; of what cannot be read a drawn picture, so that others are compared."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            height, width = image.height, image.width
        return decode(data, Decoding((height, width)))
    except (OSError, ValueError):
        return _drawn()


def _drawn() -> np.ndarray:
    """Waves of colours with a little noise, uint8 (240, 320, 3)."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:240, 0:320]
    waves = [np.sin(rows / (9 + 5 * channel) + columns / (31 - 7 * channel)) for channel in range(3)]
    noisy = 127 + 90 * np.stack(waves, axis=-1) + random.normal(0, 12, (240, 320, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def _odd(picture: np.ndarray, image_size: tuple[int, int]) -> list[Golden]:
    height, width = image_size
    large = cv2.resize(picture, (round(1.7 * width) + 3, round(2.3 * height) + 1), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(picture, (max(1, round(0.6 * width)), max(1, round(1.3 * height))))
    double = cv2.resize(picture, (2 * width, 2 * height))
    image = Image.fromarray(large)
    alpha = np.linspace(0, 255, large.shape[1]).astype(np.uint8)
    seen = np.dstack([large, np.tile(alpha, (large.shape[0], 1))])
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    return [
        Golden("odd size", "larger.jpg", _encoded(large, "JPEG", quality=90)),
        Golden("odd size", "narrower.png", _encoded(small)),
        Golden("odd size", "twice as large.png", _encoded(double)),
        Golden("grey", "grey.jpg", _encoded(image.convert("L"), "JPEG")),
        Golden("alpha", "alpha.png", _encoded(seen)),
        Golden("palette", "palette.png", _encoded(image.convert("P"))),
        Golden("16 bits", "16 bits.png", cv2.imencode(".png", large[..., ::-1].astype(np.uint16) * 257)[1].tobytes()),
        Golden("CMYK", "cmyk.jpg", _encoded(image.convert("CMYK"), "JPEG")),
        Golden("turned by EXIF", "turned.jpg", _encoded(large, "JPEG", exif=turned)),
    ]


def _encoded(pixels: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()
