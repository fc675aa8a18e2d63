"""Damage on disk: found wherever it is, never read as features, and mended by computing anew."""

import gc
import os
import re
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

from thawline.errors import CacheDamagedError, CacheError
from thawline.features.cache import FeatureCache
from thawline.specs import TensorSpec

COUNT, WIDTH, PAGE = 60, 1200, 4096
KEYS = [number.to_bytes(36, "big") for number in range(COUNT)]
SPECS = [TensorSpec((None, WIDTH), "float32")]


def values(width=WIDTH):
    return np.random.default_rng(5).standard_normal((COUNT, width)).astype(np.float32)


def open_set(cache, width=WIDTH):
    return cache.features({"a": width}, [TensorSpec((None, width), "float32")], label="set")


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


def stored(cache, width=WIDTH):
    """A set with all rows, which nobody holds."""
    features = open_set(cache, width)
    features.write(KEYS, [values(width)])
    return features.path / "data.mdb"


def change(path, places, bits=0x40):
    """Turns these bits of the bytes at some places of a file."""
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ bits]))


def places_of_rows(path, width=WIDTH):
    """Where the payload of each row lies in the file; pages that were copied on writing leave some of them twice."""
    content = path.read_bytes()
    return [[found.start() for found in re.finditer(re.escape(row.tobytes()), content)] for row in values(width)]


