"""Layers of a user's own that hold something back from their configuration. Run as a program it prints digests of them.

`GAIN` and `scale` are globals that some of them use.
"""

import json

import numpy as np

from thawline.backend import keras
from thawline.features.computation import digest_computation
from thawline.stack.graph import flatten

layers = keras.layers
GAIN = 1.0


def scale(pixels):
    return pixels * GAIN


class Minus(layers.Layer):
    """Subtracts what it was given; `get_config` does not tell."""

    def __init__(self, mean, **options):
        super().__init__(**options)
        self.mean = mean

    def call(self, pixels):
        return pixels - self.mean

    def get_config(self):
        return keras.layers.Layer.get_config(self)


class FromFile(Minus):
    """Subtracts what a file has."""

    def __init__(self, path, **options):
        super().__init__(np.load(path), **options)


class Calls(layers.Layer):
    """Calls a function, which is no argument that Keras could save."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, pixels):
        return self.function(pixels)

    def compute_output_shape(self, shape):
        return shape


class Whole(keras.Model):
    """A subclassed model with a dictionary of what it uses."""

    def __init__(self, settings, **options):
        super().__init__(**options)
        self.settings = settings
        self.inner = layers.Conv2D(3, 1, kernel_initializer="ones")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, pixels):
        return self.inner(pixels) * self.settings["gain"][0]


class Steps(layers.Layer):
    """Repeats a step in a loop of TensorFlow."""

    def call(self, pixels):
        def step(index, values):
            return index + 1, scale(values)

        return keras.ops.while_loop(lambda index, values: index < 3, step, (0, pixels))[1]


def digest(layer):
    """What a layer computes on images of 8 x 8."""
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, layer(images))
    return digest_computation(flatten(model).nodes[-1])


def several():
    """Digests of one layer of each kind."""
    made = {
        "attribute": Minus(np.float32(2)),
        "array": Minus(np.arange(192, dtype=np.float32).reshape(8, 8, 3)),
        "global": layers.Lambda(scale),
        "loop": Steps(),
        "function": Calls(lambda pixels: scale(pixels) + 1),
        "model": Whole({"gain": [2.0], "b": 1}),
        "activation": layers.Conv2D(3, 1, activation=scale),
    }
    return {name: digest(layer) for name, layer in made.items()}


if __name__ == "__main__":
    print(json.dumps(several()))  # noqa: T201
