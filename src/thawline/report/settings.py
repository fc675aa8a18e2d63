"""The settings of a recipe one by one, by the dotted keys that overrides have."""

from collections.abc import Iterator
from typing import Any


def dotted(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested dictionaries and lists by its dotted key, as an override of a recipe names it.

    Numbers and truth values stay what they are, everything else is text.

    Example:
        >>> list(dotted({"data": {"seed": 7, "size": [4, 6]}, "phases": [{"epochs": 3}]}))
        [('data.seed', 7), ('data.size', '[4, 6]'), ('phases.0.epochs', 3)]
    """
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    is_plain_list = isinstance(value, list) and not any(isinstance(part, dict | list) for part in value)
    if not parts or is_plain_list:
        yield key, value if isinstance(value, bool | int | float) else str(value)
        return
    for name, part in parts:
        yield from dotted(part, f"{key}.{name}" if key else str(name))
