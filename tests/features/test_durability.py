"""What happens to the process, the disk or another process loses no work, and mixes up no features."""

import contextlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import numpy as np
import pytest

from other_process import BATCH, FULL, SPEC, Job, NotingEngine, compute_by_keras, context
from thawline.errors import CacheError, CacheFullError
from thawline.features import extract as module
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract, heal
from thawline.features.fingerprint import row_key
from thawline.store import LEAST_ROOM

KILLS = 30
VIEWS = 4

# Far longer than anything takes, however busy the machine is; a test may take 300 s.
WAIT_S = 200

# What Python's multiprocessing makes of an error that nobody caught.
INTERRUPTED = 1

needs_processes = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="processes are forked and killed"
)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "ENGINE_BATCH", BATCH)


@pytest.fixture
def job(image_folder, tmp_path):
    """12 images in 4 views: 12 batches."""
    return make_job(image_folder(2, count=6), tmp_path, "cache")


@pytest.fixture
def undisturbed(job, tmp_path):
    """The rows of an extraction that nothing happened to."""
    other = make_job(job.images, tmp_path, "undisturbed")
    extract(other.source(), other.views, NotingEngine(other), other.features(), show_progress=False)
    rows = other.rows()
    assert len(rows) == 12 * VIEWS + 1
    return rows


def make_job(images, tmp_path, name, **options):
    notes = tmp_path / f"{name} notes"
    notes.mkdir()
    return Job(images, tmp_path / name, notes, views=VIEWS, **options)


def ended(process):
    """The exit code of a process, which ends by itself."""
    process.join(WAIT_S)
    assert not process.is_alive()
    return process.exitcode


def interrupted(process):
    """The exit code of a process that gets a Ctrl-C."""
    os.kill(process.pid, signal.SIGINT)
    return ended(process)


def subset(job, count):
    """A folder with so many of the images, in two classes."""
    folder = job.notes / "subset"
    for number, path in enumerate(job.source().paths[:count]):
        (folder / str(number % 2)).mkdir(parents=True)
        shutil.copy(path, folder / str(number % 2))
    return folder


def killed(process):
    process.kill()
    return ended(process)


# -- kill -9 ---------------------------------------------------------------------------------------------------


@needs_processes
def test_thirty_kills_at_random_moments_change_nothing(job, undisturbed, tmp_path):
    context()
    measured = make_job(job.images, tmp_path, "measured", pause_s=0.002)
    started = time.perf_counter()
    assert ended(measured.start()) == 0
    whole_s = time.perf_counter() - started
    chance = random.Random(5)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        current = make_job(job.images, tmp_path, f"round {rounds}", pause_s=0.002)
        kills_here = 0
        exitcode = None
        while exitcode != 0:
            process = current.start()
            # From its start to its end, which after a kill comes sooner than it would have.
            process.join(chance.uniform(0, whole_s) if kills + kills_here < KILLS else WAIT_S)
            exitcode = killed(process)
            assert exitcode in (0, -signal.SIGKILL), current.noted("stderr")
            kills_here += exitcode != 0
        assert current.rows() == undisturbed
        # A kill costs the batch that was under way, and no more.
        assert 0 <= len(current.noted("computed")) - 12 * VIEWS <= kills_here * BATCH
        kills += kills_here


@needs_processes
def test_kills_under_a_real_network_change_nothing(job, tmp_path):
    alone = make_job(job.images, tmp_path, "undisturbed")
    assert ended(alone.start(compute_by_keras)) == 0, alone.noted("stderr")
    assert len(alone.rows()) == 12 * VIEWS + 1
    for answered in (2, 6):
        process = job.start(compute_by_keras)
        job.wait_for("answered", answered)
        assert killed(process) == -signal.SIGKILL
    assert ended(job.start(compute_by_keras)) == 0, job.noted("stderr")
    assert job.rows() == alone.rows()
    assert len(job.noted("answered")) <= 12 + 2


# -- two processes ---------------------------------------------------------------------------------------------


@needs_processes
def test_two_processes_at_once_share_the_work(job, undisturbed):
    processes = [job.start(pause_s=0.005) for _ in range(2)]
    assert [ended(process) for process in processes] == [0, 0], job.noted("stderr")
    assert job.rows() == undisturbed
    computed = job.noted("computed")
    assert len(computed) == len(set(computed)) == 12 * VIEWS


