"""The pixel cache: decoded once, found by content, safe with threads, and full without harm."""

import contextlib
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from blake3 import blake3

from thawline.data import pixels as module
from thawline.data.decode import Decoding, decode
from thawline.data.pixels import (
    CachedPictures,
    DiskPixels,
    RamPixels,
    cache_pictures,
    choose_mode,
    default_pixel_path,
    disk_room_bytes,
)
from thawline.errors import ArgumentError

SHAPE = (4, 6, 3)
MEGABYTE = 1 << 20


class Files:
    """Pictures in files that count what is asked of them."""

    def __init__(self, folder, decoding):
        self.names = tuple(sorted(folder.rglob("*.png")))
        self.decoding = decoding
        self.shape = decoding.shape
        self.decoded = self.hashed = 0

    def identity(self):
        return self.decoding.identity()

    def digests(self, rows, *, show_progress=True, failed=None):
        self.hashed += len(rows)
        return [blake3(self.names[row].read_bytes()).digest() for row in rows]

    def pixels(self, row):
        self.decoded += 1
        data = self.names[row].read_bytes()
        return decode(data, self.decoding), blake3(data).digest()


@pytest.fixture
def files(image_folder):
    return Files(image_folder(1, count=5), Decoding(SHAPE[:2]))


@pytest.fixture(params=["ram", "disk"])
def cache(request, tmp_path):
    return RamPixels(MEGABYTE) if request.param == "ram" else DiskPixels(tmp_path / "pixels")


def some(number, shape=SHAPE):
    return np.full(shape, number, np.uint8)


def epoch(pictures):
    return [pictures.pixels(row) for row in range(len(pictures.names))]


# -- what every cache does ----------------------------------------------------------------------------------


def test_what_is_kept_comes_back_bit_by_bit_and_read_only(cache):
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    cache.put(b"a", pixels)
    kept = cache.get(b"a", SHAPE)
    np.testing.assert_array_equal(kept, pixels, strict=True)
    assert not kept.flags.writeable
    assert cache.get(b"b", SHAPE) is None


def test_what_is_kept_does_not_change_with_the_array_it_came_from(cache):
    pixels = some(1)
    cache.put(b"a", pixels)
    # In memory the array itself is kept, and cannot be changed any more.
    with contextlib.suppress(ValueError):
        pixels[:] = 2
    assert cache.get(b"a", SHAPE).max() == 1


def test_another_shape_than_the_one_kept_is_not_found(cache):
    cache.put(b"a", some(1))
    assert cache.get(b"a", (4, 6, 1)) is None
    if isinstance(cache, DiskPixels):
        cache.flush()
        assert cache.get(b"a", (4, 6, 1)) is None


def test_many_threads_may_use_one_cache(cache, monkeypatch):
    monkeypatch.setattr(module, "_WRITE_BYTES", 500)
    barrier = threading.Barrier(4)

    def work(thread):
        barrier.wait()
        for number in range(200):
            key = bytes([number])
            found = cache.get(key, SHAPE)
            assert found is None or found.tolist() == some(number).tolist()
            cache.put(key, some(number))
            assert cache.get(key, SHAPE).max() == number

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for number in range(200):
        np.testing.assert_array_equal(cache.get(bytes([number]), SHAPE), some(number))


# -- memory and disk ----------------------------------------------------------------------------------------


def test_memory_is_kept_within_the_budget_and_what_is_kept_stays():
    cache = RamPixels(2 * some(0).nbytes + 10)
    for number in range(5):
        cache.put(bytes([number]), some(number))
    assert [cache.get(bytes([number]), SHAPE) is not None for number in range(5)] == [True, True, False, False, False]
    assert (len(cache), cache.size_bytes) == (2, 144)
    assert repr(cache) == "RamPixels(2 images, 0.0 of 0.0 MB)"


def test_the_budget_is_a_quarter_of_what_is_free(monkeypatch):
    monkeypatch.setattr(module, "free_memory_bytes", lambda: 4000)
    assert RamPixels().budget_bytes == 1000


@pytest.mark.parametrize("budget", [-1, 1.5, True, "1 GB"])
def test_budgets_that_are_no_bytes_are_refused(budget):
    with pytest.raises(ArgumentError, match="budget_bytes is a whole number from 0 up; got "):
        RamPixels(budget)


def test_pixels_on_disk_outlive_the_cache_whether_flushed_or_not(tmp_path):
    first = DiskPixels(tmp_path)
    first.put(b"a", some(1))
    first.flush()
    first.put(b"b", some(2))
    del first
    second = DiskPixels(tmp_path)
    assert second.get(b"a", SHAPE).max() == 1
    assert second.get(b"b", SHAPE).max() == 2


