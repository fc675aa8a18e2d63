"""Seeds for iterators that were given none: fresh each time, and the same again after `keras.utils.set_random_seed`.

NumPy's global state is read and never advanced. It says where a script stands in its random numbers; how many seeds
were taken since it changed tells seeds apart that are taken at the same place.
"""

import threading

import numpy as np
from blake3 import blake3

from thawline.backend import seeding_mark


class _Seeds:
    """The place at which seeds were taken last, and how many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place: tuple[bytes, object] | None = None
        self._count = 0

    def take(self) -> int:
        """A seed from 0 to 2**32 - 1."""
        name, words, *rest = np.random.get_state(legacy=True)
        state = blake3(repr((name, rest)).encode() + np.asarray(words).tobytes()).digest()
        # By identity: seeding gives another mark, also where it leads to the state that was there before.
        mark = seeding_mark()
        with self._lock:
            is_same = self._place is not None and self._place[0] == state and self._place[1] is mark
            self._count = self._count + 1 if is_same else 0
            self._place = (state, mark)
            key = state + self._count.to_bytes(8, "little")
        return int.from_bytes(blake3(key, derive_key_context="thawline unseeded").digest(length=4), "little")


_seeds = _Seeds()


def take_seed() -> int:
    """A seed from 0 to 2**32 - 1: another one at each call, the same ones again after the same `set_random_seed`.

    Example:
        >>> import keras
        >>> keras.utils.set_random_seed(5)
        >>> first, second = take_seed(), take_seed()
        >>> keras.utils.set_random_seed(5)
        >>> first != second, first == take_seed()
        (True, True)
    """
    return _seeds.take()
