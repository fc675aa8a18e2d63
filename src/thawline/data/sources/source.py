"""ImageSource: images with their labels, under one index each.

It is the contract of all sources and does everything but find the images. A source is never changed: `split`,
`augment` and `select` give new ones that share the scan and the digests.
"""

import copy
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from thawline.arguments import share, whole_number
from thawline.data.augment import Augmentation, Draw
from thawline.data.balance import repeat_to_balance
from thawline.data.batches import EpochBatches, iterate, view_of_epoch
from thawline.data.labels import ClassLabels, Labels, Targets, TargetSpec, checked_weights, chosen_weights
from thawline.data.pixels import PixelMode, cache_pictures
from thawline.data.preview import Preview, preview
from thawline.data.sources.classes import HasClasses
from thawline.data.sources.copies import Copies, copy_key
from thawline.data.sources.left_out import BAD_IMAGE, LeavesOut
from thawline.data.sources.look import SourceLook
from thawline.data.sources.no_array import NoArray
from thawline.data.sources.pictures import Pictures
from thawline.data.splits import SIDES, Groups, exact_sides, group_keys, grouped_positions, positions, stable_sides
from thawline.errors import ArgumentError, DataError
from thawline.specs import PIXELS, TensorSpec

# As NumPy's and Keras' seeds.
_MAX_SEED = 2**32 - 1


