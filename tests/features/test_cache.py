"""The feature cache: what is written is read, what is full says so, what is foreign is refused."""

import shutil
import threading

import lmdb
import numpy as np
import pytest

from thawline.errors import ArgumentError, CacheError, CacheFullError
from thawline.features import feature_set
from thawline.features.cache import FeatureCache
from thawline.features.feature_set import stored_bytes
from thawline.features.fingerprint import row_key
from thawline.features.rows import HEADER_BYTES
from thawline.features.use import InUse, is_in_use
from thawline.specs import TensorSpec
from thawline.store import default_cache_path

MEGABYTE = 1 << 20
RANDOM = np.random.default_rng(0)


def keys(*numbers):
    return [bytes(32) + number.to_bytes(4, "big") for number in numbers]


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def one_set(cache, *shape, name="a", dtype="float32"):
    return cache.features({"prefix": name}, [TensorSpec((None, *shape), dtype)])


def fill(features, row, most=10_000):
    """Writes rows one by one until no room is left; gives how many are stored."""
    for number in range(most):
        try:
            features.write(keys(number), [row])
        except CacheFullError:
            return number
    raise AssertionError("the cache never became full")


def test_rows_come_back_bit_by_bit(tmp_path):
    features = one_set(FeatureCache(tmp_path), 3, 4)
    rows = floats(5, 3, 4)
    rows[0, 0] = [np.nan, -0.0, np.inf, np.finfo(np.float32).smallest_subnormal]
    features.write(keys(*range(5)), [rows])
    (read,) = features.read(keys(*range(5)))
    assert (read.dtype, read.shape) == (rows.dtype, rows.shape)
    np.testing.assert_array_equal(read.view(np.uint32), rows.view(np.uint32))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8", "int32", "bool", "float8_e4m3fn"])
def test_every_dtype_is_kept(tmp_path, dtype):
    features = one_set(FeatureCache(tmp_path), 6, dtype=dtype)
    rows = RANDOM.integers(0, 2, (2, 6)).astype(np.dtype(dtype))
    features.write(keys(0, 1), [rows])
    np.testing.assert_array_equal(features.read(keys(0, 1))[0], rows, strict=True)


def test_several_tensors_of_several_dtypes_are_one_row(tmp_path):
    specs = [
        TensorSpec((None, 2, 3), "float32"),
        TensorSpec((None,), "uint8"),
        TensorSpec((None, 5), "float16"),
        TensorSpec((None,), "float32"),
    ]
    features = FeatureCache(tmp_path).features({}, specs)
    tensors = [floats(4, 2, 3), np.array([1, 2, 3, 4], np.uint8), floats(4, 5).astype(np.float16), floats(4)]
    features.write(keys(*range(4)), tensors)
    assert features.row_bytes == HEADER_BYTES + 2 * 3 * 4 + 1 + 5 * 2 + 4
    for read, written in zip(features.read(keys(*range(4))), tensors, strict=True):
        np.testing.assert_array_equal(read, written, strict=True)


def test_rows_come_in_the_order_of_the_keys_and_as_often_as_asked(tmp_path):
    features = one_set(FeatureCache(tmp_path), 2)
    rows = floats(3, 2)
    features.write(keys(0, 1, 2), [rows])
    np.testing.assert_array_equal(features.read(keys(2, 0, 2))[0], rows[[2, 0, 2]])
    assert features.read([])[0].shape == (0, 2)


def test_arrays_with_gaps_are_written_as_they_look(tmp_path):
    features = one_set(FeatureCache(tmp_path), 3, 2)
    whole = floats(4, 2, 6)
    features.write(keys(0, 1), [whole[::2, :, ::2].transpose(0, 2, 1)])
    np.testing.assert_array_equal(features.read(keys(0, 1))[0], whole[::2, :, ::2].transpose(0, 2, 1))


def test_what_is_read_may_be_changed_without_changing_the_cache(tmp_path):
    features = one_set(FeatureCache(tmp_path), 2)
    rows = floats(1, 2)
    features.write(keys(0), [rows])
    features.read(keys(0))[0][:] = 0
    np.testing.assert_array_equal(features.read(keys(0))[0], rows)


