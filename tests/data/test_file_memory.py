"""The memory of files: what is known is not read again, what may have changed is, and no fault of it breaks a run."""

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

import thawline as tl
from old_files import DECODING, OLD_NS, age, digests, true_digests
from thawline.data import file_memory as module
from thawline.data.check import check_images
from thawline.data.file_memory import DIGEST, FileMemory, default_memory_path, read_watched
from thawline.data.pixels import CachedPictures, DiskPixels
from thawline.data.sources import pictures as pictures_module
from thawline.data.sources.pictures import FilePictures
from thawline.errors import ImageChangedError
from thawline.store import Kind, open_store

SOURCE = Path(tl.__file__).parents[1]


# -- digests -----------------------------------------------------------------------------------------------------


def test_a_second_instance_reads_no_file(old_images, files_read):
    assert digests(old_images) == true_digests(old_images)
    assert sorted(files_read) == old_images
    files_read.clear()
    assert digests(old_images) == true_digests(old_images)
    assert files_read == []


def test_a_second_process_reads_no_file(old_images):
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from thawline.data.decode import Decoding; from thawline.data.sources import pictures\n"
        "read, original = [], pictures._read\n"
        "pictures._read = lambda path: (read.append(path), original(path))[1]\n"
        "paths = [Path(name) for name in sys.argv[1:]]\n"
        "found = pictures.FilePictures(paths, Decoding((8, 8))).digests(np.arange(len(paths)))\n"
        "print(len(read), b''.join(found).hex())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, *old_images], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    content = b"".join(true_digests(old_images)).hex()
    assert [answer.stdout.split() for answer in answers] == [["6", content], ["0", content]]
    assert answers[1].stderr == ""


def test_a_split_by_content_of_a_later_run_reads_no_file(image_folder, files_read):
    folder = image_folder(2, count=10)
    age(folder.rglob("*.png"))
    first = [side.paths for side in tl.ImageFolder(folder, image_size=(8, 8), seed=1).split(0.3)]
    files_read.clear()
    assert [side.paths for side in tl.ImageFolder(folder, image_size=(8, 8), seed=1).split(0.3)] == first
    assert files_read == []


def test_names_relative_to_another_folder_are_other_files(old_images, files_read, monkeypatch, tmp_path):
    monkeypatch.chdir(old_images[0].parent)
    digests([Path("000.png")])
    monkeypatch.chdir(old_images[-1].parent)
    age([Path("000.png")])
    assert digests([Path("000.png")]) == true_digests([old_images[3]])
    monkeypatch.chdir(old_images[0].parent)
    files_read.clear()
    assert digests([Path("000.png").absolute()]) == true_digests(old_images[:1])
    assert files_read == []


def test_only_changed_renamed_and_new_files_are_read(old_images, files_read):
    digests(old_images)
    edited, grown, touched, renamed, replaced, kept = old_images
    edited.write_bytes(edited.read_bytes()[::-1])
    age([edited], OLD_NS + 1)
    grown.write_bytes(grown.read_bytes() + b"more")
    age([grown])
    os.utime(touched)
    new = renamed.rename(renamed.with_name("new.png"))
    # Another file of the same size and time in its place, as a copy with its times would be.
    copy = replaced.with_name("copy.png")
    copy.write_bytes(replaced.read_bytes()[::-1])
    age([copy])
    copy.replace(replaced)
    files_read.clear()
    now = [edited, grown, touched, new, replaced, kept]
    assert digests(now) == true_digests(now)
    assert sorted(files_read) == sorted([edited, grown, touched, new, replaced])


def other_content(path):
    """Writes another picture into a file of the same size, and sets its time back."""
    size = path.stat().st_size
    grey = cv2.imencode(".png", np.full((8, 8, 3), 9, np.uint8))[1].tobytes()
    # What follows a PNG's end is passed over.
    path.write_bytes(grey.ljust(size))
    age([path])
    assert path.stat().st_size == size


def test_other_content_of_the_same_size_and_time_is_read(old_images, files_read):
    digests(old_images)
    other_content(old_images[0])
    files_read.clear()
    assert digests(old_images) == true_digests(old_images)
    assert files_read == [old_images[0]]


