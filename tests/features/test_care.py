"""Care of the feature cache: the oldest goes first, what is used stays, and nobody's work is lost."""

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from contextlib import contextmanager

import numpy as np
import pytest

from thawline.errors import ArgumentError, CacheError, CacheFullError
from thawline.features.cache import FeatureCache
from thawline.specs import TensorSpec

MEGABYTE = 1 << 20
ROW = TensorSpec((None, 25_000), "float32")  # 100 kB
DISK = namedtuple("DISK", "total used free")

# Another process that has a set open: `holder.py CACHE NAME` says "held" when it has, and then waits.
HOLD = """
import sys, time
from thawline.features.cache import FeatureCache
from thawline.specs import TensorSpec
features = FeatureCache(sys.argv[1]).features({"name": sys.argv[2]}, [TensorSpec((None, 25_000), "float32")])
print("held", flush=True)
time.sleep(600)
"""


def keys(*numbers):
    return [number.to_bytes(36, "big") for number in numbers]


def rows(count):
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], 25_000, axis=1)


def one_set(cache, name):
    return cache.features({"name": name}, [ROW], label=name)


def keep(cache, name, count=4, *, used_s=None):
    """Makes a set with rows that nobody holds; `used_s` is when it was used last, in seconds of the epoch."""
    features = one_set(cache, name)
    features.write(keys(*range(count)), [rows(count)])
    if used_s is not None:
        os.utime(features.path / "set.json", (used_s, used_s))
    return features.path


def labels(reports):
    return [report.label for report in reports]


@contextmanager
def holder(path, name):
    """Another process that uses a set."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path, name], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


# -- what is kept ------------------------------------------------------------------------------------------------


def test_sets_are_told_with_their_figures_the_last_used_first(cache):
    keep(cache, "old", 2, used_s=1_000_000)
    keep(cache, "new", 3, used_s=2_000_000)
    new, old = cache.sets()
    assert (new.label, new.rows, new.shapes, new.is_in_use) == ("new", 3, "float32 (None, 25000)", False)
    assert (old.label, old.rows, old.last_used.timestamp()) == ("old", 2, 1_000_000)
    assert 200_000 < old.size_bytes < new.size_bytes
    assert cache.size_bytes == old.size_bytes + new.size_bytes


def test_looking_and_verifying_is_no_use(cache):
    keep(cache, "a", used_s=2_000_000)
    keep(cache, "b", used_s=1_000_000)
    before = cache.sets()
    cache.verify()
    assert cache.sets() == before
    one_set(cache, "b")
    assert labels(cache.sets()) == ["b", "a"]


def test_looking_makes_and_changes_nothing(cache):
    path = keep(cache, "a")
    for name in ("lock.mdb", "writer.lock"):
        (path / name).unlink(missing_ok=True)
    (cache.path / "features" / "empty").mkdir()

    def state():
        return {file: file.stat().st_mtime_ns for file in (cache.path / "features").rglob("*") if "." in file.suffix}

    before = state()
    assert [report.rows for report in cache.sets()] == [4, None]
    assert state() == before


def test_a_set_that_is_held_is_in_use(cache):
    features = one_set(cache, "a")
    assert [report.is_in_use for report in cache.sets()] == [True]
    assert cache.sets()[0].rows == 0
    del features
    assert [report.is_in_use for report in cache.sets()] == [False]


def test_sets_that_are_damaged_are_told_like_others(cache):
    whole, foreign, cut_off, wordless = (keep(cache, name) for name in ("whole", "foreign", "cut off", "wordless"))
    (foreign / "data.mdb").write_bytes(b"something else " * 1000)
    (cut_off / "data.mdb").write_bytes((whole / "data.mdb").read_bytes()[:5000])
    (wordless / "set.json").write_text("{")
    found = {report.identity: (report.label, report.rows) for report in cache.sets()}
    assert found[foreign.name] == ("foreign", None)
    assert found[cut_off.name] == ("cut off", 4)
    assert found[wordless.name] == ("", 4)


# -- room --------------------------------------------------------------------------------------------------------


def test_pruning_takes_the_least_recently_used_first_and_no_more_than_needed(cache):
    for age, name in enumerate(["c", "a", "d", "b"]):
        keep(cache, name, used_s=4_000_000 - age)
    each = cache.size_bytes // 4
    assert labels(cache.prune(cache.size_bytes)) == []
    assert labels(cache.prune(3 * each + each // 2)) == ["b"]
    assert labels(cache.prune(each + each // 2)) == ["d", "a"]
    assert labels(cache.sets()) == ["c"]
    assert labels(cache.clear()) == ["c"]
    assert (cache.sets(), cache.size_bytes) == ([], 0)


def test_a_negative_size_is_refused(cache):
    with pytest.raises(ArgumentError, match="max_bytes is a number of bytes from 0 up; got -1"):
        cache.prune(-1)


def test_what_this_process_uses_stays(cache):
    keep(cache, "free", used_s=2_000_000)
    keep(cache, "used", used_s=1_000_000)
    features = cache.features({"name": "used"}, [ROW])
    assert labels(cache.clear()) == ["free"]
    np.testing.assert_array_equal(features.read(keys(*range(4)))[0], rows(4))
    del features
    assert labels(cache.clear()) == ["used"]


def test_what_another_process_uses_stays_until_that_process_is_gone(cache):
    path = keep(cache, "used")
    with holder(cache.path, "used") as process:
        assert [report.is_in_use for report in cache.sets()] == [True]
        assert cache.clear() == []
        np.testing.assert_array_equal(one_set(cache, "used").read(keys(*range(4)))[0], rows(4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [report.is_in_use for report in cache.sets()] == [False]
    assert labels(cache.clear()) == ["used"]
    assert not path.exists()


def test_the_trash_of_a_killed_pruning_is_removed_by_whoever_comes_next(cache):
    keep(cache, "a")
    code = """
