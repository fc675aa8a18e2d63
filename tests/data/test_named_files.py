"""Names in tables that are not those of the files to the letter."""

import os
import unicodedata
from pathlib import Path

import pandas
import pytest

from thawline.data.sources.named_files import named_files
from thawline.errors import DataError

FILES = (
    "0.png",
    "1.PNG",
    "b/x.jpg",
    "b/\u00e9t\u00e9.png",
    "b/1.5.png",
    "b/same.png",
    "b/same.jpg",
    "b/0007.png",
    "b/note.txt",
)


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("0", "0.png"),
        (0, "0.png"),
        (0.0, "0.png"),
        ("1.png", "1.PNG"),
        ("0.png ", "0.png"),
        (" 0", "0.png"),
        ("b\\x.jpg", "b/x.jpg"),
        ("B/X.JPG", "b/x.jpg"),
        ("b/X", "b/x.jpg"),
        (" b / x.jpg", "b/x.jpg"),
        (unicodedata.normalize("NFD", "b/\u00e9t\u00e9.png"), "b/\u00e9t\u00e9.png"),
        ("b/1.5", "b/1.5.png"),
        ("./b//x", "b/x.jpg"),
    ],
)
def test_the_only_file_that_fits_is_taken_and_told(folder, name, file):
    with pytest.warns(
        UserWarning, match=r"1 of 1 names in column 'id' are not written as their files are .*taken: for"
    ):
        assert named_files([name], folder, "id") == [folder / file]


def test_absolute_names_are_looked_up_as_well(folder):
    with pytest.warns(UserWarning, match="1 of 2 names"):
        found = named_files([str(folder / "b" / "X"), str(folder / "0.png")], Path("elsewhere"), "id")
    assert found == [folder / "b/x.jpg", folder / "0.png"]


def test_names_of_files_are_taken_as_they_are_without_a_word(folder):
    assert named_files(["b/same.png", "b/same.jpg", Path("0.png"), "b/note.txt"], folder, "id") == [
        folder / name for name in ("b/same.png", "b/same.jpg", "0.png", "b/note.txt")
    ]


def test_folders_are_listed_once_and_only_for_names_that_are_not_there(folder, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    named_files(["0.png", "b/x.jpg"], folder, "id")
    assert listed == []
    with pytest.warns(UserWarning, match="3 of 4 names"):
        named_files(["b/x", "b/0007", "b/1.5", "0.png"], folder, "id")
    assert listed == [folder / "b"]


def test_two_files_for_a_name_are_both_named(folder):
    with pytest.raises(
        DataError, match=r"Row 1 has 'b/same' in column 'id', which both '.*same\.jpg' and '.*same\.png' fit"
    ):
        named_files(["0.png", "b/same"], folder, "id")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("b/x.png", r"'.*/b/x\.jpg' lies there\. Give the folder"),
        ("b/7", r"'.*/b/0007\.png' lies there\."),
        ("b/note", r"first '.*/b/note'\. Give the folder"),
        ("c/x.jpg", r"first '.*/c/x\.jpg'\. Give the folder that they lie in as directory="),
        ("..", r"first '.*/\.\.'\. Give the folder"),
    ],
)
def test_missing_files_are_refused_with_what_lies_there(folder, name, hint):
    with pytest.raises(DataError, match=rf"1 of 2 files of column 'id' are missing, .*{hint}"):
        named_files(["0.png", name], folder, "id")


def test_cells_without_a_name_are_counted(folder):
    with pytest.raises(DataError, match=r"3 of 4 rows have no file in column 'id', first row 1\. Fill it in or leave"):
        named_files(["0.png", pandas.NA, float("nan"), " "], folder, "id")


def test_a_folder_that_cannot_be_listed_is_an_error(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="cannot be listed: Permission denied"):
        named_files(["b/X"], folder, "id")
