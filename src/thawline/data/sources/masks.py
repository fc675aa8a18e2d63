"""Masks: for each image a picture of the same scene whose pixels are class numbers.

`MaskFiles` and `MaskArrays` are pictures whose pixels are class numbers of the images' size; `Masks` are the labels
made of them. Which number of a file is which class is decided once for all masks of a source: `Numbering`.
"""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from thawline.data.decode import Decoding, turn
from thawline.data.labels import Labels, Look, Targets, TargetSpec
from thawline.data.mask_file import MAX_CLASS, MaskColors, read_mask
from thawline.data.mask_survey import MaskSurvey, survey_masks
from thawline.data.resize import resize_pixels
from thawline.data.sources.pictures import ArrayPictures, FilePictures, Pictures
from thawline.errors import ArgumentError, DataError, UnreadableImageError
from thawline.specs import TensorSpec

# What nearly all tools write for the second of two classes.
_WHITE = 255


@dataclass(frozen=True)
class Numbering:
    """Meaning of the numbers in the masks of a source.

    Attributes:
        second: the number that stands for class 1 where there are two, 0 and that one; None where numbers are classes.
        highest: the largest class number.

    Example:
        >>> Numbering.of(np.array([0, 255])), Numbering.of(np.array([0, 1, 255])).highest
        (Numbering(second=255, highest=1), 255)
    """

    second: int | None = None
    highest: int = 0

    @classmethod
    def of(cls, values: np.ndarray) -> "Numbering":
        """The numbering of masks that hold these values, in order."""
        others = [int(value) for value in values if value]
        if len(others) == 1 and (others[0] == _WHITE or (others[0] > 1 and len(values) == 2)):
            return cls(others[0], 1)
        return cls(None, max(others, default=0))

    @property
    def dtype(self) -> str:
        """The dtype of targets: what Keras' losses take and the class numbers need."""
        return "uint8" if self.highest <= 255 else "int32"

    def classes(self, numbers: np.ndarray) -> np.ndarray:
        """Class numbers of what stands in a mask, uint8, or uint16 where they need it."""
        classes: np.ndarray = numbers if self.second is None else numbers != 0
        return classes.astype(np.uint8 if self.highest <= 255 else np.uint16, copy=False)


class MaskPictures(Pictures, Protocol):
    """Pictures whose pixels are class numbers."""

    @property
    def numbering(self) -> Numbering:
        """The meaning of the numbers in all of them; the first question may cost a look at each."""

    def content(self, rows: np.ndarray) -> bytes:
        """All that the class numbers of these rows depend on besides the content behind `digests`; mostly nothing."""


