"""Differences from Keras' ImageDataGenerator: one table; arguments that mean something else are warned of.

docs/image_data_generator.md is written from it (`python scripts/write_pages.py`).
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from thawline.errors import ArgumentError


class ChangedMeaningWarning(UserWarning):
    """An argument does what Keras documents, where Keras does something else.

    It comes once per argument and process. To be left in peace:
    `warnings.simplefilter("ignore", ChangedMeaningWarning)`.
    """


# What Keras 3.15.1 does with the argument, and what is done here.
CHANGES = {
    "width_shift_range": "moves pictures sideways; Keras moves them up and down",
    "height_shift_range": "moves pictures up and down; Keras moves them sideways",
    "rotation_range": "turns pictures about their centre; Keras turns those that are not square about another point",
    "shear_range": "shears about the centre; Keras shears pictures that are not square about another point",
    "zoom_range": "zooms about the centre; Keras zooms pictures that are not square about another point",
    "brightness_range": "multiplies and clips to 0..255; Keras makes fractions black and stretches other values",
    "channel_shift_range": "clips to 0..255; Keras clips to each image's own smallest and largest value",
    "interpolation_order": "is 0 (nearest), 1 (linear) or 3 (cubic), clipped to 0..255; Keras has splines, not clipped",
    "validation_split": (
        "takes equal shares of every class by the place in the listing, keeps copies on one side (but with "
        "class_mode=None, so that images and masks stay together), and never augments validation; Keras takes the "
        "first files and augments them"
    ),
    "preprocessing_function": "is applied by fit() too; Keras' fit() leaves it out",
}

# What else differs, whatever the arguments are: what Keras 3.15.1 does, and what is done here.
OTHERS = {
    "random numbers": (
        "one stream for each batch, from seed + number of batches so far, in NumPy's global generator",
        "from (seed, place in the listing, view); the global generator is never touched",
    ),
    "no seed": (
        "goes on from NumPy's global generator",
        "a seed is taken from where that generator is, another one each time; the same again after set_random_seed",
    ),
    "what Keras peeks at": (
        "two batches are drawn and thrown away before training",
        "count for nothing: the view is the number of the epoch",
    ),
    "workers": ("the order of draws depends on them", "threads that make a batch; they change no pixel"),
    "pixels": (
        "float32 throughout; spline interpolation",
        "files and whole numbers from 0 to 255 are augmented as uint8, rounded once; other arrays as float32",
    ),
    "orientation in EXIF": ("not applied", "applied"),
    "files of 16 bits": ("cut off at 255 as rgb, 0 to 65535 as grayscale", "scaled to 0 to 255"),
    "transparent pixels": ("their hidden colour", "laid over white as rgb"),
    "file formats": (
        "names that end in png, jpg, jpeg, bmp, ppm, tif or tiff, with or without a dot",
        "every format that ImageFolder reads, GIF, WebP and AVIF among them",
    ),
    "hidden folders": ("are classes", "are passed over"),
    "a misspelt class": ("has 0 images", "is refused where a folder has nearly its name"),
    "train, val and test in a folder": ("are classes", "are refused; give one of them"),
    "a table without a single file": ("gives 0 images", "is refused"),
    "statistics that are missing": ("a warning for each image, and nothing is done", "an error at the first batch"),
    "rescale with a function that scales itself": ("scales twice", "is refused on the first image"),
    "zoom_range of 1 and more": ("mirrors and collapses images", "is refused"),
    "several outputs": ("a list, which Keras 3 cannot train on", "a tuple, or a dictionary by name"),
    "negative indices": ("an empty batch for -1", "count from the end"),
    "copies in save_to_dir": ("stretched to 0 to 255 after all steps", "the pixels before they are scaled"),
}

# Words of Keras' flow_from_dataframe that do nothing any more, and what to do instead.
_PASSED_OVER = {
    "has_ext": "File names have their endings.",
    "sort": "Rows keep their order with shuffle=False.",
    "drop_duplicates": "Use dataframe.drop_duplicates().",
}

_told: set[str] = set()


def tell_changes(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Warns of each argument that is used and means something else, once per process.

    Args:
        given: the arguments by name.
        defaults: their defaults.
    """
    for name, change in CHANGES.items():
        if name not in _told and not is_equal(given[name], defaults[name]):
            _told.add(name)
            warnings.warn(f"{name} {change}. legacy=True does as Keras.", ChangedMeaningWarning, stacklevel=4)


def is_equal(value: Any, default: Any) -> bool:
    """Whether an argument is at its default; lists and arrays compare as a whole."""
    return bool(np.ndim(value) == np.ndim(default) and np.all(value == default))


def pass_over(words: dict[str, Any]) -> None:
    """Warns of words that Keras does without, and refuses those that it never knew.

    Raises:
        ArgumentError: a word is not known.
    """
    for word in words:
        if word not in _PASSED_OVER:
            raise ArgumentError(f"flow_from_dataframe() has no argument {word!r}. Leave it out.")
        warnings.warn(
            f"flow_from_dataframe({word}=...) does nothing. {_PASSED_OVER[word]}", DeprecationWarning, stacklevel=3
        )


def differences_page() -> str:
    """The page that lists what differs, in Markdown."""
    arguments = "\n".join(f"| `{name}` | {change} |" for name, change in CHANGES.items())
    others = "\n".join(f"| {name} | {theirs} | {ours} |" for name, (theirs, ours) in OTHERS.items())
    return _PAGE.format(arguments=arguments, others=others)


_PAGE = """# From Keras' ImageDataGenerator

`from thawline import ImageDataGenerator` in place of Keras' import is all that a script needs. Loops, `zip`, `next()`,
`steps_per_epoch`, subclasses, attributes that are set later, image and mask generators with one seed: all work as with
Keras 3.15.1's generator. What is listed here differs; `legacy=True` (`pip install 'thawline[legacy]'`) gives Keras' own
pixels, draws and lists of files instead.

`python scripts/write_pages.py` writes this page from the program.

## Arguments that mean something else

A `ChangedMeaningWarning` says so on the first use in a process.

| argument | here |
|---|---|
{arguments}

## Everything else

| what | Keras | here |
|---|---|---|
{others}

## Views

- `for`, `zip` and `next()` never end. A batch that is asked for again shows new views: a preview loop, and your own
  `Sequence` or `PyDataset` around an iterator, see other pictures each time.
- While `keras.Model.fit` trains, epoch `e` shows view `e`, also after a look at some batches. `on_epoch_end` changes
  the order, also when your own code calls it.
- Two generators with one seed and one length move in step, in all arguments that they share, even if one of them
  has others besides: images and their masks, left and right eye, picture and depth.
- A `Stack` takes an iterator by its `.source`: the same files, answers and order. Views of a `Stack` belong to the
  content of an image, so that its features are found again; they are not those of the iterator.
- `steps_per_epoch` smaller than `len(iterator)`: Keras 3 gives the batches that are left to the next epoch and ends it
  there, with any iterator. Leave it out, and every epoch has all images. A warning says so once.
"""
