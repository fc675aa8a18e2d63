"""The store on the ground floor: what it holds is named in its errors. What it keeps is tested by its caches."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from thawline import store as stores
from thawline.errors import ArgumentError, CacheError, CacheFullError
from thawline.store import Kind, open_store

KIND = Kind("pixel cache", "path=", 1)


def test_a_folder_that_is_open_is_shared(tmp_path):
    assert open_store(tmp_path, KIND) is open_store(tmp_path, KIND)


def test_errors_call_the_store_what_it_is(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(
        CacheError, match=r"The pixel cache '.*file' cannot be opened: .*Name another folder \(path=, THAW"
    ):
        open_store(file, KIND)
    with open_store(tmp_path / "other", Kind("pixel cache", "path=", 7)).reading():
        pass
    with pytest.raises(CacheError, match=r"The pixel cache '.*' has format 7; this thawline reads 1\. Name another"):
        open_store(tmp_path / "other", KIND)


def test_limits_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="max_bytes is 1,048,576 or more; got 5"):
        open_store(tmp_path, KIND, max_bytes=5)


def write_rows(store, count, size):
    for number in range(count):
        with store.writing(size) as transaction:
            transaction.put(b"%04d" % number, bytes([number]) * size)


def read_row(store, number, size):
    with store.reading(size) as transaction:
        return bytes(transaction.get(b"%04d" % number))


def mapped_bytes():
    """What this process holds of files, as Linux tells it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssFile:")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the figure is Linux's")
def test_what_was_read_does_not_stay_in_the_memory_of_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_MAPPED_BYTES", 8 << 20)
    store, size = open_store(tmp_path, KIND), 4 << 20
    write_rows(store, 16, size)
    before = mapped_bytes()
    grown = []
    for number in range(16):
        assert read_row(store, number, size) == bytes([number]) * size
        grown.append(mapped_bytes() - before)
    assert max(grown) < 24 << 20


def test_threads_go_on_reading_and_writing_while_memory_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_MAPPED_BYTES", 10_000)
    store, size = open_store(tmp_path, KIND), 5_000
    write_rows(store, 20, size)
    with ThreadPoolExecutor(4) as pool:
        writing = pool.submit(write_rows, store, 20, size)
        rows = list(pool.map(lambda number: read_row(store, number % 20, size), range(400)))
        writing.result()
    assert rows == [bytes([number % 20]) * size for number in range(400)]


def test_a_store_that_is_cleared_has_its_format_and_room_for_new_rows(tmp_path):
    store = open_store(tmp_path, KIND)
    write_rows(store, 16, 10_000)
    assert store.row_count() == 16
    size = (tmp_path / "data.mdb").stat().st_size
    for _ in range(5):
        store.clear()
        assert store.row_count() == 0
        write_rows(store, 16, 10_000)
        assert read_row(store, 3, 10_000) == bytes([3]) * 10_000
    # Not five times as much.
    assert (tmp_path / "data.mdb").stat().st_size < 2 * size
    del store
    assert open_store(tmp_path, KIND).row_count() == 16


def test_a_file_that_was_cut_off_is_an_error_and_not_the_end_of_the_process(tmp_path):
    write_rows(open_store(tmp_path, KIND), 64, 1000)
    # The first two pages, which are left, say where the others were.
    os.truncate(tmp_path / "data.mdb", 8192)
    with pytest.raises(CacheError, match=r"cannot be opened: .*Name another folder"):
        open_store(tmp_path, KIND)


@pytest.fixture
def free_bytes(monkeypatch, tmp_path):
    """What the disk has free, which a test may change."""
    free = [2 << 20]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=free[0]))
    return free


def test_room_that_is_made_while_a_store_is_open_is_used(tmp_path, free_bytes):
    store = open_store(tmp_path, KIND)
    with pytest.raises(CacheFullError, match=r"is full: 4\.2 MB more were needed, the disk has 2\.1 MB free"):
        write_rows(store, 1, 4 << 20)
    free_bytes[0] = 64 << 20
    write_rows(store, 4, 4 << 20)
    assert read_row(store, 3, 4 << 20) == bytes([3]) * (4 << 20)


