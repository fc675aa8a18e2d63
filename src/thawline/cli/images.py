"""The images of a recipe as commands open them: with a word on which are used, and which are not."""

from pathlib import Path

from thawline.cli.output import percent, say
from thawline.data.sources.passed_over import passed_over
from thawline.data.sources.scan import describe_skipped
from thawline.data.sources.source import ImageSource
from thawline.recipe import Recipe

# So many classes are named.
_NAMED = 3


def open_images(recipe: Recipe, *, quiet: bool) -> tuple[ImageSource, ImageSource]:
    """Training and validation images of a recipe; says which sides are used, what was passed over, and poor shares."""
    places = recipe.places()
    train, validation = recipe.open_images()
    lines = [places.note, describe_skipped(passed_over([train, validation]))]
    if places.validation is None and not recipe.data.exact and recipe.data.groups is None:
        lines.append(describe_shares(train, validation, float(recipe.data.validation)))
    for line in filter(None, lines):
        say(line, quiet=quiet)
    return train, validation


def open_other(recipe: Recipe, place: Path, class_names: tuple[str, ...], *, quiet: bool) -> ImageSource:
    """Other labelled images to measure on; says which side is used, and what was passed over."""
    images, note = recipe.open_other(place, class_names)
    for line in filter(None, [note, describe_skipped(passed_over([images]))]):
        say(line, quiet=quiet)
    return images


def describe_shares(train: ImageSource, validation: ImageSource, share: float) -> str:
    """A sentence on classes whose held-out share is off by more than half of what was asked for; empty without them.

    Sides by content are right on average only: of few images they may be far off. Classes of which less than one image
    would be held out have no right share.

    Example:
        >>> import numpy as np
        >>> from thawline.data.sources.arrays import ImageArrays
        >>> images = ImageArrays(np.zeros((20, 8, 8, 3), np.uint8), ["cat"] * 10 + ["dog"] * 10)
        >>> sides = images.select([*range(6), *range(10, 18)]), images.select([6, 7, 8, 9, 18, 19])
        >>> print(describe_shares(*sides, 0.2).partition(":")[0])
        1 of 2 classes has a held-out share far from 20.0% ('cat' 4 of 10)
    """
    held, learned = validation.class_counts, train.class_counts
    counts = {name: (held.get(name, 0), held.get(name, 0) + count) for name, count in learned.items()}
    off = [
        (name, part, whole)
        for name, (part, whole) in counts.items()
        if whole * share >= 1 and abs(part / whole - share) > share / 2
    ]
    if not off:
        return ""
    worst = sorted(off, key=lambda each: -abs(each[1] / each[2] - share))[:_NAMED]
    shown = ", ".join(f"{name!r} {part:,} of {whole:,}" for name, part, whole in worst)
    return (
        f"{len(off):,} of {len(counts):,} classes {'has' if len(off) == 1 else 'have'} a held-out share far from "
        f"{percent(share)} ({shown}{', ...' if len(off) > _NAMED else ''}): write  exact: true  under data for equal "
        "shares; adding files may then move images to the other side"
    )
