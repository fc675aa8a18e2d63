"""ImageFolder: images in one folder per class."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from thawline.arguments import height_and_width
from thawline.data.class_order import spelled_as
from thawline.data.decode import ColorMode, Decoding, FileRange, Interpolation, Resize
from thawline.data.labels import LabelMode, Labels, class_labels
from thawline.data.sources.class_folders import list_classes, refuse_one_class
from thawline.data.sources.keras_words import as_label_mode, take_words
from thawline.data.sources.mask_paths import match_masks
from thawline.data.sources.masks import MaskFiles, Masks, refuse_without_masks
from thawline.data.sources.pictures import FilePictures
from thawline.data.sources.scan import subfolders
from thawline.data.sources.sides import sides_by_name
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError, FolderNotFoundError


class ImageFolder(ImageSource):
    """Images in one folder per class: `flowers/roses/0042.jpg` is a rose.

    Class folders are taken in sorted order; files may lie deeper inside them. What is hidden (`.name`) or
    `__MACOSX` is passed over, other files that are no images by their ending are counted in `skipped`. Below the
    class folders, folders that are symbolic links are entered only with `follow_links`.

    Args:
        directory: the folder with the class folders.
        image_size: height and width that every image is brought to, in pixels, or one number for a square.
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
        classes: the class folders in the order of their numbers, instead of all in sorted order; `class_names` is
            the same. They may lie deeper, like "garden/roses", but not one inside the other; ["."] is the folder
            itself as one class. One that is not there is a class with 0 images, as an empty folder is.
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
        others: words of `keras.utils.image_dataset_from_directory`, which are taken where they mean the same
            (`class_names`, `labels=None`, `crop_to_aspect_ratio`, ...) and else answered with what stands for them.

    Without labels (label_mode "none" or "input") or with masks, images may also lie directly inside the folder; none
    has a class then.

    Raises:
        FolderNotFoundError: there is no such folder.
        ArgumentError: an argument is not known or cannot work.
        DataError: no images, a single class, a misspelt name in `classes`, a folder that cannot be listed, or one that
            is split already into train, validation or test: `splits` reads those.

    Example:
        >>> images = ImageFolder("flowers", image_size=(160, 160), seed=7)  # doctest: +SKIP
        >>> train, val = images.split(validation=0.2)  # doctest: +SKIP
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        image_size: tuple[int, int] | int = (256, 256),
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
        **others: Any,
    ) -> None:
        words = take_words(
            type(self),
            others,
            {"label_mode": as_label_mode(label_mode), "classes": classes, "resize": resize, "shuffle": True},
        )
        label_mode, classes, resize = words["label_mode"], words["classes"], words["resize"]
        self.directory = Path(directory)
        if masks is not None and not isinstance(masks, str | os.PathLike):
            raise ArgumentError(
                f"masks is the path of a folder; got {type(masks).__name__}. Masks that are listed go into a table, "
                "ImageFrame(table, mask_column=...), and arrays into ImageArrays(images, masks=...)."
            )
        is_labelled = masks is None and label_mode not in ("input", "none")
        listing = list_classes(
            self.directory,
            _as_names(classes),
            are_needed=is_labelled,
            loose=not is_labelled,
            follow_links=follow_links,
            masks=masks,
        )
        if is_labelled:
            refuse_one_class(self.directory, listing)
        refuse_without_masks(masks, mask_colors, mask_background)
        files: list[Path] = []
        if masks is not None:
            kept, files = match_masks(listing.paths, self.directory, Path(masks), follow_links=follow_links)
            listing = listing.select(kept)
        paths, names, numbers = listing.paths, listing.class_names, listing.numbers
        pictures = FilePictures(
            paths,
            Decoding(
                height_and_width(image_size),
                color_mode,
                interpolation,
                resize=resize,
                background=background,
                fast_jpeg=fast_jpeg,
                file_range=file_range,
            ),
        )
        wanted: Labels
        if masks is None:
            wanted = class_labels(label_mode, numbers, names, pictures.shape)
        else:
            drawn = MaskFiles(files, pictures, colors=mask_colors, background=mask_background)
            wanted = Masks(drawn, numbers, names)
        super().__init__(
            pictures,
            wanted,
            batch_size=batch_size,
            seed=seed,
        )
        self.skipped = listing.skipped
        self.shuffle = words["shuffle"]
        self._leave_out_unreadable(on_error)

    @classmethod
    def splits(cls, root: str | os.PathLike[str], **options: Any) -> dict[str, Self]:
        """Sources from a folder that is split already: `train` beside `val` and `test`, or other usual words for them.

        All have the classes of the training side, in the same order: a class that another side lacks has 0 images
        there. Only the training images may be augmented. A test side without class folders has no labels: `predict`
        takes it.

        Args:
            root: the folder with those folders, of which the training side must be there.
            options: arguments of `ImageFolder`, the same for all. A folder of masks may hold a folder for each side.

        Returns:
            The sources by name: "train", and "validation" and "test" where they are there.

        Raises:
            FolderNotFoundError: there is no such folder.
            DataError: there is no training side or nothing beside it, two folders are for the same side, or a side has
                a class that training lacks.

        Example:
            >>> parts = ImageFolder.splits("flowers", image_size=(160, 160))  # doctest: +SKIP
            >>> stack.fit(parts["train"], validation_data=parts["validation"], epochs=3)  # doctest: +SKIP
        """
        folders = _split_folders(Path(root))
        train = cls(folders["train"], **_with_own_masks(options, folders["train"]))
        parts = {"train": train}
        for name, folder in list(folders.items())[1:]:
            own = _with_own_masks(options, folder)
            if train.class_names:
                own = _with_classes(own, train, folder, name)
            parts[name] = cls(folder, **own)
            parts[name].is_validation = True
        return parts