def test_two_files_that_change_places_with_their_times_are_read(old_images):
    before, aside = digests(old_images[:2]), old_images[0].with_name("aside.ppm")
    for source, target in ((old_images[0], aside), (old_images[1], old_images[0]), (aside, old_images[1])):
        # Both are of one size, as uncompressed images are.
        target.write_bytes(source.read_bytes().ljust(4096))
        age([target])
    assert digests(old_images[:2]) == true_digests(old_images[:2]) != before


def test_content_written_into_a_file_within_the_tick_of_its_reading_is_read(tmp_path):
    path = tmp_path / "fresh.ppm"
    for number in range(5):
        path.write_bytes(b"%d" % number)
        age([path])
        # Read at once after the change, and changed again at once after the reading.
        assert digests([path]) == true_digests([path])


def test_changed_rights_alone_cost_one_reading(old_images, files_read):
    digests(old_images)
    old_images[0].chmod(0o640)
    files_read.clear()
    for _ in range(2):
        assert digests(old_images) == true_digests(old_images)
    assert files_read == [old_images[0]]


def test_one_file_that_is_another_makes_all_of_its_source_be_forgotten(old_images, monkeypatch):
    # As where the system's clock was set back, or on a file system without ctime.
    status = module._status
    monkeypatch.setattr(module, "_status", lambda path: status(path)._replace(ctime_ns=OLD_NS))
    before = digests(old_images)
    other_content(old_images[0])
    other_content(old_images[3])
    forged = FilePictures(old_images, DECODING)
    assert forged.digests(np.arange(6), show_progress=False) == before
    with pytest.raises(ImageChangedError, match=r"000\.png: the file changed .* Start again .* another run\.name"):
        forged.pixels(0)
    # Starting again helps, for the second file as well.
    assert digests(old_images) == true_digests(old_images)
    again = FilePictures(old_images, DECODING)
    again.digests(np.arange(6), show_progress=False)
    assert again.pixels(0)[0].max() == again.pixels(3)[0].max() == 9


def test_a_file_that_is_gone_is_an_error_as_ever(old_images):
    digests(old_images)
    old_images[1].unlink()
    with pytest.raises(tl.errors.UnreadableImageError, match=r"001\.png: cannot be read"):
        digests(old_images)


def test_files_that_cannot_be_read_are_tried_again(tmp_path, files_read):
    (tmp_path / "folder.png").mkdir()
    age([tmp_path / "folder.png"])
    told = []
    for _ in range(2):
        digests([tmp_path / "folder.png"], failed=lambda row, error: told.append(str(error)))
    assert len(told) == len(files_read) == 2


