"""Sources: images with their labels, under one index each.

`ImageSource` is the contract and does everything but find the images; `ImageFolder` finds them in one folder per
class, `ImageFiles` takes a list of files without labels. A source is never changed: `split`, `augment` and
`select` give new ones that share the scan and the digests.
"""

import copy
import difflib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from blake3 import blake3

from thawline.data.augment import Augmentation
from thawline.data.batches import Batch, iterate
from thawline.data.decode import EXTENSIONS, ColorMode, Decoding, Interpolation, decode
from thawline.errors import (
    ArgumentError,
    DataError,
    FolderNotFoundError,
    ImageChangedError,
    UnreadableImageError,
)
from thawline.progress import progress
from thawline.specs import PIXELS, TensorSpec

LabelMode = Literal["categorical", "sparse", "binary", "none"]

# Grain's shuffle takes seeds of 32 bits.
_MAX_SEED = 2**32 - 1

# Files are small and the disk is the limit: more threads than cores keep it busy.
_SCAN_THREADS = 8


class ImageSource:
    """Images with labels, in a fixed order; what `Stack.fit` trains on.

    Every image has an index (0 to len - 1) that its path, label, weight and features share.

    Attributes:
        paths: the files, in the order of the indices.
        labels: int32 (len,), the class of each image, or None without labels.
        class_names: the classes in the order of their numbers.
        augmentation: what happens to the images, or None.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: np.ndarray | None,
        class_names: Sequence[str],
        *,
        image_size: tuple[int, int],
        batch_size: int,
        seed: int,
        color_mode: ColorMode,
        interpolation: Interpolation,
        label_mode: LabelMode,
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size is a whole number from 1 up; got {batch_size!r}.")
        if not isinstance(seed, int) or not 0 <= seed <= _MAX_SEED:
            raise ArgumentError(f"seed is a whole number from 0 to {_MAX_SEED}; got {seed!r}.")
        if label_mode not in get_args(LabelMode):
            raise ArgumentError(f"label_mode is one of {', '.join(get_args(LabelMode))}; got {label_mode!r}.")
        if label_mode == "binary" and len(class_names) != 2:
            raise DataError(
                f"label_mode='binary' needs exactly two classes, but there are {len(class_names)} "
                f"({', '.join(class_names)}). Use label_mode='categorical' or 'sparse'."
            )
        self.paths = tuple(paths)
        self.labels = labels
        self.class_names = tuple(class_names)
        self.decoding = Decoding(image_size, color_mode, interpolation)
        self.batch_size = batch_size
        self.seed = seed
        self.label_mode = label_mode
        self.augmentation: Augmentation | None = None
        self.is_validation = False
        # Shared by all sources that come from this one: digests are computed once per file.
        self._digests: dict[Path, bytes] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        augmented = "" if self.augmentation is None else ", augmented"
        return f"{type(self).__name__}({len(self):,} images in {len(self.class_names)} classes, {self.spec}{augmented})"

    @property
    def known_labels(self) -> np.ndarray:
        """The labels, for work that cannot do without.

        Raises:
            DataError: the images have none.
        """
        if self.labels is None:
            raise DataError("These images have no labels. Use an ImageFolder with one folder per class.")
        return self.labels

    @property
    def class_indices(self) -> dict[str, int]:
        """The number of each class, by its name."""
        return {name: index for index, name in enumerate(self.class_names)}

    @property
    def class_counts(self) -> dict[str, int]:
        """How many images each class has, by its name."""
        counts = Counter([] if self.labels is None else self.labels.tolist())
        return {name: counts[index] for index, name in enumerate(self.class_names)}

    @property
    def spec(self) -> TensorSpec:
        """What a batch of images is: uint8 (None, height, width, channels), 0 to 255."""
        return TensorSpec((None, *self.decoding.shape), "uint8", PIXELS)

    @property
    def target_spec(self) -> TensorSpec | None:
        """What a batch of targets is: one-hot, class numbers or 0/1; None without labels."""
        return {
            "categorical": TensorSpec((None, len(self.class_names)), "float32", (0.0, 1.0)),
            "sparse": TensorSpec((None,), "int32"),
            "binary": TensorSpec((None, 1), "float32", (0.0, 1.0)),
            "none": None,
        }[self.label_mode]

    # -- new sources from this one ---------------------------------------------------------------------------

    def augment(self, **arguments: Any) -> Self:
        """The same images with augmentation; the arguments are those of `Augmentation`.

        Example:
            >>> train = train.augment(shear_range=10, zoom_range=0.2, horizontal_flip=True)  # doctest: +SKIP

        Raises:
            ArgumentError: an argument is not known or its value cannot work, or this is a validation split.
        """
        if self.is_validation:
            raise ArgumentError(
                "This source is the validation side of a split, which is never augmented: its figures would "
                "depend on chance. Augment the training side."
            )
        augmentation = Augmentation.from_arguments(arguments)
        changed = copy.copy(self)
        changed.augmentation = None if augmentation.is_identity else augmentation
        return changed

    def unaugmented(self) -> Self:
        """The same images as they are: what is measured should not depend on chance."""
        if self.augmentation is None:
            return self
        changed = copy.copy(self)
        changed.augmentation = None
        return changed

    def split(self, validation: float = 0.2) -> tuple[Self, Self]:
        """Two sources, for training and for validation, with the same share of every class.

        Which side an image falls on depends on its content and the seed only, not on its name or on the order of
        the files. The validation side is not augmented. The first call reads every file once for its digest.

        Args:
            validation: the share of the validation side, above 0 and below 1. Every class with two images or
                more has at least one on each side.

        Raises:
            ArgumentError: the share is not between 0 and 1.
            DataError: one side would be empty.
        """
        if not isinstance(validation, float) or not 0 < validation < 1:
            raise ArgumentError(f"validation is a share between 0 and 1, like 0.2; got {validation!r}.")
        digests = self.content_digests()
        key = self.seed.to_bytes(8, "little")
        scores = [blake3(key + digest, derive_key_context="thawline split").digest() for digest in digests]
        labels = np.zeros(len(self), np.int32) if self.labels is None else self.labels
        held_out: list[int] = []
        for label in np.unique(labels):
            members = sorted(np.flatnonzero(labels == label).tolist(), key=scores.__getitem__)
            count = min(max(round(validation * len(members)), 1), len(members) - 1)
            held_out += members[:count]
        chosen = np.zeros(len(self), bool)
        chosen[held_out] = True
        if not held_out:
            raise DataError(f"{len(self)} images are too few to split: every class needs two. Add images.")
        train, held = self.select(np.flatnonzero(~chosen)), self.select(np.flatnonzero(chosen))
        held = held.unaugmented()
        held.is_validation = True
        return train, held

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The images with these indices, in this order."""
        chosen = np.asarray(indices, np.int64)
        changed = copy.copy(self)
        changed.paths = tuple(self.paths[index] for index in chosen)
        changed.labels = None if self.labels is None else self.labels[chosen]
        return changed

    def limit(self, per_class: int) -> Self:
        """At most so many images of each class, the first ones, for a quick look.

        Raises:
            ArgumentError: the number is below 1.
        """
        if not isinstance(per_class, int) or per_class < 1:
            raise ArgumentError(f"limit is a whole number of images per class from 1 up; got {per_class!r}.")
        labels = np.zeros(len(self), np.int32) if self.labels is None else self.labels
        kept = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
        return self.select(np.sort(np.concatenate(kept)))

    # -- single images ---------------------------------------------------------------------------------------

    def content_digests(self, *, show_progress: bool = True) -> list[bytes]:
        """The BLAKE3 digest of every file, 32 bytes each, in the order of the indices.

        Files are read the first time only; every source that comes from this one shares what was read.
        """
        unknown = [path for path in self.paths if path not in self._digests]
        with (
            progress("reading", len(unknown), show=show_progress) as advance,
            ThreadPoolExecutor(_SCAN_THREADS) as pool,
        ):
            for path, digest in zip(unknown, pool.map(_digest_file, unknown), strict=True):
                self._digests[path] = digest
                advance(1)
        return [self._digests[path] for path in self.paths]

    def image(self, index: int, view: int = 0) -> np.ndarray:
        """One view of one image: uint8 (height, width, channels), 0 to 255.

        Args:
            index: the image's index.
            view: which view; without augmentation all views are the same.

        Raises:
            UnreadableImageError: the file cannot be decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        path = self.paths[index]
        data = _read(path)
        pixels = decode(data, self.decoding, name=str(path))
        digest = blake3(data).digest()
        if self._digests.setdefault(path, digest) != digest:
            raise ImageChangedError(f"{path}: the file changed since it was scanned. Start again to use the new one.")
        if self.augmentation is None:
            return pixels
        numbers = self.augmentation.draw(self.seed, digest, view, image_size=self.decoding.image_size)
        return self.augmentation.apply(pixels, numbers)

    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        """What a model should answer for these images, as `target_spec` says; None without labels."""
        if self.labels is None or self.label_mode == "none":
            return None
        labels: np.ndarray = self.labels[indices]
        if self.label_mode == "categorical":
            one_hot: np.ndarray = np.eye(len(self.class_names), dtype=np.float32)[labels]
            return one_hot
        return labels if self.label_mode == "sparse" else labels.astype(np.float32)[:, None]

    # -- batches ---------------------------------------------------------------------------------------------

    def batches(self, epoch: int = 0, *, views: int | None = None, shuffle: bool = True) -> Iterator[Batch]:
        """The batches of one epoch: every image exactly once, the last batch as short as it is.

        Args:
            epoch: the epoch, from 0; it decides the order and the view.
            views: how many views there are; epoch e shows view e mod views. None: every epoch a new one.
            shuffle: False gives the order of the indices.

        Yields:
            Batches as described in `thawline.data.batches.Batch`, images as `spec` says.
        """
        view = view_of_epoch(epoch, views)
        return iterate(self, view, epoch=epoch, shuffle=shuffle)


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
            0 or 1) or "none".
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
            found = _find_images(folder, skipped)
            paths += found
            labels += [label] * len(found)
        self.skipped = dict(skipped)
        names = [folder.name for folder in folders]
        if not paths:
            raise DataError(
                f"No images in {str(self.directory)!r}: its {len(names)} class folders hold none "
                f"({_known_endings()}).{_skipped_note(self.skipped)} Put images into them, or convert those."
            )
        empty = [name for label, name in enumerate(names) if label not in set(labels)]
        if empty and classes is None:
            warnings.warn(f"Class folders without images are left out: {', '.join(empty)}.", stacklevel=2)
            kept = [label for label in range(len(names)) if names[label] not in empty]
            labels = [kept.index(label) for label in labels]
            names = [names[label] for label in kept]
        if len(names) < 2 and label_mode != "none":
            raise DataError(
                f"One class in {str(self.directory)!r}: {names[0]!r}. A classifier needs two or more class folders; "
                "add one, give the folder above, or use label_mode='none'."
            )
        super().__init__(
            paths,
            np.array(labels, np.int32),
            names,
            image_size=image_size,
            batch_size=batch_size,
            seed=seed,
            color_mode=color_mode,
            interpolation=interpolation,
            label_mode=label_mode,
        )


class ImageFiles(ImageSource):
    """Images by file name, without labels: what `Stack.predict` takes for new pictures.

    Args:
        paths: files, and folders of which every image is taken, in sorted order.
        image_size, batch_size, color_mode, interpolation: as in `ImageFolder`.

    Raises:
        ArgumentError: a single path instead of a list.
        FolderNotFoundError: a path does not exist.
        DataError: no path names an image.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        image_size: tuple[int, int] = (256, 256),
        batch_size: int = 32,
        color_mode: ColorMode = "rgb",
        interpolation: Interpolation = "area",
    ) -> None:
        if isinstance(paths, str | os.PathLike):
            raise ArgumentError(f"paths is a list of files and folders; got {paths!r}. Write [{str(paths)!r}].")
        skipped: Counter[str] = Counter()
        found: list[Path] = []
        for path in map(Path, paths):
            if not path.exists():
                raise FolderNotFoundError(f"No file or folder {str(path)!r}. Check the path.")
            found += _find_images(path, skipped) if path.is_dir() else [path]
        if not found:
            given = ", ".join(map(str, paths))
            raise DataError(f"No images ({_known_endings()}) in {given or 'an empty list'}.{_skipped_note(skipped)}")
        self.skipped = dict(skipped)
        super().__init__(
            found,
            None,
            (),
            image_size=image_size,
            batch_size=batch_size,
            seed=0,
            color_mode=color_mode,
            interpolation=interpolation,
            label_mode="none",
        )


