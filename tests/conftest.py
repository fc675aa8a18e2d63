"""What all tests share: small folders of images, and a feature cache that nobody misses."""

import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from old_files import age
from thawline.data.sources import pictures as pictures_module
from thawline.errors import EngineError
from thawline.features.engines.make import ENGINES


@pytest.fixture(autouse=True, scope="session")
def no_user_cache(tmp_path_factory):
    """What several tests share is made before any test has a cache; it does not touch the user's either."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("THAWLINE_CACHE", str(tmp_path_factory.mktemp("shared cache")))
        # Where a user's own exports are noted.
        changed.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True, scope="module")
def graphs_are_given_back():
    """Forgets the graphs that a module traced: without that a process has 4 GB by the end, and each test takes longer.

    TensorFlow keeps them for good: functions that feed a training hang on its default graph, and what Keras' optimizers
    do in a step on its table of gradients.
    """
    yield
    # Not imported above: thawline imports TensorFlow without its greetings on stderr.
    ops = sys.modules["tensorflow.python.framework.ops"]
    gradients = ops.gradient_registry._registry
    traced = [name for name in gradients if name.startswith("CustomGradient-")]
    for name in traced:
        del gradients[name]
    if traced:
        ops.reset_default_graph()
        gc.collect()
        gc.freeze()  # What is left stays to the end, and need not be looked at again.


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Every test has a feature cache of its own; the user's is never touched."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("THAWLINE_CACHE", str(path))
    return path


_FIRST_STATES: dict[str, Mapping[str, Any]] = {}


@pytest.fixture(autouse=True)
def same_numbers_in_any_order(request):
    """Tests that share a module's RANDOM draw the same numbers whichever of them ran before."""
    module = getattr(request.node, "module", None)
    random = getattr(module, "RANDOM", None)
    if random is not None:
        random.bit_generator.state = _FIRST_STATES.setdefault(module.__name__, random.bit_generator.state)


@pytest.fixture(autouse=True)
def keras_engine_only(monkeypatch):
    """Whatever is installed, engine="auto" is Keras': most tests are about equal bits. Those of engines override it."""

    def not_installed(prefix, precision):
        raise EngineError("The engine 'openvino' is not installed.")

    monkeypatch.setitem(ENGINES, "openvino", not_installed)


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


@pytest.fixture
def old_images(image_folder):
    """Six images that were made long ago."""
    found = sorted(image_folder(2, count=3).rglob("*.png"))
    age(found)
    return found


@pytest.fixture
def files_read(monkeypatch):
    """The files that were read for their digests or pixels."""
    files = []
    original = pictures_module._read
    monkeypatch.setattr(pictures_module, "_read", lambda path: (files.append(path), original(path))[1])
    return files


@pytest.fixture
def collect():
    """gc.collect for what a test made itself: looking at the graphs of all tests before it would take seconds."""
    gc.freeze()
    yield gc.collect
    gc.unfreeze()