class ImageSource(HasClasses, LeavesOut, NoArray):
    """Images with labels, in a fixed order; what `Stack.fit` trains on.

    Every image has an index (0 to len - 1) that its path, label, weight and features share.

    Attributes:
        pictures: where pixels and digests come from.
        rows: int64 (len,), the row of each index in the pictures.
        paths: the files, in the order of the indices.
        labels: what is known of each image, or None: its class, int32 (len,); for several classes per image float32
            (len, classes); for numbers float32 (len, k).
        class_names: the classes in the order of their numbers; empty where there are none.
        weights: float32 (len,), how much each image counts in the loss, or None; maybe a dictionary by output.
        augmentation: what happens to the images, or None.
        shuffle: whether each epoch of a training has an order of its own.
    """

    shuffle = True

    def __init__(
        self,
        pictures: Pictures,
        labels: Labels,
        *,
        batch_size: int,
        seed: int,
        weights: Any = None,
    ) -> None:
        self.pictures = pictures
        self.batch_size = whole_number("batch_size", batch_size)
        self.seed = whole_number("seed", seed, 0, _MAX_SEED)
        self.paths = pictures.names
        self.rows = np.arange(len(pictures.names))
        self.class_names = labels.class_names
        self.labels = labels.values
        self.weights = None if weights is None else checked_weights(weights, len(self.rows), labels.spec)
        self._labels = labels
        self._copies = Copies(pictures, self.rows)
        self.augmentation: Augmentation | None = None
        self.is_validation = False

    def __repr__(self) -> str:
        augmented = "" if self.augmentation is None else ", augmented"
        return f"{type(self).__name__}({len(self):,} images in {len(self.class_names)} classes, {self.spec}{augmented})"

    @property
    def spec(self) -> TensorSpec:
        """What a batch of images is: uint8 (None, height, width, channels), 0 to 255, or float32 once standardized."""
        shape = (None, *self.pictures.shape)
        if self.augmentation is None:
            return TensorSpec(shape, "uint8", PIXELS)
        return TensorSpec(shape, self.augmentation.output_dtype, self.augmentation.value_range)

    @property
    def target_spec(self) -> TargetSpec:
        """What a batch of targets is; a dictionary for several outputs, None without targets."""
        return self._labels.spec

    # -- new sources from this one ---------------------------------------------------------------------------

    def augment(self, **arguments: Any) -> Self:
        """The same images with augmentation; the arguments are those of `Augmentation`.

        Example:
            >>> train = train.augment(shear_range=10, zoom_range=0.2, horizontal_flip=True)  # doctest: +SKIP

        Raises:
            ArgumentError: an argument is not known or its value cannot work, statistics are missing, or this is a
                validation split, which takes `rescale` and what else is the same for every view, but nothing random.
        """
        augmentation = Augmentation.from_arguments(arguments)
        augmentation.check_fitted()
        if self.is_validation and (augmentation.is_random or augmentation.is_identity):
            raise ArgumentError(
                "This source is the validation side of a split, which is never augmented: its figures would "
                "depend on chance. Augment the training side."
            )
        changed = copy.copy(self)
        changed.augmentation = None if augmentation.is_identity else augmentation
        return changed

    def unaugmented(self) -> Self:
        """The same images without what is random: what is measured should not depend on chance.

        `rescale` and what else is the same for every view stays: a model has to see the values it was trained on.
        """
        if self.augmentation is None or not self.augmentation.is_random:
            return self
        changed = copy.copy(self)
        scaling = self.augmentation.without_chance()
        changed.augmentation = None if scaling.is_identity else scaling
        return changed

    def scaled_as(self, other: "ImageSource") -> Self:
        """The same images without augmentation, their values scaled as another source's are."""
        changed = copy.copy(self)
        changed.augmentation = other.unaugmented().augmentation
        return changed

    def split(
        self,
        validation: float = 0.2,
        *,
        test: float | None = None,
        groups: Groups | None = None,
        exact: bool = False,
    ) -> tuple[Self, ...]:
        """Sources for training, for validation and, when asked for, for testing: `(train, validation[, test])`.

        Which side an image falls on depends on its content and the seed only, not on its name, its class or the other
        images: adding files never moves one to another side, equal files are on the same side, and a larger share only
        takes images from training. For that, the shares are right on average, in every class, but not to the image:
        of n images share * n, give or take sqrt(n * share * (1 - share)). Validation and test are never augmented.
        The first call reads every file once for its digest.

        Args:
            validation: the share of the validation side, above 0 and below 1.
            test: the share of the test side, or None for none.
            groups: keeps all images of a patient, part or site on one side, by a hash of the group instead of the
                content: a column of an `ImageFrame`, a regular expression whose first pair of parentheses finds the
                group in the path (`r"patient(\\d+)"`), or a function from path to group.
            exact: whether every class has exactly its share, and one image on each side where it has enough. Adding
                files may then move images.

        Raises:
            ArgumentError: a share is not between 0 and 1, nothing is left for training, or groups are asked for with
                exact shares.
            DataError: one side would be empty, or an image has no group.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> pixels = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 3), np.uint8)
            >>> train, validation = ImageArrays(pixels, [0, 1] * 50).split(0.2, exact=True)
            >>> validation.class_counts
            {'0': 10, '1': 10}
        """
        validation = share("validation", validation)
        test = None if test is None else share("test", test)
        if validation + (test or 0.0) >= 1:
            raise ArgumentError(f"validation {validation:g} and test {test:g} leave nothing for training.")
        if exact and groups is not None:
            raise ArgumentError(
                "Groups are kept whole, so that shares cannot be exact. Give groups or exact, not both."
            )
        images = self._with_digests()
        places = images._positions(groups)
        if exact:
            sides = exact_sides(places, images._labels.strata(images.rows), validation, test or 0.0)
        else:
            sides = stable_sides(places, validation, test or 0.0)
        return images._parts(sides, 2 if test is None else 3)

    def folds(self, k: int, *, groups: Groups | None = None) -> list[tuple[Self, Self]]:
        """Pairs (train, validation) for cross-validation: every image is in the validation of exactly one.

        As with `split`, adding files never moves an image to another fold, and the folds are equally large on average.

        Args:
            k: how many folds, from 2 up.
            groups: as in `split`.

        Raises:
            ArgumentError: k is no whole number from 2 up.
            DataError: a fold would be empty, or an image has no group.
        """
        k = whole_number("k", k, 2, of="folds")
        images = self._with_digests()
        numbers = np.floor(images._positions(groups) * k).astype(np.int64)
        pairs = []
        for fold in range(k):
            train, validation = images._parts((numbers == fold).astype(np.int64), 2)
            pairs.append((train, validation))
        return pairs

    def _with_digests(self) -> Self:
        """The images whose digests are known, which with on_error="skip" may be fewer: no side should get the rest."""
        self.content_digests()
        return self.without_unreadable()

    def _positions(self, groups: Groups | None) -> np.ndarray:
        """Where each image lies between 0 and 1, by its content or its group."""
        digests = self.content_digests()
        if groups is None:
            return positions(digests, self.seed)
        column = self.column(groups) if isinstance(groups, str) else None
        keys = group_keys(groups, self.paths, column)
        return grouped_positions(digests, keys, self.paths, self.seed)

    def column(self, name: str) -> list[Any] | None:
        """What a table says of each image in the column of this name; None where there is no such table or column."""
        return None

    def _parts(self, sides: np.ndarray, count: int) -> tuple[Self, ...]:
        """One source for each side; all but the first are never augmented."""
        classes = self._labels.members(self.rows)
        parts = []
        for number, side in enumerate(SIDES[:count]):
            chosen = sides == number
            if not chosen.any():
                raise DataError(
                    f"{len(self)} images are too few to split: the {side} side is empty. Add images, or try another "
                    "share or seed."
                )
            lacking = np.flatnonzero(classes.any(axis=0) & ~classes[chosen].any(axis=0))
            if len(lacking):
                warnings.warn(
                    f"The {side} side has no image of {len(lacking)} of {classes.shape[1]} classes, first "
                    f"{self.class_names[lacking[0]]!r}. Add images, try another share or seed, or split with "
                    "exact=True.",
                    stacklevel=3,
                )
            part = self.select(np.flatnonzero(chosen))
            if number:
                part = part.unaugmented()
                part.is_validation = True
            parts.append(part)
        return tuple(parts)

    def cache_pixels(
        self, mode: PixelMode = "auto", *, budget_bytes: int | None = None, path: str | os.PathLike[str] | None = None
    ) -> Self:
        """The same images, decoded and resized once: later epochs start from their pixels.

        Split and augment as usual, before or after: what is kept are the pixels before augmentation.

        Args:
            mode: "ram" keeps what the budget allows in memory, "disk" keeps all in a folder for later runs as well,
                "auto" takes the first of the two that all images fit, "off" keeps nothing.
            budget_bytes: bytes of pixels in memory at most; by default a quarter of what is free.
            path: the folder on disk; by default beside the feature cache.

        Raises:
            ArgumentError: the mode is not known, or the budget is no whole number from 0 up.
            CacheError: the folder holds a cache of another version, or something else.

        Example:
            >>> images = ImageFolder("flowers").cache_pixels("ram", budget_bytes=2_000_000_000)  # doctest: +SKIP
        """
        changed = copy.copy(self)
        folder = None if path is None else Path(path)
        changed.pictures = cache_pictures(self.pictures, mode, budget_bytes=budget_bytes, path=folder)
        return changed

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The images with these indices, in this order."""
        chosen = np.asarray(indices, np.int64)
        changed = copy.copy(self)
        changed.rows = self.rows[chosen]
        changed.paths = tuple(self.paths[index] for index in chosen)
        changed.labels = None if self.labels is None else self.labels[chosen]
        changed.weights = chosen_weights(self.weights, chosen)
        changed._copies = Copies(self.pictures, changed.rows)
        return changed

    def limit(self, per_class: int) -> Self:
        """At most so many images of each class, the first ones, for a quick look.

        Raises:
            ArgumentError: the number is below 1.
        """
        per_class = whole_number("limit", per_class, of="images per class")
        labels = self._labels.strata(self.rows)
        kept = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
        return self.select(np.sort(np.concatenate(kept)))

    def balanced(self) -> Self:
        """The images with those of smaller classes repeated, so that every class has as many as the largest.

        This is random oversampling, as imbalanced-learn calls it: every image of a class comes as often as the others,
        give or take one; the seed decides which come once more. In a source that is augmented at random each repeat
        shows views of its own. An epoch is as many times longer as there are more images; `fit(class_weight=
        "balanced")` weighs classes without that. Classes without images stay without. Split first: only training images
        may be repeated.

        Raises:
            ArgumentError: this is a validation split, whose figures would count images twice.
            DataError: the images do not show one class each.

        Example:
            >>> from thawline.data.sources.arrays import ImageArrays
            >>> images = ImageArrays(np.zeros((5, 8, 8, 3), np.uint8), ["cat", "cat", "dog", "cat", "cat"])
            >>> images.balanced().class_counts
            {'cat': 4, 'dog': 4}
        """
        if self.is_validation:
            raise ArgumentError(
                "This source is the validation side of a split, which is never balanced: its figures would count "
                "images twice. Balance the training side."
            )
        if self.labels is None or not isinstance(self._labels, ClassLabels):
            raise DataError("balanced() needs one class per image: label_mode categorical, sparse or binary.")
        return self.select(repeat_to_balance(self.labels, self.seed))

    # -- single images ---------------------------------------------------------------------------------------

    def image(self, index: int, view: int = 0) -> np.ndarray:
        """One view of one image, as `spec` says: (height, width, channels), uint8 from 0 to 255 or float32.

        Args:
            index: the image's index.
            view: which view; without augmentation all views are the same.

        Raises:
            UnreadableImageError: the file cannot be decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        pixels, _ = self.picture(index, view)
        return pixels if self.augmentation is None else self.augmentation.standardize(pixels)

    def standardized(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Pictures as the model sees them, as `spec` says: (n, height, width, channels), uint8 or float32.

        Args:
            pictures: what `picture` gives of each image, uint8 (height, width, channels).
        """
        if self.augmentation is None or self.augmentation.output_dtype == "uint8":
            return np.stack(pictures)
        if self.augmentation.only_rescales:
            # Straight into the batch: memory that is asked for once less, once per image.
            rescaled = np.empty((len(pictures), *self.pictures.shape), np.float32)
            for place, picture in zip(rescaled, pictures, strict=True):
                np.multiply(picture, np.float32(self.augmentation.rescale or 1), out=place, dtype=np.float32)
            return rescaled
        return np.stack([self.augmentation.standardize(picture) for picture in pictures])

    def picture(self, index: int, view: int = 0) -> tuple[np.ndarray, Draw]:
        """One view of one image for people to look at, before it is standardized, with the numbers that were drawn.

        Returns:
            uint8 (height, width, channels), 0 to 255, and the draw.

        Raises:
            UnreadableImageError: the file cannot be decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        return self._show(index, *self.pictures.pixels(self.rows[index]), view)

    def views(self, index: int, views: Sequence[int]) -> list[np.ndarray]:
        """Several views of one image, as `picture` gives each of them, with one decoding for all.

        Args:
            index: the image's index.
            views: the views' numbers.

        Returns:
            uint8 (height, width, channels), 0 to 255, of each view.

        Raises:
            UnreadableImageError: the file cannot be decoded.
            ImageChangedError: the file is not the one whose digest was taken.
        """
        pixels, digest = self.pictures.pixels(self.rows[index])
        return [self._show(index, pixels, digest, view)[0] for view in views]

    def _show(self, index: int, pixels: np.ndarray, digest: bytes, view: int) -> tuple[np.ndarray, Draw]:
        if self.augmentation is None:
            return pixels, Draw()
        key = self._view_key(index, digest)
        numbers = self.augmentation.draw(self.seed, key, view, image_size=self.pictures.shape[:2])
        return self.augmentation.transform(pixels, numbers), numbers

    def view_keys(self, *, show_progress: bool = True) -> list[bytes]:
        """The keys that the views of images are drawn by, 32 bytes each: equal keys, equal looks in every view.

        It is the digest of the content, but for copies in a source that is augmented at random: each has its own.

        Raises:
            UnreadableImageError: a file cannot be read and on_error is "raise".
        """
        digests = self.content_digests(show_progress=show_progress)
        if self.augmentation is None or not self.augmentation.is_random:
            return digests
        return [copy_key(*pair) for pair in zip(digests, self._copies.numbers.tolist(), strict=True)]

    def _view_key(self, index: int, digest: bytes) -> bytes:
        if self.augmentation is None or not self.augmentation.is_random:
            return digest
        return copy_key(digest, int(self._copies.numbers[index]))

    def preview(self, count: int = 8, views: int = 4, path: str | os.PathLike[str] | None = None) -> Preview:
        """A contact sheet of augmented images, shown by notebooks: a row for each image, a column for each view.

        Args:
            count: how many images, spread evenly over the source.
            views: how many views of each, from view 0.
            path: where to write it as PNG; None for nowhere.

        Raises:
            ArgumentError: a number is below 1.

        Example:
            >>> train.preview(count=4, views=6).save("augmented.png")  # doctest: +SKIP
        """
        return preview(self, count=count, views=views, path=path)

    def mask(self, index: int, mask: np.ndarray, view: int = 0) -> np.ndarray:
        """A mask of an image, uint8 (height, width, 1), moved as the view moves the image, to the nearest pixel."""
        if self.augmentation is None:
            return mask
        key = self._view_key(index, self.pictures.digests(self.rows[[index]], show_progress=False)[0])
        numbers = self.augmentation.draw(self.seed, key, view, image_size=self.pictures.shape[:2])
        return self.augmentation.apply_mask(mask, numbers)

    def targets(self, indices: np.ndarray, view: int = 0, images: np.ndarray | None = None) -> Targets:
        """What a model should answer for these images, as `target_spec` says; None without labels.

        Args:
            indices: the images' indices.
            view: the view that the model sees, for targets that are made of pixels.
            images: that view, uint8 (n, height, width, channels), where it is there already.
        """
        return self._labels.targets(self.rows[indices], SourceLook(self, indices, view, images))

    def target_content(self) -> bytes:
        """What targets and weights depend on, to tell one training from another."""
        given = self.weights if isinstance(self.weights, dict) else {"": self.weights}
        weights = b"".join(name.encode() + part.tobytes() for name, part in given.items() if part is not None)
        try:
            return self._labels.content(self.rows) + weights
        except BAD_IMAGE:
            if self.on_error == "raise":
                raise
        # A mask is gone; its image is left out from here on.
        parts = [self.attempt(lambda at: self._labels.content(self.rows[[at]]), at) for at in range(len(self))]
        return b"".join(part or b"" for part in parts) + weights

    # -- batches ---------------------------------------------------------------------------------------------

    def batches(
        self,
        epoch: int = 0,
        *,
        views: int | None = None,
        shuffle: bool | None = None,
        start: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> EpochBatches:
        """The batches of one epoch: every image exactly once, the last batch as short as it is.

        What is given has a `state()`, from which the same epoch goes on: `source.batches(**state)`.

        Args:
            epoch: the epoch, from 0; it decides the order and the view.
            views: how many views there are; epoch e shows view e mod views. None: every epoch a new one.
            shuffle: False gives the order of the indices; None as the source says, which is True by default.
            start: how many batches to pass over.
            shard: (index, count), for `count` machines that share an epoch: every image is in exactly one shard.

        Returns:
            An iterator of batches as described in `thawline.data.batches.Batch`, images as `spec` says.

        Raises:
            ArgumentError: a number is out of its range.
        """
        index, count = shard
        if start < 0 or not 0 <= index < count:
            raise ArgumentError(
                f"start is 0 or more, and shard (index, count) with index < count; got {start}, {shard}."
            )
        epoch, start = whole_number("epoch", epoch, 0), whole_number("start", start, 0)
        view = view_of_epoch(epoch, views)
        shuffle = self.shuffle if shuffle is None else shuffle
        return iterate(self, view, epoch=epoch, shuffle=shuffle, start=start, shard=shard)
