"""ImageFolder: symbolic links, nested classes, and roots that are split already."""

import shutil

import pytest

from thawline.data.sources.folder import ImageFolder
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

SIZE = {"image_size": (8, 8)}


def test_links_are_entered_on_request_and_circles_end(image_folder):
    folder = image_folder({"a": 1, "b": 1})
    other = image_folder({"x": 2}, name="elsewhere", seed=1)
    (folder / "a" / "linked").symlink_to(other / "x")
    (folder / "a" / "round").symlink_to(folder / "a")
    (other / "x" / "back").symlink_to(folder / "a")
    (folder / "b" / "round").symlink_to(folder)
    assert ImageFolder(folder, **SIZE).class_counts == {"a": 1, "b": 1}
    source = ImageFolder(folder, follow_links=True, classes=["a"], label_mode="none", **SIZE)
    assert [str(path.relative_to(folder)) for path in source.paths] == [
        "a/000.png",
        "a/linked/000.png",
        "a/linked/001.png",
    ]


def test_classes_may_lie_deeper(image_folder):
    folder = image_folder({"d5/a": 2, "d5/b": 1, "c": 3})
    source = ImageFolder(folder, classes=["d5/b", "c", "d5/a"], **SIZE)
    assert source.class_counts == {"d5/b": 1, "c": 3, "d5/a": 2}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["d5/aa", "c"], r"classes names 'd5/aa', but .* no such folder\. Did you mean 'd5/a'\?"),
        (["d5", "d5/a"], r"classes names 'd5' and, inside it, 'd5/a': images would belong to two classes"),
        (["../x"], r"classes names folders below the directory, like 'roses'; got '\.\./x'"),
        (["c/"], r"below the directory, like 'roses'; got 'c/'"),
        (["/c"], r"below the directory, like 'roses'; got '/c'"),
        ([""], r"below the directory, like 'roses'; got ''"),
    ],
)
def test_classes_that_cannot_be_are_named(image_folder, classes, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        ImageFolder(image_folder({"d5/a": 1, "c": 1}), classes=classes, **SIZE)


@pytest.mark.parametrize("name", ["validation", "val", "Valid"])
def test_a_root_that_is_split_gives_its_parts_with_the_same_classes(image_folder, name):
    root = image_folder({"train/b": 3, "train/a": 2, f"{name}/a": 1, f"{name}/b": 2, "test/b": 1, "test/a": 1})
    parts = ImageFolder.splits(root, batch_size=2, **SIZE)
    assert list(parts) == ["train", "validation", "test"]
    assert {part.class_names for part in parts.values()} == {("a", "b")}
    assert [len(part) for part in parts.values()] == [5, 3, 2]
    parts["train"].augment(horizontal_flip=True)
    for held_out in ("validation", "test"):
        with pytest.raises(ArgumentError, match="never augmented"):
            parts[held_out].augment(horizontal_flip=True)


def test_the_parts_have_the_order_of_classes(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "train/c": 1, "test/a": 1, "test/b": 1, "test/c": 1})
    parts = ImageFolder.splits(root, classes=["c", "a"], **SIZE)
    assert [part.class_names for part in parts.values()] == [("c", "a")] * 2


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({"train/a": 1, "train/b": 1}, r"Expected the folders train and validation or test in .*; it has train\. For"),
        ({"val/a": 1, "test/a": 1}, r"it has test, val\. For one folder per class use ImageFolder"),
        (
            {"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1},
            r"'val' and 'valid' in .* are both for validation\. Keep",
        ),
        (
            {"train/a": 1, "train/b": 1, "val/a": 1, "val/c": 1},
            r"val' has the class 'c', which .*train' has no images of",
        ),
        ({"train/a": 1, "train/b": 1, "val/a": 1}, r"classes names 'b', but .*val' has no such folder"),
    ],
)
def test_roots_that_are_not_split_as_expected_are_refused(image_folder, folders, message):
    with pytest.raises(DataError, match=message):
        ImageFolder.splits(image_folder(folders), **SIZE)


def test_a_root_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FolderNotFoundError, match=r"No folder '.*nowhere'\. Expected one with train, validation and"):
        ImageFolder.splits(tmp_path / "nowhere")


def test_a_class_that_training_lacks_is_not_passed_over(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "train/c": 1, "val/a": 1, "val/b": 1, "val/c": 1})
    shutil.rmtree(root / "train" / "c")
    with pytest.raises(DataError, match="'c'"):
        ImageFolder.splits(root, **SIZE)
