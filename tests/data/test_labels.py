"""Labels: the targets of every mode, which images are alike, and what is wrong with labels that cannot work."""

import numpy as np
import pandas
import pytest
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils.class_weight import compute_class_weight

from thawline.data.class_names import as_class_names
from thawline.data.labels import Outputs, Regression, class_labels, read_labels
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.errors import ArgumentError, DataError
from thawline.specs import TensorSpec

SHAPE = (8, 8, 3)
WORDS = ["dog", "cat", "dog", "emu"]
ROWS = np.array([3, 0])


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def read(mode, given, class_names=None):
    return read_labels(mode, given, class_names, SHAPE, "column 'x'")


@pytest.mark.parametrize(
    ("mode", "given", "expected", "spec"),
    [
        ("categorical", WORDS, [[0, 0, 1], [0, 1, 0]], TensorSpec((None, 3), "float32", (0.0, 1.0))),
        ("sparse", WORDS, [2, 1], TensorSpec((None,), "int32")),
        ("binary", ["no", "yes", "no", "yes"], [[1], [0]], TensorSpec((None, 1), "float32", (0.0, 1.0))),
        ("regression", [[1, 5], [2, 6], [3, 7], [4, 8]], [[4, 8], [1, 5]], TensorSpec((None, 2), "float32")),
    ],
)
def test_targets_are_as_the_spec_says(mode, given, expected, spec):
    labels = read(mode, given)
    targets = labels.targets(ROWS, None)
    assert labels.spec == spec
    assert targets.dtype == spec.dtype
    assert targets.shape[1:] == spec.shape[1:]
    assert targets.tolist() == expected


def test_several_classes_per_image_are_scikit_learns_multi_hot():
    given = [["sea", "sky"], [], ["sky"], ["boat", "sea"]]
    labels = read("multi_label", given)
    binarizer = MultiLabelBinarizer()
    np.testing.assert_array_equal(labels.targets(np.arange(4), None), binarizer.fit_transform(given))
    assert labels.class_names == tuple(binarizer.classes_)
    assert labels.targets(ROWS, None).dtype == np.float32
    assert len(set(labels.strata(np.arange(4)).tolist())) == 4


def test_the_input_is_the_target_of_an_autoencoder_augmentation_included(image_folder):
    folder = ImageFolder(image_folder(2, count=3), image_size=(8, 8), label_mode="input", batch_size=4)
    source = folder.augment(rotation_range=90)
    assert source.target_spec == TensorSpec((None, 8, 8, 3), "float32", (0.0, 1.0))
    for batch in source.batches(epoch=3):
        np.testing.assert_array_equal(batch.targets, batch.images.astype(np.float32) / 255)
        np.testing.assert_array_equal(source.targets(batch.indices, batch.view), batch.targets)
    assert source.class_counts == {"class0": 3, "class1": 3}


def test_several_outputs_have_their_targets_by_name():
    labels = {"kind": WORDS, "size": [1.0, 2.0, 3.0, 4.0]}
    source = ImageArrays(pictures(4), labels, label_mode={"kind": "sparse", "size": "regression"})
    assert source.target_spec == {"kind": TensorSpec((None,), "int32"), "size": TensorSpec((None, 1), "float32")}
    targets = source.select([3, 1]).targets(np.array([0, 1]))
    assert {name: values.tolist() for name, values in targets.items()} == {"kind": [2, 0], "size": [[4], [2]]}
    assert source.labels is None
    assert source.target_content() != source.select([3, 1]).target_content()


def test_numbers_are_alike_within_a_tenth_and_outputs_in_all_of_them():
    numbers = Regression(np.arange(100, dtype=np.float32)[:, None])
    assert np.bincount(numbers.strata(np.arange(100))).tolist() == [10] * 10
    constant = Regression(np.ones((5, 1), np.float32))
    assert len(set(constant.strata(np.arange(5)).tolist())) == 1
    kinds = read("sparse", ["a", "b"] * 50)
    assert len(set(Outputs({"number": numbers, "kind": kinds}).strata(np.arange(100)).tolist())) == 20


def test_classes_that_are_numbers_are_sorted_as_text_which_is_told():
    with pytest.warns(UserWarning, match=r"as text, as in folders and in Keras: -1, 10, 9\. In .* values, -1, 9, 10\."):
        assert read("sparse", ["10", "9", "-1"]).class_names == ("-1", "10", "9")
    assert read("sparse", ["10", "9", "x"]).class_names == ("10", "9", "x")
    assert read("sparse", ["9", "8"]).class_names == ("8", "9")
    assert read("sparse", [10, 9], class_names=range(11)).targets(np.arange(2), None).tolist() == [10, 9]


