"""Pairs of image and mask files, in the layouts that data sets have."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.mask_paths import find_masks, pair_up
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

SCENE = np.zeros((8, 8, 3), np.uint8)
IDS = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3


def put(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def images(root, *names):
    return [put(root / name, SCENE) for name in names]


def masks(root, *names):
    return [put(root / name, IDS) for name in names]


def test_flat_images_beside_flat_masks_are_read(tmp_path):
    """The commonest layout of segmentation: no class folders at all."""
    images(tmp_path / "images", "1.jpg", "2.jpg", "deep/3.jpg")
    masks(tmp_path / "masks", "1.png", "2.png", "deep/3.png")
    source = ImageFolder(tmp_path / "images", masks=tmp_path / "masks", image_size=(8, 8))
    assert sorted(path.name for path in source.paths) == ["1.jpg", "2.jpg", "3.jpg"]
    assert source.class_names == ()
    np.testing.assert_array_equal(source.targets(np.arange(3))[..., 0], [IDS] * 3)
    train, val = source.select([0, 1]), source.select([2])
    assert (len(train), len(val)) == (2, 1)


def test_a_folder_of_images_and_one_of_masks_in_one_directory_are_read(tmp_path):
    images(tmp_path / "images", "1.jpg", "2.jpg")
    masks(tmp_path / "masks", "1.png", "2.png")
    source = ImageFolder(tmp_path, masks=tmp_path / "masks", image_size=(8, 8))
    assert [path.name for path in source.paths] == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize(("before", "behind"), [("", "_mask"), ("", "_seg"), ("", "-GT"), ("mask_", ""), ("a_", "_b")])
def test_a_word_that_all_masks_have_in_their_names_is_found_and_said(tmp_path, before, behind):
    listed = images(tmp_path / "i", "1.jpg", "2.jpg", "10.jpg", "d/1.jpg")
    wanted = masks(tmp_path / "m", *(f"{d}{before}{n}{behind}.png" for d, n in [("", 1), ("", 2), ("", 10), ("d/", 1)]))
    with pytest.warns(
        UserWarning, match=rf"Masks are taken by '.*' in their names, like '{before}1{behind}\.png' of '1\.jpg'"
    ):
        assert find_masks(listed, tmp_path / "i", tmp_path / "m") == wanted


def test_two_kinds_of_masks_in_one_folder_are_refused(tmp_path):
    listed = images(tmp_path / "i", "1.jpg", "2.jpg")
    masks(tmp_path / "m", "1_a.png", "2_a.png", "1_b.png", "2_b.png")
    with pytest.raises(DataError, match=r"named in several ways, like '0001_a' and '0001_b'\. Keep one kind"):
        find_masks(listed, tmp_path / "i", tmp_path / "m")


def test_a_mask_without_the_common_word_is_missing(tmp_path):
    listed = images(tmp_path / "i", "1.jpg", "2.jpg", "3.jpg")
    masks(tmp_path / "m", "1_mask.png", "2_mask.png")
    with pytest.raises(DataError, match=r"1 of 3 masks are missing, first '.*3_mask' with any ending"):
        find_masks(listed, tmp_path / "i", tmp_path / "m")


def test_masks_may_lie_at_other_places_where_their_names_are_enough(tmp_path):
    listed = images(tmp_path / "i", "roses/1.jpg", "tulips/2.jpg")
    wanted = masks(tmp_path / "m", "1.png", "2.png")
    assert find_masks(listed, tmp_path / "i", tmp_path / "m") == wanted


def test_names_that_occur_twice_are_not_enough(tmp_path):
    listed = images(tmp_path / "i", "roses/1.jpg", "tulips/1.jpg")
    masks(tmp_path / "m", "1.png")
    with pytest.raises(DataError, match="2 of 2 masks are missing"):
        find_masks(listed, tmp_path / "i", tmp_path / "m")


def test_only_images_count_as_masks(tmp_path):
    listed = images(tmp_path / "i", "1.jpg")
    wanted = masks(tmp_path / "m", "1.png")
    for name in ("1.json", "1.txt", "Thumbs.db", ".DS_Store"):
        (tmp_path / "m" / name).write_text("no mask")
    assert find_masks(listed, tmp_path / "i", tmp_path / "m") == wanted
    (tmp_path / "m" / "1.png").unlink()
    with pytest.raises(DataError, match="1 of 1 masks are missing"):
        find_masks(listed, tmp_path / "i", tmp_path / "m")


def test_no_folder_of_masks_is_an_error(tmp_path):
    with pytest.raises(FolderNotFoundError, match="No folder of masks"):
        find_masks(images(tmp_path, "1.jpg"), tmp_path, tmp_path / "none")


@pytest.mark.parametrize("word", ["_mask", ".seg", "_gt"])
def test_masks_beside_their_images_are_paired(tmp_path, word):
    images(tmp_path, "0001.png", "0002.png", "d/10.png")
    masks(tmp_path, f"0001{word}.png", f"0002{word}.png", f"d/10{word}.png")
    with pytest.warns(UserWarning, match="Masks are taken by"):
        source = ImageFolder(tmp_path, masks=tmp_path, image_size=(8, 8))
    assert Counter(path.name for path in source.paths) == Counter(["0001.png", "0002.png", "10.png"])
    np.testing.assert_array_equal(source.targets(np.arange(3))[..., 0], [IDS] * 3)


def test_masks_beside_their_images_in_class_folders_are_paired(tmp_path):
    images(tmp_path, "a/1.png", "b/2.png")
    masks(tmp_path, "a/1_mask.png", "b/2_mask.png")
    with pytest.warns(UserWarning, match="Masks are taken by '_mask'"):
        source = ImageFolder(tmp_path, masks=tmp_path, image_size=(8, 8))
    assert source.class_counts == {"a": 1, "b": 1}


def test_a_photo_and_a_png_of_one_name_are_an_image_and_its_mask(tmp_path):
    files = [*images(tmp_path, "1.jpg", "2.jpg"), *masks(tmp_path, "1.png", "2.png")]
    assert pair_up(files, tmp_path) == ([0, 1], files[2:])


def test_files_without_a_partner_are_refused(tmp_path):
    files = [*images(tmp_path, "1.png", "2.png", "3.png"), *masks(tmp_path, "1_m.png", "2_m.png")]
    with pytest.raises(DataError, match=r"no pairs like '0001\.png' and .*1 files have no partner, first '.*3\.png'"):
        pair_up(files, tmp_path)
    with pytest.raises(DataError, match=r"the files there are no pairs like '0001\.png' and '0001_mask\.png'\. Name"):
        pair_up(files[:3], tmp_path)


def test_thousands_of_masks_are_found_in_a_moment(tmp_path):
    """By a table of names, not by comparing each with each: this would be 9 million comparisons."""
    folder = tmp_path / "m"
    folder.mkdir()
    names = [f"{number:05d}" for number in range(3_000)]
    for name in names:
        (folder / f"{name}_mask.png").touch()
    with pytest.warns(UserWarning, match="Masks are taken by"):
        found = find_masks([tmp_path / "i" / f"{name}.jpg" for name in names], tmp_path / "i", folder)
    assert [path.name for path in found] == [f"{name}_mask.png" for name in names]


def test_a_list_of_masks_is_refused_with_the_ways_for_lists(image_folder):
    with pytest.raises(
        ArgumentError, match=r"masks is the path of a folder; got list\. .*ImageFrame\(table, mask_column"
    ):
        ImageFolder(image_folder(2), masks=["a.png"], image_size=(8, 8))