def test_missing_gives_the_positions_of_what_is_not_stored(tmp_path):
    features = one_set(FeatureCache(tmp_path), 2)
    assert features.missing(keys(0, 1, 2)) == [0, 1, 2]
    features.write(keys(1, 3), [floats(2, 2)])
    assert features.missing(keys(0, 1, 2, 3, 1)) == [0, 2]
    assert features.missing([]) == []


def test_two_sets_do_not_mix(tmp_path):
    cache = FeatureCache(tmp_path)
    first, second = one_set(cache, 2, name="a"), one_set(cache, 2, name="b")
    rows = floats(2, 1, 2)
    first.write(keys(0), [rows[0]])
    assert second.missing(keys(0)) == [0]
    second.write(keys(0), [rows[1]])
    np.testing.assert_array_equal(first.read(keys(0))[0], rows[0])
    np.testing.assert_array_equal(second.read(keys(0))[0], rows[1])


def test_a_missing_row_is_an_error_with_the_next_move(tmp_path):
    features = one_set(FeatureCache(tmp_path), 2)
    with pytest.raises(
        CacheError, match=r"1 of 1 rows of features in .* are missing or damaged\. Run the training again"
    ):
        features.read(keys(0))


def test_a_row_of_another_length_is_an_error(tmp_path):
    cache = FeatureCache(tmp_path)
    one_set(cache, 2).write(keys(0), [floats(1, 2)])
    with pytest.raises(CacheError, match=r"1 of 1 rows of features in .* are missing or damaged"):
        one_set(cache, 3).read(keys(0))


@pytest.mark.parametrize("wrong", [floats(2, 2).astype(np.float64), floats(2, 3), floats(1, 2), floats(2, 2, 1)])
def test_tensors_that_are_not_what_the_specs_say_are_not_written(tmp_path, wrong):
    features = one_set(FeatureCache(tmp_path), 2)
    with pytest.raises(CacheError, match=r"Features are float32 \(None, 2\) for 2 images, but the engine gave"):
        features.write(keys(0, 1), [wrong])
    assert features.missing(keys(0, 1)) == [0, 1]


def test_a_folder_may_be_opened_twice_in_one_process(tmp_path):
    first, second = FeatureCache(tmp_path), FeatureCache(tmp_path / ".." / tmp_path.name)
    rows = floats(1, 2)
    one_set(first, 2).write(keys(0), [rows])
    np.testing.assert_array_equal(one_set(second, 2).read(keys(0))[0], rows)
    del first
    np.testing.assert_array_equal(one_set(second, 2).read(keys(0))[0], rows)


def test_a_set_outlives_the_cache_it_came_from(tmp_path):
    features = one_set(FeatureCache(tmp_path), 2)
    rows = floats(1, 2)
    features.write(keys(0), [rows])
    np.testing.assert_array_equal(features.read(keys(0))[0], rows)


def test_closing_and_opening_keeps_the_rows(tmp_path):
    rows = floats(1, 2)
    one_set(FeatureCache(tmp_path), 2).write(keys(0), [rows])
    # Nobody holds the cache any more, so another may open the file itself.
    (folder,) = (tmp_path / "features").glob("?*[0-9a-f]")
    lmdb.open(str(folder)).close()
    np.testing.assert_array_equal(one_set(FeatureCache(tmp_path), 2).read(keys(0))[0], rows)


def test_many_threads_may_read_while_one_writes(tmp_path):
    features = one_set(FeatureCache(tmp_path), 2)
    rows = np.arange(400, dtype=np.float32).reshape(200, 2)
    features.write(keys(*range(100)), [rows[:100]])
    wrong = []

    def read():
        for _ in range(20):
            if not np.array_equal(features.read(keys(*range(100)))[0], rows[:100]):
                wrong.append("rows")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100, 200):
        features.write(keys(number), [rows[number : number + 1]])
    for thread in threads:
        thread.join()
    assert wrong == []
    np.testing.assert_array_equal(features.read(keys(*range(200)))[0], rows)


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path):
    features = one_set(FeatureCache(tmp_path, max_bytes=MEGABYTE), 1000)
    rows = floats(500, 1000)
    with pytest.raises(CacheFullError):
        features.write(keys(*range(500)), [rows])
    assert features.missing(keys(*range(500))) == list(range(500))