def test_what_was_read_before_an_interruption_is_kept(old_images, monkeypatch):
    original = pictures_module._digest_file

    def interrupted(path):
        if path == old_images[4]:
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(pictures_module, "_digest_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        digests(old_images)
    assert set(FileMemory().recall(old_images, DIGEST)) == set(old_images[:4])


def test_nothing_is_shown_when_nothing_is_read(old_images, monkeypatch):
    totals = []
    original = pictures_module.progress
    monkeypatch.setattr(
        pictures_module, "progress", lambda *given, **named: (totals.append(given), original(*given, **named))[1]
    )
    for _ in range(2):
        FilePictures(old_images, DECODING).digests(np.arange(6))
    # Of nothing, no progress is shown.
    assert totals == [("reading", 6), ("reading", 0)]


def test_pixels_on_disk_of_a_later_run_need_no_file(old_images, files_read, tmp_path):
    def all_pixels():
        pictures = CachedPictures(FilePictures(old_images, DECODING), DiskPixels(tmp_path / "pixels"))
        return [pictures.pixels(row)[0] for row in range(6)]

    first = all_pixels()
    files_read.clear()
    np.testing.assert_array_equal(all_pixels(), first)
    assert files_read == []


# -- files that may change within a tick -------------------------------------------------------------------------


@pytest.mark.parametrize(("age_ns", "is_kept"), [(1_999_999_999, False), (2_000_000_000, True), (-1, False)])
def test_a_file_that_changed_just_before_it_was_read_is_not_remembered(old_images, monkeypatch, age_ns, is_kept):
    status = module._status
    monkeypatch.setattr(module, "_status", lambda path: status(path)._replace(ctime_ns=0))
    monkeypatch.setattr(module.time, "time_ns", lambda: OLD_NS + age_ns)
    digests(old_images)
    assert len(FileMemory().recall(old_images, DIGEST)) == (6 if is_kept else 0)


def test_a_file_that_changes_while_it_is_read_is_not_remembered(old_images):
    def read(path):
        data = path.read_bytes()
        path.write_bytes(data + b"more")
        age([path])
        return data

    made, stamp = read_watched(old_images[0], read)
    assert (made + b"more", stamp) == (old_images[0].read_bytes(), None)
    assert read_watched(old_images[1], Path.read_bytes)[1] is not None
    assert read_watched(old_images[1].with_name("gone.png"), str)[1] is None


# -- the memory itself -------------------------------------------------------------------------------------------


def test_it_lies_beside_the_feature_cache_and_asking_alone_makes_no_folder(own_cache, old_images):
    assert FileMemory().path == default_memory_path() == own_cache.resolve() / "files"
    assert FileMemory().recall(old_images, DIGEST) == {}
    FileMemory().forget(old_images[:1], DIGEST)
    assert not FileMemory().path.exists()


def test_topics_do_not_meet(old_images):
    memory = FileMemory()
    stamp = read_watched(old_images[0], str)[1]
    memory.keep(stamp, b"a", b"1")
    memory.keep(stamp, b"ab", b"2")
    memory.keep(stamp, b"c", b"")
    memory.flush()
    found = [memory.recall(old_images[:2], topic) for topic in (b"a", b"ab", b"c", b"abc")]
    assert found == [{old_images[0]: b"1"}, {old_images[0]: b"2"}, {old_images[0]: b""}, {}]
    memory.forget(old_images[:1], b"a")
    assert memory.recall(old_images[:1], b"a") == {}
    assert memory.recall(old_images[:1], b"ab") == {old_images[0]: b"2"}


def test_what_waits_is_written_when_there_is_enough_and_when_the_memory_is_let_go(old_images, monkeypatch):
    monkeypatch.setattr(module, "_WRITE_ROWS", 4)
    memory = FileMemory()
    for path in old_images:
        memory.keep(read_watched(path, str)[1], DIGEST, b"content")
    assert set(FileMemory().recall(old_images, DIGEST)) == set(old_images[:4])
    del memory
    assert set(FileMemory().recall(old_images, DIGEST)) == set(old_images)


def test_single_files_share_a_transaction_and_are_written_at_the_end(old_images, monkeypatch):
    pictures = FilePictures(old_images, DECODING)
    for row in range(6):
        pictures.digests(np.array([row]), show_progress=False)
    assert FileMemory().recall(old_images, DIGEST) == {}
    del pictures
    assert set(FileMemory().recall(old_images, DIGEST)) == set(old_images)


def test_it_starts_anew_when_it_has_grown_too_large(old_images, monkeypatch):
    # The format takes one row.
    monkeypatch.setattr(module, "_MOST_ROWS", 5)
    digests(old_images[:4])
    digests(old_images[:4])
    assert set(FileMemory().recall(old_images, DIGEST)) == set(old_images[:4])
    digests(old_images[4:])
    assert set(FileMemory().recall(old_images, DIGEST)) == set(old_images[4:])


def test_it_goes_along_when_pictures_are_copied_as_for_another_process(old_images, files_read):
    digests(old_images)
    files_read.clear()
    assert copy.deepcopy(FilePictures(old_images, DECODING)).digests(np.arange(6)) == true_digests(old_images)
    assert files_read == []


def test_two_processes_at_once_both_end_right(image_folder):
    folder = image_folder(1, count=60)
    paths = sorted(folder.rglob("*.png"))
    age(paths)
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from thawline.data import file_memory; file_memory._WRITE_ROWS = 3\n"
        "from thawline.data.decode import Decoding; from thawline.data.sources.pictures import FilePictures\n"
        "paths = sorted(Path(sys.argv[1]).rglob('*.png'))\n"
        "print(b''.join(FilePictures(paths, Decoding((8, 8))).digests(np.arange(60))).hex())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, folder], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    content = b"".join(true_digests(paths)).hex()
    assert [process.communicate()[0].strip() for process in running] == [content, content]
    assert [process.returncode for process in running] == [0, 0]
    assert FileMemory().recall(paths, DIGEST) == dict(zip(paths, true_digests(paths), strict=True))


# -- what can be wrong with it -----------------------------------------------------------------------------------


def no_database(folder):
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"something else" * 1000)


