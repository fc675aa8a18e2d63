"""What users may give where a source is wanted."""

import copy
from dataclasses import replace
from typing import Protocol

import numpy as np

from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, JointError
from thawline.specs import PIXELS, ValueRange, format_range


class SourceHolder(Protocol):
    """What is no source but has one: an iterator of `ImageDataGenerator`."""

    @property
    def source(self) -> ImageSource:
        """The images as a source."""


def as_source(images: ImageSource | SourceHolder, place: str, value_range: ValueRange | None = None) -> ImageSource:
    """The source itself, or the one that is held.

    Args:
        images: what a user gave.
        place: where it was given, for the error.
        value_range: what the stack scales pixels to by itself, or None where it takes what comes. Images that are
            scaled to this very range already are given as pixels, so that they are scaled once.

    Raises:
        ArgumentError: there is none.
        JointError: the images are standardized, and the stack would scale them once more.
    """
    source = images if isinstance(images, ImageSource) else getattr(images, "source", None)
    if not isinstance(source, ImageSource):
        raise ArgumentError(
            f"{place} takes images from thawline, like tl.ImageFolder('flowers') or what tl.ImageDataGenerator gives; "
            f"got {type(images).__name__}. For other data use stack.model, which is a Keras model."
        )
    return source if value_range is None else _scaled_once(source, value_range)


def is_shuffled(images: ImageSource | SourceHolder) -> bool:
    """Whether each epoch has an order of its own: so it is, unless an iterator was made with shuffle=False."""
    return bool(getattr(images, "shuffle", True))


def _scaled_once(source: ImageSource, value_range: ValueRange) -> ImageSource:
    """The source without the scaling that the stack does itself; only a scaling to the same range can be left out."""
    steps = source.augmentation
    if steps is None or steps.output_dtype == "uint8" or (steps.value_range is None and value_range == PIXELS):
        return source
    given = steps.value_range
    if given is None or not np.allclose(given, value_range, rtol=0, atol=1e-5 * (value_range[1] - value_range[0])):
        came = "their range is not known then" if given is None else f"they are in {format_range(given)} then"
        raise JointError(
            f"The stack takes pixels and brings them to {format_range(value_range)} itself, but the images are "
            f"standardized already: {came}. Leave rescale, preprocessing_function, samplewise and featurewise "
            "arguments out and give arrays as pixels from 0 to 255, or build the first Stage without value_range, "
            "which then takes what comes."
        )
    changed = copy.copy(source)
    pixels = replace(steps, rescale=None)
    changed.augmentation = None if pixels.is_identity else pixels
    return changed
