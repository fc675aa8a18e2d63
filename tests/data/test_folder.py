"""ImageFolder: which folders are classes, which images are found, what is refused, and roots that are split already."""

import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from thawline.data.sources.files import ImageFiles
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
        (["", "c"], r"classes names '' and, inside it, 'c': images would belong to two classes"),
        (
            ["Cc", "d5/a"],
            r"no such folder\. Did you mean 'c'\? A class without images needs an empty folder 'Cc' beside",
        ),
        ([], r"classes names no folder\. Leave it out for all of them\."),
        ("c", r"classes is a list of class folders; got 'c'\. Write \['c'\]\."),
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
            r"val' has the class 'c', which .*train' lacks: a, c against a, b\. Take it out, or name the wanted",
        ),
    ],
)
def test_roots_that_are_not_split_as_expected_are_refused(image_folder, folders, message):
    with pytest.raises(DataError, match=message):
        ImageFolder.splits(image_folder(folders), **SIZE)


def test_a_side_keeps_the_classes_of_training_that_it_lacks(image_folder):
    root = image_folder({"train/a": 1, "train/b": 2, "train/c": 1, "val/c": 2, "val/a": 1})
    with pytest.warns(UserWarning, match=r"val' has no folder 'b': a class with 0 images\. The other classes keep"):
        parts = ImageFolder.splits(root, **SIZE)
    assert parts["validation"].class_counts == {"a": 1, "b": 0, "c": 2}
    assert parts["validation"].targets(np.arange(3)).argmax(axis=1).tolist() == [0, 2, 2]


def test_a_test_side_without_class_folders_has_no_labels(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "test": 3})
    with pytest.warns(UserWarning, match=r"test' has no class folders: its images have no labels\. predict takes them"):
        parts = ImageFolder.splits(root, **SIZE)
    assert len(parts["test"]) == 3
    assert parts["test"].labels is None
    assert parts["test"].target_spec is None


def test_a_validation_side_without_class_folders_is_refused(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "val": 3})
    with pytest.raises(
        DataError, match=r"classes names 'a', 'b', but '.*val' has no such folder\. It has no folders\."
    ):
        ImageFolder.splits(root, **SIZE)


def test_each_side_may_have_masks_of_its_own(image_folder):
    names = {f"{side}/{name}": 1 for side in ("train", "val") for name in ("a", "b")}
    root, masks = image_folder(names), image_folder(names, name="masks", seed=1)
    for path in masks.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    parts = ImageFolder.splits(root, masks=masks, **SIZE)
    assert [part.targets(np.arange(2)).shape for part in parts.values()] == [(2, 8, 8, 1)] * 2


# -- classes without images ------------------------------------------------------------------------------------


def test_a_class_without_a_folder_is_a_class_with_0_images(image_folder):
    folder = image_folder({"a": 1, "c": 2})
    with pytest.warns(UserWarning, match=r"images' has no folder 'zebra': a class with 0 images\. The other classes"):
        source = ImageFolder(folder, classes=["a", "zebra", "c"], **SIZE)
    assert source.class_counts == {"a": 1, "zebra": 0, "c": 2}
    assert source.labels.tolist() == [0, 2, 2]


def test_a_name_near_a_class_that_is_named_too_is_no_typo(image_folder):
    folder = image_folder({"cat": 1, "car": 1})
    with pytest.warns(UserWarning, match="no folder 'bat', 'hat': classes with 0 images"):
        source = ImageFolder(folder, classes=["cat", "car", "bat", "hat"], **SIZE)
    assert source.class_counts == {"cat": 1, "car": 1, "bat": 0, "hat": 0}


def test_accents_may_be_composed_in_another_way(image_folder):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    folder = image_folder({decomposed: 2, "bar": 1})
    source = ImageFolder(folder, classes=["bar", composed], **SIZE)
    assert source.class_counts == {"bar": 1, composed: 2}


def test_an_empty_folder_says_that_a_class_of_nearly_the_same_name_is_meant(image_folder):
    folder = image_folder({"rosse": 0, "roses": 1, "tulips": 1})
    assert ImageFolder(folder, classes=["rosse", "tulips"], **SIZE).class_counts == {"rosse": 0, "tulips": 1}