@pytest.mark.parametrize("given", [[2.0, 1.0], ["2.0", "1.0"], [2, 1.0], [np.int64(2), np.float32(1)]])
def test_whole_numbers_are_classes_without_a_point(given):
    labels = read("sparse", given)
    assert labels.class_names == ("1", "2")
    assert labels.targets(np.arange(2), None).tolist() == [1, 0]
    assert read("sparse", given, class_names=[2, 1]).targets(np.arange(2), None).tolist() == [0, 1]


def test_true_and_false_are_classes():
    for given in ([True, False], ["True", "False"]):
        assert read("sparse", given).class_names == ("False", "True")
    assert read("sparse", [np.True_, np.False_]).targets(np.arange(2), None).tolist() == [1, 0]


def test_bytes_are_text():
    assert read("sparse", [b"rose", b"tulip"]).class_names == ("rose", "tulip")


@pytest.mark.parametrize("given", [[1.0, 2.5], ["1.0", "2.5"], np.array([1.0, 2.5], np.float32)])
def test_numbers_that_are_not_all_whole_are_classes_as_they_are_which_is_told(given):
    with pytest.warns(
        UserWarning, match=r"are numbers like 2\.5, and each value is a class\. .* label_mode='regression'"
    ):
        assert read("sparse", given).class_names == ("1.0", "2.5")


def test_texts_with_numbers_among_them_are_classes_without_a_word():
    assert read("sparse", ["1.5", "2.5", "many"]).class_names == ("1.5", "2.5", "many")


def test_blanks_around_labels_are_no_part_of_them_which_is_told():
    with pytest.warns(UserWarning, match="2 labels in column 'x' have blanks around them, first row 1: 'cat '"):
        labels = read("sparse", ["cat", "cat ", " dog"])
    assert labels.class_names == ("cat", "dog")
    # A name that is given with its blanks is that class.
    assert read("sparse", ["a ", "a"], ["a ", "a"]).targets(np.arange(2), None).tolist() == [0, 1]


def test_accents_may_be_composed_in_either_way():
    composed, apart = "caf\u00e9", "cafe\u0301"
    for names in ([composed, "bar"], [apart, "bar"]):
        assert read("sparse", [composed, apart, "bar"], names).targets(np.arange(3), None).tolist() == [0, 0, 1]
    with pytest.raises(
        DataError, match=r"Column 'x' has the class 'caf.*' in two ways, its accents composed differently"
    ):
        read("sparse", [composed, apart])


def test_the_text_of_nothing_is_told():
    with pytest.warns(UserWarning, match=r"1 labels in column 'x' are the text 'nan', first row 1, which astype"):
        assert read("sparse", ["cat", "nan"]).class_names == ("cat", "nan")


@pytest.mark.parametrize("names", [range(3), (0, 1, 2), np.arange(3), [0.0, 1.0, 2.0], ["0", "1", "2"]])
def test_names_of_classes_are_text_whatever_they_were_given_as(names):
    assert as_class_names(names) == ["0", "1", "2"]


def test_text_as_a_name_stays_as_it_is_written():
    assert as_class_names(["1.0", "2.0"]) == ["1.0", "2.0"]
    assert read("sparse", [1.0, 2.0], ["1.0", "2.0"]).targets(np.arange(2), None).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("ab", r"class_names is a list of names in the order of their numbers; got 'ab'\. Write \['ab'\]\."),
        ({"a": 0}, "is a list of names in the order of their numbers"),
        ({"a", "b"}, "is a list of names in the order of their numbers"),
        (3, r"got 3\. Write \['rose', 'tulip'\]\."),
        (["a", None], "class_names has no name in place 1: None. Name every class."),
        (["a", " "], "class_names has no name in place 1: ' '"),
        ([0, "0"], "class_names has '0' 2 times. Name every class once."),
    ],
)
def test_what_names_no_classes_is_refused(names, message):
    with pytest.raises(ArgumentError, match=message):
        as_class_names(names)


def test_a_class_without_images_is_a_class_with_0_images():
    source = ImageArrays(pictures(4), ["a", "c", "a", "c"], class_names=["a", "b", "c"])
    assert source.class_counts == {"a": 2, "b": 0, "c": 2}
    assert source.targets(np.array([1])).tolist() == [[0, 0, 1]]
    assert source.class_weights() == {0: 1.0, 2: 1.0}
    assert [side.class_counts["b"] for side in source.split(0.5, exact=True)] == [0, 0]


def test_images_without_any_of_the_classes_are_rows_of_0():
    labels = read("multi_label", [["a"], [], ["b", "a"]])
    assert labels.targets(np.arange(3), None).tolist() == [[1, 0], [0, 0], [1, 1]]
    assert read("multi_label", [[], []], ["a"]).targets(np.arange(2), None).tolist() == [[0], [0]]
    with pytest.raises(DataError, match="No image has a class in column 'x': all of 2 are empty"):
        read("multi_label", [[], []])


