"""ImageArrays: pixels and labels that are in memory already."""

import json

import cv2
import numpy as np
import pandas
import pytest

from thawline.data.reading import as_decoding, describe_reading
from thawline.data.sources.arrays import ImageArrays
from thawline.errors import ArgumentError, DataError
from thawline.specs import TensorSpec

PIXELS = np.random.default_rng(1).integers(0, 256, (6, 10, 12, 3), dtype=np.uint8)


def test_images_are_those_of_the_array_and_batches_have_their_labels():
    source = ImageArrays(PIXELS, [0, 1, 2, 0, 1, 2], label_mode="sparse", batch_size=4, seed=2)
    assert source.spec == TensorSpec((None, 10, 12, 3), "uint8", (0.0, 255.0))
    assert source.class_names == ("0", "1", "2")
    for batch in source.batches(epoch=1):
        np.testing.assert_array_equal(batch.images, PIXELS[batch.indices])
        assert batch.targets.tolist() == (batch.indices % 3).tolist()
        assert [str(path) for path in batch.paths] == [f"images[{index}]" for index in batch.indices]


def test_grey_images_need_no_axis_for_channels():
    source = ImageArrays(PIXELS[..., 0])
    assert source.spec.shape == (None, 10, 12, 1)
    np.testing.assert_array_equal(source.image(2), PIXELS[2, ..., :1])


def test_pixels_are_resized_only_when_asked_to():
    source = ImageArrays(PIXELS, image_size=(5, 4))
    np.testing.assert_array_equal(source.image(3), cv2.resize(PIXELS[3], (4, 5), interpolation=cv2.INTER_AREA))
    assert (
        source.pictures.identity()
        != ImageArrays(PIXELS, image_size=(5, 4), interpolation="nearest").pictures.identity()
    )
    assert source.content_digests() == ImageArrays(PIXELS).content_digests()


def test_augmentation_never_writes_into_the_array():
    before = PIXELS.copy()
    source = ImageArrays(PIXELS).augment(horizontal_flip=True, brightness_range=(0.5, 1.5), rotation_range=20)
    for view in range(4):
        source.image(0, view)[:] = 0
    ImageArrays(PIXELS).image(0)[:] = 0
    np.testing.assert_array_equal(PIXELS, before)


def test_digests_tell_pixels_and_shapes_apart():
    digests = ImageArrays(PIXELS).content_digests()
    assert len(set(digests)) == 6
    assert ImageArrays(PIXELS[::-1]).content_digests() == digests[::-1]
    assert ImageArrays(PIXELS.reshape(6, 12, 10, 3)).content_digests()[0] != digests[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            PIXELS / 255,
            r"got float64 from 0 to 1\. Give \(images \* 255\)\.round\(\)\.astype\('uint8'\); numbers that .*\.flow\(i",
        ),
        (
            PIXELS.astype(np.float32),
            r"got float32 from 0 to 255\. Give uint8 pixels; numbers that are no",
        ),
        (PIXELS / 127.5 - 1, r"got float64 from -1 to 1\. Give uint8 pixels"),
        (PIXELS.astype(np.int64), r"pixels from 0 to 255; got int64 from 0 to 255\. Give images\.astype\('uint8'\)\."),
        (PIXELS.astype(np.int64) - 1, r"got int64 from -1 to 254\. Give uint8 pixels\."),
        (PIXELS.astype(str), r"got <U3\. Give uint8 pixels"),
        (
            PIXELS[0, 0],
            r"\(n, height, width, channels\); got shape \(12, 3\)\. Put the channels",
        ),
        (np.moveaxis(PIXELS, 3, 1), r"got shape \(6, 3, 10, 12\)"),
        (np.zeros((6, 5, 12, 12), np.uint8), r"got shape \(6, 5, 12, 12\)\. Put the channels last"),
        (np.zeros((6, 2, 2, 513), np.uint8), r"images have at most 512 channels; got shape \(6, 2, 2, 513\)"),
        (
            [PIXELS[0], PIXELS[1, 1:]],
            r"images are of one size; some have the shape \(9, 12, 3\), some \(10, 12, 3\)\. Res",
        ),
        (PIXELS[:0], r"There are no images in an array of shape \(0, 10, 12, 3\)"),
    ],
)
def test_images_that_are_no_pixels_are_refused(images, message):
    with pytest.raises(DataError, match=message):
        ImageArrays(images)