def test_numbers_are_names_of_classes(image_folder):
    folder = image_folder({"0": 1, "1": 2})
    for classes in ([1, 0], range(1, -1, -1), np.array([1, 0])):
        assert ImageFolder(folder, classes=classes, **SIZE).class_counts == {"1": 2, "0": 1}


@pytest.mark.parametrize("itself", [".", ""])
def test_the_folder_itself_may_be_the_one_class(image_folder, itself):
    folder = image_folder({"": 3})
    source = ImageFolder(folder, classes=[itself], label_mode="none", **SIZE)
    assert source.class_counts == {itself: 3}
    assert [path.name for path in source.paths] == ["000.png", "001.png", "002.png"]


def test_one_class_folder_that_holds_the_classes_is_pointed_at(image_folder):
    folder = image_folder({"flowers/roses": 1, "flowers/tulips": 1})
    with pytest.raises(
        DataError, match=r"'.*flowers' holds folders itself, roses, tulips: give it, if they are the cl"
    ):
        ImageFolder(folder, **SIZE)


# -- images directly inside ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["none", "input"])
def test_images_without_classes_may_lie_directly_inside(image_folder, mode):
    folder = image_folder({"": 3})
    (folder / "empty").mkdir()
    (folder / "x.heif2").write_bytes(b"")
    source = ImageFolder(folder, label_mode=mode, **SIZE)
    assert source.paths == ImageFiles([folder], **SIZE).paths
    assert source.labels is None
    assert source.class_names == ()
    assert source.skipped == {".heif2": 1}
    assert len(list(source.batches())) == 1


def test_images_directly_inside_are_no_classes(image_folder):
    with pytest.raises(DataError) as caught:
        ImageFolder(image_folder({"": 3}), **SIZE)
    assert "but 3 images directly inside. Expected one folder per class" in str(caught.value)
    assert "where they have no classes, use label_mode='none' or ImageFiles(['" in str(caught.value)


def test_images_without_classes_may_lie_anywhere(image_folder):
    folder = image_folder({"": 2, "a": 1, "b/deep": 1})
    for words in ({"label_mode": "none"}, {"labels": None}, {"label_mode": "input"}):
        source = ImageFolder(folder, **words, **SIZE)
        assert source.paths == ImageFiles([folder], **SIZE).paths
        assert source.class_names == ()
    assert ImageFolder(folder, classes=["a"], label_mode="none", **SIZE).class_counts == {"a": 1}


def test_images_directly_inside_beside_class_folders_are_told(image_folder):
    folder = image_folder({"": 2, "a": 1, "b": 1})
    with pytest.warns(
        UserWarning, match=r"2 images directly inside '.*images' are left out: they lie in no class folder"
    ):
        assert len(ImageFolder(folder, **SIZE)) == 2
    assert len(ImageFolder(folder, classes=["a", "b"], **SIZE)) == 2


# -- what cannot be listed, and what is passed over ------------------------------------------------------------


@pytest.mark.parametrize(("path", "reason"), [("a/deep", "Permission denied"), ("c", "Permission denied")])
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: ImageFolder(folder, **SIZE),
        lambda folder: ImageFolder(folder, classes=["a", "c"], **SIZE),
        lambda folder: ImageFiles([folder], **SIZE),
    ],
)
def test_a_folder_that_cannot_be_listed_is_an_error(image_folder, monkeypatch, make, path, reason):
    folder = image_folder({"a/deep": 1, "a/flat": 1, "b": 1, "c": 1})
    shut_out(monkeypatch, folder / path, PermissionError(errno.EACCES, "Permission denied", str(folder / path)))
    with pytest.raises(DataError) as caught:
        make(folder)
    assert str(caught.value) == (
        f"The folder {str(folder / path)!r} cannot be listed: Permission denied. Images inside would be left out "
        "without a word: allow it to be read, or move it away."
    )


def test_a_folder_that_goes_away_while_it_is_scanned_is_an_error(image_folder, monkeypatch):
    folder = image_folder({"a/deep": 1, "b": 1})
    gone = folder / "a" / "deep"
    shut_out(monkeypatch, gone, FileNotFoundError(errno.ENOENT, "No such file or directory", str(gone)))
    with pytest.raises(DataError, match="deep' cannot be listed: No such file or directory"):
        ImageFolder(folder, **SIZE)


