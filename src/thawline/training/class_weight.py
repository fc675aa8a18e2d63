"""Class weights as users give them, by name or number, for the classes of the images that are trained on."""

import operator
from collections.abc import Mapping
from typing import Any

from thawline.data.class_order import tell_names
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError


def weights_by_number(given: Any, source: ImageSource, named: ImageSource) -> dict[int, float] | None:
    """Weights by class number.

    Args:
        given: weights by class name or number, "balanced", or None.
        source: the images as they were given, which numbers are about.
        named: the same images with the classes in the order that is trained on.

    Raises:
        ArgumentError: a class is not known, or comes twice.

    Example:
        >>> import numpy as np
        >>> from thawline.data.sources.arrays import ImageArrays
        >>> images = ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), ["cat", "dog"])
        >>> weights_by_number({"dog": 2.0}, images, images)
        {1: 2.0}
    """
    if given is None:
        return None
    if isinstance(given, str) and given == "balanced":
        return named.class_weights()
    if not isinstance(given, Mapping):
        raise ArgumentError(f"class_weight is a dictionary like {{'cat': 2.0}}, or 'balanced'; got {given!r}.")
    weights: dict[int, float] = {}
    for key, weight in given.items():
        number = _number(key, source, named)
        if number in weights:
            raise ArgumentError(f"class_weight has the class {key!r} by its name and by its number. Keep one.")
        weights[number] = float(weight)
    return weights


def _number(key: Any, source: ImageSource, named: ImageSource) -> int:
    """The number that is trained on, of a class by its name or its number in the images as given."""
    if isinstance(key, str):
        if key not in named.class_indices:
            raise ArgumentError(
                f"class_weight names the class {key!r}, which the images do not have; they have "
                f"{tell_names(named.class_names)}."
            )
        return named.class_indices[key]
    try:
        number = operator.index(key)
    except TypeError:
        raise ArgumentError(f"class_weight goes by names of classes or whole numbers; got {key!r}.") from None
    if not 0 <= number < len(source.class_names):
        # Whoever makes the weights of images says what numbers there are.
        return number
    return named.class_indices.get(source.class_names[number], number)