def test_labels_may_be_a_column_or_names():
    assert ImageArrays(PIXELS, np.array([[0], [1]] * 3)).labels.tolist() == [0, 1] * 3
    named = ImageArrays(PIXELS, ["b", "a"] * 3)
    assert (named.class_names, named.labels.tolist()) == (("a", "b"), [1, 0] * 3)
    assert ImageArrays(PIXELS, [0, 1] * 3, class_names=["cat", "dog", "emu"]).class_counts == {
        "cat": 3,
        "dog": 3,
        "emu": 0,
    }


def test_rows_of_0_and_1_are_several_classes_per_image():
    hot = np.array([[1, 0, 1], [0, 0, 0]] * 3)
    source = ImageArrays(PIXELS, hot, label_mode="multi_label", class_names=["x", "a", "m"])
    np.testing.assert_array_equal(source.targets(np.arange(6)), hot)
    assert source.class_counts == {"x": 3, "a": 0, "m": 3}
    lists = ImageArrays(PIXELS, [["x", "m"], []] * 3, label_mode="multi_label", class_names=["x", "a", "m"])
    np.testing.assert_array_equal(lists.targets(np.arange(6)), hot)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ([0, 1], {}, "labels are one for each of 6 images; got 2"),
        ([0, 1, 5] * 2, {"class_names": ["a", "b"]}, "class numbers from 0 to 1; row 2 has 5. Correct it or give more"),
        ([0, -1, 1] * 2, {}, "class numbers from 0 to 1; row 1 has -1"),
        (np.eye(6), {}, r"one class per image, \(n,\); got shape \(6, 6\)\. From one-hot rows take labels\.argmax"),
        (["a"] * 6, {"label_mode": "multi_label"}, "Row 0 has 'a' in labels; label_mode='multi_label' needs a list"),
        (np.full((6, 2), 2), {"label_mode": "multi_label"}, r"as \(n, classes\) hold 0 and 1 only"),
        (
            np.ones((6, 2)),
            {"label_mode": "multi_label", "class_names": ["a"]},
            "2 columns, but class_names 1 names",
        ),
        (np.ones((6, 2, 2)), {"label_mode": "regression"}, r"\(n,\) or \(n, k\) numbers .*; got shape \(6, 2, 2\)"),
        ([[0, 1], [1, 0]] * 3, {"label_mode": "multi_label"}, r"are lists of 0 and 1\. Give them as an array, np\.arr"),
        ([0, 1] * 3, {"class_names": "ab"}, "class_names is a list of names in the order of their numbers; got 'ab'"),
        ([0, 1] * 3, {"class_names": [1, 0]}, r"class numbers, and class_names calls class 0 1\. Give the labels as"),
        ([1, 2] * 3, {"class_names": [1, 2]}, r"class numbers from 0 to 1; row 1 has 2\. Names are text: give labels"),
        ([0, 1, 2] * 2, {"label_mode": "binary"}, r"needs exactly two classes, but there are 3 \(0, 1, 2\)"),
        ({"a": [0] * 6}, {"label_mode": {"b": "sparse"}}, "label_mode has the output 'b', but labels have a"),
        (
            None,
            {"label_mode": {"b": "sparse"}},
            "label_mode is a dictionary, as for several outputs, but labels are no",
        ),
        (
            [0, 1] * 3,
            {"class_names": {0: "a", 1: "b"}},
            r"class_names is a dictionary, .* or for one output .* a list in",
        ),
        (None, {"interpolation": "cubic"}, "interpolation is one of 'nearest', .*; got 'cubic'"),
        (None, {"label_mode": "one_hot"}, "label_mode is one of categorical, .*; got 'one_hot'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, arguments, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        ImageArrays(PIXELS, labels, **arguments)


def test_without_labels_there_are_no_targets_unless_the_input_is_one():
    assert ImageArrays(PIXELS).target_spec is None
    assert ImageArrays(PIXELS, label_mode="input").targets(np.array([1])).max() <= 1


NUMBERS = [0, 10, 2, 2, 10, 0]


@pytest.mark.parametrize(
    "labels", [NUMBERS, np.array(NUMBERS, np.float32), np.array(NUMBERS, object), pandas.array(NUMBERS, "Int64")]
)
def test_whole_numbers_are_class_numbers_however_they_are_kept(labels):
    source = ImageArrays(PIXELS, labels)
    assert source.labels.tolist() == NUMBERS
    assert source.class_names == tuple(map(str, range(11)))


def test_numbers_as_text_are_names_in_the_order_of_folders():
    with pytest.warns(UserWarning, match=r"as text, as in folders and in Keras: 0, 10, 2\."):
        source = ImageArrays(PIXELS, list(map(str, NUMBERS)))
    assert source.class_names == ("0", "10", "2")
    assert ImageArrays(PIXELS, [b"b", b"a"] * 3).class_names == ("a", "b")


def test_numbers_may_name_classes():
    for names in ([0, 1, 2], range(3), np.arange(3), pandas.Index([0, 1, 2])):
        assert ImageArrays(PIXELS, [0, 1] * 3, class_names=names).class_counts == {"0": 3, "1": 3, "2": 0}
    assert ImageArrays(PIXELS, [0, 1] * 3, class_names=[10, 20]).class_names == ("10", "20")
    # As a folder has them: class number 1 is called "10".
    assert ImageArrays(PIXELS, [0, 1] * 3, class_names=["0", "10", "1"]).class_names == ("0", "10", "1")


def test_the_columns_of_a_table_of_0_and_1_name_the_classes():
    hot = pandas.DataFrame({"sea": [0, 1] * 3, "sky": [1, 1] * 3})
    source = ImageArrays(PIXELS, hot, label_mode="multi_label")
    assert source.class_counts == {"sea": 3, "sky": 6}


@pytest.mark.parametrize("channels", [2, 5, 6, 7, 8, 12])
def test_every_channel_is_augmented_and_resized_as_it_would_be_alone(channels):
    pixels = np.random.default_rng(2).integers(0, 256, (2, 10, 12, channels), np.uint8)
    source = ImageArrays(pixels).augment(rotation_range=40, zoom_range=0.3, fill_mode="constant", cval=9)
    numbers = source.picture(1, view=3)[1]
    alone = [np.ascontiguousarray(pixels[1, ..., at : at + 1]) for at in range(channels)]
    moved = [source.augmentation.transform(channel, numbers).reshape(10, 12, 1) for channel in alone]
    np.testing.assert_array_equal(source.image(1, view=3), np.concatenate(moved, axis=2))
    small = [ImageArrays(pixels[..., at], image_size=(5, 7)).image(1) for at in range(channels)]
    np.testing.assert_array_equal(ImageArrays(pixels, image_size=(5, 7)).image(1), np.concatenate(small, axis=2))
    assert source.preview(2, 2).pixels.shape[2] == 3


def test_no_file_is_read_as_an_array_with_many_channels():
    source = ImageArrays(np.zeros((2, 8, 8, 5), np.uint8))
    assert source.pictures.decoding is None
    reading = describe_reading(source)
    assert json.loads(json.dumps(reading)) == {"image_size": [8, 8], "channels": 5, "standardize": None}
    with pytest.raises(ArgumentError, match=r"arrays with 5 channels, which no image file has\. Answer them with"):
        as_decoding(reading)
