"""ImageArrays: pixels and labels that are in memory already."""

import cv2
import numpy as np
import pytest

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
            r"uint8 pixels from 0 to 255; got float64 from 0 to 1\. Give \(images \* 255\)\.round\(\)\.astype",
        ),
        (PIXELS.astype(np.float32), r"got float32 from 0 to 255\. Give uint8 pixels"),
        (PIXELS.astype(str), r"got <U3\. Give uint8 pixels"),
        (
            PIXELS[0, 0],
            r"\(n, height, width, channels\) with 1, 3 or 4 channels; got shape \(12, 3\)\. Put the channels",
        ),
        (np.moveaxis(PIXELS, 3, 1), r"got shape \(6, 3, 10, 12\)"),
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
        (np.ones((6, 2)), {"label_mode": "multi_label", "class_names": "a"}, "have 2 columns, but class_names 1 names"),
        (np.ones((6, 2, 2)), {"label_mode": "regression"}, r"\(n,\) or \(n, k\) numbers .*; got shape \(6, 2, 2\)"),
        ([0, 1, 2] * 2, {"label_mode": "binary"}, r"needs exactly two classes, but there are 3 \(0, 1, 2\)"),
        ({"a": [0] * 6}, {"label_mode": {"b": "sparse"}}, "label_mode has the output 'b', but labels have a"),
        (None, {"label_mode": {"b": "sparse"}}, "is a dictionary, but labels are none"),
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
