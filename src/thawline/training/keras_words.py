"""Words of `keras.Model.fit` that `Stack.fit` does without: what stands for each of them."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from thawline.arguments import as_whole
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.figures import counted

_SOURCE = "The source has it: give {word}= to ImageFolder, or to flow*."
_NO_WORKERS = "Threads read ahead by themselves; leave it out."

_INSTEAD = {
    "batch_size": _SOURCE,
    "sample_weight": "The source has them: sample_weights= of ImageArrays, or weight_col= of flow_from_dataframe.",
    "validation_split": "Split the source: train, val = images.split({value}), and give validation_data=val.",
    "validation_batch_size": "Validation images come in the batches of their source.",
    "validation_freq": "Every epoch is measured; features of validation images are kept.",
    "validation_steps": "All validation images are measured after each epoch; give fewer of them, or leave it out.",
    "initial_epoch": "Give checkpoint=, a folder, and the same call goes on where it was.",
    "workers": _NO_WORKERS,
    "use_multiprocessing": _NO_WORKERS,
    "max_queue_size": _NO_WORKERS,
}


def refuse_words(given: Mapping[str, Any], known: Collection[str], train: ImageSource) -> None:
    """Raises ArgumentError for the first word that `Stack.fit` does not know, with what to do in its place.

    Args:
        given: arguments that it does not know, by name; with none of them nothing happens.
        known: the arguments that it knows.
        train: the training images.

    Example:
        >>> import numpy as np
        >>> from thawline.data.sources.arrays import ImageArrays
        >>> refuse_words({"steps_per_epoch": 3}, ["epochs"], ImageArrays(np.zeros((100, 4, 4, 3), np.uint8)))
        Traceback (most recent call last):
        thawline.errors.ArgumentError: fit() has no steps_per_epoch: every epoch shows each of 100 images once, in 4 \
batches, the last one of 4 images. 3 steps would leave 4 images out. Leave it out.
    """
    for word, value in given.items():
        _refuse(word, value, known, train)


def _refuse(word: str, value: Any, known: Collection[str], train: ImageSource) -> NoReturn:
    if word == "steps_per_epoch":
        raise ArgumentError(f"fit() has no steps_per_epoch: {_about_steps(value, train)}")
    if word in _INSTEAD:
        raise ArgumentError(f"fit() has no {word}. {_INSTEAD[word].format(word=word, value=value)}")
    near = difflib.get_close_matches(word, known, 1)
    raise ArgumentError(f"fit() has no argument {word!r}." + (f" Did you mean {near[0]!r}?" if near else ""))


def _about_steps(value: Any, train: ImageSource) -> str:
    count, size = len(train), train.batch_size
    batches = -(-count // size)
    last = f", the last one of {count % size} images" if count % size else ""
    whole = f"every epoch shows each of {count:,} images once, in {batches:,} batches{last}."
    asked = as_whole(value)
    out = 0 if asked is None else count - asked * size
    rest = f" {counted(asked or 0, 'step')} would leave {out:,} images out." if out > 0 else ""
    return f"{whole}{rest} Leave it out."
