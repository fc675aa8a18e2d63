"""What a check found is remembered: reasons and good files, for one decoding, as long as the file stays the same."""

from pathlib import Path

import cv2
import pytest

import thawline as tl
from old_files import DECODING, age, digests, true_digests
from thawline.data import check as check_module
from thawline.data.check import check_images
from thawline.data.decode import Decoding


def check(paths, decoding=DECODING):
    return check_images(paths, decoding, show_progress=False)


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded to be checked."""
    names = []
    original = check_module.decode

    def decode(data, decoding, *, name):
        names.append(Path(name))
        return original(data, decoding, name=name)

    monkeypatch.setattr(check_module, "decode", decode)
    return names


@pytest.fixture
def bad(old_images):
    """The images and two files that are none."""
    cut, text = old_images[0].with_name("cut.png"), old_images[0].with_name("text.png")
    cut.write_bytes(old_images[0].read_bytes()[:-30])
    text.write_text("no image")
    age([cut, text])
    return [*old_images, cut, text]


def test_reasons_are_remembered_and_nothing_is_read_or_decoded_again(bad, decoded, monkeypatch):
    first = check(bad)
    assert [path.name for path, _ in first] == ["cut.png", "text.png"]
    assert sorted(decoded) == sorted(bad)
    decoded.clear()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert check(bad) == first
    assert check(bad[::-1]) == first[::-1]
    assert decoded == []


def test_a_check_gives_the_digests_too(bad, files_read):
    check(bad)
    assert digests(bad) == true_digests(bad)
    assert files_read == []


def test_another_decoding_or_version_checks_anew(bad, decoded, monkeypatch):
    check(bad)
    for decoding in (Decoding((9, 8)), Decoding((8, 8), "grayscale"), Decoding((8, 8), max_pixels=63)):
        decoded.clear()
        check(bad, decoding)
        assert sorted(decoded) == sorted(bad)
    # All have 64 pixels; the first decoding was not asked anew because of the last.
    assert len(check(bad, Decoding((8, 8), max_pixels=63))) == 8
    assert len(check(bad)) == 2
    for name, thing in (("__version__", cv2), ("__version__", check_module)):
        decoded.clear()
        with monkeypatch.context() as changed:
            changed.setattr(thing, name, "0.0")
            check(bad)
        assert sorted(decoded) == sorted(bad)


def test_a_file_that_was_mended_is_checked_anew(bad, decoded):
    check(bad)
    bad[-1].write_bytes(bad[0].read_bytes())
    decoded.clear()
    assert [path.name for path, _ in check(bad)] == ["cut.png"]
    assert decoded == [bad[-1]]


def test_a_source_that_skips_starts_without_a_look_at_the_files(bad, decoded, files_read):
    folder = bad[0].parents[1]

    def opened():
        with pytest.warns(UserWarning, match="2 of 8 images cannot be decoded and are left out"):
            return tl.ImageFolder(folder, image_size=(8, 8), on_error="skip")

    first = opened()
    decoded.clear()
    assert opened().unreadable == first.unreadable
    assert decoded == []


def test_what_may_be_otherwise_the_next_time_is_not_remembered(old_images, decoded, monkeypatch):
    (old_images[0].parent / "folder.png").mkdir()
    age([old_images[0].parent / "folder.png"])
    for _ in range(2):
        assert check([old_images[0].parent / "folder.png"])[0][1] == "cannot be read: Is a directory. Check the file."

    def out_of_memory(*given):
        raise MemoryError

    with monkeypatch.context() as changed:
        changed.setattr("thawline.data.decode._read_pixels", out_of_memory)
        assert len(check(old_images)) == 6
    assert check(old_images) == []
