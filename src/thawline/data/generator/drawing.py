"""Draws for methods that a user's subclass overrides.

An iterator calls `get_random_transform`, `apply_transform`, `random_transform` and `standardize` of a subclass, as
Keras' iterators do. Their random numbers must be those of the image that is being made; it is said here which one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np


@dataclass
class ViewDraw:
    """The key of the draws of one view of one image.

    Attributes:
        seed: the iterator's seed.
        place: the image's place in the listing.
        view: the view's number.
        taken: how many draws were taken; each is another one.
    """

    seed: int
    place: int
    view: int
    taken: int = 0

    def take(self) -> tuple[int, bytes, int]:
        """Seed, key and view of the next draw; the first is the one that the iterator itself would take."""
        key = place_key(self.place) + (b"" if not self.taken else self.taken.to_bytes(4, "little"))
        self.taken += 1
        return self.seed, key, self.view


_present: ContextVar[ViewDraw | np.random.RandomState | None] = ContextVar("present", default=None)


def place_key(place: int) -> bytes:
    """The key of an image in the draws of an iterator: its place in the listing."""
    return place.to_bytes(8, "little")


def present_draw() -> ViewDraw | None:
    """The key of the image that an iterator is making; None outside of iterators."""
    draw = _present.get()
    return draw if isinstance(draw, ViewDraw) else None


def present_stream() -> np.random.RandomState | None:
    """The stream of numbers of the batch that an iterator with legacy=True is making; None outside of iterators."""
    stream = _present.get()
    return stream if isinstance(stream, np.random.RandomState) else None


@contextmanager
def drawing(source: ViewDraw | np.random.RandomState) -> Iterator[None]:
    """Lets methods that are called without a seed draw from here."""
    token = _present.set(source)
    try:
        yield
    finally:
        _present.reset(token)