def _with_own_masks(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options of a side: the masks may lie in a folder of the side's name."""
    masks = options.get("masks")
    own = None if masks is None else Path(masks, folder.name)
    return {**options, "masks": own} if own is not None and own.is_dir() else dict(options)


def _with_classes(options: Mapping[str, Any], train: ImageFolder, folder: Path, side: str) -> dict[str, Any]:
    """The options of a side that has the classes of training, none of which it need have images of."""
    present = [inside.name for inside in subfolders(folder)]
    if not present and (side == "test" or options.get("masks") is not None):
        if options.get("masks") is None:
            warnings.warn(
                f"{str(folder)!r} has no class folders: its images have no labels. predict takes them, evaluate does "
                "not.",
                stacklevel=3,
            )
        return {**options, "label_mode": "none", "classes": None, "class_names": None}
    known = {PurePosixPath(label).parts[0] for label in train.class_names}
    unknown = [name for name, own in zip(present, spelled_as(present, known), strict=True) if own not in known]
    if unknown and options.get("classes") is None and options.get("class_names") is None:
        raise DataError(
            f"{str(folder)!r} has the class {unknown[0]!r}, which {str(train.directory)!r} lacks: "
            f"{', '.join(present)} against {', '.join(train.class_names)}. Take it out, or name the wanted "
            "classes in classes=."
        )
    return {**options, "classes": train.class_names, "class_names": None}


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits by name, training first."""
    if not root.is_dir():
        raise FolderNotFoundError(f"No folder {str(root)!r}. Expected one with train, validation and test inside.")
    present = subfolders(root)
    found = sides_by_name(present)
    if "train" not in found or len(found) < 2:
        raise DataError(
            f"Expected the folders train and validation or test in {str(root)!r}; it has "
            f"{', '.join(folder.name for folder in present) or 'none'}. For one folder per class use "
            "ImageFolder(...).split()."
        )
    return found


def _as_names(classes: Any) -> list[str] | None:
    """Names of classes as a list of text; numbers are names, too."""
    if isinstance(classes, str):
        raise ArgumentError(f"classes is a list of class folders; got {classes!r}. Write [{classes!r}].")
    names = None if classes is None else [str(name) for name in classes]
    if names == []:
        raise ArgumentError("classes names no folder. Leave it out for all of them.")
    return names
