"""Masks lie on their images: the same resize, EXIF's turn, and what one number means is decided for all of a source."""

import pickle
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from old_files import age
from thawline.data import mask_survey
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.errors import ArgumentError, DataError, UnreadableImageError
from thawline.specs import TensorSpec

BRIGHT = np.zeros((40, 80, 3), np.uint8)
BRIGHT[:, 60:] = 255
HALF = (BRIGHT[..., 0] > 0).astype(np.uint8)


def put(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def folder(tmp_path, masks, images=None, *, names=None, **options):
    """A source of one class with these images and masks; an image is black unless given."""
    for number, mask in enumerate(masks):
        name = f"{number}.png" if names is None else names[number]
        shown = np.zeros((*np.asarray(mask).shape[:2], 3), np.uint8) if images is None else images[number]
        put(tmp_path / "images" / "a" / name, shown)
        put(tmp_path / "masks" / "a" / f"{number}.png", mask)
    options = {"image_size": (8, 8), **options}
    return ImageFolder(tmp_path / "images", masks=tmp_path / "masks", **options)


def agreement(source):
    """The share of pixels on which the image and its mask agree."""
    return np.mean((source.image(0)[..., :1] > 127) == (source.targets(np.array([0]))[0] > 0))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(40, 40), (20, 40), (16, 8), (30, 70)])
def test_masks_are_resized_as_their_images(tmp_path, resize, size):
    source = folder(
        tmp_path, [HALF], [BRIGHT], resize=resize, background=(0, 0, 0), image_size=size, interpolation="nearest"
    )
    assert agreement(source) == 1.0


def test_padding_of_masks_has_a_number_of_its_own(tmp_path):
    source = folder(tmp_path, [HALF], [BRIGHT], resize="pad", image_size=(80, 80), mask_background=255)
    target = source.targets(np.array([0]))[0, ..., 0]
    assert (target[:20] == 255).all()
    np.testing.assert_array_equal(target[20:60], HALF)
    assert source.target_spec == TensorSpec((None, 80, 80, 1), "uint8", (0, 255))
    plain = ImageFolder(tmp_path / "images", masks=tmp_path / "masks", resize="pad", image_size=(80, 80))
    assert not plain.targets(np.array([0]))[0, :20].any()
    assert plain.target_content() != source.target_content()


@pytest.mark.parametrize("background", [-1, 0.5, True, 70_000, "white"])
def test_a_background_that_is_no_class_number_is_refused(tmp_path, background):
    with pytest.raises(ArgumentError, match="mask_background is a class number, 0 to 65,535; got"):
        folder(tmp_path, [HALF], mask_background=background)


# -- numbers -------------------------------------------------------------------------------------------------


def test_16_bit_numbers_are_kept_and_above_255_they_are_int32(tmp_path):
    ids = np.tile(np.arange(8, dtype=np.uint16), (8, 1))
    source = folder(tmp_path, [ids, ids * 100])
    assert source.target_spec == TensorSpec((None, 8, 8, 1), "int32", (0, 700))
    targets = source.targets(np.array([0, 1]))
    assert targets.dtype == np.int32
    np.testing.assert_array_equal(targets[..., 0], [ids, ids * 100])
    small = source.select([0])
    assert small.targets(np.array([0])).dtype == np.int32
    np.testing.assert_array_equal(
        source.augment(horizontal_flip=True).targets(np.array([1]), view=1)[0, 0, :, 0] % 100, np.zeros(8)
    )


def test_16_bit_numbers_up_to_255_are_uint8(tmp_path):
    ids = np.tile(np.arange(4, dtype=np.uint16), (8, 2))
    source = folder(tmp_path, [ids])
    np.testing.assert_array_equal(source.targets(np.array([0]))[0, ..., 0], ids)
    assert source.target_spec == TensorSpec((None, 8, 8, 1), "uint8", (0, 3))


TWO = np.tile(np.array([0, 255], np.uint8), (8, 4))


