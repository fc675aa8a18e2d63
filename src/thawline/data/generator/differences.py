"""Where an argument means something else than in Keras' ImageDataGenerator, and who is told."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from thawline.errors import ArgumentError


class ChangedMeaningWarning(UserWarning):
    """An argument does what Keras documents, where Keras does something else.

    It comes once per argument and process. To be left in peace:
    `warnings.simplefilter("ignore", ChangedMeaningWarning)`.
    """


# What Keras 3.15.1 does with the argument, and what is done here.
CHANGES = {
    "width_shift_range": "moves pictures sideways; Keras moves them up and down",
    "height_shift_range": "moves pictures up and down; Keras moves them sideways",
    "rotation_range": "turns pictures about their centre; Keras turns those that are not square about another point",
    "shear_range": "shears about the centre; Keras shears pictures that are not square about another point",
    "zoom_range": "zooms about the centre; Keras zooms pictures that are not square about another point",
    "brightness_range": "multiplies and clips to 0..255; Keras makes fractions black and stretches other values",
    "channel_shift_range": "clips to 0..255; Keras clips to each image's own smallest and largest value",
    "interpolation_order": "is 0 (nearest), 1 (linear) or 3 (cubic), clipped to 0..255; Keras has splines, not clipped",
    "validation_split": (
        "splits by content with equal shares of every class and never augments validation; Keras takes the first files "
        "and augments them"
    ),
    "preprocessing_function": "is applied by fit() too; Keras' fit() leaves it out",
}

# Words of Keras' flow_from_dataframe that do nothing any more, and what to do instead.
_PASSED_OVER = {
    "has_ext": "File names have their endings.",
    "sort": "Rows keep their order with shuffle=False.",
    "drop_duplicates": "Use dataframe.drop_duplicates().",
}

_told: set[str] = set()


def tell_changes(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Warns of each argument that is used and means something else, once per process.

    Args:
        given: the arguments by name.
        defaults: their defaults.
    """
    for name, change in CHANGES.items():
        if name not in _told and not is_equal(given[name], defaults[name]):
            _told.add(name)
            warnings.warn(f"{name} {change}. legacy=True does as Keras.", ChangedMeaningWarning, stacklevel=4)


def is_equal(value: Any, default: Any) -> bool:
    """Whether an argument is at its default; lists and arrays compare as a whole."""
    return bool(np.ndim(value) == np.ndim(default) and np.all(value == default))


def pass_over(words: dict[str, Any]) -> None:
    """Warns of words that Keras does without, and refuses those that it never knew.

    Raises:
        ArgumentError: a word is not known.
    """
    for word in words:
        if word not in _PASSED_OVER:
            raise ArgumentError(f"flow_from_dataframe() has no argument {word!r}. Leave it out.")
        warnings.warn(
            f"flow_from_dataframe({word}=...) does nothing. {_PASSED_OVER[word]}", DeprecationWarning, stacklevel=3
        )