def test_what_another_process_wrote_beyond_the_room_there_was_is_read(tmp_path, free_bytes):
    store = open_store(tmp_path, KIND)
    write_rows(store, 1, 100)
    free_bytes[0] = 64 << 20
    other = """
import lmdb, sys
with lmdb.open(sys.argv[1], map_size=64 << 20) as environment, environment.begin(write=True) as transaction:
    transaction.put(b"0007", bytes([7]) * (8 << 20))
"""
    subprocess.run([sys.executable, "-c", other, tmp_path], check=True)
    assert read_row(store, 7, 8 << 20) == bytes([7]) * (8 << 20)
    write_rows(store, 2, 100)
    assert read_row(store, 1, 100) == bytes([1]) * 100


@pytest.mark.parametrize("free", [90 << 40, 8 << 60, 2**63])
def test_disks_larger_than_a_process_can_address_are_no_reason_to_fail(tmp_path, free_bytes, free):
    free_bytes[0] = free
    store = open_store(tmp_path, KIND)
    write_rows(store, 4, 1 << 20)
    assert read_row(store, 3, 1 << 20) == bytes([3]) * (1 << 20)
    assert store.free_bytes() == free


def test_many_stores_on_a_huge_disk_are_open_at_once(tmp_path, free_bytes):
    free_bytes[0] = 1 << 50
    opened = [open_store(tmp_path / str(number), KIND) for number in range(40)]
    for number, store in enumerate(opened):
        write_rows(store, 1 + number % 2, 1000)
    assert [store.row_count() for store in opened] == [1 + number % 2 for number in range(40)]


def test_a_file_that_outgrows_its_map_is_mapped_again(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_AHEAD_BYTES", 2 << 20)
    monkeypatch.setattr(stores, "_MARGIN_BYTES", 1 << 20)
    store = open_store(tmp_path, KIND)
    write_rows(store, 40, 1 << 20)
    write_rows(store, 2, 16 << 20)
    assert read_row(store, 1, 16 << 20) == bytes([1]) * (16 << 20)
    assert read_row(store, 39, 1 << 20) == bytes([39]) * (1 << 20)


LIMITED = """
import resource, sys
from pathlib import Path
from thawline.errors import CacheError
from thawline.store import Kind, open_store
taken = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    store = open_store(Path(sys.argv[1]), Kind("pixel cache", "path=", 1))
    for number in range(int(sys.argv[3])):
        with store.writing(1 << 20) as transaction:
            transaction.put(b"%04d" % number, bytes(1 << 20))
    print(store.row_count())
except CacheError as error:
    print(error)
"""


def limited(folder, room, rows):
    """What a process says that may map so many bytes more, and writes so many rows of a megabyte."""
    environment = {**os.environ, "PYTHONPATH": str(Path(stores.__file__).parents[1])}
    command = [sys.executable, "-c", LIMITED, folder, str(room), str(rows)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits of addresses are tried on Linux")
def test_a_process_that_may_map_little_keeps_what_it_can_and_says_what_is_short(tmp_path):
    assert limited(tmp_path / "some", 128 << 20, 8) == "8"
    # More than an eighth of what there is, but there.
    assert limited(tmp_path / "more", 128 << 20, 60) == "60"
    told = limited(tmp_path / "none", 128 << 20, 300)
    assert re.search(
        r"is full: .*but this process has no more addresses .*stays: raise  ulimit -v, or name another", told
    )
    told = limited(tmp_path / "none", 4 << 20, 1)
    assert re.search(r"cannot be opened: .*The system gives this process no more addresses: raise  ulimit -v\.$", told)


@pytest.mark.parametrize("name", ["lmdb.py", "bisect.py", "threading.py"])
def test_verifying_runs_no_code_of_the_current_folder(tmp_path, monkeypatch, name):
    write_rows(open_store(tmp_path / "store", KIND), 2, 100)
    here = tmp_path / "here"
    here.mkdir()
    (here / name).write_text("open('RAN', 'w').close()\nraise SystemExit(0)\n")
    monkeypatch.chdir(here)
    assert stores.reading_ends_process(tmp_path / "store") is False
    assert not (here / "RAN").exists()