def no_folder(folder):
    folder.write_text("a file")


def other_format(folder):
    with open_store(folder, Kind("memory of files", "", 99)).reading():
        pass


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_database, r"cannot be opened: .*Name another folder \(THAWLINE_CACHE\), or delete this one"),
        (no_folder, r"cannot be opened: .*delete this one"),
        (other_format, r"has format 99; this thawline reads 1\. Name another folder \(THAWLINE_CACHE\), or delete"),
    ],
)
def test_a_memory_that_cannot_be_used_is_told_once_and_done_without(spoil, reason, old_images, own_cache):
    spoil(own_cache / "files")
    with pytest.warns(UserWarning, match=r"^Files are read anew, because .*" + reason) as warned:
        assert digests(old_images) == true_digests(old_images)
    assert len(warned) == 1
    # Warnings are errors here.
    assert digests(old_images) == true_digests(old_images)
    assert check_images(old_images, DECODING, show_progress=False) == []


def test_pages_without_content_are_told_once_and_done_without(old_images, own_cache):
    digests(old_images)
    data = own_cache / "files" / "data.mdb"
    # The first two pages say where the others are.
    data.write_bytes(data.read_bytes()[:8192].ljust(data.stat().st_size, b"\0"))
    with pytest.warns(UserWarning, match="Files are read anew, because .*delete") as warned:
        assert digests(old_images) == true_digests(old_images)
    assert len(warned) == 1
    assert digests(old_images) == true_digests(old_images)


def test_a_memory_that_was_cut_off_is_told_once_and_done_without(old_images, own_cache):
    digests(old_images)
    data = own_cache / "files" / "data.mdb"
    os.truncate(data, 8192)
    with pytest.warns(UserWarning, match="Files are read anew, because .*delete"):
        assert digests(old_images) == true_digests(old_images)


def test_a_damaged_row_is_read_anew_and_mended(old_images, files_read):
    digests(old_images)
    with open_store(default_memory_path(), Kind("memory of files", "", 1)).writing() as transaction:
        key = module._key(module._stamp(old_images[2]), DIGEST)
        row = bytearray(transaction.get(key))
        row[3] ^= 1
        transaction.put(key, bytes(row))
    for expected in ([old_images[2]], []):
        files_read.clear()
        assert digests(old_images) == true_digests(old_images)
        assert files_read == expected


def test_a_folder_that_nobody_may_write_into_is_no_reason_to_say_anything(old_images, own_cache, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(module.os, "access", lambda path, mode: mode != os.W_OK and allowed(path, mode))
    assert digests(old_images) == true_digests(old_images)
    assert check_images(old_images, DECODING, show_progress=False) == []
    assert not (own_cache / "files").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_folder_without_rights_is_done_without(old_images, own_cache):
    own_cache.chmod(0o500)
    try:
        assert digests(old_images) == true_digests(old_images)
    finally:
        own_cache.chmod(0o700)


def test_a_full_disk_is_told_once_and_what_is_kept_stays(old_images, files_read, monkeypatch):
    digests(old_images[:3])
    usage = module.Store._most_bytes
    monkeypatch.setattr(module.Store, "_most_bytes", lambda store: min(usage(store), store._stored_bytes()))
    many = [old_images[0].with_name(f"{number}.jpg") for number in range(3000)]
    for path in many:
        path.write_bytes(b"")
    age(many)
    with pytest.warns(UserWarning, match=r"Files are read anew, .*The memory of files .* is full: ") as warned:
        digests([*old_images, *many])
    assert len(warned) == 1
    files_read.clear()
    module._given_up.clear()
    assert digests(old_images[:3]) == true_digests(old_images[:3])
    assert files_read == []


def test_the_memory_may_be_deleted_while_it_is_in_use(old_images, own_cache):
    pictures = FilePictures(old_images, DECODING)
    pictures.digests(np.arange(3), show_progress=False)
    for path in (own_cache / "files").iterdir():
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pictures.digests(np.arange(6), show_progress=False) == true_digests(old_images)
    del pictures
    assert digests(old_images) == true_digests(old_images)
