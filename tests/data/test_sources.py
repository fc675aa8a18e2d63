"""Sources: what is found, how it is labelled, split and augmented."""

import shutil

import numpy as np
import pytest
from blake3 import blake3
from PIL import Image

from thawline.data.augment import Augmentation
from thawline.data.batches import view_of_epoch
from thawline.data.sources.files import ImageFiles
from thawline.data.sources.folder import ImageFolder
from thawline.errors import (
    ArgumentError,
    DataError,
    FolderNotFoundError,
    ImageChangedError,
    UnreadableImageError,
)
from thawline.specs import TensorSpec

SIZE = {"image_size": (8, 8)}


def contents(source):
    return [path.read_bytes() for path in source.paths]


# -- what is found ---------------------------------------------------------------------------------------------


def test_classes_are_the_sorted_names_of_the_folders(image_folder):
    source = ImageFolder(image_folder({"pear": 1, "apple": 2, "Quince": 1}), **SIZE)
    assert source.class_names == ("Quince", "apple", "pear")
    assert source.class_indices == {"Quince": 0, "apple": 1, "pear": 2}
    assert source.class_counts == {"Quince": 1, "apple": 2, "pear": 1}
    assert [path.parent.name for path in source.paths] == ["Quince", "apple", "apple", "pear"]
    assert source.labels.tolist() == [0, 1, 1, 2]
    assert source.labels.dtype == np.int32
    assert len(source) == 4


def test_what_is_hidden_is_passed_over_without_a_word(image_folder):
    folder = image_folder(2, count=1)
    picture = (folder / "class0" / "000.png").read_bytes()
    for hidden in [".git", "__MACOSX", "class0/.thumbnails", "class0/__MACOSX"]:
        (folder / hidden).mkdir()
        (folder / hidden / "a.png").write_bytes(picture)
    (folder / "class0" / "._000.png").write_bytes(b"resource fork")
    (folder / "class0" / ".DS_Store").write_bytes(b"")
    source = ImageFolder(folder, **SIZE)
    assert source.class_names == ("class0", "class1")
    assert len(source) == 2
    assert source.skipped == {}


def test_images_may_lie_deeper(image_folder):
    folder = image_folder(2, count=1)
    (folder / "class1" / "a" / "b").mkdir(parents=True)
    shutil.copy(folder / "class0" / "000.png", folder / "class1" / "a" / "b" / "deep.png")
    source = ImageFolder(folder, **SIZE)
    assert [str(path.relative_to(folder)) for path in source.paths] == [
        "class0/000.png",
        "class1/000.png",
        "class1/a/b/deep.png",
    ]
    assert source.labels.tolist() == [0, 1, 1]


def test_endings_count_exactly_and_in_any_case_and_others_are_counted(image_folder):
    folder = image_folder(2, count=1)
    for name in ["a.JPG", "b.jpeg", "c.Jpe", "d.bmp", "e.webp"]:
        (folder / "class0" / name).write_bytes(b"")
    for name in ["notjpg", "photo.notjpg", "x.psd", "y.PSD", "jpg", "z.png.txt"]:
        (folder / "class1" / name).write_bytes(b"")
    source = ImageFolder(folder, **SIZE)
    assert source.class_counts == {"class0": 6, "class1": 1}
    assert source.skipped == {"no ending": 2, ".notjpg": 1, ".psd": 2, ".txt": 1}


def test_classes_gives_the_order_and_the_choice(image_folder):
    folder = image_folder({"a": 1, "b": 2, "c": 3})
    source = ImageFolder(folder, classes=["c", "a"], **SIZE)
    assert source.class_names == ("c", "a")
    assert source.class_counts == {"c": 3, "a": 1}
    assert [path.parent.name for path in source.paths] == ["c"] * 3 + ["a"]


def test_a_typo_in_classes_is_answered_with_the_nearest_name(image_folder):
    folder = image_folder({"daisies": 1, "roses": 1})
    with pytest.raises(DataError, match=r"classes names 'rosse', but .* no such folder\. Did you mean 'roses'\?"):
        ImageFolder(folder, classes=["daisies", "rosse"], **SIZE)
    with pytest.raises(DataError, match=r"classes names 'x', but .* It has daisies, roses"):
        ImageFolder(folder, classes=["x"], **SIZE)


