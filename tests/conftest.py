"""What all tests share: small folders of images, and a feature cache that nobody misses."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Every test has a feature cache of its own; the user's is never touched."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("THAWLINE_CACHE", str(path))
    return path


@pytest.fixture
def image_folder(tmp_path):
    """Makes a folder of images, one folder per class; no two images are equal.

    Call it with the number of images per class, or with {class name: number}. Images of a class share a colour, so that
    something can be learned. Sizes are (height, width).
    """

    def make(
        classes: Mapping[str, int] | int = 2,
        *,
        count: int = 3,
        size: tuple[int, int] = (8, 8),
        seed: int = 0,
        ending: str = ".png",
        name: str = "images",
    ) -> Path:
        if isinstance(classes, int):
            classes = {f"class{number}": count for number in range(classes)}
        random = np.random.default_rng(seed)
        folder = tmp_path / name
        for label, number in classes.items():
            (folder / label).mkdir(parents=True)
            colour = random.integers(30, 226, 3)
            for index in range(number):
                pixels = (colour + random.integers(-30, 30, (*size, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / label / f"{index:03d}{ending}")
        return folder

    return make
