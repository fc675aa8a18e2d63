"""The store on the ground floor: what it holds is named in its errors. What it keeps is tested by its caches."""

import pytest

from thawline.errors import ArgumentError, CacheError
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
