"""ImageSource: images with their labels, under one index each.

It is the contract of all sources and does everything but find the images. A source is never changed: `split`,
`augment` and `select` give new ones that share the scan and the digests.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from blake3 import blake3

from thawline.data.augment import Augmentation
from thawline.data.batches import Batch, iterate
from thawline.data.decode import ColorMode, Decoding, Interpolation, decode
from thawline.errors import (
    ArgumentError,
    DataError,
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


class SourceHolder(Protocol):
    """What is no source but has one: an iterator of `ImageDataGenerator`."""

    @property
    def source(self) -> ImageSource:
        """The images as a source."""


def as_source(images: ImageSource | SourceHolder) -> ImageSource:
    """The source itself, or the one that is held.

    Raises:
        ArgumentError: there is none.
    """
    source = images if isinstance(images, ImageSource) else getattr(images, "source", None)
    if not isinstance(source, ImageSource):
        raise ArgumentError(
            f"A Stack takes images as an ImageFolder, or from ImageDataGenerator; got {type(images).__name__}."
        )
    return source


def view_of_epoch(epoch: int, views: int | None) -> int:
    """The view that an epoch shows: the epoch itself, or epoch mod views when the views are counted."""
    if views is not None and views < 1:
        raise ArgumentError(f"views is a whole number from 1 up, or None for a new one each epoch; got {views!r}.")
    return epoch if views is None else epoch % views


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read: {error.strerror}. Check the file.") from error


def _digest_file(path: Path) -> bytes:
    return blake3(_read(path)).digest()
