"""ImageFolder: images in one folder per class."""

import difflib
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

import numpy as np

from thawline.data.decode import EXTENSIONS, ColorMode, Decoding, FileRange, Interpolation, Resize
from thawline.data.labels import LabelMode, Labels, class_labels
from thawline.data.sources.mask_paths import lies_flat, match_masks
from thawline.data.sources.masks import MaskFiles, Masks
from thawline.data.sources.pictures import FilePictures
from thawline.data.sources.scan import find_images, is_hidden, known_endings, skipped_note
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

# What the folders of a split are called; case does not matter.
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


class ImageFolder(ImageSource):
    """Images in one folder per class: `flowers/roses/0042.jpg` is a rose.

    Class folders are taken in sorted order; files may lie deeper inside them. What is hidden (`.name`) or
    `__MACOSX` is passed over, other files that are no images by their ending are counted in `skipped`. Below the
    class folders, folders that are symbolic links are entered only with `follow_links`.

    Args:
        directory: the folder with the class folders.
        image_size: height and width that every image is brought to, in pixels.
        batch_size: images per batch.
        seed: decides order, views and splits; 0 to 2**32 - 1.
        color_mode: "rgb", "grayscale" or "rgba".
        interpolation: "area", "bilinear", "nearest", "bicubic" or "lanczos".
        resize: "stretch", "crop" (the largest part of the right aspect) or "pad" (with the background).
        background: red, green and blue, 0 to 255, of what lies under transparent pixels and around padded images.
        fast_jpeg: decode large JPEGs at a part of their size: up to 2.6 times as fast, with slightly other pixels (see
            `thawline.data.decode.Decoding`); needs interpolation="area".
        file_range: the numbers in files of 16 bits that become 0 and 255, like (0, 4095), or "image" for the smallest
            and the largest of each image; None takes 0 and 65535. Files of 8 bits stay as they are.
        on_error: "raise" ends with an error that names the file when an image cannot be decoded; "skip" tries every
            file first, leaves the bad ones out and lists them in `unreadable`.
        label_mode: "categorical" (one-hot float32), "sparse" (int32 class numbers), "binary" (two classes, float32
            0 or 1), "input" (the image itself as it is shown, float32 pixels / 255, for an autoencoder) or "none".
        classes: the class folders in the order of their numbers, instead of all in sorted order. They may lie deeper,
            like "garden/roses", but not one inside the other.
        masks: a folder with a mask of the same name for each image (`masks/roses/0042.png`, any ending; or the same
            word more in all names, `0042_mask.png`, also beside the images, where masks is their folder). Grey pixels
            or the indices of a palette are class numbers; where all masks hold 0 and one other number, that is class 1.
            Targets are the masks then, uint8 (n, height, width, 1), int32 for class numbers above 255, which get the
            size, crop, padding and EXIF turn of their image, to the nearest pixel, and the geometry of its view. Images
            may lie in the directory itself; class folders serve exact splits only, and one is enough.
        mask_colors: the colours of the masks in the order of the classes, like [(0, 0, 0), (128, 0, 0)], or greys, like
            [0, 255]; None where masks hold class numbers.
        mask_background: the class number around masks of padded images.
        follow_links: whether folders that are symbolic links are entered, each folder once.

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
        resize: Resize = "stretch",
        background: tuple[int, int, int] = (255, 255, 255),
        fast_jpeg: bool = False,
        file_range: FileRange = None,
        on_error: Literal["raise", "skip"] = "raise",
        label_mode: LabelMode = "categorical",
        classes: Sequence[str] | None = None,
        follow_links: bool = False,
        masks: str | os.PathLike[str] | None = None,
        mask_colors: Sequence[tuple[int, int, int] | int] | None = None,
        mask_background: int = 0,
    ) -> None:
        self.directory = Path(directory)
        is_flat = masks is not None and classes is None and lies_flat(self.directory)
        folders = [self.directory] if is_flat else _class_folders(self.directory, classes)
        # They may lie beside the folder of the images, in the directory.
        folders = [
            folder for folder in folders if is_flat or masks is None or folder.resolve() != Path(masks).resolve()
        ]
        paths: list[Path] = []
        labels: list[int] = []
        skipped: Counter[str] = Counter()
        for label, folder in enumerate(folders):
            found = find_images(folder, skipped, follow_links=follow_links)
            paths += found
            labels += [label] * len(found)
        self.skipped = dict(skipped)
        names = [folder.relative_to(self.directory).as_posix() for folder in folders]
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
        files: list[Path] = []
        if masks is not None:
            kept, files = match_masks(paths, self.directory, Path(masks), follow_links=follow_links)
            paths, labels = [paths[index] for index in kept], [labels[index] for index in kept]
        if len(names) < 2 and masks is None and label_mode not in ("input", "none"):
            raise DataError(
                f"One class in {str(self.directory)!r}: {names[0]!r}. A classifier needs two or more class folders; "
                "add one, give the folder above, or use label_mode='none'."
            )
        pictures = FilePictures(
            paths,
            Decoding(
                image_size,
                color_mode,
                interpolation,
                resize=resize,
                background=background,
                fast_jpeg=fast_jpeg,
                file_range=file_range,
            ),
        )
        numbers = np.array(labels, np.int32)
        wanted: Labels
        if masks is None:
            wanted = class_labels(label_mode, numbers, names, pictures.shape)
        else:
            drawn = MaskFiles(files, pictures, colors=mask_colors, background=mask_background)
            wanted = Masks(drawn) if is_flat else Masks(drawn, numbers, names)
        super().__init__(
            pictures,
            wanted,
            batch_size=batch_size,
            seed=seed,
        )
        self._leave_out_unreadable(on_error)

    @classmethod
    def splits(cls, root: str | os.PathLike[str], **options: Any) -> dict[str, Self]:
        """Sources from a folder that is split already: `train` beside `validation` (or `val`, `valid`) and `test`.

        All have the classes of `train`, in the same order. Only the training images may be augmented.

        Args:
            root: the folder with those folders, of which `train` must be there.
            options: arguments of `ImageFolder`, the same for all.

        Returns:
            The sources by name: "train", and "validation" and "test" where they are there.

        Raises:
            FolderNotFoundError: there is no such folder.
            DataError: there is no `train` or nothing beside it, two folders are for validation, or the classes differ.

        Example:
            >>> parts = ImageFolder.splits("flowers", image_size=(160, 160))  # doctest: +SKIP
            >>> stack.fit(parts["train"], validation_data=parts["validation"], epochs=3)  # doctest: +SKIP
        """
        folders = _split_folders(Path(root))
        options = dict(options)
        parts = {"train": cls(folders.pop("train"), **options)}
        wanted = parts["train"].class_names
        for name, folder in folders.items():
            present = [entry.name for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name)]
            known = {PurePosixPath(label).parts[0] for label in wanted}
            unknown = sorted(set(present) - known)
            if unknown and options.get("classes") is None:
                raise DataError(
                    f"{str(folder)!r} has the class {unknown[0]!r}, which {str(parts['train'].directory)!r} has no "
                    "images of. Take it out, or name the wanted classes in classes=."
                )
            parts[name] = cls(folder, **{**options, "classes": wanted})
            parts[name].is_validation = True
        return parts


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits by name, training first."""
    if not root.is_dir():
        raise FolderNotFoundError(f"No folder {str(root)!r}. Expected one with train, validation and test inside.")
    present = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    found = {}
    for name, words in _SPLITS.items():
        given = [present[word] for word in words if word in present]
        if len(given) > 1:
            raise DataError(f"{given[0].name!r} and {given[1].name!r} in {str(root)!r} are both for {name}. Keep one.")
        if given:
            found[name] = given[0]
    if "train" not in found or len(found) < 2:
        raise DataError(
            f"Expected the folders train and validation or test in {str(root)!r}; it has "
            f"{', '.join(entry.name for entry in present.values()) or 'none'}. For one folder per class use "
            "ImageFolder(...).split()."
        )
    return found


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
    if classes is None:
        return [directory / name for name in present]
    _check_classes(directory, classes, present)
    return [directory / name for name in classes]


def _check_classes(directory: Path, classes: Sequence[str], present: Sequence[str]) -> None:
    """Every class is there, once, and none inside another."""
    for name, count in Counter(classes).items():
        if count > 1:
            raise ArgumentError(f"classes names {name!r} {count} times. Name every folder once.")
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name != "/".join(parts) or name.startswith("/"):
            raise ArgumentError(f"classes names folders below the directory, like 'roses'; got {name!r}.")
        if not (directory / name).is_dir():
            known = list(present) if len(parts) == 1 else _nested_folders(directory, len(parts))
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(present)}."
            raise DataError(f"classes names {name!r}, but {str(directory)!r} has no such folder.{hint}")
    for outer in classes:
        for inner in classes:
            if inner.startswith(f"{outer}/"):
                raise ArgumentError(
                    f"classes names {outer!r} and, inside it, {inner!r}: images would belong to two classes. "
                    "Name the folders apart."
                )


def _nested_folders(directory: Path, depth: int) -> list[str]:
    """The folders so many levels below a directory, as `classes` names them."""
    found = directory.glob("/".join(["*"] * depth))
    return sorted(path.relative_to(directory).as_posix() for path in found if path.is_dir())
