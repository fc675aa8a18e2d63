"""Sides: which folders are split already, and what is said of them."""

import pytest

from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.sides import find_sides, refuse_sides, side_of
from thawline.errors import DataError

SIZE = {"image_size": (8, 8)}


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("training_set", "train"),
        ("train-data", "train"),
        ("VAL", "validation"),
        ("valid", "validation"),
        ("validation set", "validation"),
        ("dev", "validation"),
        ("test_images", "test"),
        ("testing", "test"),
        ("trains", None),
        ("bus", None),
        ("test2", None),
        ("", None),
    ],
)
def test_the_usual_words_of_sides_are_known(name, side):
    assert side_of(name) == side


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "Validation"), ("training_set", "test_set")])
def test_a_folder_that_is_split_is_told_from_one_of_classes(image_folder, words):
    root = image_folder({f"{word}/{name}": 1 for word in words for name in ("cat", "dog")})
    sides = find_sides(root)
    assert [folder.name for folder in sides.values()] == list(words)
    with pytest.raises(DataError, match=r"is split already: .* are sides, with the class folders cat, dog inside"):
        ImageFolder(root, **SIZE)
    assert [len(part) for part in ImageFolder.splits(root, **SIZE).values()] == [2] * len(words)


def test_the_refusal_names_splits_the_training_side_and_the_way_to_mean_classes(image_folder):
    root = image_folder({"train/a": 1, "val/a": 1, "test/a": 1, "train/b": 1})
    with pytest.raises(DataError) as caught:
        ImageFolder(root, **SIZE)
    assert str(caught.value) == (
        f"{str(root)!r} is split already: train, val and test are sides, with the class folders a, b inside, and each "
        f"side would be taken for a class. Use ImageFolder.splits({str(root)!r}), which gives a source for each side, "
        f"or ImageFolder({str(root / 'train')!r}) for one of them; to take the sides as classes, name them in classes=."
    )
    assert ImageFolder(root, classes=["train", "val"], **SIZE).class_counts == {"train": 2, "val": 1}


def test_other_doors_refuse_in_their_own_words(image_folder):
    root = image_folder({"train/a": 1, "val/a": 1})
    with pytest.raises(DataError, match=r"taken for a class\. Call flow_from_directory\('.*train'\)\."):
        refuse_sides(root, "Call flow_from_directory({train}).")
    refuse_sides(root / "train", "never said")


@pytest.mark.parametrize(
    "folders",
    [
        {"train": 1, "bus": 1, "car": 1},
        {"train/old": 1, "train/new": 1, "bus/old": 1},
        {"train": 2, "test": 2},
        {"train/steam": 1, "test/blood": 1},
        {"val/a": 1, "test/a": 1},
    ],
)
def test_a_class_may_have_a_name_of_a_side(image_folder, folders):
    root = image_folder(folders)
    assert find_sides(root) is None
    assert set(ImageFolder(root, **SIZE).class_names) == {name.split("/")[0] for name in folders}


def test_sides_beside_other_folders_are_classes_with_a_word(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "val/a": 1, "annotations": 0, "more": 1})
    with pytest.warns(UserWarning) as caught:
        source = ImageFolder(root, **SIZE)
    assert source.class_counts == {"annotations": 0, "more": 1, "train": 2, "val": 1}
    assert str(caught[-1].message) == (
        f"{str(root)!r} looks split into sides (annotations, more, train, val), but is read as a class for each "
        "folder, because there are other folders beside them. If they are sides, use "
        f"ImageFolder.splits({str(root)!r})."
    )
    assert [len(part) for part in ImageFolder.splits(root, classes=["a"], label_mode="none", **SIZE).values()] == [1, 1]


def test_sides_without_a_class_in_common_are_classes_with_a_word(image_folder):
    root = image_folder({"train/cat": 1, "train/dog": 1, "val/cats": 1, "val/dogs": 1})
    with pytest.warns(
        UserWarning, match=r"looks split into sides \(train, val\).* because no class folder is in all of"
    ):
        assert ImageFolder(root, **SIZE).class_counts == {"train": 2, "val": 2}
    with pytest.raises(
        DataError, match=r"val' has the class 'cats', which .*train' lacks: cats, dogs against cat, dog"
    ):
        ImageFolder.splits(root, **SIZE)


def test_a_test_folder_of_unknown_classes_beside_a_training_folder_is_told(image_folder):
    root = image_folder({"train/cat": 1, "train/dog": 1, "test/unknown": 3})
    with pytest.warns(UserWarning, match=r"looks split into sides \(test, train\).* no class folder is in all of them"):
        assert ImageFolder(root, **SIZE).class_counts == {"test": 3, "train": 2}


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("Image", "Labels"), ("img", "annotations")])
def test_images_and_masks_that_are_read_as_classes_are_told(image_folder, images, masks):
    root = image_folder({images: 2, masks: 2})
    with pytest.warns(UserWarning, match=rf"{images} and {masks} in .* are read as two classes\. .* masks='.*{masks}'"):
        ImageFolder(root, **SIZE)
    ImageFolder(root, classes=[images, masks], **SIZE)


def test_a_side_without_class_folders_is_a_side_too(image_folder):
    root = image_folder({"train/a": 1, "train/b": 1, "test": 3})
    assert list(find_sides(root)) == ["train", "test"]


def test_hidden_folders_and_files_beside_the_sides_change_nothing(image_folder):
    root = image_folder({"train/a": 1, "val/a": 1, ".cache/x": 1, "__MACOSX/train": 1})
    (root / "labels.txt").write_text("a")
    assert list(find_sides(root)) == ["train", "validation"]


def test_accents_of_class_folders_may_be_composed_either_way(image_folder):
    """A Mac takes them apart, and copies them so."""
    root = image_folder({"train/caf\u00e9": 1, "train/tea": 1, "val/cafe\u0301": 2, "val/tea": 1})
    parts = ImageFolder.splits(root, **SIZE)
    assert parts["validation"].class_counts == {"caf\u00e9": 2, "tea": 1}
    (root / "val/tea").rename(root / "val/.tea")
    with pytest.raises(DataError, match="is split already"):
        ImageFolder(root, **SIZE)


def test_two_folders_for_one_side_are_refused(image_folder):
    root = image_folder({"train/a": 1, "val/a": 1, "valid/a": 1})
    with pytest.raises(DataError, match=r"'val' and 'valid' in .* are both for validation\. Keep one\."):
        ImageFolder(root, **SIZE)
