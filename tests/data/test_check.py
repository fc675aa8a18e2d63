"""A folder of everything that can be wrong: what is decoded, what is listed, and why."""

import csv
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from odd_files import BAD, GOOD, PICTURE
from thawline.data.check import check_images, write_skipped
from thawline.data.decode import Decoding, decode

DECODING = Decoding((16, 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good and bad files, and a name without a file."""
    path = tmp_path_factory.mktemp("images")
    for name, make in GOOD.items():
        (path / name).write_bytes(make())
    for name, (make, _) in BAD.items():
        (path / name).write_bytes(make())
    return path


def test_every_bad_file_is_listed_with_its_reason_in_order_and_no_good_one(folder):
    paths = sorted(folder.iterdir())
    assert len(paths) == len(GOOD) + len(BAD)
    bad = check_images(paths, DECODING, show_progress=False)
    # How many bytes were left over is Pillow's affair.
    found = [(path.name, re.sub(r" \(\d+ bytes not processed\)", "", reason)) for path, reason in bad]
    assert found == [(name, BAD[name][1]) for name in sorted(BAD)]


def test_the_good_ones_are_what_they_should_be(folder):
    """Each against the picture that went in, decoded at its own size."""

    def read(name, size=(24, 32), **options):
        return decode((folder / name).read_bytes(), Decoding(size, **options)).astype(int)

    def pillow(name, mode):
        with Image.open(folder / name) as image:
            return np.asarray(image.convert(mode)).astype(int)

    # OpenCV wrote it, blue first.
    np.testing.assert_array_equal(read("16 bits.png"), PICTURE[..., ::-1])
    first = pillow("animated.gif", "RGB")
    np.testing.assert_array_equal(read("animated.gif"), first)
    inks = pillow("cmyk.jpg", "RGB")
    np.testing.assert_array_equal(read("cmyk.jpg"), inks)
    four = pillow("palette.png", "RGBA") / 255
    over_white = four[..., :3] * four[..., 3:] + 1 - four[..., 3:]
    np.testing.assert_array_equal(read("palette.png"), (255 * over_white).round())
    upright = np.rot90(pillow("rotated.jpg", "RGB"), -1)
    assert np.abs(read("rotated.jpg", (32, 24)) - upright).max() <= 1


def test_the_huge_file_is_small_and_refused_without_making_room_for_its_pixels(folder):
    huge = folder / "30000 squared.png"
    assert huge.stat().st_size < 200_000
    tracemalloc.start()
    try:
        assert len(check_images([huge], DECODING, show_progress=False)) == 1
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_files_that_cannot_be_read_are_listed_too(tmp_path):
    (tmp_path / "folder.png").mkdir()
    bad = check_images([tmp_path / "gone.png", tmp_path / "folder.png"], DECODING, show_progress=False)
    assert bad == [
        (tmp_path / "gone.png", "cannot be read: No such file or directory. Check the file."),
        (tmp_path / "folder.png", "cannot be read: Is a directory. Check the file."),
    ]


def test_nothing_to_check_is_nothing_bad():
    assert check_images([], DECODING) == []


def test_skipped_files_are_written_as_csv_that_reads_back(tmp_path):
    bad = [(tmp_path / 'a, "b".jpg', "cut off, or damaged."), (tmp_path / "ö.png", "the file is empty.")]
    target = tmp_path / "run" / "skipped.csv"
    write_skipped(target, bad)
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "reason"], *[[str(path), reason] for path, reason in bad]]
    assert [path.name for path in target.parent.iterdir()] == ["skipped.csv"]


def test_a_list_that_fails_in_the_middle_leaves_the_old_one(tmp_path):
    target = tmp_path / "skipped.csv"
    write_skipped(target, [])

    def failing():
        yield tmp_path / "a.png", "the file is empty."
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_skipped(target, failing())
    assert target.read_text() == "path,reason\n"
    assert list(tmp_path.iterdir()) == [target]
