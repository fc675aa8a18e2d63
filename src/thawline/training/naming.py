"""Class names of a stack and its images, matched by name and not by number."""

from typing import Protocol

from thawline.data.sources.source import ImageSource
from thawline.errors import DataError
from thawline.specs import TensorSpec
from thawline.stack.series import StageSeries


class Named(Protocol):
    """Anything with named classes: a stack that was trained on them, or images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""

    @property
    def output_class_names(self) -> dict[str, tuple[str, ...]]:
        """Those of each of several outputs."""


def named_as(source: ImageSource, known: Named) -> ImageSource:
    """The images with the classes in the order of a stack's, or of other images'; as they are where it has none.

    Raises:
        DataError: the images have a class that is not known there, or masks whose numbers mean other classes.
    """
    if isinstance(known, ImageSource):
        _refuse_other_masks(source, known)
    return source.with_class_names(known.output_class_names or known.class_names)


def name_classes(series: StageSeries, train: ImageSource) -> None:
    """Tells a stack what its answers stand for: the classes that it is trained on."""
    series.class_names = train.class_names if train.answers_classes else ()
    series.output_class_names = train.output_class_names


def _refuse_other_masks(source: ImageSource, known: ImageSource) -> None:
    """Masks of 0 and n are classes 0 and 1 where they are alone, and class n beside masks of more classes."""
    for one, other in ((source, known), (known, source)):
        second, spec = one.second_mask_value, other.target_spec
        if second is None or other.second_mask_value == second or not isinstance(spec, TensorSpec):
            continue
        if spec.value_range is not None and "int" in spec.dtype and spec.value_range[1] > 1:
            raise DataError(
                f"Masks of one side hold 0 and {second} only, which are taken as class 0 and class 1, those of the "
                f"other class numbers up to {spec.value_range[1]:g}. Say for both sides what the numbers mean: "
                "mask_colors=range(n) keeps them, mask_colors=[0, ...] lists them in the order of the classes."
            )
