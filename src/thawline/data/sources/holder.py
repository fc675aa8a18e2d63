"""What users may give where a source is wanted."""

from typing import Protocol

from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError


class SourceHolder(Protocol):
    """What is no source but has one: an iterator of `ImageDataGenerator`."""

    @property
    def source(self) -> ImageSource:
        """The images as a source."""


def as_source(images: ImageSource | SourceHolder, place: str) -> ImageSource:
    """The source itself, or the one that is held.

    Args:
        images: what a user gave.
        place: where it was given, for the error.

    Raises:
        ArgumentError: there is none.
    """
    source = images if isinstance(images, ImageSource) else getattr(images, "source", None)
    if not isinstance(source, ImageSource):
        raise ArgumentError(
            f"{place} takes images from thawline, like tl.ImageFolder('flowers') or what tl.ImageDataGenerator gives; "
            f"got {type(images).__name__}. For other data use stack.model, which is a Keras model."
        )
    return source
