"""What a SavedModel decodes is what thawline decodes; what it cannot decode is an error that says so."""

import cv2
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from PIL import Image

from odd_files import encode
from thawline.data.decode import Decoding, decode
from thawline.export.in_graph_decode import decode as in_graph

PHOTO = np.ascontiguousarray(skimage.data.coffee()[100:161, 200:283])
IMAGE = Image.fromarray(PHOTO)
SEEN = np.dstack([PHOTO, np.tile(np.linspace(0, 255, 83).astype(np.uint8), (61, 1))])


def turned(orientation):
    exif = Image.Exif()
    exif[0x010F] = "A maker's name that stands before the orientation"
    exif[0x0112] = orientation
    return encode(PHOTO, "JPEG", exif=exif)


FILES = {
    "jpeg": encode(PHOTO, "JPEG", quality=80),
    "jpeg, colours at full size": encode(PHOTO, "JPEG", subsampling=0),
    "progressive jpeg": encode(PHOTO, "JPEG", progressive=True),
    "grey jpeg": encode(IMAGE.convert("L"), "JPEG"),
    "cmyk jpeg": encode(IMAGE.convert("CMYK"), "JPEG"),
    "png": encode(PHOTO, "PNG"),
    "grey png": encode(IMAGE.convert("L"), "PNG"),
    "black and white png": encode(IMAGE.convert("1"), "PNG"),
    "png with alpha": encode(SEEN, "PNG"),
    "grey png with alpha": encode(Image.fromarray(SEEN).convert("LA"), "PNG"),
    "png with a palette and alpha": encode(IMAGE.convert("P"), "PNG", transparency=bytes(range(256))),
    "png of 16 bits": cv2.imencode(".png", PHOTO.astype(np.uint16) * 199)[1].tobytes(),
    "grey png of 16 bits": cv2.imencode(".png", PHOTO[..., 0].astype(np.uint16) * 199)[1].tobytes(),
    "webp": encode(PHOTO, "WEBP"),
    "webp with alpha": encode(SEEN, "WEBP", lossless=True),
    "bmp": encode(PHOTO, "BMP"),
    "gif": encode(IMAGE.convert("P"), "GIF"),
    "big-endian exif": encode(
        PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    ),
    **{f"orientation {number}": turned(number) for number in range(1, 9)},
}
REFUSED = {
    "tiff": (encode(PHOTO, "TIFF"), "none of JPEG, PNG, WebP, BMP and GIF"),
    "text": (b"Gather ye rosebuds", "none of JPEG, PNG, WebP, BMP and GIF"),
    "bmp with a palette": (encode(IMAGE.convert("P"), "BMP"), "Convert the file to PNG"),
}


def same(data, decoding):
    expected = decode(data, decoding)
    given = in_graph(tf.constant(data), decoding).numpy()
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("name", FILES)
def test_files_give_the_same_pixels(name):
    same(FILES[name], Decoding((24, 20), background=(10, 90, 200)))


@pytest.mark.parametrize("name", [name for name in FILES if "orientation" not in name])
def test_files_give_the_same_grey_pixels(name):
    same(FILES[name], Decoding((24, 20), "grayscale", background=(10, 90, 200)))


@pytest.mark.parametrize("times", [1, 2, 5, 9])
def test_large_jpegs_are_decoded_at_a_part_of_their_size_where_the_training_did(times):
    large = cv2.resize(PHOTO, (20 * times + 3, 24 * times + 1))
    same(encode(large, "JPEG"), Decoding((24, 20), fast_jpeg=True))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_decoded_is_refused_in_words(name):
    data, message = REFUSED[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        in_graph(tf.constant(data), Decoding((24, 20)))