def test_a_full_cache_says_what_to_do_and_keeps_what_it_has(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=MEGABYTE)
    features = one_set(cache, 10_000)
    row = floats(1, 10_000)
    stored = fill(features, row)
    assert 5 < stored <= MEGABYTE / 40_000
    assert cache.size_bytes <= MEGABYTE
    with pytest.raises(
        CacheFullError, match=r"is full: 0\.0 MB more .* max_bytes allows 1\.0 MB\. .*raise max_bytes, or name"
    ):
        features.write(keys(99), [row])
    assert features.missing(keys(*range(stored + 1))) == [stored]
    for number in range(stored):
        np.testing.assert_array_equal(features.read(keys(number))[0], row)


def test_a_full_cache_goes_on_when_it_is_opened_with_more_room(tmp_path):
    features = one_set(FeatureCache(tmp_path, max_bytes=MEGABYTE), 10_000)
    row = floats(1, 10_000)
    stored = fill(features, row)
    # The old set is still held, as a traceback in a notebook would do.
    larger = one_set(FeatureCache(tmp_path, max_bytes=4 * MEGABYTE), 10_000)
    larger.write(keys(stored), [row])
    assert fill(larger, row) > 2 * stored
    np.testing.assert_array_equal(features.read(keys(0))[0], row)


def test_a_smaller_limit_keeps_what_is_there_and_takes_no_more(tmp_path):
    features = one_set(FeatureCache(tmp_path), 10_000)
    row = floats(1, 10_000)
    features.write(keys(*range(60)), [np.repeat(row, 60, axis=0)])
    smaller = one_set(FeatureCache(tmp_path, max_bytes=MEGABYTE), 10_000)
    with pytest.raises(CacheFullError):
        smaller.write(keys(99), [row])
    np.testing.assert_array_equal(smaller.read(keys(59))[0], row)


def test_a_full_disk_is_told_with_what_is_free_and_room_made_is_used(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    free = [MEGABYTE]
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=free[0]))
    features = one_set(FeatureCache(tmp_path), 10_000)
    row = floats(1, 10_000)
    stored = fill(features, row)
    with pytest.raises(CacheFullError, match=r"the disk has 1\.0 MB free, .*make room, give max_bytes, or name"):
        features.write(keys(stored), [row])
    free[0] = 8 * MEGABYTE
    one_set(FeatureCache(tmp_path), 10_000).write(keys(stored), [row])
    assert features.missing(keys(stored)) == []


def test_another_format_is_refused(tmp_path):
    path = one_set(FeatureCache(tmp_path), 2).path
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"format", (99).to_bytes(2, "big"))
    with pytest.raises(
        CacheError, match=r"has format 99; this thawline reads 2\. Name another folder .*delete this one"
    ):
        one_set(FeatureCache(tmp_path), 2)


def test_what_is_no_folder_or_no_cache_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"file' cannot be opened: .*Name another folder"):
        FeatureCache(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.mdb").write_bytes(b"something else " * 1000)
    with pytest.raises(CacheError, match=r"other' is one of an earlier thawline, .*Name another folder"):
        FeatureCache(tmp_path / "other")


def test_a_limit_that_is_too_small_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="max_bytes is 1,048,576 or more; got 10"):
        FeatureCache(tmp_path, max_bytes=10)


def test_the_default_folder_is_what_thawline_cache_says(own_cache, monkeypatch):
    assert default_cache_path() == own_cache
    assert FeatureCache().path == own_cache.resolve()
    monkeypatch.delenv("THAWLINE_CACHE")
    assert default_cache_path().name == "thawline"