@needs_processes
def test_who_waits_for_a_process_that_is_killed_goes_on_in_its_place(job, undisturbed):
    first = job.start(stop_after=5)
    job.wait_for("stopped")
    second = job.start()
    job.wait_for("said")
    assert job.noted("said") == ["another process computes these features; waiting for it"]
    assert second.is_alive()
    assert killed(first) == -signal.SIGKILL
    assert ended(second) == 0, job.noted("stderr")
    assert job.rows() == undisturbed
    assert len(job.noted("computed")) == 12 * VIEWS + BATCH


@needs_processes
def test_who_wants_what_is_there_does_not_wait(job):
    first = job.start(stop_after=10, views=2 * VIEWS)
    job.wait_for("stopped")
    # Of the first images all views are stored.
    second = job.start(images=subset(job, 2))
    assert ended(second) == 0, job.noted("stderr")
    assert job.noted("said") == []
    assert first.is_alive()
    killed(first)


@needs_processes
def test_who_waits_computes_nothing_that_the_other_one_stored(job):
    """It waits for two images of twelve, in fewer views than the other one computes."""
    first = job.start(stop_after=1, views=2 * VIEWS, pause_s=0.02)
    job.wait_for("stopped")
    second = job.start(images=subset(job, 2))
    job.wait_for("said")
    job.note("go", "on")
    assert [ended(second), ended(first)] == [0, 0], job.noted("stderr")
    computed = job.noted("computed")
    assert len(computed) == len(set(computed)) == 12 * 2 * VIEWS


# -- Ctrl-C ----------------------------------------------------------------------------------------------------


@needs_processes
def test_ctrl_c_while_waiting_ends_the_process_and_leaves_the_other_alone(job, undisturbed):
    first = job.start(stop_after=5)
    job.wait_for("stopped")
    second = job.start()
    job.wait_for("said")
    assert interrupted(second) == INTERRUPTED
    assert first.is_alive()
    killed(first)
    assert ended(job.start()) == 0
    assert job.rows() == undisturbed


@needs_processes
def test_ctrl_c_in_the_middle_keeps_every_batch_that_was_answered(job, undisturbed):
    process = job.start(stop_after=5)
    job.wait_for("stopped")
    assert interrupted(process) == INTERRUPTED
    stored = job.rows()
    assert len(stored) == 5 * BATCH + 1
    assert stored.items() <= undisturbed.items()
    assert ended(job.start()) == 0
    assert job.rows() == undisturbed
    assert len(job.noted("computed")) == 12 * VIEWS + BATCH


# -- a full disk -----------------------------------------------------------------------------------------------


@needs_processes
def test_a_file_that_may_not_grow_is_a_full_cache_and_goes_on_with_more_room(job, undisturbed):
    """A limit on the size of files stands in for a disk quota: LMDB is refused what it writes."""
    assert ended(job.start(most_file_bytes=70_000)) == FULL, job.noted("stderr")
    (message,) = job.noted("full")
    assert re.search(r"is full: 0\.0 MB more were needed, the disk has [\d.,]+ MB free", message)
    assert re.search(r"What is stored stays: make room, or name another folder \(cache=, THAWLINE_CACHE\)", message)
    stored = job.rows()
    assert 1 < len(stored) < len(undisturbed)
    assert stored.items() <= undisturbed.items()
    assert ended(job.start()) == 0, job.noted("stderr")
    assert job.rows() == undisturbed
    assert len(job.noted("computed")) == 12 * VIEWS + BATCH


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, and a function that gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        return subprocess.run(["mount", "-t", "tmpfs", *options, "thawline", folder], capture_output=True, text=True)

    if shutil.which("mount") is None or (done := mount("-o", "size=3m")).returncode:
        pytest.skip(f"a file system of its own needs rights: {done.stderr if shutil.which('mount') else 'no mount'}")
    try:
        yield folder, lambda size: mount("-o", f"remount,size={size}")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_keeps_what_is_stored_and_is_gone_on_with(job, undisturbed, small_disk):
    folder, resize = small_disk
    job = replace(job, cache=folder / "cache")
    (folder / "ballast").write_bytes(bytes(shutil.disk_usage(folder).free - LEAST_ROOM - 100_000))
    features = job.features(max_bytes=1 << 30)
    with pytest.raises(CacheFullError, match=r"is full: 0\.0 MB more were needed, .* the disk has 1\.\d MB free"):
        extract(job.source(), VIEWS, NotingEngine(job), features, show_progress=False)
    assert resize("8m").returncode == 0
    lacking = 12 * VIEWS - features.row_count
    assert 0 < lacking < 12 * VIEWS
    assert extract(job.source(), VIEWS, NotingEngine(job), features, show_progress=False).extracted == lacking
    del features
    assert job.rows() == undisturbed


