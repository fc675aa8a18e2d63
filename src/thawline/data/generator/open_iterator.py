"""Iterators opened: listed rows, what happens to them, and which of them a subset shows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from thawline.data.generator.float_images import are_pixels, range_of
from thawline.data.generator.iterators import ImageIterator, Iterator, LegacyIterator
from thawline.data.generator.listing import SUBSETS, fractions
from thawline.data.generator.looks import Copies, Generator, KerasLooks, OwnLooks, Reading, channels_last
from thawline.data.generator.rows import Rows, split
from thawline.data.sources.pictures import ArrayPictures, FilePictures, Pictures
from thawline.errors import ArgumentError
from thawline.specs import PIXELS, ValueRange


def open_iterator(
    generator: Generator,
    rows: Rows,
    reading: Reading | None,
    subset: str | None,
    copies: Copies,
    given: dict[str, Any],
    **order: Any,
) -> Iterator:
    """Batches of these rows, from files as they are read or from arrays; `order` is size, shuffle and seed."""
    order["settings"] = {
        **given,
        **({} if reading is None else reading.settings()),
        "image_data_generator": generator,
        "data_format": generator.data_format,
        "save_to_dir": copies.folder,
        "save_prefix": copies.prefix,
        "save_format": copies.ending,
        "subset": subset,
        "split": fractions(subset, generator.validation_split),
    }
    if generator.legacy:
        loading = {} if reading is None else reading.loading()
        order["settings"] |= _arrays(rows)
        return LegacyIterator(rows, KerasLooks(rows, generator, loading, copies), **order)
    if subset is not None and not generator.validation_split:
        raise ArgumentError(f"subset={subset!r} needs ImageDataGenerator(validation_split=...), like 0.2.")
    opened, pictures, value_range = _open(generator, rows, reading)
    kept = _side(generator, opened, pictures, subset)
    looks = OwnLooks(opened, pictures, kept, generator, value_range, copies, is_validation=subset == "validation")
    shown = rows if subset is None else rows.select(kept)
    order["settings"] |= _arrays(shown)
    return ImageIterator(shown, looks, **order)


def _arrays(rows: Rows) -> dict[str, Any]:
    """Arrays as attributes of an iterator, as they were given; none of files."""
    return {} if rows.images is None else {"x": rows.images, "x_misc": list(rows.extras), "y": rows.labels}


def _open(generator: Generator, rows: Rows, reading: Reading | None) -> tuple[Rows, Pictures | None, ValueRange]:
    """The rows with their pictures; arrays that are no pixels stay arrays, with the range of their values."""
    if reading is not None:
        return rows, FilePictures([Path(path) for path in rows.filepaths], reading.decoding()), PIXELS
    images = channels_last(np.asarray(rows.images), generator.data_format)
    if not are_pixels(images):
        return replace(rows, images=images), None, range_of(images)
    pixels = images.astype(np.uint8, copy=False)
    return replace(rows, images=pixels), ArrayPictures(pixels), PIXELS


def _side(generator: Generator, rows: Rows, pictures: Pictures | None, subset: str | None) -> np.ndarray:
    """The rows of a subset."""
    every = np.arange(len(rows))
    if subset is None:
        return every
    digests = None
    if rows.class_mode is not None:
        known = pictures if pictures is not None else ArrayPictures(np.asarray(rows.images))
        digests = known.digests(every, show_progress=True)
    # Images and masks have no answers: rows of equal place belong together, and masks of equal content do not.
    return split(rows, generator.validation_split, digests)[SUBSETS.index(subset)]