import os, shutil, signal, sys
from thawline.features.cache import FeatureCache
shutil.rmtree = lambda *arguments, **options: os.kill(os.getpid(), signal.SIGKILL)
FeatureCache(sys.argv[1]).clear()
"""
    done = subprocess.run([sys.executable, "-c", code, cache.path], check=False)
    assert done.returncode == -signal.SIGKILL
    trash = list((cache.path / "features").glob(".trash-*"))
    assert len(trash) == 1
    assert (cache.sets(), cache.size_bytes) == ([], 0)
    one_set(cache, "b")
    assert not trash[0].exists()


def test_by_default_half_of_what_is_free_and_taken_may_be_used(cache, monkeypatch):
    keep(cache, "a")
    monkeypatch.setattr("shutil.disk_usage", lambda path: DISK(0, 0, 10 * MEGABYTE))
    assert cache.max_bytes == (10 * MEGABYTE + cache.size_bytes) // 2
    # What nobody uses may be taken back.
    assert cache.free_bytes == cache.max_bytes
    features = one_set(cache, "a")
    assert cache.free_bytes == cache.max_bytes - cache.size_bytes
    assert features.missing(keys(0)) == []


def test_a_new_set_takes_the_room_of_old_ones_that_nobody_uses(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=3 * MEGABYTE)
    for age, name in enumerate(["newer", "older"]):
        keep(cache, name, 8, used_s=4_000_000 - age)
    features = one_set(cache, "newest")
    for number in range(16):
        features.write(keys(number), [rows(1)])
        assert cache.size_bytes <= 3 * MEGABYTE
    assert labels(cache.sets()) == ["newest", "newer"]
    for number in range(16, 26):
        features.write(keys(number), [rows(1)])
        assert cache.size_bytes <= 3 * MEGABYTE
    assert labels(cache.sets()) == ["newest"]


def test_a_cache_of_which_all_is_used_is_full(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=2 * MEGABYTE)
    keep(cache, "used", 8)
    with holder(tmp_path, "used") as process:
        features = one_set(cache, "new")
        with pytest.raises(CacheFullError, match=r"is full: 2\.1 MB more were needed, it has .* in use"):
            features.write(keys(*range(20)), [rows(20)])
        assert labels(cache.sets()) == ["new", "used"]
        process.kill()
        process.wait()
    features.write(keys(*range(13)), [rows(13)])
    assert labels(cache.sets()) == ["new"]


# -- many at once ------------------------------------------------------------------------------------------------

STRUGGLE = """
import sys
import numpy as np
from thawline.features.cache import FeatureCache
from thawline.specs import TensorSpec
path, seed = sys.argv[1], int(sys.argv[2])
random = np.random.default_rng(seed)
cache = FeatureCache(path)
for turn in range(40):
    name = int(random.integers(3))
    features = cache.features({"name": name}, [TensorSpec((None, 100), "float32")])
    key = bytes([seed, turn]) + bytes(34)
    values = random.standard_normal((1, 100)).astype(np.float32)
    features.write([key], [values])
    cache.prune(int(random.integers(50_000)))
    cache.sets()
    # What a process holds is not lost, whoever prunes.
    assert features.path.exists()
    assert np.array_equal(features.read([key])[0], values)
    del features
print("done")
"""


def test_processes_that_open_and_prune_at_once_lose_nothing_that_is_used(cache):
    others = [
        subprocess.Popen(
            [sys.executable, "-c", STRUGGLE, cache.path, str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    said = [process.communicate() for process in others]
    assert [out for out, _ in said] == ["done\n"] * 3, said
    cache.clear()
    assert [path.name for path in (cache.path / "features").iterdir() if path.name != ".lock"] == []


def test_a_cache_that_may_not_be_changed_is_an_error_with_the_next_move(cache):
    keep(cache, "a")
    lock = cache.path / "features" / ".lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    for wants in (cache.sets, cache.clear, lambda: one_set(cache, "b")):
        with pytest.raises(CacheError, match=r"cannot be changed: .*make this one writable"):
            wants()


# -- deleted by hand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["the set", "the cache"])
def test_who_works_goes_on_when_the_folder_is_deleted_by_hand(what, cache):
    features = one_set(cache, "a")
    features.write(keys(0, 1), [rows(2)])
    shutil.rmtree(features.path if what == "the set" else cache.path)
    features.write(keys(2), [rows(3)[2:]])
    np.testing.assert_array_equal(features.read(keys(0, 1, 2))[0], rows(3))
    assert cache.max_bytes > 0
    again = one_set(cache, "a")
    np.testing.assert_array_equal(again.read(keys(0, 1, 2))[0], rows(3))
    del features, again
    # The next run begins anew.
    assert one_set(cache, "a").missing(keys(0, 1, 2)) == [0, 1, 2]


def test_a_cache_that_was_deleted_by_hand_is_empty(cache):
    keep(cache, "a")
    shutil.rmtree(cache.path)
    assert (cache.sets(), cache.verify(), cache.clear(), cache.size_bytes) == ([], [], [], 0)
