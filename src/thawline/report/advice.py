"""Advice that figures allow: only where there are enough images, and training has come to an end."""

import math
from collections.abc import Mapping, Sequence

from thawline.report.scores import ClassResult

# With fewer images of a class, none may be recognised by chance.
_ENOUGH = 10

# A figure has settled when so many epochs made it no better by more than this.
_EPOCHS, _GAIN = 3, 0.01


def unrecognised(results: Sequence[ClassResult], history: Mapping[str, Sequence[float]]) -> list[str]:
    """Classes that training does not come to recognise: no image of many is, and training accuracy rises no more.

    Args:
        results: what the stack gave for each class on held-out images.
        history: figures of each epoch, by name.

    Example:
        >>> lost = ClassResult("yak", support=12, recall=0.0, precision=float("nan"))
        >>> unrecognised([lost], {"accuracy": [0.5, 0.8, 0.9, 0.9, 0.9, 0.9]})
        ['yak']
        >>> unrecognised([lost], {"accuracy": [0.5]})
        []
    """
    learned = next((values for name, values in history.items() if _is_accuracy(name)), ())
    if not has_settled(learned):
        return []
    return [result.name for result in results if result.support >= _ENOUGH and result.recall == 0]


def _is_accuracy(name: str) -> bool:
    """Tells whether a figure is an accuracy on training images, by Keras' names for it."""
    return not name.startswith("val_") and name.rpartition("_")[2] in ("acc", "accuracy")


def has_settled(values: Sequence[float]) -> bool:
    """Tells whether a figure that should rise has stopped: the last epochs made it hardly better than those before.

    Epochs without the figure, NaN, do not count.

    Example:
        >>> has_settled([0.2, 0.6, 0.9, 0.9, 0.905, 0.9]), has_settled([0.2, 0.6, 0.7, 0.8]), has_settled([0.9])
        (True, False, False)
    """
    known = [value for value in values if not math.isnan(value)]
    before, last = known[:-_EPOCHS], known[-_EPOCHS:]
    return bool(before) and max(last) <= max(before) + _GAIN
