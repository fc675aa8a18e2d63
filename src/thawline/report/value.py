"""What a page of the report shows, as values: `page` turns them into HTML, whoever trained fills them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thawline.check.finding import Finding
from thawline.errors import ArgumentError
from thawline.report.calibration import Calibration
from thawline.report.sketch import Sketch
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
class PicturePair:
    """Two pictures side by side, each with what it is, and a caption for both."""

    left: Picture
    right: Picture
    caption: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """Pictures under one heading.

    Attributes:
        title: the heading.
        text: what is to be seen, in a sentence; or, without pictures, why there are none.
        pictures: the pictures in their order.
    """

    title: str
    text: str
    pictures: Sequence[Picture | PicturePair] = ()


@dataclass(frozen=True, eq=False)
class ShownFinding:
    """What a check found, with some of the files that it names as pictures."""

    finding: Finding
    pictures: Sequence[Picture | PicturePair] = ()


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
        epoch_s: seconds that each epoch took; without one for every epoch there are no curves over seconds.
        phase_ends: the number of epochs done at the end of each phase, like (10, 15).
        forecast: for each thing that was forecast what it is, the forecast and the measured seconds; nan where one of
            them is not known.
        estimate_note: a sentence that sets the forecast beside the measurement.
        calibration: how far answers may be trusted; None where answers are no probabilities.
        sketches: where the stack was cut, one drawing for each phase in which that is another place.
        findings: what a check found beforehand.
        sheets: pictures, sheet by sheet.
        recipe: the recipe of the run, as YAML.
        repeat: the command that runs it again.
        environment: versions and machine, as name and value.

    Raises:
        ArgumentError: if the confusion matrix does not have one row and one column per class.
    """

    title: str
    facts: Mapping[str, str]
    history: Mapping[str, Sequence[float]]
    class_names: Sequence[str]
    confusion: npt.NDArray[np.int64]
    timings: Sequence[Timing] = ()
    epoch_s: Sequence[float] = ()
    phase_ends: Sequence[int] = ()
    forecast: Sequence[tuple[str, float, float]] = ()
    estimate_note: str = ""
    calibration: Calibration | None = None
    sketches: Sequence[Sketch] = ()
    findings: Sequence[ShownFinding] = ()
    sheets: Sequence[Sheet] = ()
    recipe: str = ""
    repeat: str = ""
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        classes = len(self.class_names)
        if self.confusion.shape != (classes, classes):
            raise ArgumentError(
                f"With {classes} class names the confusion matrix should be {(classes, classes)}, "
                f"but it is {self.confusion.shape}. Build it with confusion_matrix(labels, predicted, {classes})."
            )
