"""on_error: what happens to files that cannot be decoded."""

import pytest

import thawline as tl
from thawline.errors import ArgumentError, DataError, UnreadableImageError


@pytest.fixture
def folder(image_folder):
    """Two classes of three images, and two files that are none."""
    made = image_folder({"a": 3, "b": 3}, size=(8, 8))
    (made / "a" / "text.png").write_text("no image")
    whole = (made / "b" / "000.png").read_bytes()
    (made / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    return made


def test_raise_names_the_first_bad_file(folder):
    images = tl.ImageFolder(folder, image_size=(8, 8))
    with pytest.raises(UnreadableImageError, match=r"text\.png: expected an image"):
        list(images.batches(shuffle=False))


def test_skip_leaves_the_bad_ones_out_and_lists_them_with_reasons(folder):
    with pytest.warns(UserWarning, match=r"2 of 8 images cannot be decoded and are left out, first .*text\.png"):
        images = tl.ImageFolder(folder, image_size=(8, 8), on_error="skip")
    assert [path.name for path, _ in images.unreadable] == ["text.png", "cut.png"]
    assert all(reason for _, reason in images.unreadable)
    assert images.class_counts == {"a": 3, "b": 3}
    seen = [path.name for batch in images.batches() for path in batch.paths]
    assert sorted(seen) == ["000.png", "000.png", "001.png", "001.png", "002.png", "002.png"]
    assert images.augment(horizontal_flip=True).unreadable == images.unreadable


def test_skip_says_nothing_where_all_is_well(image_folder):
    assert tl.ImageFolder(image_folder(2), image_size=(8, 8), on_error="skip").unreadable == ()


def test_files_and_tables_know_it_too(folder, tmp_path):
    with pytest.warns(UserWarning, match="1 of 4 images"):
        files = tl.ImageFiles([folder / "a"], image_size=(8, 8), on_error="skip")
    assert len(files) == 3
    table = tmp_path / "table.csv"
    table.write_text("filename,class\na/000.png,x\na/text.png,y\na/001.png,y\n")
    with pytest.warns(UserWarning, match="1 of 3 images"):
        frame = tl.ImageFrame(table, directory=folder, image_size=(8, 8), on_error="skip")
    assert [frame.class_names[label] for label in frame.labels] == ["x", "y"]


def test_nothing_left_is_an_error(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(DataError, match=r"None of 1 images can be decoded, first .*bad\.png"):
        tl.ImageFiles([tmp_path], on_error="skip")


def test_another_word_is_refused(folder):
    with pytest.raises(ArgumentError, match="on_error is 'raise' or 'skip'; got 'ignore'"):
        tl.ImageFolder(folder, on_error="ignore")
