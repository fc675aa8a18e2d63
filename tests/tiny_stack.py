"""A stack that answers at once: tiny, and of a size of its own."""

import numpy as np

import thawline as tl
from thawline.backend import keras
from thawline.data.reading import describe_reading
from thawline.data.sources.arrays import ImageArrays

SIZE = (12, 10)


def tiny_stack(seed=0, *, value_range=(-1, 1), channels=3, last="softmax"):
    """A convolution and a head with dropout, for images of 12 x 10, with weights from a seed."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    base = keras.Sequential(
        [keras.Input((*SIZE, channels)), layers.Conv2D(6, 3, activation="relu")], name="base_layers"
    )
    head = keras.Sequential([layers.Flatten(), layers.Dropout(0.5), layers.Dense(3, last)], name="head_layers")
    stack = tl.Stack([tl.Stage(base, "base", value_range=value_range), tl.Stage(head, "head")])
    stack.class_names = ("fjord", "heath", "moor")
    return stack


def pictures(count=5, channels=3):
    return np.random.default_rng(1).integers(0, 256, (count, *SIZE, channels), dtype=np.uint8)


def reading(**changes):
    """How arrays of the tiny stack's size are read."""
    return {**describe_reading(ImageArrays(pictures())), **changes}
