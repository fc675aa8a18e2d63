"""Bytes of an image file -> pixels of one size, as a TensorFlow graph: `thawline.data.decode` inside a SavedModel.

TensorFlow decodes JPEG, PNG, WebP, BMP and GIF to the same pixels as thawline does when it is told how: accurate
transforms and smoothed colours for JPEG, 16 bits as they are. Orientation, transparency and 16 bits are then treated in
the same way. TIFF, PPM and BMP with a palette are refused, in words.
"""

from typing import Any

import tensorflow as tf

from thawline.data.decode import Decoding, fill_colour
from thawline.export.in_graph_resize import resize_pixels

# The first bytes of a file, by format.
_JPEG, _PNG, _BMP, _GIF, _RIFF = b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"GIF8", b"RIFF"

# What makes grey of colours, in units of 1 / 32768: ITU-R BT.601 as OpenCV, its reader of BMP and libpng round it.
_GREY = (9798, 19235, 3735)
_GREY_OF_BMP = (2 * 4899, 2 * 9617, 2 * 1868)
_GREY_OF_PNG = (9797, 19234, 3737)

# EXIF's tag for the orientation, and how an image has to be turned for each: are axes exchanged, are rows and columns
# then reversed.
_ORIENTATION = 0x0112
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

# EXIF lies in the first segments of a JPEG; a segment holds up to 64 kB.
_HEADER_BYTES = 1 << 18


def decode(data: Any, decoding: Decoding) -> Any:
    """Pixels of one file, uint8 (height, width, 1 or 3 channels), 0 to 255.

    Args:
        data: string tensor without axes: the bytes of a file.
        decoding: size, colours and interpolation; not "rgba".
    """
    kinds = [
        (_begins(data, _JPEG), lambda: _upright(_jpeg(data, decoding), _jpeg_orientation(data))),
        (_begins(data, _PNG), lambda: _png_in_mode(data, decoding)),
        (_begins(data, _RIFF), lambda: _in_mode(_webp(data), decoding)),
        (_begins(data, _BMP), lambda: _in_mode(_bmp(data), decoding, _GREY_OF_BMP)),
        (_begins(data, _GIF), lambda: _in_mode(_gif(data), decoding)),
    ]
    pixels = tf.case(kinds, default=lambda: _refused(data, decoding), exclusive=True)
    pixels = tf.ensure_shape(pixels, (None, None, decoding.shape[-1]))
    return resize_pixels(
        pixels,
        decoding.image_size,
        resize=decoding.resize,
        interpolation=decoding.interpolation,
        fill=fill_colour(decoding),
    )


def _begins(data: Any, beginning: bytes) -> Any:
    return tf.equal(tf.strings.substr(data, 0, len(beginning)), beginning)


def _refused(data: Any, decoding: Decoding) -> Any:
    """No pixels, but an error."""
    message = "The content is none of JPEG, PNG, WebP, BMP and GIF, which this model decodes. Convert the file."
    with tf.control_dependencies([tf.debugging.Assert(tf.constant(False), [message])]):
        return tf.zeros((1, 1, decoding.shape[-1]), tf.uint8)


def _jpeg(data: Any, decoding: Decoding) -> Any:
    if decoding.color_mode == "rgb":
        return _by_ratio(data, decoding, channels=3)
    # Of colours a JPEG gives grey by itself, of four inks it does not.
    is_cmyk = tf.equal(_jpeg_components(data), 4)
    return tf.cond(
        is_cmyk, lambda: _as_grey(_read_jpeg(data, channels=3)), lambda: _by_ratio(data, decoding, channels=1)
    )


def _by_ratio(data: Any, decoding: Decoding, channels: int) -> Any:
    """With `fast_jpeg` at an eighth, a quarter or half of the size, where that is large enough."""
    if not decoding.fast_jpeg:
        return _read_jpeg(data, channels)
    factor = tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]) // max(decoding.image_size)
    # Pillow reads four inks, and whole.
    factor = tf.where(tf.equal(_jpeg_components(data), 4), 1, factor)
    ratios = [1, 2, 4, 8]
    index = tf.reduce_sum(tf.cast(factor >= tf.constant(ratios[1:]), tf.int32))
    return tf.switch_case(index, [lambda ratio=ratio: _read_jpeg(data, channels, ratio) for ratio in ratios])


