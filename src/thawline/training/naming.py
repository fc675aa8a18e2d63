"""What a stack and its images call their classes: names decide which is which."""

from typing import Protocol

from thawline.data.sources.source import ImageSource
from thawline.stack.series import StageSeries


class Named(Protocol):
    """What has named classes: a stack that was trained on them, or images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""

    @property
    def output_class_names(self) -> dict[str, tuple[str, ...]]:
        """Those of each of several outputs."""


def named_as(source: ImageSource, known: Named) -> ImageSource:
    """The images with the classes in the order of a stack's, or of other images'; as they are where it has none.

    Raises:
        DataError: the images have a class that is not known there.
    """
    return source.with_class_names(known.output_class_names or known.class_names)


def name_classes(series: StageSeries, train: ImageSource) -> None:
    """Tells a stack what its answers stand for: the classes that it is trained on."""
    series.class_names = train.class_names if train.answers_classes else ()
    series.output_class_names = train.output_class_names
