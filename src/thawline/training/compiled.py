"""What `Stack.compile` was given."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Compiled:
    """What `Stack.compile` was given, and which weights its optimizer knows."""

    optimizer: Any
    options: dict[str, Any]
    optimized: tuple[int, ...] = ()
