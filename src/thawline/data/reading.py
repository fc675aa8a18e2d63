"""Reading: how a source makes of a file what a model takes, written down so that an exported model does the same."""

from typing import Any

import numpy as np

from thawline.data.augment import Augmentation
from thawline.data.augment.standardize import Statistics
from thawline.data.decode import Decoding
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError

Reading = dict[str, Any]

# What `Decoding` takes; what is in `_LATER` is written where it is given, so that older readings stay what they are.
_WORDS = ("image_size", "color_mode", "interpolation", "resize", "background", "fast_jpeg")
_LATER = ("file_range",)


def describe_reading(source: ImageSource) -> Reading:
    """How this source reads: plain values that JSON can hold.

    Returns:
        The arguments of `Decoding`, and under "standardize" what happens to the pixels of every image, augmented or
        not: a factor, samplewise and featurewise steps; None where models take pixels from 0 to 255. A step that only
        Python can do is named under "refused". Arrays with channels that no file has (2, or more than 4) have
        "channels" in place of a color_mode, and cannot be read.
    """
    decoding = source.pictures.decoding
    if decoding is None:
        height, width, channels = source.pictures.shape
        words = {"image_size": (height, width), "channels": channels}
    else:
        words = {word: getattr(decoding, word) for word in _WORDS}
        words |= {word: getattr(decoding, word) for word in _LATER if getattr(decoding, word) is not None}
    described = {word: list(value) if isinstance(value, tuple) else value for word, value in words.items()}
    return {**described, "standardize": _standardization(source.augmentation)}


def as_decoding(reading: Reading) -> Decoding:
    """The decoding that was written down.

    Raises:
        ArgumentError: a word is missing or not known, or no file has such channels.
    """
    if "channels" in reading:
        raise ArgumentError(
            f"The images are arrays with {reading['channels']} channels, which no image file has. Answer them with "
            "stack.predict(tl.ImageArrays(...)), or use stack.model, which is a Keras model."
        )
    try:
        words = {word: reading[word] for word in _WORDS}
    except KeyError as error:
        raise ArgumentError(
            f"A reading says {', '.join(_WORDS)}; {error} is missing. Take what describe_reading(source) gives."
        ) from None
    words |= {word: reading[word] for word in _LATER if word in reading}
    size, background = tuple(words.pop("image_size")), tuple(words.pop("background"))
    return Decoding(size, words.pop("color_mode"), words.pop("interpolation"), background=background, **words)


def as_augmentation(reading: Reading) -> Augmentation | None:
    """What happens to the pixels of every image, as a source does it; None for nothing.

    Raises:
        ArgumentError: something that was written down cannot be done by numbers alone.
    """
    steps = reading.get("standardize")
    if not steps:
        return None
    if steps["refused"]:
        raise ArgumentError(f"{' and '.join(steps['refused'])} cannot be read back from a reading.")
    mean, std = steps["mean"], steps["std"]
    statistics = None
    if mean is not None:
        statistics = Statistics(np.array(mean, np.float32), np.array(std or [1.0] * len(mean), np.float32))
    return Augmentation(
        rescale=steps["rescale"],
        samplewise_center=steps["samplewise_center"],
        samplewise_std_normalization=steps["samplewise_std_normalization"],
        featurewise_center=mean is not None,
        featurewise_std_normalization=std is not None,
        statistics=statistics,
    )


def _standardization(steps: Augmentation | None) -> dict[str, Any] | None:
    if steps is None or steps.output_dtype == "uint8":
        return None
    refused = [name for name in ("preprocessing_function", "zca_whitening") if getattr(steps, name)]
    centre = steps.samplewise_center or steps.samplewise_std_normalization
    measured = steps.statistics if steps.needs_statistics else None
    return {
        "rescale": steps.rescale or None,
        "samplewise_center": bool(centre),
        "samplewise_std_normalization": bool(steps.samplewise_std_normalization),
        "mean": None if measured is None else measured.mean.tolist(),
        "std": measured.std.tolist() if measured is not None and steps.featurewise_std_normalization else None,
        "refused": refused,
    }