def test_a_class_named_twice_is_refused(image_folder):
    with pytest.raises(ArgumentError, match=r"classes names 'class0' 2 times. Name every folder once"):
        ImageFolder(image_folder(), classes=["class0", "class1", "class0"], **SIZE)


def test_empty_class_folders_keep_their_numbers_and_are_named(image_folder):
    folder = image_folder({"a": 1, "b": 0, "c": 1})
    with pytest.warns(UserWarning, match=r"Class folders without images: b\. They are classes with 0 images, so that"):
        source = ImageFolder(folder, **SIZE)
    assert source.class_counts == {"a": 1, "b": 0, "c": 1}
    assert source.labels.tolist() == [0, 2]
    assert source.class_weights() == {0: 1.0, 2: 1.0}


def test_one_class_is_refused_unless_labels_are_not_wanted(image_folder):
    folder = image_folder({"only": 2})
    with pytest.raises(DataError, match=r"One class in .*: 'only'. A classifier needs two or more.*label_mode='none'"):
        ImageFolder(folder, **SIZE)
    assert len(ImageFolder(folder, label_mode="none", **SIZE)) == 2


def test_no_images_are_refused_with_what_lies_there(image_folder):
    folder = image_folder({"a": 0, "b": 0})
    (folder / "a" / "x.psd").write_bytes(b"")
    with pytest.raises(DataError, match=r"No images in .* 2 class folders hold none \(\.jpg.*Other files: 1 \.psd\."):
        ImageFolder(folder, **SIZE)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FolderNotFoundError, match=r"'.*nowhere' does not exist\. Expected a folder .*Check the path"):
        ImageFolder(tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(FolderNotFoundError, match=r"a\.zip' is a file\. Expected a folder"):
        ImageFolder(tmp_path / "a.zip")


def test_images_without_class_folders_are_refused_with_their_number(image_folder):
    with pytest.raises(DataError, match=r"No class folders in .*, but 3 images directly inside.*Sort the images"):
        ImageFolder(image_folder({"a": 3}) / "a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is a whole number from 1 up; got 0"),
        ({"batch_size": 2.0}, "batch_size is a whole number from 1 up; got 2.0"),
        ({"seed": -1}, "seed is a whole number from 0 to 4294967295; got -1"),
        ({"seed": 2**32}, "seed is a whole number from 0 to 4294967295; got 4294967296"),
        (
            {"label_mode": "ints"},
            "label_mode is one of categorical, sparse, binary, multi_label, regression, input, none; got 'ints'",
        ),
        ({"image_size": 8.0}, r"image_size is \(height, width\) .*got 8.0"),
        ({"image_size": (8, 8, 3)}, r"image_size is \(height, width\) .*got \(8, 8, 3\)"),
        ({"color_mode": "bgr"}, "color_mode is one of 'rgb', 'grayscale', 'rgba'; got 'bgr'"),
    ],
)
def test_arguments_that_cannot_work_are_refused(image_folder, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ImageFolder(image_folder(), **{**SIZE, **arguments})


# -- labels ----------------------------------------------------------------------------------------------------


def test_targets_are_what_the_label_mode_says(image_folder):
    folder = image_folder(2, count=1)
    order = np.array([1, 0])

    def targets(mode):
        source = ImageFolder(folder, label_mode=mode, **SIZE)
        return source.targets(order), source.target_spec

    one_hot, spec = targets("categorical")
    np.testing.assert_array_equal(one_hot, np.array([[0, 1], [1, 0]], np.float32), strict=True)
    assert spec == TensorSpec((None, 2), "float32", (0.0, 1.0))
    numbers, spec = targets("sparse")
    np.testing.assert_array_equal(numbers, np.array([1, 0], np.int32), strict=True)
    assert spec == TensorSpec((None,), "int32")
    binary, spec = targets("binary")
    np.testing.assert_array_equal(binary, np.array([[1], [0]], np.float32), strict=True)
    assert spec == TensorSpec((None, 1), "float32", (0.0, 1.0))
    assert targets("none") == (None, None)


def test_binary_labels_need_two_classes(image_folder):
    with pytest.raises(DataError, match=r"label_mode='binary' needs exactly two classes, but there are 3 .*'sparse'"):
        ImageFolder(image_folder(3, count=1), label_mode="binary", **SIZE)


def test_the_spec_says_what_images_are(image_folder):
    folder = image_folder()
    assert ImageFolder(folder, image_size=(8, 9)).spec == TensorSpec((None, 8, 9, 3), "uint8", (0, 255))
    grey = ImageFolder(folder, image_size=[8, 9], color_mode="grayscale")
    assert grey.spec == TensorSpec((None, 8, 9, 1), "uint8", (0, 255))
    assert grey.image(0).shape == (8, 9, 1)
    assert repr(grey) == "ImageFolder(6 images in 2 classes, uint8 (None, 8, 9, 1) in [0, 255])"
    assert repr(grey.augment(zoom_range=0.1)).endswith("[0, 255], augmented)")


# -- splits ----------------------------------------------------------------------------------------------------


def test_exact_splits_are_disjoint_complete_and_have_the_same_share_of_every_class(image_folder):
    source = ImageFolder(image_folder({"a": 20, "b": 10, "c": 5}), **SIZE)
    train, validation = source.split(validation=0.2, exact=True)
    assert validation.class_counts == {"a": 4, "b": 2, "c": 1}
    assert train.class_counts == {"a": 16, "b": 8, "c": 4}
    assert set(train.paths) | set(validation.paths) == set(source.paths)
    assert not set(train.paths) & set(validation.paths)
    for side in (train, validation):
        assert [path.parent.name for path in side.paths] == [side.class_names[label] for label in side.labels]


def test_a_split_depends_on_the_seed_and_nothing_else(image_folder):
    folder = image_folder(2, count=12)

    def held_out(seed):
        return set(ImageFolder(folder, seed=seed, **SIZE).split(validation=0.25)[1].paths)

    assert held_out(1) == held_out(1)
    assert len({frozenset(held_out(seed)) for seed in range(5)}) == 5


def test_a_split_depends_on_contents_and_not_on_names(image_folder):
    folder = image_folder(2, count=8)
    before = ImageFolder(folder, **SIZE).split(validation=0.25)[1]
    kept = sorted(contents(before))
    for label in ("class0", "class1"):
        for index in range(8):
            (folder / label / f"{index:03d}.png").rename(folder / label / f"new-{7 - index}.png")
    after = ImageFolder(folder, **SIZE).split(validation=0.25)[1]
    assert sorted(contents(after)) == kept
    assert set(after.paths).isdisjoint(before.paths)


def test_with_exact_shares_every_class_with_two_images_has_one_on_each_side(image_folder):
    source = ImageFolder(image_folder({"a": 2, "b": 30, "c": 1}), **SIZE)
    lacking = (
        r"The validation side has no image of 1 of 3 classes, first 'c'\. Add images, try another share or seed, or"
    )
    with pytest.warns(UserWarning, match=lacking):
        train, validation = source.split(validation=0.01, exact=True)
    assert validation.class_counts == {"a": 1, "b": 1, "c": 0}
    with pytest.warns(UserWarning, match=lacking):
        train, validation = source.split(validation=0.99, exact=True)
    assert train.class_counts == {"a": 1, "b": 1, "c": 1}


def test_the_validation_side_is_never_augmented(image_folder):
    source = ImageFolder(image_folder(2, count=4), **SIZE).augment(horizontal_flip=True)
    train, validation = source.split(validation=0.25, exact=True)
    assert train.augmentation == Augmentation(horizontal_flip=True)
    assert validation.augmentation is None
    with pytest.raises(ArgumentError, match=r"the validation side of a split, which is never augmented.*training side"):
        validation.augment(horizontal_flip=True)
    with pytest.raises(ArgumentError, match="validation side"):
        validation.select([0]).augment(horizontal_flip=True)


def test_too_few_images_are_not_split(image_folder):
    source = ImageFolder(image_folder(2, count=1), **SIZE)
    with pytest.raises(DataError, match=r"2 images are too few to split: the validation side is empty. Add images"):
        source.split(validation=1e-9)


@pytest.mark.parametrize("share", [0, 1, 0.0, 1.0, -0.2, 20, "0.2"])
def test_a_share_that_is_not_between_0_and_1_is_refused(image_folder, share):
    with pytest.raises(ArgumentError, match=r"validation is a share between 0 and 1, like 0.2; got"):
        ImageFolder(image_folder(), **SIZE).split(validation=share)


# -- new sources from old --------------------------------------------------------------------------------------


def test_a_source_is_not_changed_by_what_is_made_of_it(image_folder):
    source = ImageFolder(image_folder(2, count=4), **SIZE)
    before = {**vars(source), "labels": source.labels.copy()}
    source.augment(rotation_range=10)
    source.split(validation=0.5, exact=True)
    source.select([3, 1])
    after = dict(vars(source))
    np.testing.assert_array_equal(after.pop("labels"), before.pop("labels"))
    assert after == before


def test_select_gives_these_images_in_this_order(image_folder):
    source = ImageFolder(image_folder(2, count=2), **SIZE)
    chosen = source.select([3, 0])
    assert chosen.paths == (source.paths[3], source.paths[0])
    assert chosen.labels.tolist() == [1, 0]
    assert chosen.class_names == source.class_names


def test_unknown_augmentations_are_answered_with_the_nearest(image_folder):
    source = ImageFolder(image_folder(), **SIZE)
    with pytest.raises(ArgumentError, match=r"augment\(\) has no argument 'zoom_rang'\. Did you mean 'zoom_range'\?"):
        source.augment(zoom_rang=0.2)
    with pytest.raises(ArgumentError, match=r"has no argument 'qqq'. Known are rotation_range, width_shift_range"):
        source.augment(qqq=0.2)
    with pytest.raises(ArgumentError, match="cval is a pixel value from 0 to 255; got 'white'"):
        source.augment(cval="white")


def test_an_augmentation_that_does_nothing_is_none(image_folder):
    assert ImageFolder(image_folder(), **SIZE).augment(rotation_range=0, fill_mode="wrap").augmentation is None


# -- single images ---------------------------------------------------------------------------------------------


def test_an_image_is_what_its_file_holds(image_folder):
    source = ImageFolder(image_folder(), **SIZE)
    for index, path in enumerate(source.paths):
        np.testing.assert_array_equal(source.image(index), np.asarray(Image.open(path)))
        np.testing.assert_array_equal(source.image(index, view=5), source.image(index))


def test_a_view_is_drawn_from_seed_content_and_view(image_folder):
    arguments = {"rotation_range": 90, "brightness_range": (0.5, 1.5)}
    source = ImageFolder(image_folder(), seed=3, **SIZE).augment(**arguments)
    digest = blake3(source.paths[2].read_bytes()).digest()
    augmentation = Augmentation(**arguments)
    numbers = augmentation.draw(3, digest, 4, image_size=(8, 8))
    expected = augmentation.apply(np.asarray(Image.open(source.paths[2])), numbers)
    np.testing.assert_array_equal(source.image(2, view=4), expected)
    assert not np.array_equal(source.image(2, view=5), expected)


def test_digests_are_those_of_the_files_and_shared_by_what_is_made_of_a_source(image_folder, capsys):
    source = ImageFolder(image_folder(), **SIZE)
    assert source.content_digests() == [blake3(data).digest() for data in contents(source)]
    for path in source.paths:
        path.unlink()
    assert source.select([1]).augment(horizontal_flip=True).content_digests() == [source.content_digests()[1]]


def test_a_file_that_changed_after_its_digest_is_refused(image_folder):
    source = ImageFolder(image_folder(), **SIZE)
    source.content_digests()
    shutil.copy(source.paths[1], source.paths[0])
    with pytest.raises(ImageChangedError, match=r"000\.png: the file changed since it was scanned\. Start again"):
        source.image(0)


def test_a_file_that_is_gone_or_broken_is_named(image_folder):
    source = ImageFolder(image_folder(), **SIZE)
    source.paths[0].unlink()
    with pytest.raises(UnreadableImageError, match=r"class0/000\.png: cannot be read: No such file.*Check the file"):
        source.image(0)
    source.paths[1].write_bytes(b"no pixels")
    with pytest.raises(UnreadableImageError, match=r"class0/001\.png: expected an image"):
        source.image(1)


# -- files without labels --------------------------------------------------------------------------------------


def test_image_files_takes_files_as_given_and_folders_in_sorted_order(image_folder):
    folder = image_folder(2, count=2)
    single = folder / "class1" / "001.png"
    source = ImageFiles([single, folder / "class0"], **SIZE)
    assert source.paths == (single, folder / "class0" / "000.png", folder / "class0" / "001.png")
    assert source.labels is None
    assert source.target_spec is None
    assert source.targets(np.array([0])) is None
    batch = next(source.batches(shuffle=False))
    assert batch.targets is None
    np.testing.assert_array_equal(batch.images[0], np.asarray(Image.open(single)))


def test_image_files_names_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(FolderNotFoundError, match=r"No file or folder '.*x\.png'\. Check the path"):
        ImageFiles([tmp_path / "x.png"])


def test_image_files_without_images_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"No images \(\.jpg.*\) in .*Other files: 1 \.txt\."):
        ImageFiles([tmp_path])
    with pytest.raises(DataError, match="in an empty list"):
        ImageFiles([])