def _read_jpeg(data: Any, channels: int, ratio: int = 1) -> Any:
    return tf.io.decode_jpeg(data, channels=channels, ratio=ratio, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)


def _png(data: Any, header: Any) -> Any:
    """RGBA; TensorFlow would cut 16 bits to their upper half."""

    def deep() -> Any:
        pixels = tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.float32)
        return tf.saturate_cast(tf.round(pixels * (1 / 257)), tf.uint8)

    def plain() -> Any:
        pixels = tf.io.decode_png(data, channels=4)
        # Where grey has fewer than 8 bits TensorFlow fills alpha with the largest number of so many bits.
        is_thin = tf.equal(_byte(header, 25), 0) & (_byte(header, 24) < 8)
        seen = tf.cast(pixels[..., 3:] > 0, tf.uint8) * 255
        return tf.concat([pixels[..., :3], tf.where(is_thin, seen, pixels[..., 3:])], axis=-1)

    return tf.cond(tf.equal(_byte(header, 24), 16), deep, plain)


def _png_in_mode(data: Any, decoding: Decoding) -> Any:
    header = _first_bytes(data, 26)
    pixels = _png(data, header)
    if decoding.color_mode == "rgb":
        return _in_mode(pixels, decoding)
    # libpng makes grey of colours by itself where nothing is transparent, and cuts off what OpenCV rounds.
    has_colours = (_byte(header, 24) < 16) & ((_byte(header, 25) == 2) | (_byte(header, 25) == 3))
    is_opaque = tf.reduce_all(tf.equal(pixels[..., 3], 255))
    return tf.cond(
        has_colours & is_opaque,
        lambda: _as_grey(pixels[..., :3], _GREY_OF_PNG, rounding=0),
        lambda: _in_mode(pixels, decoding),
    )


