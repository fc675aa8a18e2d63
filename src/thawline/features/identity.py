"""The digest by which a set of features is found; here and not with the fingerprints, which take Keras to compute."""

import json
from typing import Any

from blake3 import blake3


def digest_description(description: dict[str, Any]) -> bytes:
    """The 16 bytes that stand for a description.

    Example:
        >>> digest_description({"a": 1, "b": 2}) == digest_description({"b": 2, "a": 1})
        True
    """
    return blake3(canonical(description)).digest(length=16)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys; what JSON does not know is written as Python would."""
    return json.dumps(value, sort_keys=True, default=repr).encode()
