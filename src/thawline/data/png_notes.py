"""Long notes in PNG files: profiles and texts that no pixel depends on, taken out before the header is read.

Pillow refuses a file whose notes unpack to more than a megabyte, which is right for a library that hands the notes out,
and wrong for pictures whose notes nobody asks for. Its limits count for the whole process, so they are left as they
are. What tells how a picture is to be turned is kept: EXIF in a chunk of its own, EXIF or XMP in a text.
"""

import zlib

from thawline.data.png_chunks import chunks

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Colour profile and texts, plain, packed and international.
_NOTES = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")

# The texts that may say how a picture is to be turned.
_TURNING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")

# What a note may unpack to. Pillow allows as much.
_MOST_BYTES = 1 << 20


def without_long_notes(data: bytes) -> bytes:
    """The PNG without its profile and its texts, but for those that say how it is turned and unpack to a megabyte.

    Args:
        data: the bytes of a file; they are returned as they are where there is nothing to take out.

    Example:
        >>> import io
        >>> from PIL import Image, PngImagePlugin
        >>> notes, stream = PngImagePlugin.PngInfo(), io.BytesIO()
        >>> notes.add_text("Comment", "long", zip=True)
        >>> Image.new("L", (1, 1)).save(stream, "PNG", pnginfo=notes)
        >>> b"Comment" in stream.getvalue(), b"Comment" in without_long_notes(stream.getvalue())
        (True, False)
    """
    if not data.startswith(_SIGNATURE):
        return data
    kept, start = [], 0
    for chunk in chunks(data):
        if chunk.end > len(data):
            break
        if chunk.kind in _NOTES and not _is_needed(chunk.kind, data[chunk.body]):
            kept.append(data[start : chunk.place])
            start = chunk.end
    return b"".join([*kept, data[start:]]) if kept else data


def _is_needed(kind: bytes, body: bytes) -> bool:
    """Tells whether a note may say how the picture is turned, and is short enough to be read."""
    keyword = next((word for word in _TURNING if body.startswith(word)), None)
    if kind == b"iCCP" or keyword is None:
        return False
    packed = _packed(kind, body[len(keyword) :])
    return len(body) <= _MOST_BYTES if packed is None else _unpacks(packed)


def _packed(kind: bytes, rest: bytes) -> bytes | None:
    """The deflated part of a text, behind its keyword; None where the text is plain."""
    if kind == b"zTXt":
        return rest[1:]
    if kind == b"iTXt" and rest[:1] != b"\0":
        # Flag, method, then language and translated keyword, each with a zero behind it.
        return rest[2:].split(b"\0", 2)[-1]
    return None


def _unpacks(packed: bytes) -> bool:
    """Tells whether this unpacks to `_MOST_BYTES` or less; no more than that is unpacked."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, _MOST_BYTES)
    except zlib.error:
        return False
    return not unpacker.unconsumed_tail