def _webp(data: Any) -> Any:
    """RGB as RGBA, of an animation the first image. TensorFlow gives alpha only where there is some."""
    header = _first_bytes(data, 30)
    # RFC 9649: a flag in VP8X, a bit behind width and height in VP8L.
    is_extended = tf.equal(tf.strings.substr(data, 12, 4), b"VP8X") & tf.equal((_byte(header, 20) // 16) % 2, 1)
    is_lossless = tf.equal(tf.strings.substr(data, 12, 4), b"VP8L") & tf.equal((_byte(header, 24) // 16) % 2, 1)

    def opaque() -> Any:
        pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
        return tf.concat([pixels, tf.fill(tf.concat([tf.shape(pixels)[:2], [1]], 0), tf.constant(255, tf.uint8))], -1)

    pixels = tf.cond(
        is_extended | is_lossless, lambda: tf.io.decode_image(data, channels=4, expand_animations=False), opaque
    )
    return tf.ensure_shape(pixels, (None, None, 4))


def _bmp(data: Any) -> Any:
    header = _first_bytes(data, 34)
    is_plain = tf.equal(_byte(header, 28), 24) & tf.equal(_byte(header, 30), 0)
    message = "A BMP with a palette, alpha or compression, which this model does not decode. Convert the file to PNG."
    with tf.control_dependencies([tf.debugging.Assert(is_plain, [message])]):
        return tf.io.decode_bmp(data, channels=3)


def _gif(data: Any) -> Any:
    """The first image."""
    return tf.io.decode_gif(data)[0]


def _in_mode(pixels: Any, decoding: Decoding, grey: tuple[int, int, int] = _GREY) -> Any:
    """RGB or RGBA in the channels of the colour mode; alpha is laid over the background."""
    if pixels.shape[-1] == 4:
        colours, alpha = tf.cast(pixels[..., :3], tf.int32), tf.cast(pixels[..., 3:], tf.int32)
        total = colours * alpha + tf.constant(decoding.background) * (255 - alpha)
        pixels = tf.cast((total + 127) // 255, tf.uint8)
    return _as_grey(pixels, grey) if decoding.color_mode == "grayscale" else pixels


def _as_grey(pixels: Any, parts: tuple[int, int, int] = _GREY, rounding: int = 1 << 14) -> Any:
    total = tf.reduce_sum(tf.cast(pixels, tf.int32) * tf.constant(parts), axis=-1, keepdims=True)
    return tf.cast((total + rounding) // (1 << 15), tf.uint8)


def _upright(pixels: Any, orientation: Any) -> Any:
    turns = tf.gather(tf.constant([_TURNS[number] for number in range(1, 9)]), orientation - 1)
    # As whole numbers: of bytes that change places TensorFlow says on stderr that oneDNN does not know them.
    whole = tf.cast(pixels, tf.int32)
    turned = tf.cond(turns[0], lambda: tf.transpose(whole, (1, 0, 2)), lambda: whole)
    flipped = tf.cond(turns[1], lambda: turned[::-1], lambda: turned)
    mirrored = tf.cond(turns[2], lambda: flipped[:, ::-1], lambda: flipped)
    return tf.cast(mirrored, tf.uint8)


def _first_bytes(data: Any, count: int) -> Any:
    return tf.io.decode_raw(tf.strings.substr(data, 0, count), tf.uint8)


def _byte(content: Any, place: Any) -> Any:
    """One byte as int32; 0 beyond the end."""
    size = tf.size(content)
    return tf.cond(
        (place >= 0) & (place < size),
        lambda: tf.cast(content[tf.clip_by_value(place, 0, size - 1)], tf.int32),
        lambda: 0,
    )


def _number(content: Any, place: Any, is_little: Any, count: int) -> Any:
    """A whole number of so many bytes, in either order."""
    values = [_byte(content, place + at) for at in range(count)]
    little = tf.add_n([value * (1 << 8 * at) for at, value in enumerate(values[:4])])
    big = tf.add_n([value * (1 << 8 * at) for at, value in enumerate(reversed(values[:4]))])
    return tf.where(is_little, little, big)


def _segment(data: Any, is_wanted: Any) -> tuple[Any, Any]:
    """The bytes that a JPEG begins with, and where the first segment of a kind starts; -1 where there is none."""
    content = _first_bytes(data, _HEADER_BYTES)
    big = tf.constant(False)

    def goes_on(place: Any, found: Any) -> Any:
        # Pixels begin behind 0xDA; a segment begins with 0xFF.
        kind = _byte(content, place + 1)
        return (found < 0) & tf.equal(_byte(content, place), 255) & tf.not_equal(kind, 0xDA) & tf.not_equal(kind, 0xD9)

    def step(place: Any, found: Any) -> tuple[Any, Any]:
        found = tf.where(is_wanted(content, place), place, found)
        # A lone 0xFF in front of a marker is padding.
        is_padding = tf.equal(_byte(content, place + 1), 255)
        return tf.where(is_padding, place + 1, place + 2 + _number(content, place + 2, big, 2)), found

    return content, tf.while_loop(goes_on, step, (tf.constant(2), tf.constant(-1)))[1]


def _jpeg_components(data: Any) -> Any:
    """How many components a JPEG has, by its frame header (SOF); 0 where that is not found."""

    def is_frame(content: Any, place: Any) -> Any:
        kind = _byte(content, place + 1)
        # 0xC4, 0xC8 and 0xCC are no frames.
        return (kind >= 0xC0) & (kind <= 0xCF) & tf.reduce_all(tf.not_equal(kind, [0xC4, 0xC8, 0xCC]))

    content, place = _segment(data, is_frame)
    return tf.where(place < 0, 0, _byte(content, place + 9))


def _jpeg_orientation(data: Any) -> Any:
    """What EXIF says, 1 to 8; 1 where it says nothing."""

    def is_exif(content: Any, place: Any) -> Any:
        letters = tf.stack([_byte(content, place + 4 + at) for at in range(4)])
        return tf.equal(_byte(content, place + 1), 0xE1) & tf.reduce_all(tf.equal(letters, list(b"Exif")))

    content, place = _segment(data, is_exif)
    # Behind marker, length and "Exif\0\0" stands a TIFF header: the order of bytes, and where the directory is.
    start = place + 10
    is_little = tf.equal(_byte(content, start), ord("I"))
    directory = start + _number(content, start + 4, is_little, 4)
    count = _number(content, directory, is_little, 2)

    def step(index: Any, found: Any) -> tuple[Any, Any]:
        entry = directory + 2 + 12 * index
        is_orientation = tf.equal(_number(content, entry, is_little, 2), _ORIENTATION)
        return index + 1, tf.where(is_orientation, _number(content, entry + 8, is_little, 2), found)

    def search() -> Any:
        return tf.while_loop(lambda index, _: index < tf.minimum(count, 512), step, (0, 1))[1]

    orientation = tf.cond(place < 0, lambda: 1, search)
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)
