"""Images that are learned from and measured on: figures on them say little about new images."""

import warnings
from pathlib import Path

from thawline.data.sources.source import ImageSource


def warn_of_common_images(train: ImageSource, validation: ImageSource) -> None:
    """Warns where images to measure on are images to learn from: figures on them say nothing about new images.

    No file is read for it: images are known by their place in the same pictures, by their path, and by their content
    where its digest is known already.
    """
    common = _common_images(train, validation)
    if common:
        warnings.warn(tell_common_images(common, len(validation), "validation images"), stacklevel=4)


def tell_common_images(common: list[Path], count: int, what: str) -> str:
    """A sentence about images that were learned from, and are measured on.

    Example:
        >>> print(tell_common_images([Path("roses/1.jpg")], 10, "images"))
        1 of 10 images is trained on as well, first roses/1.jpg: figures on it say little about new images. Measure on \
others.
    """
    one = len(common) == 1
    return (
        f"{len(common):,} of {count:,} {what} {'is' if one else 'are'} trained on as well, first {common[0]}: figures "
        f"on {'it' if one else 'them'} say little about new images. Measure on others."
    )


def _common_images(train: ImageSource, validation: ImageSource) -> list[Path]:
    """The paths of images that both sides have, as far as that is known."""
    if train.pictures is validation.pictures:
        rows = set(train.rows.tolist())
        return [path for path, row in zip(validation.paths, validation.rows.tolist(), strict=True) if row in rows]
    learned = {each for known in train.pictures.known_contents(train.rows) for each in known}
    contents = validation.pictures.known_contents(validation.rows)
    return [path for path, known in zip(validation.paths, contents, strict=True) if not learned.isdisjoint(known)]