def test_0_and_255_are_classes_0_and_1_and_this_is_said_once(tmp_path):
    source = folder(tmp_path, [TWO, np.zeros_like(TWO), np.full_like(TWO, 255)])
    with pytest.warns(
        UserWarning, match=r"hold 0 and 255, which are taken as class 0 and class 1\. .* mask_colors=range"
    ):
        targets = source.targets(np.arange(3))
    np.testing.assert_array_equal(targets[..., 0], [TWO // 255, TWO * 0, TWO * 0 + 1])
    assert source.target_spec == TensorSpec((None, 8, 8, 1), "uint8", (0, 1))
    train, val = source.select([0, 1]), source.select([2])
    np.testing.assert_array_equal(val.targets(np.array([0]))[..., 0], [TWO * 0 + 1])
    assert train.augment(horizontal_flip=True).targets(np.array([0]), view=3).max() == 1


def test_what_two_numbers_mean_is_decided_for_all_masks_together(tmp_path):
    """A file with 0 and 2 in a set of three classes keeps its numbers."""
    few = TWO // 255 * 2
    source = folder(tmp_path, [few, few // 2])
    np.testing.assert_array_equal(source.targets(np.array([0]))[0, ..., 0], few)
    np.testing.assert_array_equal(source.select([0]).targets(np.array([0]))[0, ..., 0], few)


def test_another_second_number_is_class_1_too(tmp_path):
    with pytest.warns(UserWarning, match="hold 0 and 2, which are taken as"):
        assert folder(tmp_path, [TWO // 255 * 2]).target_spec.value_range == (0, 1)


def test_listed_greys_are_not_guessed(tmp_path):
    assert folder(tmp_path, [TWO // 255 * 2], mask_colors=range(3)).targets(np.array([0])).max() == 2
    listed = ImageFolder(tmp_path / "images", masks=tmp_path / "masks", image_size=(8, 8), mask_colors=[2, 0])
    np.testing.assert_array_equal(listed.targets(np.array([0]))[0, ..., 0], 1 - TWO // 255)
    assert listed.target_spec.value_range == (0, 1)


def test_one_bit_masks_are_0_and_1_without_a_word(tmp_path):
    source = folder(tmp_path, [Image.fromarray(TWO > 0)])
    np.testing.assert_array_equal(source.targets(np.array([0]))[0, ..., 0], TWO > 0)


def test_the_meaning_of_numbers_is_part_of_what_a_training_is(tmp_path):
    source = folder(tmp_path, [TWO])
    with pytest.warns(UserWarning, match="0 and 255"):
        guessed = source.target_content()
    kept = ImageFolder(tmp_path / "images", masks=tmp_path / "masks", image_size=(8, 8), mask_colors=range(256))
    assert guessed != kept.target_content()


def test_arrays_of_0_and_255_are_classes_0_and_1(tmp_path):
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    source = ImageArrays(pictures, masks=np.stack([TWO, TWO * 0]))
    with pytest.warns(UserWarning, match="0 and 255"):
        np.testing.assert_array_equal(source.targets(np.array([0]))[0, ..., 0], TWO // 255)
    large = ImageArrays(pictures, masks=np.stack([TWO, TWO]).astype(int) * 3 + 1)
    assert large.target_spec == TensorSpec((None, 8, 8, 1), "int32", (0, 766))
    assert set(np.unique(large.targets(np.array([0])))) == {1, 766}


def test_arrays_take_colours_too(tmp_path):
    pictures = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match=r"got shape \(1, 8, 8, 3\)\. Masks in colours need mask_colors="):
        ImageArrays(pictures, masks=COLOURS[IDS][None])
    source = ImageArrays(pictures, masks=COLOURS[IDS][None], mask_colors=COLOURS, image_size=(4, 4))
    assert source.target_spec == TensorSpec((None, 4, 4, 1), "uint8", (0, 2))
    np.testing.assert_array_equal(source.targets(np.array([0]))[0, ..., 0], IDS[::2, ::2])
    kept = ImageArrays(pictures, masks=TWO[None], mask_colors=range(256))
    assert kept.targets(np.array([0])).max() == 255
    with pytest.raises(
        UnreadableImageError, match=r"masks\[0\]: the colour \(0, 128, 0\) in the mask is not in mask_colors"
    ):
        ImageArrays(pictures, masks=COLOURS[IDS][None], mask_colors=COLOURS[:2]).targets(np.array([0]))


def test_words_on_masks_without_masks_are_refused(tmp_path):
    put(tmp_path / "a" / "1.png", BRIGHT)
    (tmp_path / "t.csv").write_text("filename\na/1.png\n")
    makers = [
        lambda **words: ImageFolder(tmp_path, label_mode="none", **words),
        lambda **words: ImageFrame(tmp_path / "t.csv", label_mode="none", **words),
    ]
    for make in makers:
        with pytest.raises(ArgumentError, match="mask_background says how masks are read, but there are none"):
            make(mask_background=3)
    for make in [*makers, lambda **words: ImageArrays(BRIGHT[None], **words)]:
        with pytest.raises(ArgumentError, match=r"mask_colors says how masks are read, but there are none\. Give the"):
            make(mask_colors=[0, 255])


COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
IDS = np.tile(np.arange(8, dtype=np.uint8) % 3, (8, 1))


def test_colours_are_refused_until_they_are_listed(tmp_path):
    source = folder(tmp_path, [COLOURS[IDS]])
    for asked in (lambda: source.targets(np.array([0])), source.target_content):
        with pytest.raises(
            UnreadableImageError, match=r"masks/a/0\.png: a mask holds class numbers, but this one holds 3 colours"
        ):
            asked()
    listed = ImageFolder(tmp_path / "images", masks=tmp_path / "masks", image_size=(8, 8), mask_colors=COLOURS.tolist())
    np.testing.assert_array_equal(listed.targets(np.array([0]))[0, ..., 0], IDS)
    assert listed.target_spec == TensorSpec((None, 8, 8, 1), "uint8", (0, 2))


def test_a_table_takes_the_same_words(tmp_path):
    put(tmp_path / "a.png", np.zeros((8, 16, 3), np.uint8))
    put(tmp_path / "m.png", np.hstack([COLOURS[IDS]] * 2))
    (tmp_path / "t.csv").write_text("filename,mask\na.png,m.png\n")
    options = {"mask_colors": COLOURS.tolist(), "mask_background": 9, "resize": "pad", "image_size": (16, 16)}
    target = ImageFrame(tmp_path / "t.csv", mask_column="mask", **options).targets(np.array([0]))[0, ..., 0]
    assert (target[:4] == 9).all()
    np.testing.assert_array_equal(target[4:12], np.hstack([IDS, IDS]))


def test_palettes_that_paint_one_number_in_two_colours_are_refused(tmp_path):
    """Programs that make a palette for each file count its colours, not classes."""
    masks = []
    for colour in ([128, 0, 0], [0, 128, 0]):
        image = Image.fromarray(IDS % 2).convert("P")
        image.putpalette([0, 0, 0, *colour])
        masks.append(image)
    source = folder(tmp_path, masks)
    with pytest.raises(
        UnreadableImageError,
        match=r"1\.png: its palette has \(0, 128, 0\) for 1, but that of '.*0\.png' has \(128, 0, 0\)",
    ):
        source.targets(np.array([1]))
    again = {"masks": tmp_path / "masks", "image_size": (8, 8)}
    listed = ImageFolder(tmp_path / "images", mask_colors=COLOURS.tolist(), **again)
    np.testing.assert_array_equal(listed.targets(np.arange(2))[..., 0], [IDS % 2, IDS % 2 * 2])
    counted = ImageFolder(tmp_path / "images", mask_colors=range(2), **again)
    np.testing.assert_array_equal(counted.targets(np.arange(2))[..., 0], [IDS % 2, IDS % 2])


# -- EXIF and sizes ------------------------------------------------------------------------------------------


def photo(tmp_path, orientation, mask, name="0", stored=BRIGHT, **mask_options):
    put(tmp_path / "images" / "a" / f"{name}.jpg", stored, exif=turned(orientation), quality=95)
    put(tmp_path / "masks" / "a" / f"{name}.png", mask, **mask_options)


def opened(tmp_path, **options):
    options = {"image_size": (40, 40), **options}
    return ImageFolder(tmp_path / "images", masks=tmp_path / "masks", **options)


UPRIGHT = {5: HALF.T, 6: np.rot90(HALF, -1), 7: HALF[::-1, ::-1].T, 8: np.rot90(HALF)}


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["stored", "upright", "small stored", "small upright"])
def test_a_mask_of_the_stored_or_the_upright_pixels_lies_on_its_turned_image(tmp_path, orientation, kind):
    mask = HALF if "stored" in kind else np.ascontiguousarray(UPRIGHT[orientation])
    photo(tmp_path, orientation, mask[::2, ::2] if "small" in kind else mask)
    assert agreement(opened(tmp_path)) == 1.0


def test_a_mask_with_exif_of_its_own_follows_it(tmp_path):
    photo(tmp_path, 6, HALF, exif=turned(6))
    assert agreement(opened(tmp_path)) == 1.0


def test_a_mask_of_another_shape_is_refused_with_both_files_and_sizes(tmp_path):
    source = folder(tmp_path, [np.zeros((24, 16), np.uint8)], [np.zeros((16, 24, 3), np.uint8)])
    with pytest.raises(
        UnreadableImageError,
        match=r"masks/a/0\.png: the mask has 16 x 24 pixels, but its image '.*images/a/0\.png' has 24 x 16\. A mask",
    ):
        source.targets(np.array([0]))


def test_a_smaller_mask_of_the_same_aspect_is_taken(tmp_path):
    source = folder(tmp_path, [HALF[::3, ::3]], [BRIGHT[:39]], image_size=(13, 26))
    assert source.targets(np.array([0])).shape == (1, 13, 26, 1)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_square_mask_is_the_whole_image_stretched_which_is_said(tmp_path, resize):
    source = folder(tmp_path, [HALF[:, ::2]], [BRIGHT], resize=resize, background=(0, 0, 0), image_size=(40, 40))
    with pytest.warns(
        UserWarning, match=r"1 masks are square and their images are not, first '.*0\.png' \(40 x 40\) of"
    ):
        assert agreement(source) == 1.0


def square(number):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 25:] = number
    return pixels


def test_square_images_follow_the_others_of_their_source(tmp_path):
    """The tool that wrote one mask as its image is stored wrote all of them so."""
    stored = (square(255)[..., 0] > 0).astype(np.uint8)
    photo(tmp_path, 6, stored, stored=square(255))
    photo(tmp_path, 6, HALF, name="1")
    assert agreement(opened(tmp_path)) == 1.0


def test_square_images_are_taken_as_they_are_where_nothing_tells_and_this_is_said(tmp_path):
    upright = np.rot90((square(255)[..., 0] > 0).astype(np.uint8), -1)
    photo(tmp_path, 6, np.ascontiguousarray(upright), stored=square(255))
    with pytest.warns(
        UserWarning, match=r"EXIF turns or mirrors 1 images, first '.*0\.jpg', and the sizes of their masks do not"
    ):
        assert agreement(opened(tmp_path)) == 1.0


def test_square_images_whose_fellows_are_upright_are_taken_without_a_word(tmp_path):
    upright = np.rot90((square(255)[..., 0] > 0).astype(np.uint8), -1)
    photo(tmp_path, 6, np.ascontiguousarray(upright), stored=square(255))
    photo(tmp_path, 6, np.ascontiguousarray(UPRIGHT[6]), name="1")
    assert agreement(opened(tmp_path)) == 1.0


# -- bad masks, memory, processes ----------------------------------------------------------------------------


def test_a_bad_mask_is_left_out_with_skip(tmp_path):
    source = folder(tmp_path, [IDS, IDS, IDS], on_error="skip")
    (tmp_path / "masks" / "a" / "1.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"1\.png went bad .* expected an image"):
        batches = list(source.batches(shuffle=False))
    assert [index for batch in batches for index in batch.indices] == [0, 2]
    assert len(source.without_unreadable()) == 2


def test_masks_are_looked_at_once_and_remembered_for_later_runs(tmp_path, monkeypatch):
    looks = Counter()
    real = mask_survey.read_mask

    def counted(data, colors, **options):
        looks[options["name"]] += 1
        return real(data, colors, **options)

    monkeypatch.setattr(mask_survey, "read_mask", counted)
    source = folder(tmp_path, [IDS, IDS.astype(np.uint16) + 300])
    age(tmp_path.rglob("*.png"))
    assert source.target_spec.value_range == (0, 302)
    assert source.target_spec.value_range == (0, 302)
    assert opened(tmp_path).target_spec.value_range == (0, 302)
    assert len(looks) == 2
    assert set(looks.values()) == {1}
    opened(tmp_path, mask_colors=range(400)).target_content()
    assert set(looks.values()) == {2}


def test_a_source_with_masks_goes_to_another_process(tmp_path):
    source = folder(tmp_path, [IDS])
    again = pickle.loads(pickle.dumps(source))  # noqa: S301
    np.testing.assert_array_equal(again.targets(np.array([0]))[0, ..., 0], IDS)


def test_nothing_is_said_of_ordinary_masks(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folder(tmp_path, [IDS]).targets(np.array([0])).max() == 2
