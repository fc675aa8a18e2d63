"""ImageFolder: images in one folder per class."""

import difflib
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thawline.data.decode import EXTENSIONS, ColorMode, Decoding, Interpolation
from thawline.data.labels import LabelMode, class_labels
from thawline.data.sources.pictures import FilePictures
from thawline.data.sources.scan import find_images, is_hidden, known_endings, skipped_note
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError, FolderNotFoundError


class ImageFolder(ImageSource):
    """Images in one folder per class: `flowers/roses/0042.jpg` is a rose.

    Class folders are taken in sorted order; files may lie deeper inside them. What is hidden (`.name`) or
    `__MACOSX` is passed over, other files that are no images (JPEG, PNG, BMP, WebP by their ending) are counted in
    `skipped`. Folders that are symbolic links are not entered.

    Args:
        directory: the folder with the class folders.
        image_size: height and width that every image is brought to, in pixels.
        batch_size: images per batch.
        seed: decides order, views and splits; 0 to 2**32 - 1.
        color_mode: "rgb" or "grayscale".
        interpolation: "area", "bilinear" or "nearest".
        label_mode: "categorical" (one-hot float32), "sparse" (int32 class numbers), "binary" (two classes, float32
            0 or 1), "input" (the image itself as it is shown, float32 pixels / 255, for an autoencoder) or "none".
        classes: the class folders in the order of their numbers, instead of all in sorted order.

    Raises:
        FolderNotFoundError: there is no such folder.
        DataError: no images, a single class, or a class of `classes` that is not there.

    Example:
        >>> images = ImageFolder("flowers", image_size=(160, 160), seed=7)  # doctest: +SKIP
        >>> train, val = images.split(validation=0.2)  # doctest: +SKIP
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        image_size: tuple[int, int] = (256, 256),
        batch_size: int = 32,
        seed: int = 0,
        color_mode: ColorMode = "rgb",
        interpolation: Interpolation = "area",
        label_mode: LabelMode = "categorical",
        classes: Sequence[str] | None = None,
    ) -> None:
        self.directory = Path(directory)
        folders = _class_folders(self.directory, classes)
        paths: list[Path] = []
        labels: list[int] = []
        skipped: Counter[str] = Counter()
        for label, folder in enumerate(folders):
            found = find_images(folder, skipped)
            paths += found
            labels += [label] * len(found)
        self.skipped = dict(skipped)
        names = [folder.name for folder in folders]
        if not paths:
            raise DataError(
                f"No images in {str(self.directory)!r}: its {len(names)} class folders hold none "
                f"({known_endings()}).{skipped_note(self.skipped)} Put images into them, or convert those."
            )
        empty = [name for label, name in enumerate(names) if label not in set(labels)]
        if empty and classes is None:
            warnings.warn(f"Class folders without images are left out: {', '.join(empty)}.", stacklevel=2)
            kept = [label for label in range(len(names)) if names[label] not in empty]
            labels = [kept.index(label) for label in labels]
            names = [names[label] for label in kept]
        if len(names) < 2 and label_mode not in ("input", "none"):
            raise DataError(
                f"One class in {str(self.directory)!r}: {names[0]!r}. A classifier needs two or more class folders; "
                "add one, give the folder above, or use label_mode='none'."
            )
        pictures = FilePictures(paths, Decoding(image_size, color_mode, interpolation))
        super().__init__(
            pictures,
            class_labels(label_mode, np.array(labels, np.int32), names, pictures.shape),
            batch_size=batch_size,
            seed=seed,
        )


def _class_folders(directory: Path, classes: Sequence[str] | None) -> list[Path]:
    """The folders of the classes in the order of their numbers."""
    if not directory.is_dir():
        came = "is a file" if directory.exists() else "does not exist"
        raise FolderNotFoundError(
            f"The folder of images {str(directory)!r} {came}. Expected a folder with one folder per class inside, "
            f"like {directory / 'cats' / '001.jpg'}. Check the path."
        )
    present = sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and not is_hidden(entry.name))
    if not present:
        inside = sum(entry.suffix.lower() in EXTENSIONS for entry in directory.iterdir())
        raise DataError(
            f"No class folders in {str(directory)!r}, but {inside} images directly inside. "
            f"Expected one folder per class, like {directory / 'cats' / '001.jpg'}. Sort the images into folders."
        )
    for name, count in Counter(classes).items():
        if count > 1:
            raise ArgumentError(f"classes names {name!r} {count} times. Name every folder once.")
        if name not in present:
            near = difflib.get_close_matches(name, present, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(present)}."
            raise DataError(f"classes names {name!r}, but {str(directory)!r} has no such folder.{hint}")
    return [directory / name for name in (present if classes is None else classes)]