class MaskFiles(FilePictures):
    """Masks in files, as they lie on their images: the same crop or padding, the nearest pixel, EXIF's turn.

    Args:
        paths: the files, one for each image.
        images: the images: their files and how these are decoded.
        colors: which colour is which class, or None where the files hold class numbers.
        background: the class number around masks of images that are padded.

    Raises:
        ArgumentError: the background is no class number.

    Example:
        >>> MaskFiles([Path("rose.png")], FilePictures([Path("rose.jpg")], Decoding((4, 6)))).shape
        (4, 6, 1)
    """

    def __init__(
        self,
        paths: Sequence[Path],
        images: FilePictures,
        *,
        colors: Sequence[Any] | None = None,
        background: int = 0,
    ) -> None:
        seen = images.decoding
        decoding = Decoding(seen.image_size, "grayscale", "nearest", resize=seen.resize, max_pixels=seen.max_pixels)
        super().__init__(paths, decoding)
        self._images = images.names
        self._colors = None if colors is None else MaskColors(colors)
        self._background = _checked_background(background)
        self._lock = threading.Lock()
        self._surveyed: tuple[MaskSurvey, Numbering] | None = None

    def __reduce__(self) -> Any:
        # Another process looks for itself: locks do not travel.
        state = {name: value for name, value in vars(self).items() if name != "_lock"}
        return _restored, (state,)

    @property
    def numbering(self) -> Numbering:
        """The meaning of the numbers in the files; all are looked at when it is asked for first."""
        return self._look()[1]

    def content(self, rows: np.ndarray) -> bytes:
        """All that the class numbers of these rows depend on besides the files: meaning, colours, resize and turns.

        It is empty for class numbers of masks that are upright and stretched.

        Raises:
            UnreadableImageError: one of the masks cannot be used.
        """
        survey, numbering = self._look()
        for row in rows:
            self._refuse_bad(survey, int(row))
        turns = [survey.turns.get(int(row), 1) for row in rows]
        resize = None if self.decoding.resize == "stretch" else (self.decoding.resize, self._background)
        colors = None if self._colors is None else self._colors.colors
        depends = (numbering.second, colors, resize, turns if set(turns) - {1} else None)
        return b"" if depends == (None,) * len(depends) else repr(depends).encode()

    def _decoded(self, row: int, data: bytes) -> np.ndarray:
        survey, numbering = self._look()
        self._refuse_bad(survey, row)
        mask = read_mask(data, self._colors, max_pixels=self.decoding.max_pixels, name=str(self.names[row]))
        numbers = turn(numbering.classes(mask.numbers), survey.turns.get(row, 1))[..., None]
        if row in survey.stretches and self.decoding.resize != "stretch":
            numbers = resize_pixels(numbers, survey.stretches[row], interpolation="nearest")
        return resize_pixels(
            numbers,
            self.decoding.image_size,
            resize=self.decoding.resize,
            interpolation="nearest",
            fill=(self._background,),
        )

    def _refuse_bad(self, survey: MaskSurvey, row: int) -> None:
        if row in survey.problems:
            raise UnreadableImageError(f"{self.names[row]}: {survey.problems[row]}")

    def _look(self) -> tuple[MaskSurvey, Numbering]:
        with self._lock:
            if self._surveyed is not None:
                return self._surveyed
            survey = survey_masks(
                self.names, self._images, self._colors, max_pixels=self.decoding.max_pixels, memory=self._memory
            )
            numbering = Numbering.of(survey.values) if self._colors is None else Numbering(None, self._most())
            if self.decoding.resize == "pad":
                numbering = Numbering(numbering.second, max(numbering.highest, self._background))
            self._surveyed = survey, numbering
        _say(numbering, survey.doubts)
        return survey, numbering

    def _most(self) -> int:
        assert self._colors is not None
        return len(self._colors.colors) - 1


class MaskArrays(ArrayPictures):
    """Masks in an array; see `mask_arrays`."""

    def __init__(self, array: np.ndarray, image_size: tuple[int, int], colors: MaskColors | None) -> None:
        super().__init__(array, image_size, "nearest")
        self._colors = colors

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height and width of every mask, and one channel."""
        return (*self._size[:2], 1)

    @cached_property
    def numbering(self) -> Numbering:
        """The meaning of the numbers in the array; all are looked at when it is asked for first."""
        if self._colors is not None:
            return Numbering(None, len(self._colors.colors) - 1)
        present = np.zeros(MAX_CLASS + 1, bool)
        for mask in self._array:
            present[np.flatnonzero(np.bincount(mask.reshape(-1)))] = True
        numbering = Numbering.of(np.flatnonzero(present))
        _say(numbering, ())
        return numbering

    def content(self, rows: np.ndarray) -> bytes:
        """All that the class numbers of these rows depend on besides the array."""
        depends = (self.numbering.second, None if self._colors is None else self._colors.colors)
        return b"" if depends == (None, None) else repr(depends).encode()

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The class numbers of a row, uint8 or uint16 (height, width, 1), and their digest.

        Raises:
            UnreadableImageError: a colour is not listed.
        """
        given = self._array[row]
        numbers = given[..., 0] if given.shape[2] == 1 else given
        if self._colors is not None:
            numbers = self._colors.numbers(numbers, f"masks[{row}]", "")
        numbers = np.array(self.numbering.classes(numbers))[..., None]
        return resize_pixels(numbers, self.shape[:2], interpolation="nearest"), self._digest(int(row))


