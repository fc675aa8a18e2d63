"""The images that a recipe names, opened: folders of classes, folders that are split already, and tables."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thawline.data.class_order import spelled_as, unknown_classes
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.data.sources.scan import find_images, subfolders
from thawline.data.sources.sides import find_sides
from thawline.data.sources.source import ImageSource
from thawline.errors import RecipeError
from thawline.recipe.data import DataRecipe, is_table

# Keys that say how a table is read.
_TABLE_KEYS = ("images", "paths", "labels", "weights")

# Where images to measure on are looked for in a folder that is split already, the first one that is there.
_MEASURED = ("test", "validation")


@dataclass(frozen=True)
class Places:
    """Folders or tables with the images of a recipe.

    Attributes:
        train: a folder of classes, or a table.
        validation: another one, or None where a share of the training images is held out.
        note: what else there is to say about it, in a sentence; empty where the recipe says it all.
    """

    train: Path
    validation: Path | None
    note: str = ""


@dataclass(frozen=True)
class RecipeImages:
    """Opens the images of a recipe.

    Attributes:
        data: what the recipe says of them.
        image_size: height and width in pixels.
    """

    data: DataRecipe
    image_size: tuple[int, int]

    def open(self, *, is_augmented_by: dict[str, Any]) -> tuple[ImageSource, ImageSource]:
        """Training images, augmented by these arguments, and validation images, with values of the same range.

        Raises:
            DataError: the folders or tables do not hold what they should.
            RecipeError: columns are named, but there is no table.
        """
        places = self.places()
        self._check_keys(places)
        images = self._open(places.train)
        if self.data.limit is not None:
            images = images.limit(self.data.limit)
        if places.validation is None:
            share = self.data.validation if isinstance(self.data.validation, float) else 0.2
            train, validation = images.split(share, groups=self.data.groups, exact=self.data.exact)
        else:
            train, validation = images, self._open(places.validation, images.class_names)
        train = train.augment(**is_augmented_by)
        return train, validation.scaled_as(train)

    def places(self) -> Places:
        """The folders or tables with the images; of a folder that is split already, its sides.

        Raises:
            DataError: two folders are for the same side.
        """
        train, given = Path(self.data.train), self.data.validation
        validation = None if isinstance(given, float) else Path(given)
        sides = find_sides(train) if train.is_dir() else None
        if sides is None:
            return Places(train, validation)
        told = f"{train.name} is split already: {sides['train'].name}/ is trained on"
        if validation is not None:
            told += f", {validation} is measured on, as the recipe says"
        elif "validation" in sides:
            validation = sides["validation"]
            told += f", {validation.name}/ is measured on (no share of the images is held out)"
        else:
            told += f", of which {given:.0%} is held out"
        left = [f"{folder.name}/" for name, folder in sides.items() if name != "train" and folder != validation]
        rest = f", and {' and '.join(left)} {'is' if len(left) == 1 else 'are'} left alone" if left else ""
        return Places(sides["train"], validation, told + rest)

    def open_other(self, place: Path, class_names: Sequence[str]) -> tuple[ImageSource, str]:
        """Other labelled images to measure on, without augmentation, with a note on where they lie.

        Args:
            place: a folder of classes, a folder that is split already, or a table like the recipe's.
            class_names: the classes that are known, in order; empty for those that are found.

        Raises:
            DataError: there is a class that is not known, or the images are not as they should be.
        """
        sides = find_sides(place) if place.is_dir() else None
        if sides is None:
            return self._open(place, class_names, has_weights=False), ""
        side = next(sides[name] for name in (*_MEASURED, "train") if name in sides and subfolders(sides[name]))
        return self._open(side, class_names), f"{place.name} is split already: {side.name}/ is measured on"

    def _check_keys(self, places: Places) -> None:
        keys = [key for key in _TABLE_KEYS if getattr(self.data, key) is not None]
        if keys and not any(place is not None and is_table(place) for place in (places.train, places.validation)):
            it = "it" if len(keys) == 1 else "them"
            raise RecipeError(
                f"data: {', '.join(keys)} {'says' if len(keys) == 1 else 'say'} how a table is read, but train is the "
                f"folder {str(places.train)!r}. Give a CSV file as train, or leave {it} out."
            )

    def _open(self, place: Path, class_names: Sequence[str] = (), *, has_weights: bool = True) -> ImageSource:
        """A folder of classes or a table; with class names, no other classes are taken."""
        data = self.data
        options: dict[str, Any] = {
            "image_size": self.image_size,
            "batch_size": data.batch_size,
            "seed": data.seed,
            "color_mode": data.color_mode,
            "interpolation": data.interpolation,
            "resize": data.resize,
            "background": data.background,
            "fast_jpeg": data.fast_jpeg,
            "file_range": data.file_range,
            "on_error": data.on_error,
            "label_mode": data.label_mode,
        }
        names = list(class_names) or None
        if is_table(place):
            columns = {"path_column": data.paths, "label_columns": data.labels, "directory": data.images}
            options |= {key: column for key, column in columns.items() if column is not None}
            weights = data.weights if has_weights else None
            return ImageFrame(place, **options, weight_column=weights, class_names=names)
        if names is not None and place.is_dir():
            names = spelled_as(names, [folder.name for folder in subfolders(place)])
            _check_folders(place, names)
        return ImageFolder(place, **options, classes=names)


def _check_folders(directory: Path, class_names: Sequence[str]) -> None:
    """Raises DataError where a folder has images of other classes."""
    folders = subfolders(directory)
    tops = {name.split("/", 1)[0] for name in class_names}
    unknown = [each.name for each in folders if each.name not in tops and find_images(each, Counter())]
    if unknown:
        raise unknown_classes(unknown, [folder.name for folder in folders], class_names)
