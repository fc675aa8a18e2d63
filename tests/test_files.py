"""Files written whole or not at all."""

import os

import pytest

from thawline.files import replacing, write_text


def test_the_file_is_there_when_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_file_lies_beside_the_target_with_its_suffixes(tmp_path):
    target = tmp_path / "new" / "folder" / "stack.weights.h5"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".weights.h5")
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"x")
    assert target.read_bytes() == b"x"


def test_what_was_written_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")
    synced = []

    def sync(descriptor):
        assert target.read_text() == "old"
        synced.append(os.pread(descriptor, 10, 0))

    monkeypatch.setattr(os, "fsync", sync)
    write_text(target, "whole")
    assert synced == [b"whole"]
    assert target.read_text() == "whole"


def test_a_long_name_still_fits(tmp_path):
    target = tmp_path / ("x" * 250 + ".txt")
    write_text(target, "long")
    assert target.read_text() == "long"


def test_permissions_are_those_of_a_file_written_directly(tmp_path):
    (tmp_path / "direct").write_text("")
    write_text(tmp_path / "replaced", "")
    assert (tmp_path / "replaced").stat().st_mode == (tmp_path / "direct").stat().st_mode


def test_text_is_written_as_utf_8(tmp_path):
    write_text(tmp_path / "a.txt", "größer ≥")
    assert (tmp_path / "a.txt").read_bytes() == "größer ≥".encode()