def test_pixels_on_disk_outlive_a_process_that_ends_without_saying(tmp_path):
    script = (
        "import sys, numpy as np; from thawline.data.pixels import DiskPixels;"
        "cache = DiskPixels(sys.argv[1]); cache.put(b'a', np.full((4, 6, 3), 9, np.uint8))"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert DiskPixels(tmp_path).get(b"a", SHAPE).max() == 9


def test_a_full_disk_is_said_once_and_what_is_kept_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WRITE_BYTES", 300_000)
    cache = DiskPixels(tmp_path, max_bytes=MEGABYTE)
    large = (100, 1000, 3)
    with pytest.warns(UserWarning, match="Pixels are decoded anew from here on, .*The pixel cache .* is full") as said:
        for number in range(8):
            cache.put(bytes([number]), some(number, large))
    assert len(said) == 1
    kept = [number for number in range(8) if cache.get(bytes([number]), large) is not None]
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(b"x", some(1, large))
        cache.flush()
    del cache
    assert DiskPixels(tmp_path).get(b"\0", large).max() == 0


def test_pixels_lie_beside_the_features(own_cache):
    cache = DiskPixels()
    assert cache.path == default_pixel_path() == own_cache.resolve() / "pixels"
    assert repr(cache).startswith(f"DiskPixels('{cache.path}', 0.")


# -- pictures behind a cache --------------------------------------------------------------------------------


def test_cached_pictures_give_what_the_pictures_give(files, cache):
    cached = CachedPictures(files, cache)
    for _ in range(3):
        for (pixels, digest), (expected, known) in zip(epoch(cached), epoch(files), strict=True):
            np.testing.assert_array_equal(pixels, expected, strict=True)
            assert not pixels.flags.writeable
            assert digest == known
    assert (cached.names, cached.shape, cached.identity()) == (files.names, files.shape, files.identity())
    assert cached.digests(np.array([1, 0])) == files.digests([1, 0])


def test_every_image_is_decoded_once_and_no_file_is_read_again(files, cache):
    cached = CachedPictures(files, cache)
    epoch(cached)
    for path in files.names:
        path.unlink()
    epoch(cached)
    assert files.decoded == len(files.names)
    assert files.hashed == (len(files.names) if cache.is_lasting else 0)


def test_the_next_run_finds_what_is_on_disk_and_decodes_nothing(files, tmp_path):
    epoch(CachedPictures(files, DiskPixels(tmp_path / "pixels")))
    files.decoded = 0
    epoch(CachedPictures(files, DiskPixels(tmp_path / "pixels")))
    assert files.decoded == 0


def test_a_file_that_changed_is_decoded_anew_by_the_next_run(files, cache):
    epoch(CachedPictures(files, cache))
    files.names[0].write_bytes(files.names[1].read_bytes())
    pixels, digest = CachedPictures(files, cache).pixels(0)
    expected, known = files.pixels(1)
    assert digest == known
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("other", [Decoding((5, 5)), Decoding((4, 6), interpolation="nearest")])
def test_another_decoding_of_the_same_files_finds_nothing(files, cache, other):
    epoch(CachedPictures(files, cache))
    changed = Files(files.names[0].parent, other)
    epoch(CachedPictures(changed, cache))
    assert changed.decoded == len(files.names)


def test_pictures_that_find_no_room_are_decoded_each_time(files):
    cached = CachedPictures(files, RamPixels(2 * some(0).nbytes))
    epoch(cached)
    epoch(cached)
    assert files.decoded == 5 + 3


def test_files_of_equal_content_are_kept_once(files):
    files.names[0].write_bytes(files.names[1].read_bytes())
    cache = RamPixels(MEGABYTE)
    epoch(CachedPictures(files, cache))
    assert len(cache) == 4


# -- the choice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "ram", "disk", "chosen"),
    [(0, 0, 0, "ram"), (10, 10, 0, "ram"), (11, 10, 11, "disk"), (12, 10, 11, "off"), (10, 10, 100, "ram")],
)
def test_auto_takes_memory_then_disk_then_nothing(needed, ram, disk, chosen):
    assert choose_mode(needed, ram_bytes=ram, disk_bytes=disk) == chosen


def test_half_of_the_disk_may_be_taken_even_in_folders_to_come(tmp_path, monkeypatch):
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    assert disk_room_bytes(tmp_path / "to" / "come") == 500
    (tmp_path / "data.mdb").write_bytes(bytes(600))
    assert disk_room_bytes(tmp_path) == 800


def test_modes_give_their_caches(files, tmp_path, monkeypatch):
    all_bytes = 5 * some(0).nbytes
    assert cache_pictures(files, "off") is files
    assert isinstance(cache_pictures(files, "ram")._cache, RamPixels)
    disk = cache_pictures(files, "disk", path=tmp_path / "pixels")
    assert disk._cache.path == (tmp_path / "pixels").resolve()
    assert cache_pictures(files, budget_bytes=all_bytes)._cache.budget_bytes == all_bytes
    assert isinstance(cache_pictures(files, budget_bytes=all_bytes - 1)._cache, DiskPixels)
    monkeypatch.setattr(module, "disk_room_bytes", lambda path: all_bytes - 1)
    assert cache_pictures(files, budget_bytes=all_bytes - 1) is files


def test_unknown_modes_are_refused_with_the_known_ones(files):
    with pytest.raises(ArgumentError, match="mode is one of 'off', 'ram', 'disk', 'auto'; got 'memory'"):
        cache_pictures(files, "memory")
