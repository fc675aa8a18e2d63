"""Masks: for each image a picture of the same scene whose pixels are class numbers."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from thawline.data.decode import Decoding
from thawline.data.labels import Labels, Look, Targets, TargetSpec
from thawline.data.sources.pictures import ArrayPictures, FilePictures, Pictures
from thawline.errors import DataError
from thawline.specs import TensorSpec


class MaskPictures(FilePictures):
    """Masks in files: grey pixels, or the indices of a palette, are class numbers; resized to the nearest.

    Args:
        paths: the files, one for each image.
        image_size: height and width of the images.

    Example:
        >>> MaskPictures([Path("rose.png")], (4, 6)).shape
        (4, 6, 1)
    """

    def __init__(self, paths: Sequence[Path], image_size: tuple[int, int]) -> None:
        super().__init__(paths, Decoding(image_size, "grayscale", "nearest"))

    def pixels(self, row: int) -> tuple[np.ndarray, bytes]:
        """The class numbers of a row, uint8 (height, width, 1), and the digest of its file.

        Raises:
            UnreadableImageError: the file cannot be read or decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        # Decoded first, so that a file that is broken or too large is refused like any other.
        grey, digest = super().pixels(row)
        with Image.open(io.BytesIO(self.names[row].read_bytes())) as picture:
            if picture.mode != "P":
                return grey, digest
            numbers = np.array(picture)
        height, width = self.decoding.image_size
        return cv2.resize(numbers, (width, height), interpolation=cv2.INTER_NEAREST)[..., None], digest


class Masks(Labels):
    """Masks as targets: uint8 (n, height, width, 1), class numbers; each gets the geometry of its image's view.

    Args:
        pictures: the masks, in the order of the images: one channel of class numbers, resized to the nearest.
        values: int32 class numbers of the images, by which exact splits keep the shares, or None.
        class_names: the names of those classes.

    Example:
        >>> print(Masks(MaskPictures([Path("rose.png")], (4, 6))).spec)
        uint8 (None, 4, 6, 1)
    """

    def __init__(self, pictures: Pictures, values: np.ndarray | None = None, class_names: Sequence[str] = ()) -> None:
        super().__init__(values, class_names)
        self._pictures = pictures
        self.spec: TargetSpec = TensorSpec((None, *pictures.shape), "uint8")

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The masks of these rows as the view moves them."""
        assert look is not None
        return np.stack(look.follow([self._pictures.pixels(int(row))[0] for row in rows]))

    def content(self, rows: np.ndarray) -> bytes:
        """The digests of the masks."""
        return b"".join(self._pictures.digests(rows, show_progress=True))


def mask_arrays(masks: Any, image_size: tuple[int, int], resized: tuple[int, int]) -> ArrayPictures:
    """Masks that are in memory already.

    Args:
        masks: (n, height, width) or (n, height, width, 1), whole numbers from 0 to 255 or booleans.
        image_size: height and width of the images as they were given.
        resized: height and width that the images are brought to.

    Raises:
        DataError: the masks are no class numbers, or not of the images' size.

    Example:
        >>> mask_arrays(np.eye(4, dtype=bool)[None], (4, 4), (2, 2)).pixels(0)[0][..., 0].tolist()
        [[1, 0], [0, 1]]
    """
    array = np.asarray(masks)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3 or array.shape[1:] != tuple(image_size):
        raise DataError(
            f"masks are (n, height, width) or (n, height, width, 1) of the images' size, {image_size[0]} x "
            f"{image_size[1]}; got shape {np.shape(masks)}."
        )
    if array.dtype.kind not in "biu" or (array.size and not 0 <= array.min() <= array.max() <= 255):
        raise DataError(
            f"masks are class numbers, whole and from 0 to 255; got {array.dtype}"
            f"{f' from {array.min():g} to {array.max():g}' if array.size and array.dtype.kind in 'biuf' else ''}. Give "
            "masks.astype('uint8') when their values are class numbers."
        )
    return ArrayPictures(array.astype(np.uint8, copy=False)[..., None], resized, "nearest")


def find_masks(images: Sequence[Path], root: Path, folder: Path) -> list[Path]:
    """The mask of each image: the file of the same name below the masks' folder, whatever its ending.

    Raises:
        DataError: the folder or a mask is missing, or there are two.
    """
    if not folder.is_dir():
        raise DataError(f"No folder of masks {str(folder)!r}. Check the path.")
    known: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            known.setdefault(path.relative_to(folder).with_suffix(""), []).append(path)
    wanted = [image.relative_to(root).with_suffix("") for image in images]
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} masks are missing, first {str(folder / missing[0])!r} with any ending. "
            "Give every image a mask of the same name."
        )
    twice = [known[name] for name in wanted if len(known[name]) > 1]
    if twice:
        raise DataError(f"{str(twice[0][0])!r} and {str(twice[0][1])!r} are masks of the same image. Keep one.")
    return [known[name][0] for name in wanted]
