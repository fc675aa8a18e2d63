"""Search for files that may be copies of others, without reading them whole."""

import os
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

# Files are small and the disk is the limit: more threads than cores keep it busy.
_THREADS = 8

# This many bytes of a file's beginning, middle and end tell nearly all files of one size apart.
_SAMPLE_BYTES = 4096


def sharing(items: list[Item], sign: Callable[[Item], Hashable]) -> list[Item]:
    """The items that have a sign in common with another; one whose sign is None has it with none.

    Example:
        >>> sharing(["rose", "tulip", "lily", "daisy"], len)
        ['rose', 'tulip', 'lily', 'daisy']
        >>> sharing(["rose", "tulip", "aster", "marigold"], len)
        ['tulip', 'aster']
    """
    step = -(-len(items) // _THREADS) or 1
    parts = [items[start : start + step] for start in range(0, len(items), step)]
    with ThreadPoolExecutor(_THREADS) as pool:
        signs = [each for part in pool.map(lambda part: [sign(item) for item in part], parts) for each in part]
    counts = Counter(signs)
    return [item for item, each in zip(items, signs, strict=True) if each is not None and counts[each] > 1]


def size_of(path: Path) -> int | None:
    """The size of a file in bytes; None where the file cannot be asked."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def sample_of(path: Path) -> tuple[int, bytes] | None:
    """The size of a file with some of its beginning, middle and end; None where it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            parts = []
            for place in (0, size // 2, max(size - _SAMPLE_BYTES, 0)):
                file.seek(place)
                parts.append(file.read(_SAMPLE_BYTES))
            return size, b"".join(parts)
    except OSError:
        return None
