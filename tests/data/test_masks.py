"""Masks: decoded to the nearest, moved as their images, and named when they are missing."""

import numpy as np
import pytest
from PIL import Image

from thawline.data.augment import Augmentation
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.errors import DataError
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
    assert source.target_spec == TensorSpec((None, 8, 8, 1), "uint8")
    batch = next(source.batches(shuffle=False))
    np.testing.assert_array_equal(batch.targets[..., 0], [NUMBERS, NUMBERS.T])
    assert batch.targets.dtype == np.uint8


def test_masks_are_resized_to_the_nearest(folders):
    targets = source_of(folders, (4, 4)).targets(np.array([0, 1]))
    np.testing.assert_array_equal(targets[..., 0], [NUMBERS[::2, ::2], NUMBERS.T[::2, ::2]])


@pytest.mark.skipif(not hasattr(Augmentation, "apply_mask"), reason="Augmentation has no apply_mask yet")
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