def test_image_files_wants_a_list(image_folder):
    with pytest.raises(ArgumentError, match=r"paths is a list of files and folders; got 'a\.jpg'\. Write \['a\.jpg'\]"):
        ImageFiles("a.jpg")


# -- views -----------------------------------------------------------------------------------------------------


def test_an_epoch_shows_the_view_epoch_mod_views():
    assert [view_of_epoch(epoch, 3) for epoch in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [view_of_epoch(epoch, None) for epoch in range(7)] == list(range(7))
    with pytest.raises(ArgumentError, match=r"views is a whole number from 1 up, or None .*got 0"):
        view_of_epoch(1, 0)


# -- standardized images -----------------------------------------------------------------------------------------


def test_rescaled_images_are_float32_and_the_source_says_so(image_folder):
    source = ImageFolder(image_folder(2, count=4), **SIZE)
    scaled = source.augment(rescale=1 / 255, horizontal_flip=True)
    assert (scaled.spec.dtype, scaled.spec.value_range) == ("float32", (0, 1))
    batch = next(iter(scaled.batches()))
    assert batch.images.dtype == np.float32 and batch.images.max() <= 1
    np.testing.assert_array_equal(scaled.image(0), scaled.picture(0)[0] * np.float32(1 / 255))


def test_images_to_measure_on_keep_their_scaling_and_lose_what_is_random(image_folder):
    source = ImageFolder(image_folder(2, count=4), **SIZE).augment(rescale=1 / 255, horizontal_flip=True)
    _, validation = source.split(validation=0.25)
    assert validation.augmentation == source.unaugmented().augmentation == Augmentation(rescale=1 / 255)
    assert validation.augment(rescale=0.5).augmentation == Augmentation(rescale=0.5)


def test_missing_statistics_are_an_error_when_they_are_asked_for(image_folder):
    source = ImageFolder(image_folder(2, count=4), **SIZE)
    with pytest.raises(ArgumentError, match="featurewise_center needs statistics"):
        source.augment(featurewise_center=True)
    fitted = Augmentation(featurewise_center=True).fit(source.image(index) for index in range(len(source)))
    centred = source.augment(featurewise_center=True, statistics=fitted.statistics)
    assert np.stack([centred.image(index) for index in range(8)]).mean() == pytest.approx(0, abs=1e-3)