def test_the_root_itself_may_be_what_cannot_be_listed(image_folder, monkeypatch):
    folder = image_folder({"a": 1, "b": 1})
    shut_out(monkeypatch, folder, PermissionError(errno.EACCES, "Permission denied", str(folder)))
    for make in (lambda: ImageFolder(folder), lambda: ImageFolder.splits(folder), lambda: ImageFiles([folder])):
        with pytest.raises(DataError, match=r"images' cannot be listed: Permission denied"):
            make()


def test_a_path_beyond_what_the_system_takes_is_an_error(image_folder, monkeypatch):
    folder = image_folder({"a": 1, "b": 1})
    monkeypatch.chdir(folder / "a")
    for _ in range(25):
        os.mkdir("x" * 200)  # noqa: PTH102  # by steps, as no path names it
        os.chdir("x" * 200)
    shutil.copy(folder / "b" / "000.png", "deep.png")
    with pytest.raises(DataError, match="cannot be listed: File name too long"):
        ImageFolder(folder, **SIZE)


def test_a_link_that_leads_nowhere_may_have_been_a_class(image_folder, tmp_path):
    folder = image_folder({"a": 1, "b": 1})
    (folder / "c").symlink_to(tmp_path / "unmounted")
    with pytest.raises(DataError, match=r"images/c' cannot be listed: No such file or directory"):
        ImageFolder(folder, **SIZE)
    (folder / "c").unlink()
    (folder / "c").symlink_to(folder / "c")
    with pytest.raises(DataError, match=r"images/c' cannot be listed: Too many levels of symbolic links"):
        ImageFolder(folder, **SIZE)
    (folder / "c").unlink()
    (folder / "notes.txt").symlink_to(tmp_path / "gone.txt")
    (folder / "c").symlink_to(folder / "b")
    assert ImageFolder(folder, **SIZE).class_counts == {"a": 1, "b": 1, "c": 1}


def shut_out(monkeypatch, folder, error):
    """Makes the system refuse to list one folder, as it refuses root nothing by itself."""
    real = os.scandir

    def scandir(path="."):
        if os.fspath(path) == str(folder):
            raise error
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_files_that_are_passed_over_are_told_in_one_line(image_folder):
    folder = image_folder({"a": 1, "b": 1})
    for number in range(10):
        (folder / "a" / f"{number}.xyz").write_bytes(b"")
        (folder / "b" / f"{number}.svg").write_bytes(b"")
    (folder / "b" / "NOTES").write_bytes(b"of mine")
    (folder / "b" / "Thumbs.db").write_bytes(b"")
    for source in (ImageFolder(folder, **SIZE), ImageFiles([folder], **SIZE), ImageFolder(folder, **SIZE).select([0])):
        assert source.describe_skipped() == "21 files passed over: 10 .svg, 10 .xyz, 1 no ending"
    assert ImageFiles([folder / "a" / "000.png"], **SIZE).describe_skipped() == ""


def test_each_side_tells_what_it_passed_over(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1})
    (root / "val" / "a" / "x.xyz").write_bytes(b"")
    said = {name: part.describe_skipped() for name, part in ImageFolder.splits(root, **SIZE).items()}
    assert said == {"train": "", "validation": "1 file passed over: 1 .xyz"}


def test_a_folder_of_other_formats_says_so(image_folder):
    folder = image_folder({"a": 0, "b": 0})
    (folder / "a" / "x.xyz").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"its 2 class folders hold none \(.*\)\. Other files: 1 \.xyz\. Put images into"
    ):
        ImageFolder(folder, **SIZE)


def test_a_root_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FolderNotFoundError, match=r"No folder '.*nowhere'\. Expected one with train, validation and"):
        ImageFolder.splits(tmp_path / "nowhere")


def test_a_class_that_training_lacks_is_not_passed_over(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "train/c": 1, "val/a": 1, "val/b": 1, "val/c": 1})
    shutil.rmtree(root / "train" / "c")
    with pytest.raises(DataError, match="'c'"):
        ImageFolder.splits(root, **SIZE)
