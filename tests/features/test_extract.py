"""Extraction: what the cache lacks is computed, and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import thawline
from plain_engine import PlainEngine
from thawline.data.sources.folder import ImageFolder
from thawline.errors import CacheFullError, ImageChangedError, UnreadableImageError
from thawline.features import extract as module
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.fingerprint import row_key
from thawline.specs import TensorSpec

SPEC = TensorSpec((None, 8, 8, 3), "float32")
LARGE = TensorSpec((None, 64, 8, 8, 3), "float32")


class DoublingEngine(PlainEngine):
    """Stands in for a network: features are the images, doubled. Notes what it was given."""

    def __init__(self, fail_after=None):
        self.given = []
        self._fail_after = fail_after

    def describe(self):
        return {"name": "doubling"}

    def run(self, images):
        if self._fail_after is not None and len(self.given) >= self._fail_after:
            raise KeyboardInterrupt
        self.given += list(images)
        return [images.astype(np.float32) * 2]


class LargeEngine(DoublingEngine):
    """Features of 48 kB, so that a small cache is full soon."""

    def run(self, images):
        return [np.repeat(super().run(images)[0][:, None], 64, axis=1)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "ENGINE_BATCH", 2)


@pytest.fixture
def source(image_folder):
    return ImageFolder(image_folder(2, count=3), image_size=(8, 8), seed=3)


def feature_set(path, spec=SPEC, name="doubling", **options):
    return FeatureCache(path, **options).features({"prefix": name}, [spec])


def row(features, source, index, view=0):
    return features.read([row_key(source.content_digests()[index], view)])[0][0]


def test_every_view_of_every_image_is_computed_once(tmp_path, source):
    source = source.augment(rotation_range=90)
    features, engine = feature_set(tmp_path / "cache"), DoublingEngine()
    done = extract(source, 3, engine, features)
    assert (done.total, done.extracted, len(engine.given)) == (18, 18, 18)
    assert done.seconds > 0
    for index in range(6):
        for view in range(3):
            np.testing.assert_array_equal(row(features, source, index, view), 2.0 * source.image(index, view))


def test_what_is_stored_is_not_computed_again(tmp_path, source):
    source = source.augment(rotation_range=90)
    features = feature_set(tmp_path / "cache")
    extract(source, 2, DoublingEngine(), features)
    again = DoublingEngine()
    assert extract(source, 2, again, features).extracted == 0
    assert again.given == []
    assert extract(source, 3, again, features).extracted == 6
    expected = {source.image(index, 2).tobytes() for index in range(6)}
    assert {image.tobytes() for image in again.given} == expected


def test_a_new_image_is_all_that_is_computed(tmp_path, source, image_folder):
    features = feature_set(tmp_path / "cache")
    extract(source, 1, DoublingEngine(), features)
    new = image_folder({"class0": 1}, seed=9, name="new") / "class0" / "000.png"
    shutil.copy(new, source.directory / "class0" / "another.png")
    engine = DoublingEngine()
    larger = ImageFolder(source.directory, image_size=(8, 8))
    assert extract(larger, 1, engine, features).extracted == 1
    np.testing.assert_array_equal(
        engine.given[0], larger.image(larger.paths.index(source.directory / "class0" / "another.png"))
    )


def test_a_renamed_file_is_found_and_an_edited_one_is_not(tmp_path, source, image_folder):
    features = feature_set(tmp_path / "cache")
    extract(source, 1, DoublingEngine(), features)
    source.paths[0].rename(source.paths[0].with_name("renamed.png"))
    assert extract(ImageFolder(source.directory, image_size=(8, 8)), 1, DoublingEngine(), features).extracted == 0
    shutil.copy(image_folder({"class0": 1}, seed=9, name="new") / "class0" / "000.png", source.paths[1])
    assert extract(ImageFolder(source.directory, image_size=(8, 8)), 1, DoublingEngine(), features).extracted == 1


def test_equal_files_are_computed_once(tmp_path, source):
    for name in ("copy.png", "again.png"):
        shutil.copy(source.paths[0], source.directory / "class1" / name)
    doubled = ImageFolder(source.directory, image_size=(8, 8))
    features, engine = feature_set(tmp_path / "cache"), DoublingEngine()
    done = extract(doubled, 1, engine, features)
    assert (done.total, done.extracted, len(engine.given)) == (8, 6, 6)
    for index in range(8):
        np.testing.assert_array_equal(row(features, doubled, index), 2.0 * doubled.image(index))


def test_an_interrupted_extraction_goes_on_where_it_was(tmp_path, source):
    features = feature_set(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        extract(source, 1, DoublingEngine(fail_after=4), features)
    assert len(features.missing([row_key(digest, 0) for digest in source.content_digests()])) == 2
    engine = DoublingEngine()
    assert extract(source, 1, engine, features).extracted == 2
    for index in range(6):
        np.testing.assert_array_equal(row(features, source, index), 2.0 * source.image(index))


def test_a_full_cache_keeps_what_it_has_and_goes_on_with_more_room(tmp_path, image_folder):
    source = ImageFolder(image_folder(2, count=20, name="many"), image_size=(8, 8))
    path = tmp_path / "cache"
    with pytest.raises(CacheFullError, match=r"max_bytes allows 1\.0 MB"):
        extract(source, 1, LargeEngine(), feature_set(path, LARGE, max_bytes=1 << 20))
    features = feature_set(path, LARGE, max_bytes=8 << 20)
    lacking = len(features.missing([row_key(digest, 0) for digest in source.content_digests()]))
    assert 0 < lacking < 40
    assert extract(source, 1, LargeEngine(), features).extracted == lacking
    for index in range(40):
        np.testing.assert_array_equal(
            row(features, source, index), np.repeat(2.0 * source.image(index)[None], 64, axis=0)
        )


def test_a_broken_image_is_named_and_what_came_before_is_kept(tmp_path, source):
    source.paths[4].write_bytes(b"broken")
    features = feature_set(tmp_path / "cache")
    with pytest.raises(UnreadableImageError, match=r"class1/001\.png"):
        extract(source, 1, DoublingEngine(), features)
    assert features.missing([row_key(digest, 0) for digest in source.content_digests()[:4]]) == []


def test_a_file_that_changes_under_way_is_refused(tmp_path, source):
    source.content_digests()
    shutil.copy(source.paths[1], source.paths[0])
    with pytest.raises(ImageChangedError, match=r"class0/000\.png"):
        extract(source, 1, DoublingEngine(), feature_set(tmp_path / "cache"))


def test_what_happens_is_told_on_stderr_only(tmp_path, source, capsys):
    extract(source, 1, DoublingEngine(), feature_set(tmp_path / "cache"), show_progress=False)
    assert capsys.readouterr() == ("", "")


KILLED = """
import os, signal, sys
import numpy as np
from thawline.data.sources.folder import ImageFolder
from thawline.features import extract as module
from thawline.features.cache import FeatureCache
from plain_engine import PlainEngine
from thawline.specs import TensorSpec

module.ENGINE_BATCH = 2

class DyingEngine(PlainEngine):
    calls = 0

    def run(self, images):
        self.calls += 1
        if self.calls == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return [images.astype(np.float32) * 2]

source = ImageFolder(sys.argv[1], image_size=(8, 8))
features = FeatureCache(sys.argv[2]).features({"prefix": "doubling"}, [TensorSpec((None, 8, 8, 3), "float32")])
module.extract(source, 1, DyingEngine(), features)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal on this system")
def test_a_killed_process_leaves_what_it_stored_and_the_next_computes_the_rest(tmp_path, image_folder):
    folder, path = image_folder(2, count=6), tmp_path / "cache"
    roots = [str(Path(thawline.__file__).parents[1]), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, folder, path], env=environment, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    source, features, engine = ImageFolder(folder, image_size=(8, 8)), feature_set(path), DoublingEngine()
    # Three batches of two were stored before the fourth.
    assert len(features.missing([row_key(digest, 0) for digest in source.content_digests()])) == 6
    assert extract(source, 1, engine, features).extracted == 6
    for index in range(12):
        np.testing.assert_array_equal(row(features, source, index), 2.0 * source.image(index))