def test_several_classes_of_an_image_need_the_mode_for_them():
    with pytest.raises(DataError, match=r"Row 1 has \['b'\] in column 'x', but label_mode='sparse' takes one class"):
        read("sparse", ["a", ["b"]])


def test_arrays_of_one_shape_are_numbers():
    labels = read("regression", [np.ones(2), [3, 4]])
    assert labels.spec == TensorSpec((None, 2), "float32")
    assert labels.targets(np.arange(2), None).tolist() == [[1, 1], [3, 4]]
    with pytest.raises(DataError, match=r"Row 1 has numbers of shape \(3,\) in column 'x', but row 0 has \(2,\)"):
        read("regression", [np.ones(2), np.ones(3)])


def test_class_names_give_order_and_choice():
    labels = read("sparse", WORDS, ["emu", "dog", "cat", "fox"])
    assert labels.targets(np.arange(4), None).tolist() == [1, 2, 1, 0]
    with pytest.raises(DataError, match=r"Row 3 has the label 'emu' in column 'x', which is not among .* \(dog, cat\)"):
        read("sparse", WORDS, ["dog", "cat"])
    with pytest.raises(ArgumentError, match="class_names has 'dog' 2 times"):
        read("sparse", WORDS, ["dog", "cat", "dog"])


@pytest.mark.parametrize("empty", [None, "", "  ", float("nan"), pandas.NA, pandas.NaT, np.float32("nan")])
def test_empty_labels_are_counted_and_the_first_is_named(empty):
    with pytest.raises(DataError, match=r"2 of 4 images have an empty label in column 'x', first row 1. Fill it in"):
        read("categorical", ["a", empty, "b", empty])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0], []], r"Row 1 has \[\] in column 'x'; label_mode='regression' needs numbers"),
        ([[1.0], [pandas.NA]], r"Row 1 has \[<NA>\] in column 'x'; label_mode='regression' needs numbers"),
        ([[1.0], ["tall"]], r"Row 1 has \['tall'\] in column 'x'; label_mode='regression' needs numbers"),
        ([[1.0], [float("nan")]], r"1 of 2 images have a label that is no finite number, first row 1: \[nan\]"),
    ],
)
def test_numbers_that_are_none_are_named(given, message):
    with pytest.raises(DataError, match=message):
        read("regression", given)


def test_modes_that_need_more_than_a_class_per_image_say_so(image_folder):
    with pytest.raises(
        ArgumentError, match=r"label_mode='multi_label' needs more than one class per image. Use ImageF"
    ):
        ImageFolder(image_folder(), label_mode="multi_label")
    with pytest.raises(ArgumentError, match="label_mode is one of categorical, sparse"):
        class_labels("onehot", np.array([0]), ["a"], SHAPE)


# -- weights ---------------------------------------------------------------------------------------------------


def test_class_weights_are_scikit_learns_balanced_ones(image_folder):
    source = ImageFolder(image_folder({"a": 1, "b": 4, "c": 7}), image_size=(8, 8))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=source.labels)
    assert source.class_weights() == pytest.approx(dict(enumerate(expected)))
    part = source.select([0, 1, 2])
    assert part.class_weights() == pytest.approx(
        dict(enumerate(compute_class_weight("balanced", classes=np.arange(2), y=part.labels)))
    )


def test_class_weights_need_one_class_per_image():
    source = ImageArrays(pictures(2), [1.0, 2.0], label_mode="regression")
    with pytest.raises(DataError, match=r"class_weights\(\) needs one class per image: label_mode categorical, sp"):
        source.class_weights()


def test_weights_travel_with_their_images():
    weights = np.arange(12, dtype=np.float32)
    source = ImageArrays(pictures(12), [0, 1] * 6, sample_weights=weights, batch_size=5, seed=3)
    assert source.select([7, 2]).weights.tolist() == [7, 2]
    train, validation = source.split(validation=0.3)
    for side in (train, validation):
        assert side.weights.tolist() == side.rows.tolist()
        for batch in side.batches(epoch=1):
            assert batch.weights.tolist() == side.rows[batch.indices].tolist()
    assert source.target_content() != ImageArrays(pictures(12), [0, 1] * 6).target_content()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"sample weights are one number per image, 3; got shape \(2,\)"),
        (["a", "b", "c"], "sample weights are numbers, one per image; some are none"),
        (
            [1, -1, 1],
            "1 sample weights are negative or no finite number, first row 1: -1.0. A weight is a number from 0",
        ),
        ([1, 1, np.nan], "first row 2: nan"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        ImageArrays(pictures(3), [0, 1, 1], sample_weights=weights)
