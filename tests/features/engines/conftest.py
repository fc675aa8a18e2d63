"""What the tests of engines share: a small network and pictures for it."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.features.engines.conversion import import_openvino


@pytest.fixture(scope="package")
def network():
    """A small network whose BatchNorm, Dropout and noise would tell whether it trains."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    made = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.GaussianNoise(1.0),
            layers.Conv2D(4, 3),
        ]
    )
    random = np.random.default_rng(1)
    made.layers[2].set_weights([random.uniform(0.5, 2, 8) for _ in range(4)])
    return made


@pytest.fixture(scope="package")
def pictures():
    """Makes uint8 images (count, 8, 8, 3)."""

    def make(count, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def has_bfloat16():
    """Whether this processor computes in bfloat16."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(autouse=True)
def keras_engine_only():
    """Here every engine is what it is."""
