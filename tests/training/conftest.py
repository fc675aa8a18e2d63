"""Small images whose pixels are known, and small stacks."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras


def pytest_collection_modifyitems(items):
    """These tests are about what a training computes, and measure on whatever images there are."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:.* trained on as well"), append=False)


@dataclass(frozen=True)
class SmallImages:
    """A folder of PNG files, and what is in it in the order of the indices."""

    folder: Path
    pixels: np.ndarray
    labels: np.ndarray

    def source(self, **options):
        return tl.ImageFolder(self.folder, **{"image_size": self.pixels.shape[1:3], "seed": 7, **options})

    @property
    def one_hot(self):
        return np.eye(self.labels.max() + 1, dtype="float32")[self.labels]


def write_images(folder, counts, size=16):
    """Noise whose brightness tells the class: two classes are learnable, no two images are equal."""
    random = np.random.default_rng(len(counts))
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = random.integers(0, 128, (len(labels), size, size, 3))
    pixels = (noise + labels[:, None, None, None] * 127 // max(len(counts) - 1, 1)).astype("uint8")
    for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / f"class{label}" / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        # OpenCV writes blue first.
        assert cv2.imwrite(str(path), image[..., ::-1])
    return SmallImages(folder, pixels, labels)


@pytest.fixture(scope="session")
def small_images(tmp_path_factory):
    """20 + 20 images: a batch of 32 and a short one of 8."""
    return write_images(tmp_path_factory.mktemp("small"), (20, 20))


@pytest.fixture
def own_images(tmp_path):
    """Images that a test may change: 20 + 20."""
    return write_images(tmp_path / "images", (20, 20))


@pytest.fixture
def cache(tmp_path):
    return tl.FeatureCache(tmp_path / "cache")


def frozen_base():
    """A base with everything that must not move or drop below the line."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3, strides=2, name="conv"),
            keras.layers.BatchNormalization(name="normalization"),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.5),
            keras.layers.Conv2D(6, 3, name="last"),
        ],
        name="base_model",
    )


def head(units=2, activation="softmax", dropout=0.0):
    inside = [keras.layers.Dropout(dropout)] if dropout else []
    return keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), *inside, keras.layers.Dense(units, activation=activation)],
        name="head_model",
    )


@pytest.fixture(scope="session")
def make_stack():
    """Builds the same compiled stack each time it is called."""

    def make(*, base=frozen_base, trainable=False, optimizer=None, dropout=0.0, seed=3, **options):
        keras.utils.set_random_seed(seed)
        stages = [
            tl.Stage(base(), "base", trainable=trainable, value_range=(-1, 1)),
            tl.Stage(head(dropout=dropout), "head"),
        ]
        stack = tl.Stack(stages)
        stack.compile(
            **{
                "optimizer": optimizer or keras.optimizers.Adam(0.01),
                "loss": "categorical_crossentropy",
                "metrics": ["accuracy"],
                **options,
            }
        )
        return stack

    return make
