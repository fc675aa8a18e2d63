"""Masks: for each image a picture of the same scene whose pixels are class numbers."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from thawline.data.decode import Decoding
from thawline.data.labels import Labels, Look, Targets, TargetSpec
from thawline.data.sources.pictures import FilePictures
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
        pictures: the masks, in the order of the images.
        values: int32 class numbers of the images, by which exact splits keep the shares, or None.
        class_names: the names of those classes.

    Example:
        >>> print(Masks(MaskPictures([Path("rose.png")], (4, 6))).spec)
        uint8 (None, 4, 6, 1)
    """

    def __init__(
        self, pictures: MaskPictures, values: np.ndarray | None = None, class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(values, class_names)
        self._pictures = pictures
        self.spec: TargetSpec = TensorSpec((None, *pictures.shape), "uint8")

    def targets(self, rows: np.ndarray, look: Look | None) -> Targets:
        """The masks of these rows as the view moves them."""
        assert look is not None
        return np.stack(look.follow([self._pictures.pixels(int(row))[0] for row in rows]))

    def content(self, rows: np.ndarray) -> bytes:
        """The digests of the masks."""
        return b"".join(self._pictures.digests(rows))


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