class Masks(Labels):
    """Masks as targets: whole numbers (n, height, width, 1), classes; each gets the geometry of its image's view.

    Targets are uint8, or int32 where a class number is above 255.

    Args:
        pictures: the masks, in the order of the images.
        values: int32 class numbers of the images, by which exact splits keep the shares, or None.
        class_names: the names of those classes.

    Example:
        >>> print(Masks(mask_arrays(np.eye(4)[None] > 0, (4, 4), (4, 4))).spec)
        uint8 (None, 4, 4, 1) in [0, 1]
    """

    def __init__(
        self, pictures: MaskPictures, values: np.ndarray | None = None, class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(values, class_names)
        self._pictures = pictures

    @property
    def spec(self) -> TargetSpec:  # type: ignore[override]
        """The targets of a batch, with the largest class number in all masks of the source."""
        numbering = self._pictures.numbering
        return TensorSpec((None, *self._pictures.shape), numbering.dtype, (0.0, float(numbering.highest)))

    @property
    def second_value(self) -> int | None:  # type: ignore[override]
        """The number in the masks that stands for class 1, where they hold 0 and that one only; else None."""
        return self._pictures.numbering.second

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The masks of these rows as the view moves them."""
        assert look is not None
        moved = np.stack(look.follow([self._pictures.pixels(int(row))[0] for row in rows]))
        return moved.astype(self._pictures.numbering.dtype, copy=False)

    def content(self, rows: np.ndarray) -> bytes:
        """The digests of the masks, and what else their class numbers depend on."""
        return b"".join(self._pictures.digests(rows, show_progress=True)) + self._pictures.content(rows)


def mask_arrays(
    masks: Any, image_size: tuple[int, int], resized: tuple[int, int], colors: Sequence[Any] | None = None
) -> MaskArrays:
    """Masks that are in memory already.

    Args:
        masks: (n, height, width) or (n, height, width, 1), whole numbers from 0 to 65,535 or booleans; with colors also
            (n, height, width, 3), red, green and blue from 0 to 255.
        image_size: height and width of the images as they were given.
        resized: height and width that the images are brought to.
        colors: which colour or number is which class, or None where numbers are class numbers.

    Raises:
        ArgumentError: the colors are none.
        DataError: the masks are no class numbers, or not of the images' size.

    Example:
        >>> mask_arrays(np.eye(4, dtype=bool)[None], (4, 4), (2, 2)).pixels(0)[0][..., 0].tolist()
        [[1, 0], [0, 1]]
    """
    listed = None if colors is None else MaskColors(colors)
    array = np.asarray(masks)
    if array.ndim == 3:
        array = array[..., None]
    channels = (1,) if listed is None else (1, 3)
    if array.ndim != 4 or array.shape[3] not in channels or array.shape[1:3] != tuple(image_size):
        in_colours = " Masks in colours need mask_colors=[...]." if array.shape[3:] == (3,) and listed is None else ""
        raise DataError(
            f"masks are (n, height, width) or (n, height, width, 1) of the images' size, {image_size[0]} x "
            f"{image_size[1]}; got shape {np.shape(masks)}.{in_colours}"
        )
    if array.dtype.kind not in "biu" or (array.size and not 0 <= array.min() <= array.max() <= MAX_CLASS):
        raise DataError(
            f"masks are class numbers, whole and from 0 to {MAX_CLASS:,}; got {array.dtype}"
            f"{f' from {array.min():g} to {array.max():g}' if array.size and array.dtype.kind in 'biuf' else ''}. Give "
            "masks.astype('uint8') when their values are class numbers."
        )
    is_small = not array.size or array.max() <= 255
    return MaskArrays(array.astype(np.uint8 if is_small else np.uint16, copy=False), resized, listed)


def refuse_without_masks(masks: Any, colors: Any, background: int = 0) -> None:
    """Raises ArgumentError where something is said of masks that are not given."""
    if masks is None and (colors is not None or background):
        word = "mask_colors" if colors is not None else "mask_background"
        raise ArgumentError(f"{word} says how masks are read, but there are none. Give the masks, or leave it out.")


def _say(numbering: Numbering, doubts: Sequence[str]) -> None:
    """Warns of what was taken for granted."""
    if numbering.second is not None:
        doubts = (
            f"The masks hold 0 and {numbering.second}, which are taken as class 0 and class 1. Where "
            f"{numbering.second} is the number of a class give mask_colors=range(n) with the number of classes.",
            *doubts,
        )
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=4)


def _checked_background(background: object) -> int:
    if isinstance(background, bool) or not isinstance(background, int | np.integer) or not 0 <= background <= MAX_CLASS:
        raise ArgumentError(f"mask_background is a class number, 0 to {MAX_CLASS:,}; got {background!r}.")
    return int(background)


def _restored(state: dict[str, Any]) -> MaskFiles:
    masks = MaskFiles.__new__(MaskFiles)
    vars(masks).update(state, _lock=threading.Lock())
    return masks