def lowest_pages(path):
    """Where the lowest pages of LMDB's tree begin: 2 bytes after number and padding say that they are such."""
    content = path.read_bytes()
    places = range(0, len(content), PAGE)
    return [place for place in places if struct.unpack_from("<QHH", content, place) == (place // PAGE, 0, 2)]


@pytest.mark.parametrize("width", [40, WIDTH])
@pytest.mark.parametrize("seed", range(5))
def test_every_damaged_row_is_found_and_no_other(width, seed, cache):
    path = stored(cache, width)
    random = np.random.default_rng(seed)
    damaged = sorted(random.choice(COUNT, 12, replace=False).tolist())
    starts = places_of_rows(path, width)
    for row in damaged:
        within = int(random.integers(4 * width))
        change(path, [start + within for start in starts[row]])
    features = open_set(cache, width)
    for number, key in enumerate(KEYS):
        if number in damaged:
            with pytest.raises(CacheError, match=r"1 of 1 rows of features in .* are missing or damaged\. Run the tra"):
                features.read([key])
        else:
            np.testing.assert_array_equal(features.read([key])[0], values(width)[[number]])
    (check,) = cache.verify()
    assert (check.rows, check.damaged, check.problem) == (COUNT, 12, "")
    assert features.missing(KEYS) == damaged
    assert cache.verify()[0].damaged == 0


def test_damaged_rows_are_made_anew_while_reading(cache):
    path = stored(cache)
    starts = places_of_rows(path)
    change(path, starts[3] + starts[41])
    features = open_set(cache)
    asked = []

    def heal(lost):
        asked.append(lost)
        features.write([KEYS[number] for number in lost], [values()[lost]])

    np.testing.assert_array_equal(features.read(KEYS, heal)[0], values())
    np.testing.assert_array_equal(features.read(KEYS, heal)[0], values())
    assert asked == [[3, 41]]


def test_a_row_that_stays_damaged_is_an_error(cache):
    path = stored(cache)
    change(path, places_of_rows(path)[7])
    with pytest.raises(CacheError, match=r"1 of 60 rows"):
        open_set(cache).read(KEYS, heal=lambda lost: None)


def test_rows_that_changed_places_are_not_taken_for_each_other(cache):
    path = stored(cache)
    (first,), (second,) = places_of_rows(path)[:2]
    content = bytearray(path.read_bytes())
    # The whole row: its first byte and its checksum lie before the payload.
    length = 9 + 4 * WIDTH
    one, other = (bytes(content[place - 9 : place - 9 + length]) for place in (first, second))
    content[first - 9 : first - 9 + length], content[second - 9 : second - 9 + length] = other, one
    path.write_bytes(content)
    assert cache.verify()[0].damaged == 2


def test_a_file_that_is_something_else_is_deleted_and_begun_anew_with_a_warning(cache):
    path = stored(cache)
    path.write_bytes(b"something else " * 1000)
    with pytest.warns(UserWarning, match=r"The features in .* are damaged: they are deleted, and computed anew"):
        features = open_set(cache)
    assert features.missing(KEYS) == list(range(COUNT))
    features.write(KEYS, [values()])
    np.testing.assert_array_equal(features.read(KEYS)[0], values())
    assert [report.rows for report in cache.sets()] == [COUNT]
    assert list((cache.path / "features").glob(".trash-*")) == []


def test_damage_of_the_tree_is_told_and_mended_the_next_time(cache):
    path, width = stored(cache, 40), 40
    content = path.read_bytes()
    # Pages of the tree are none any more, but for the one that is read on opening.
    change(
        path,
        [place + 10 for place in lowest_pages(path) if b"format" not in content[place : place + PAGE]],
        bits=2,
    )
    features = open_set(cache, width)
    with pytest.raises(
        CacheDamagedError, match=r"The features in .* are damaged \(.*\)\. Run the same again: they are"
    ):
        features.missing(KEYS)
    with pytest.raises(CacheDamagedError, match=r"are damaged, and a process uses them\. End it"):
        open_set(cache, width)
    del features
    # Tracebacks of the errors may hold the set.
    gc.collect()
    with pytest.warns(UserWarning, match="computed anew"):
        features = open_set(cache, width)
    features.write(KEYS, [values(width)])
    np.testing.assert_array_equal(features.read(KEYS)[0], values(width))


def test_verifying_deletes_a_set_that_cannot_be_read_and_leaves_the_others(cache):
    path = stored(cache)
    other = stored(cache, 40)
    path.write_bytes(b"something else " * 1000)
    checks = {check.identity: check for check in cache.verify()}
    assert checks[path.parent.name].is_deleted
    assert "MDB_INVALID" in checks[path.parent.name].problem
    assert (checks[other.parent.name].rows, checks[other.parent.name].damaged) == (COUNT, 0)
    assert [report.identity for report in cache.sets()] == [other.parent.name]


def test_verifying_outlives_a_length_that_reaches_beyond_the_file(cache):
    path = stored(cache)
    content = path.read_bytes()
    # In the tree's lowest pages stand, before each key: two halves of the row's length, flags, and the key's length.
    lengths = struct.pack("<HHHH", 9 + 4 * WIDTH, 0, 1, 36)
    change(
        path, [found.start() + 3 for found in re.finditer(re.escape(lengths + KEYS[-1]), content)]
    )  # a gigabyte more
    read = f"from thawline.features.cache import FeatureCache\nFeatureCache({str(cache.path)!r})"
    spec = f"from thawline.specs import TensorSpec\nspecs = [TensorSpec((None, {WIDTH}), 'float32')]"
    child = f"{spec}\n{read}.features({{'a': {WIDTH}}}, specs).read([{KEYS[-1]!r}])"
    # Here is what it is about: LMDB does not survive that.
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode < 0
    (check,) = cache.verify()
    assert check.is_deleted
    assert "reading them would end the process" in check.problem
    assert cache.sets() == []


def test_a_set_of_another_version_is_told_and_left_alone(cache):
    path = stored(cache)
    content = path.read_bytes()
    change(path, [place + len(b"format") for place in range(len(content)) if content.startswith(b"format", place)])
    (check,) = cache.verify()
    assert not check.is_deleted
    assert "has format" in check.problem
    assert len(cache.sets()) == 1


READ = f"""
import sys, warnings
import numpy as np
from thawline.errors import CacheDamagedError
from thawline.features.cache import FeatureCache
from thawline.specs import TensorSpec
keys = [number.to_bytes(36, "big") for number in range({COUNT})]
values = np.random.default_rng(5).standard_normal(({COUNT}, {WIDTH})).astype(np.float32)
warnings.simplefilter("ignore")
features = FeatureCache(sys.argv[1]).features({{"a": {WIDTH}}}, [TensorSpec((None, {WIDTH}), "float32")])
def heal(lost):
    features.write([keys[number] for number in lost], [values[lost]])
try:
    assert np.array_equal(features.read(keys, heal)[0], values)
    print("right")
except CacheDamagedError:
    print("damaged")
"""


@pytest.mark.skipif(os.name == "nt", reason="there LMDB gives the file its full length at once")
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_a_file_that_was_cut_off_gives_right_features_or_an_error_that_mends_itself(share, cache):
    path = stored(cache)
    os.truncate(path, int(share * path.stat().st_size))
    # In a process of its own, because a bus error would end this one.
    first = subprocess.run([sys.executable, "-c", READ, cache.path], capture_output=True, text=True, check=False)
    assert first.stdout in ("right\n", "damaged\n"), first
    again = subprocess.run([sys.executable, "-c", READ, cache.path], capture_output=True, text=True, check=False)
    assert again.stdout == "right\n", again


def test_a_file_that_is_empty_or_gone_holds_nothing(cache):
    path = stored(cache)
    path.write_bytes(b"")
    assert open_set(cache).missing(KEYS) == list(range(COUNT))
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    assert [report.rows for report in cache.sets()] == [None]
    assert open_set(cache).missing(KEYS) == list(range(COUNT))
