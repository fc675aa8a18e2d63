"""What a page of the report shows, as values: `page` turns them into HTML, whoever trained fills them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thawline.errors import ArgumentError
from thawline.training.clock import Timing


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with a caption.

    Attributes:
        pixels: uint8 (height, width, 1 or 3) in [0, 255]; three channels are red, green, blue.
        caption: one short line.

    Raises:
        ArgumentError: if the pixels have another shape or dtype.
    """

    pixels: npt.NDArray[np.uint8]
    caption: str

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
            raise ArgumentError(
                f"Picture {self.caption!r} expects uint8 (height, width, 1 or 3), but got {pixels.dtype} "
                f"{pixels.shape}. Scale the values to [0, 255] and convert them with astype('uint8')."
            )


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page shows.

    Attributes:
        title: the name of the run.
        facts: what was run, as name and value: data, stack, plan, ...
        history: per metric one value per epoch, as in Keras' `History.history`; `val_` marks validation.
            Metrics whose values are not single numbers are left out.
        class_names: the names of the classes, in the order of the labels.
        confusion: int (classes, classes): how many images of the row's class were answered with the column's.
        timings: where the time went.
        augmented: some images as the model saw them.
        phase_ends: the number of epochs done at the end of each phase, like (10, 15).
        estimate_note: a sentence that sets the forecast beside the measurement.
        mistakes: images that were answered wrong.
        recipe: the recipe of the run, as YAML.
        repeat: the command that runs it again.

    Raises:
        ArgumentError: if the confusion matrix does not have one row and one column per class.
    """

    title: str
    facts: Mapping[str, str]
    history: Mapping[str, Sequence[float]]
    class_names: Sequence[str]
    confusion: npt.NDArray[np.int64]
    timings: Sequence[Timing] = ()
    augmented: Sequence[Picture] = ()
    phase_ends: Sequence[int] = ()
    estimate_note: str = ""
    mistakes: Sequence[Picture] = ()
    recipe: str = ""
    repeat: str = ""

    def __post_init__(self) -> None:
        classes = len(self.class_names)
        if self.confusion.shape != (classes, classes):
            raise ArgumentError(
                f"With {classes} class names the confusion matrix should be {(classes, classes)}, "
                f"but it is {self.confusion.shape}. Build it with confusion_matrix(labels, predicted, {classes})."
            )
