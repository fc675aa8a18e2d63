"""Settings of a generator: from its attributes, which users set and read as Keras', to what is done with an image.

They are read again after every change: `generator.rescale = 1 / 255` and `generator.mean = [...]` count from the next
batch on, as in Keras.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from thawline.data.augment import Augmentation
from thawline.data.augment.standardize import Statistics
from thawline.data.legacy import LegacyTransform
from thawline.errors import ArgumentError

# The arguments that are an Augmentation's, too; the layout of the axes is the generator's own.
_AUGMENTS = {field.name for field in fields(Augmentation)} & {field.name for field in fields(LegacyTransform)} - {
    "data_format"
}
_KERAS_ARGUMENTS = [field.name for field in fields(LegacyTransform) if field.init]

# Statistics by what they are called as attributes of a generator.
_STATISTICS = ("mean", "std", "zca_whitening_matrix")

# Which of them each argument needs.
_NEEDED = {
    "featurewise_center": "mean",
    "featurewise_std_normalization": "std",
    "zca_whitening": "zca_whitening_matrix",
}


def own_augmentation(generator: Any) -> Augmentation:
    """The augmentation that the attributes of a generator stand for.

    Raises:
        ArgumentError: a value cannot work.
    """
    used = {name: getattr(generator, name) for name in _AUGMENTS}
    if generator.data_format == "channels_first" and generator.preprocessing_function is not None:
        used["preprocessing_function"] = partial(_call_channels_first, generator.preprocessing_function)
    return Augmentation(**used, statistics=_statistics(generator))


def keras_transform(generator: Any) -> LegacyTransform:
    """Keras' transform with the attributes of a generator."""
    transform = LegacyTransform(**{name: getattr(generator, name) for name in _KERAS_ARGUMENTS})
    for name in _STATISTICS:
        value = getattr(generator, name)
        setattr(transform, name, None if value is None else np.asarray(value))
    return transform


def take_implied(generator: Any, transform: LegacyTransform) -> None:
    """Sets the attributes that Keras sets itself: arguments that switch others on or off, and zoom as a pair."""
    for name in (*_NEEDED, "samplewise_center", "zoom_range"):
        setattr(generator, name, getattr(transform, name))
    generator.zoom_range = list(generator.zoom_range)


def check_fitted(generator: Any) -> None:
    """Refuses featurewise arguments and ZCA without their statistics.

    Raises:
        ArgumentError: they were neither measured by `fit` nor set.
    """
    needed = {argument: name for argument, name in _NEEDED.items() if getattr(generator, argument)}
    missing = dict.fromkeys(name for name in needed.values() if getattr(generator, name) is None)
    if needed and generator.mean is None:
        # All of them centre first.
        missing = {"mean": None, **missing}
    if missing:
        raise ArgumentError(
            f"{' and '.join(needed)} {'needs' if len(needed) == 1 else 'need'} statistics of the training images. Call "
            f"fit(images) first, or set {' and '.join(f'.{name}' for name in missing)}."
        )


def take_statistics(generator: Any, measured: Statistics) -> None:
    """Sets what `fit` measured, in Keras' shapes: (1, 1, channels), or (channels, 1, 1) with channels first."""
    shape = (-1, 1, 1) if generator.data_format == "channels_first" else (1, 1, -1)
    generator.mean = measured.mean.reshape(shape)
    if generator.featurewise_std_normalization:
        generator.std = measured.std.reshape(shape)
    if measured.whitening is not None:
        generator.zca_whitening_matrix = measured.whitening


def _statistics(generator: Any) -> Statistics | None:
    """The statistics that were measured or set, channels last; None while there is no mean."""
    if generator.mean is None:
        return None
    mean = _channels_last(generator.mean, generator.data_format)
    std = np.ones(1, np.float32) if generator.std is None else _channels_last(generator.std, generator.data_format)
    matrix = generator.zca_whitening_matrix
    return Statistics(mean, std, None if matrix is None else np.asarray(matrix, np.float32))


def _channels_last(value: Any, data_format: str) -> np.ndarray:
    """A statistic of any shape that Keras takes: a number, one for each channel, or one for each value."""
    array = np.asarray(value, np.float32)
    if array.ndim == 3 and data_format == "channels_first":
        array = array.transpose(1, 2, 0)
    return array.reshape(-1) if array.ndim < 3 or array.shape[:2] == (1, 1) else array


def _call_channels_first(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """A function for images with their channels first, called with one that has them last."""
    return np.asarray(function(image.transpose(2, 0, 1))).transpose(1, 2, 0)
