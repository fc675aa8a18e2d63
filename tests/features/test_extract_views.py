"""Extraction decodes an image once for all of its views that are wanted together, and stores what it did before."""

import numpy as np
import pytest

from plain_engine import PlainEngine
from thawline.data.sources import pictures
from thawline.data.sources.folder import ImageFolder
from thawline.features import extract as module
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.fingerprint import row_key
from thawline.specs import TensorSpec


class PixelEngine(PlainEngine):
    """Stands in for a network: features are the pixels."""

    def describe(self):
        return {"name": "pixels"}

    def run(self, images):
        return [images.astype(np.float32)]


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded."""
    names = []
    decode = pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda *given, name: (names.append(name), decode(*given, name=name))[1])
    return names


@pytest.fixture
def source(image_folder):
    folder = ImageFolder(image_folder(2, count=3), image_size=(8, 8), seed=3, on_error="skip")
    return folder.augment(rotation_range=40)


@pytest.fixture
def features(tmp_path):
    return FeatureCache(tmp_path / "features").features({}, (TensorSpec((None, 8, 8, 3), "float32"),))


def stored(features, source, index, view):
    return features.read([row_key(source.content_digests()[index], view)])[0][0]


@pytest.mark.parametrize(("batch", "times"), [(24, 6), (8, 6), (6, 8), (1, 24)])
def test_each_image_is_decoded_once_per_batch(batch, times, source, features, decoded, monkeypatch):
    monkeypatch.setattr(module, "ENGINE_BATCH", batch)
    decoded.clear()
    assert extract(source, 4, PixelEngine(), features, show_progress=False).extracted == 24
    # Where a batch ends between the views of an image, the next one decodes it again.
    assert len(decoded) == times
    for index in range(6):
        for view in range(4):
            np.testing.assert_array_equal(stored(features, source, index, view), source.picture(index, view)[0])


def test_only_what_is_missing_is_made_and_a_bad_image_leaves_the_others_their_places(source, features, decoded):
    extract(source, 2, PixelEngine(), features, show_progress=False)
    source.paths[1].unlink()
    decoded.clear()
    with pytest.warns(UserWarning, match=r"001\.png went bad"):
        assert extract(source, 5, PixelEngine(), features, show_progress=False).extracted == 15
    assert len(decoded) == 5
    for index in (0, 2, 3, 4, 5):
        for view in range(5):
            np.testing.assert_array_equal(stored(features, source, index, view), source.picture(index, view)[0])
