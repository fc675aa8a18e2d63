"""Masks: decoded to the nearest, moved as their images, and named when they are missing."""

import numpy as np
import pytest
from PIL import Image

from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.errors import ArgumentError, DataError
from thawline.specs import TensorSpec

NUMBERS = np.arange(64, dtype=np.uint8).reshape(8, 8) % 5


@pytest.fixture
def folders(image_folder):
    """Two images in one folder, and their masks beside: the first grey, the second with a palette."""
    images = image_folder({"a": 2})
    masks = images.parent / "masks"
    (masks / "a").mkdir(parents=True)
    Image.fromarray(NUMBERS).save(masks / "a" / "000.png")
    palette = Image.new("P", (8, 8))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 200, 200, 200])
    palette.putdata(NUMBERS.T.ravel().tolist())
    palette.save(masks / "a" / "001.png")
    return images, masks


def source_of(folders, size=(8, 8)):
    return ImageFolder(folders[0], masks=folders[1], image_size=size)


def test_targets_are_the_class_numbers_of_grey_and_palette_masks(folders):
    source = source_of(folders)
    assert source.target_spec == TensorSpec((None, 8, 8, 1), "uint8", (0, 4))
    batch = next(source.batches(shuffle=False))
    np.testing.assert_array_equal(batch.targets[..., 0], [NUMBERS, NUMBERS.T])
    assert batch.targets.dtype == np.uint8


def test_masks_are_resized_to_the_nearest(folders):
    targets = source_of(folders, (4, 4)).targets(np.array([0, 1]))
    np.testing.assert_array_equal(targets[..., 0], [NUMBERS[::2, ::2], NUMBERS.T[::2, ::2]])


def test_a_mask_moves_with_its_image(folders):
    for kind in ("000", "001"):
        grey = np.repeat(NUMBERS[..., None] * 50, 3, axis=2)
        Image.fromarray(grey).save(folders[0] / "a" / f"{kind}.png")
        Image.fromarray(NUMBERS).save(folders[1] / "a" / f"{kind}.png")
    source = source_of(folders).augment(horizontal_flip=True, vertical_flip=True)
    for view in range(8):
        for batch in [next(source.batches(view, shuffle=False))]:
            np.testing.assert_array_equal(batch.targets * 50, batch.images[..., :1])


def test_missing_masks_are_counted_and_the_first_is_named(folders):
    (folders[1] / "a" / "001.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 2 masks are missing, first '.*masks/a/001' with any ending\. Give every"
    ):
        source_of(folders)


def test_two_masks_of_an_image_and_no_folder_are_refused(folders):
    Image.fromarray(NUMBERS).save(folders[1] / "a" / "000.bmp")
    with pytest.raises(DataError, match=r"000\.bmp' and '.*000\.png' are masks of the same image\. Keep one"):
        source_of(folders)
    with pytest.raises(DataError, match=r"No folder of masks '.*none'\. Check the path"):
        ImageFolder(folders[0], masks=folders[1] / "none")


def test_masks_may_be_a_column(folders):
    images, masks = folders
    path = images / "table.csv"
    path.write_text(f"filename,mask\na/001.png,{masks}/a/001.png\na/000.png,{masks}/a/000.png\n")
    source = ImageFrame(path, mask_column="mask", image_size=(8, 8))
    np.testing.assert_array_equal(source.targets(np.array([0, 1]))[..., 0], [NUMBERS.T, NUMBERS])
    (masks / "a" / "000.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 files of column 'mask' are missing, first '.*masks/a/000\.png'"):
        ImageFrame(path, mask_column="mask", image_size=(8, 8))


# -- masks in arrays -----------------------------------------------------------------------------------------


SCENES = np.random.default_rng(5).integers(0, 5, (6, 8, 10)).astype(np.uint8)


@pytest.mark.parametrize("masks", [SCENES, SCENES[..., None], SCENES.astype(np.int64)])
def test_masks_in_an_array_are_the_targets(masks):
    source = ImageArrays(SCENES * 50, masks=masks, batch_size=4, seed=1)
    assert source.target_spec == TensorSpec((None, 8, 10, 1), "uint8", (0, 4))
    for batch in source.batches():
        assert batch.targets.dtype == np.uint8
        np.testing.assert_array_equal(batch.targets[..., 0], SCENES[batch.indices])


def test_masks_in_an_array_move_as_their_images():
    """Whole numbers moved by whole pixels and flips leave no doubt: each mask times 50 is its image."""
    source = ImageArrays(SCENES * 50, masks=SCENES).augment(
        horizontal_flip=True, vertical_flip=True, width_shift_range=4, height_shift_range=3
    )
    for view in range(6):
        for batch in source.batches(view):
            np.testing.assert_array_equal(batch.targets * 50, batch.images)
    numbers = source.picture(2, view=3)[1]
    moved = SCENES[2]
    moved = moved[:, np.clip(np.arange(10) + int(numbers.shift_x), 0, 9)]
    moved = moved[np.clip(np.arange(8) + int(numbers.shift_y), 0, 7)]
    moved = moved[:, ::-1] if numbers.flip_horizontal else moved
    moved = moved[::-1] if numbers.flip_vertical else moved
    np.testing.assert_array_equal(source.targets(np.array([2]), view=3)[0, ..., 0], moved)


def test_masks_in_an_array_keep_their_numbers_when_turned_and_resized():
    source = ImageArrays(SCENES * 50, masks=SCENES * 7, image_size=(4, 5))
    np.testing.assert_array_equal(source.targets(np.arange(6))[..., 0], SCENES[:, ::2, ::2] * 7)
    turned = source.augment(rotation_range=60, zoom_range=0.5).targets(np.arange(6), view=1)
    assert not np.array_equal(turned, source.targets(np.arange(6)))
    assert set(np.unique(turned)) <= set(np.unique(SCENES * 7))


def test_labels_beside_masks_serve_exact_splits():
    source = ImageArrays(SCENES, ["a", "b"] * 3, masks=SCENES)
    assert source.class_names == ("a", "b")
    train, val = source.split(1 / 3, exact=True)
    assert (train.class_counts, val.class_counts) == ({"a": 2, "b": 2}, {"a": 1, "b": 1})
    for part in (train, val):
        np.testing.assert_array_equal(part.targets(np.arange(len(part)))[..., 0], SCENES[part.rows])
    assert source.target_content() != ImageArrays(SCENES, ["a", "b"] * 3, masks=SCENES // 2).target_content()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (SCENES[:5], "masks are one for each of 6 images; got 5"),
        (SCENES[:, :4], r"of the images' size, 8 x 10; got shape \(6, 4, 10\)"),
        (np.stack([SCENES] * 3, axis=-1), r"got shape \(6, 8, 10, 3\)"),
        (SCENES / 4, r"whole and from 0 to 65,535; got float64 from 0 to 1\. Give masks\.astype"),
        (SCENES.astype(int) * 20_000, "got int64 from 0 to 80000"),
        (SCENES.astype(str), r"whole and from 0 to 65,535; got <U3\. Give"),
    ],
)
def test_masks_that_are_no_class_numbers_of_the_images_are_refused(masks, message):
    with pytest.raises(DataError, match=message):
        ImageArrays(SCENES, masks=masks)


def test_labels_beside_masks_are_one_class_each():
    with pytest.raises((ArgumentError, DataError), match="one class per image"):
        ImageArrays(SCENES, np.eye(6), masks=SCENES)