def test_a_disk_that_others_fill_meanwhile_is_told_as_full(job, undisturbed, small_disk):
    """What was free a moment ago is gone when LMDB writes."""
    folder, _ = small_disk
    job = replace(job, cache=folder / "cache")
    features = job.features(max_bytes=1 << 30)

    class Filling(NotingEngine):
        def run(self, images):
            if len(job.noted("computed")) == 5 * BATCH:
                with contextlib.suppress(OSError), (folder / "ballast").open("wb") as file:
                    while True:
                        file.write(bytes(10_000))
                        file.flush()
            return super().run(images)

    features._make_room = lambda needed_bytes: None
    with pytest.raises(CacheFullError, match=r"is full: 0\.0 MB more were needed, the disk has 0\.0 MB free"):
        extract(job.source(), VIEWS, Filling(job), features, show_progress=False)
    (folder / "ballast").unlink()
    assert features.row_count == 5 * BATCH
    extract(job.source(), VIEWS, NotingEngine(job), features, show_progress=False)
    del features
    assert job.rows() == undisturbed


# -- a damaged row ---------------------------------------------------------------------------------------------


def flip_a_byte(job, features):
    """Changes one byte of a row where it lies in the file, and in older copies of its page; nobody has it open."""
    (file,) = (job.cache / "features").glob("*/data.mdb")
    content = file.read_bytes()
    whole = features.tobytes()
    flipped = whole[:100] + bytes([whole[100] ^ 4]) + whole[101:]
    assert whole in content
    file.write_bytes(content.replace(whole, flipped))


def test_a_flipped_byte_is_found_and_the_row_computed_anew(job, undisturbed):
    source, wanted = job.source(), [(index, view) for index in range(12) for view in range(VIEWS)]
    keys = [row_key(source.content_digests()[index], view) for index, view in wanted]
    extract(source, VIEWS, NotingEngine(job), job.features(), show_progress=False)
    (expected,) = job.features().read(keys)
    for number in (7, 30):
        flip_a_byte(job, expected[number])
    with pytest.raises(CacheError, match=r"2 of 48 rows of features in .* are missing or damaged\. Run the training"):
        job.features().read(keys)
    engine = NotingEngine(make_job(job.images, job.notes, "healed"))

    def read_and_heal():
        features = job.features()
        return features.read(keys, lambda lost: heal(source, [wanted[place] for place in lost], engine, features))[0]

    with pytest.warns(
        UserWarning, match=r"Rows of features in .* were damaged or missing, and were computed anew: 2\."
    ):
        np.testing.assert_array_equal(read_and_heal(), expected)
    np.testing.assert_array_equal(read_and_heal(), expected)
    assert job.rows() == undisturbed


# -- values that do not fit ------------------------------------------------------------------------------------


def test_rows_with_values_too_large_for_float16_are_kept_exactly_and_counted(job):
    class Bright(NotingEngine):
        """The brightest pixels of the images become larger than 65,504, the largest float16."""

        def run(self, images):
            return [super().run(images)[0] * factor]

    source = job.source()
    factor = np.float32(65_520 / 2 / 200)
    features = FeatureCache(job.cache).features({"prefix": "bright"}, [SPEC], storage="float16")
    done = extract(source, VIEWS, Bright(job), features, show_progress=False)
    wanted = [(index, view) for index in range(12) for view in range(VIEWS)]
    exact = np.stack([source.image(index, view).astype(np.float32) * 2 for index, view in wanted]) * factor
    # From halfway to the next power of two on, a number rounds to infinity.
    is_large = (exact >= 65_520).any(axis=(1, 2, 3))
    assert 0 < is_large.sum() < len(wanted)
    assert done.kept_in_float32 == is_large.sum()
    assert str(done).endswith(f"; {is_large.sum()} kept in float32, because values are too large for float16")
    (read,) = features.read([row_key(source.content_digests()[index], view) for index, view in wanted])
    np.testing.assert_array_equal(read[is_large], exact[is_large])
    np.testing.assert_array_equal(read[~is_large], exact[~is_large].astype(np.float16).astype(np.float32))
