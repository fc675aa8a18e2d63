"""The chunks of a PNG file: where they lie, and whether they lie in the file at all.

A chunk says its length in front. OpenCV makes room for whatever that says, up to 4 GB for a file of 69 bytes, before it
notices that the file is over.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

# Behind the signature.
_FIRST_CHUNK = 8

# Length and kind in front of a body, CRC behind it.
_HEAD, _FRAME = 8, 12


class Chunk(NamedTuple):
    """A chunk: where it begins in the file, its kind, and the length of its body in bytes, as it says itself."""

    place: int
    kind: bytes
    length: int

    @property
    def body(self) -> slice:
        """Place of its body in the file."""
        return slice(self.place + _HEAD, self.place + _HEAD + self.length)

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.place + _FRAME + self.length


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG in their order, up to its end chunk, or the one that reaches beyond the end of the file.

    Args:
        data: a whole PNG file, or what there is of it.

    Example:
        >>> import cv2, numpy as np
        >>> data = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
        >>> [chunk.kind for chunk in chunks(data)]
        [b'IHDR', b'IDAT', b'IEND']
    """
    place = _FIRST_CHUNK
    while place + _HEAD <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = Chunk(place, kind, length)
        yield chunk
        if kind == b"IEND":
            return
        place = chunk.end


def check_chunks(data: bytes) -> None:
    """Refuses a PNG of which a chunk says that it is longer than the file.

    Raises:
        ValueError: there is such a chunk; it is named with both lengths.
    """
    for chunk in chunks(data):
        left = len(data) - chunk.body.start
        if chunk.length > left:
            name = chunk.kind.decode("ascii", "backslashreplace")
            raise ValueError(f"its chunk {name!r} says that it has {chunk.length:,} bytes, but {left:,} are left")
