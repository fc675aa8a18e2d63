"""Words of Keras' fit that Stack.fit refuses, with what stands for them."""

import inspect
import re

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.facade.stack import Stack


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            {"steps_per_epoch": 40 // 32},
            "fit() has no steps_per_epoch: every epoch shows each of 40 images once, in 2 batches, the last one of 8 "
            "images. 1 step would leave 8 images out. Leave it out.",
        ),
        ({"steps_per_epoch": np.int64(1)}, "1 step would leave 8 images out. Leave it out."),
        ({"steps_per_epoch": None}, "the last one of 8 images. Leave it out."),
        ({"steps_per_epoch": 2}, "the last one of 8 images. Leave it out."),
        ({"validation_steps": 3}, "All validation images are measured"),
        ({"batch_size": 16}, "fit() has no batch_size. The source has it: give batch_size= to ImageFolder"),
        ({"validation_split": 0.25}, "train, val = images.split(0.25)"),
        ({"initial_epoch": 3}, "Give checkpoint=, a folder"),
        ({"epoch": 3}, "fit() has no argument 'epoch'. Did you mean 'epochs'?"),
        ({"colour": "red"}, "fit() has no argument 'colour'."),
    ],
)
def test_a_word_that_is_not_known_is_told_what_to_do(make_stack, small_images, words, says):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        make_stack().fit(small_images.source(), **words)


def test_every_word_of_keras_is_taken_or_answered(make_stack, small_images):
    taken = set(inspect.signature(Stack.fit).parameters)
    stack = make_stack()
    for word in set(inspect.signature(keras.Model.fit).parameters) - taken - {"self", "x", "y"}:
        with pytest.raises(ArgumentError, match=rf"fit\(\) has no {word}[.:]"):
            stack.fit(small_images.source(), **{word: 1})