def test_a_cache_tells_its_folder_and_size(tmp_path):
    cache = FeatureCache(tmp_path)
    before = cache.size_bytes
    one_set(cache, 1000).write(keys(*range(100)), [floats(100, 1000)])
    assert 400_000 <= cache.size_bytes - before < 1_000_000
    assert repr(cache) == f"FeatureCache({str(tmp_path)!r}, {cache.size_bytes / 1e6:,.1f} MB)"


@pytest.mark.parametrize("row_bytes", [4, 400, 1900, 1980, 4080, 4200, 40_000])
def test_rows_take_no_more_disk_than_was_said(row_bytes, tmp_path):
    cache = FeatureCache(tmp_path)
    features = cache.features({"a": 1}, (TensorSpec((None, row_bytes), "uint8"),))
    before, count = cache.size_bytes, 1000
    for start in range(0, count, 50):
        keys = [row_key(np.random.default_rng(start + index).bytes(32), 0) for index in range(50)]
        features.write(keys, [np.zeros((50, row_bytes), "uint8")])
    # Besides, LMDB keeps the pages that its last transactions copied.
    assert count * row_bytes < cache.size_bytes - before <= count * stored_bytes(row_bytes) + 400_000


def test_without_a_limit_half_of_the_disk_is_left_to_others_and_the_error_says_so(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=3 * MEGABYTE))
    features = one_set(FeatureCache(tmp_path), 10_000)
    with pytest.raises(
        CacheFullError,
        match=r"4\.1 MB more were needed, .* 3\.1 MB free, of which it takes 50% at most.*give max_bytes",
    ):
        features.write(keys(*range(99)), [floats(99, 10_000)])


def test_marks_of_processes_that_were_killed_are_taken_for_none_and_go_with_the_next_opening(tmp_path):
    cache = FeatureCache(tmp_path)
    path = one_set(cache, 2).path
    (path / "users" / "12345-abcdef").touch()
    assert [report.is_in_use for report in cache.sets()] == [False]
    features = one_set(cache, 2)
    assert [report.is_in_use for report in cache.sets()] == [True]
    assert cache.clear() == []
    assert not (path / "users" / "12345-abcdef").exists()
    del features
    assert len(cache.clear()) == 1


def test_who_opens_a_set_is_not_put_off_by_who_asks_whether_it_is_in_use(tmp_path):
    """Asking holds each mark for a moment, one that is just being made, too."""
    folder, stop = tmp_path / "users", threading.Event()

    def ask():
        while not stop.is_set():
            is_in_use(folder)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(50):
            mark = InUse(folder)
            assert len(list(folder.iterdir())) >= 1
            mark.let_go()
    finally:
        stop.set()
        for thread in asking:
            thread.join()


def test_a_set_that_another_process_deletes_under_a_check_is_not_made_anew(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)
    one_set(cache, 2).write(keys(0), [floats(1, 2)])
    (folder,) = cache._folders()
    monkeypatch.setattr(cache, "_folders", lambda: iter([folder]))
    shutil.rmtree(folder)
    assert cache.verify() == []
    assert [report.rows for report in cache.sets()] == [None]
    assert not folder.exists()


def test_a_set_that_cannot_be_read_at_all_is_taken_away_by_a_check(tmp_path):
    cache = FeatureCache(tmp_path)
    path = one_set(cache, 2).path
    (path / "data.mdb").write_bytes(b"something else " * 1000)
    (check,) = cache.verify()
    assert "cannot be opened" in check.problem
    assert cache.sets() == []


def test_a_row_that_was_mended_while_a_check_ran_stays(tmp_path, monkeypatch):
    features = one_set(FeatureCache(tmp_path), 2)
    features.write(keys(0, 1), [floats(2, 2)])
    whole, looked_at = feature_set.is_whole, []

    def is_whole(key, row):
        """The first look finds a damaged row, the second one does not."""
        looked_at.append(key)
        return len(looked_at) > 1 and whole(key, row)

    monkeypatch.setattr(feature_set, "is_whole", is_whole)
    assert features.verify() == (2, 0)
    assert looked_at == keys(0, 1, 0)
    assert features.missing(keys(0, 1)) == []