def view_of_epoch(epoch: int, views: int | None) -> int:
    """The view that an epoch shows: the epoch itself, or epoch mod views when the views are counted."""
    if views is not None and views < 1:
        raise ArgumentError(f"views is a whole number from 1 up, or None for a new one each epoch; got {views!r}.")
    return epoch if views is None else epoch % views


def _class_folders(directory: Path, classes: Sequence[str] | None) -> list[Path]:
    """The folders of the classes in the order of their numbers."""
    if not directory.is_dir():
        came = "is a file" if directory.exists() else "does not exist"
        raise FolderNotFoundError(
            f"The folder of images {str(directory)!r} {came}. Expected a folder with one folder per class inside, "
            f"like {directory / 'cats' / '001.jpg'}. Check the path."
        )
    present = sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and not _is_hidden(entry.name))
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


def _find_images(folder: Path, skipped: Counter[str]) -> list[Path]:
    """The images below a folder in sorted order; other files are counted by their ending."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(files):
            ending = Path(name).suffix.lower()
            if _is_hidden(name):
                continue
            if ending in EXTENSIONS:
                found.append(Path(parent, name))
            else:
                skipped[ending or "no ending"] += 1
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _known_endings() -> str:
    return ", ".join(EXTENSIONS)


def _skipped_note(skipped: dict[str, int]) -> str:
    if not skipped:
        return ""
    return " Other files: " + ", ".join(f"{count} {ending}" for ending, count in sorted(skipped.items())) + "."


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read: {error.strerror}. Check the file.") from error


def _digest_file(path: Path) -> bytes:
    return blake3(_read(path)).digest()
