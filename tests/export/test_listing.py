"""What words on the command line stand for: files, folders, patterns and lines of the standard input."""

import io

import pytest

from thawline.export import listing
from thawline.export.listing import list_files


@pytest.fixture
def folder(tmp_path):
    """Three images, a text and a hidden image, in two folders."""
    for name in ("b.png", "a.jpg", "notes.txt", ".hidden.png", "inner/c.PNG", ".cache/d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def names(words, lines=None):
    return [path.name for path in list_files(map(str, words), lines)]


def test_a_folder_gives_its_images_sorted_and_then_those_of_the_folders_inside(folder):
    assert names([folder]) == ["a.jpg", "b.png", "c.PNG"]


def test_a_file_is_taken_whatever_its_name_and_whether_it_exists(folder):
    assert names([folder / "notes.txt", folder / "none.jpg"]) == ["notes.txt", "none.jpg"]


def test_a_pattern_gives_the_files_that_match(folder):
    assert names([folder / "*.png"]) == ["b.png"]
    assert names([folder / "*.*"]) == ["a.jpg", "b.png", "notes.txt"]
    assert sorted(names([folder / "**" / "*.[pP][nN][gG]"])) == ["b.png", "c.PNG"]
    assert "inner" not in names([folder / "*"])


def test_a_pattern_without_matches_is_given_as_it_stands(folder):
    assert names([folder / "*.tif"]) == ["*.tif"]


def test_a_name_that_looks_like_a_pattern_is_a_file_when_there_is_one(folder):
    (folder / "photo[1].png").write_bytes(b"")
    assert names([folder / "photo[1].png"]) == ["photo[1].png"]


def test_lines_of_the_input_are_files_and_folders(folder):
    lines = io.StringIO(f"{folder / 'b.png'}\n\n{folder / 'inner'}\r\n{folder / 'with space.jpg'}")
    assert names(["-"], lines) == ["b.png", "c.PNG", "with space.jpg"]


def test_lines_are_read_as_they_are_needed(folder):
    def lines():
        yield str(folder / "b.png")
        raise AssertionError("read too far")

    assert next(list_files(["-"], lines())).name == "b.png"


def test_links_in_a_circle_end(folder):
    (folder / "inner" / "back").symlink_to(folder)
    assert names([folder]) == ["a.jpg", "b.png", "c.PNG"]


def test_a_folder_with_more_entries_than_are_sorted_gives_them_all(folder, monkeypatch):
    monkeypatch.setattr(listing, "SORTED_ENTRIES", 2)
    assert sorted(names([folder])) == ["a.jpg", "b.png", "c.PNG"]


# -- names and folders that the system refuses -------------------------------------------------------------------


def test_a_name_that_cannot_be_one_is_given_and_what_follows_too(folder):
    lines = io.StringIO(f"{'x' * 300}\na\0b\n{folder / 'b.png'}\n")
    given = names(["-", "y" * 300, folder / "b.png"], lines)
    assert [name[:3] for name in given] == ["xxx", "a\0b", "b.p", "yyy", "b.p"]


@pytest.mark.parametrize("call", range(2))
def test_a_folder_that_cannot_be_listed_is_given_and_what_follows_too(folder, monkeypatch, call):
    listed, original = [], listing.os.scandir

    def scandir(path):
        listed.append(path)
        if len(listed) == call + 1:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    (folder / "last").mkdir()
    (folder / "last" / "e.png").write_bytes(b"")
    monkeypatch.setattr(listing.os, "scandir", scandir)
    given = names([folder, folder / "b.png"])
    assert given == [[folder.name, "b.png"], ["a.jpg", "b.png", "inner", "e.png", "b.png"]][call]


def test_a_folder_that_breaks_off_gives_what_it_gave_and_itself(folder, monkeypatch):
    def broken(things, key):
        yield next(iter(sorted(things, key=key)[1:]))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(listing, "_sorted_if_few", broken)
    assert names([folder])[-1] == folder.name


def test_a_name_that_ends_in_a_carriage_return_is_found(folder):
    (folder / "odd.png\r").write_bytes(b"")
    lines = io.StringIO(f"{folder / 'odd.png'}\r\n{folder / 'b.png'}\r\n", newline="\n")
    assert names(["-"], lines) == ["odd.png\r", "b.png"]
