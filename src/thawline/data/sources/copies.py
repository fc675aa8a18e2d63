"""Copies: images that a source shows more than once, so that each of them is augmented in its own way.

Rows that were repeated to give rare classes more weight, or files that are copies, would be the same pixels in every
view, because a view's random numbers come from the content of the image. So the n-th image of a content has a key of
its own from the second on; the first keeps the digest. Where nothing is drawn at random, copies stay equal.
"""

import threading
from collections.abc import Hashable, Iterable

import numpy as np
from blake3 import blake3

from thawline.data.sources.pictures import Pictures

# Threads ask for the first pictures of a source at the same time: its copies are counted once for all of them.
_counting = threading.Lock()


def count_earlier(contents: Iterable[Hashable]) -> np.ndarray:
    """For each image how many of the same content come before it, int64 (n,).

    Example:
        >>> count_earlier("abaca").tolist()
        [0, 0, 1, 0, 2]
    """
    seen: dict[Hashable, int] = {}
    numbers = []
    for content in contents:
        numbers.append(seen.get(content, 0))
        seen[content] = numbers[-1] + 1
    return np.array(numbers, np.int64)


def copy_key(digest: bytes, number: int) -> bytes:
    """The key of an image in random draws, 32 bytes: its digest, for a copy together with its number.

    Args:
        digest: the BLAKE3 digest of its content.
        number: how many images of the same content come before it.

    Example:
        >>> copy_key(b"rose", 0), len(copy_key(b"rose", 1)), copy_key(b"rose", 1) == copy_key(b"rose", 2)
        (b'rose', 32, False)
    """
    if number == 0:
        return digest
    return blake3(digest + number.to_bytes(8, "little"), derive_key_context="thawline copy of an image").digest()


class Copies:
    """Copies of earlier images in a source; found when they are asked for first.

    Args:
        pictures: where the images come from.
        rows: int64 (n,), the row of each image in the pictures.

    Example:
        >>> from thawline.data.sources.pictures import ArrayPictures
        >>> pictures = ArrayPictures(np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1))
        >>> Copies(pictures, np.array([0, 1, 0, 0])).numbers.tolist()
        [0, 0, 1, 2]
    """

    def __init__(self, pictures: Pictures, rows: np.ndarray) -> None:
        self._pictures = pictures
        self._rows = rows
        self._numbers: np.ndarray | None = None

    @property
    def numbers(self) -> np.ndarray:
        """For each image how many of the same content come before it, int64 (n,)."""
        if self._numbers is None:
            with _counting:
                if self._numbers is None:
                    self._numbers = count_earlier(self._pictures.contents(self._rows))
        return self._numbers
