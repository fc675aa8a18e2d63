"""Names decide which class is which: every kind of labels, several outputs, numbers without names, refusals."""

import warnings

import numpy as np
import pytest

import thawline as tl
from thawline.data.class_order import numbers_by_name, tell_names
from thawline.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
TEXT_ORDER, VALUE_ORDER = ("0", "1", "10", "2"), ("0", "1", "2", "10")


def arrays(labels, mode="categorical", **options):
    return tl.ImageArrays(PIXELS[: len(labels)], labels, label_mode=mode, **options)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sparse", [0, 1, 3, 2]),
        ("categorical", np.eye(4)[[0, 1, 3, 2]].tolist()),
        ("multi_label", np.eye(4)[[0, 1, 3, 2]].tolist()),
    ],
)
def test_targets_follow_the_names(mode, expected):
    given = [[name] for name in TEXT_ORDER] if mode == "multi_label" else list(TEXT_ORDER)
    source = arrays(given, mode, class_names=TEXT_ORDER)
    named = source.with_class_names(VALUE_ORDER)
    assert named.targets(np.arange(4)).tolist() == expected
    assert named.class_names == VALUE_ORDER
    assert named.class_counts == dict.fromkeys(VALUE_ORDER, 1)
    assert source.class_names == TEXT_ORDER


def test_binary_classes_are_swapped():
    source = arrays(["no", "yes"], "binary")
    assert source.with_class_names(("yes", "no")).targets(np.arange(2)).tolist() == [[1], [0]]


def test_each_output_has_names_of_its_own():
    labels = {"kind": ["b", "a"], "size": [0.5, 2.0], "tone": ["dark", "light"]}
    modes = {"kind": "sparse", "size": "regression", "tone": "sparse"}
    source = tl.ImageArrays(PIXELS[:2], labels, label_mode=modes)
    assert source.output_class_names == {"kind": ("a", "b"), "tone": ("dark", "light")}
    named = source.with_class_names({"kind": ("b", "a")})
    targets = named.targets(np.arange(2))
    assert targets["kind"].tolist() == [0, 1]
    assert targets["tone"].tolist() == [0, 1]
    assert targets["size"].tolist() == [[0.5], [2.0]]
    assert source.with_class_names(("b", "a")) is source


@pytest.mark.parametrize("mode", ["input", "none"])
def test_where_targets_are_no_classes_any_names_do(mode):
    source = arrays(["a", "b"], mode)
    assert source.with_class_names(("x", "y", "z")) is source


def test_regression_has_no_names_to_go_by():
    source = arrays([0.5, 1.5], "regression")
    assert source.with_class_names(("x", "y")) is source


def test_a_class_that_is_lacking_has_no_images_and_is_told():
    source = arrays(["a", "c", "c"], "sparse")
    with pytest.warns(UserWarning, match=r"lack 1 of 3 classes \('b'\): it counts as a class without images"):
        named = source.with_class_names(("a", "b", "c"))
    assert named.labels.tolist() == [0, 2, 2]
    assert named.class_counts == {"a": 1, "b": 0, "c": 2}


def test_a_class_that_is_not_known_is_refused_with_both_lists():
    source = arrays(["lama", "cat", "zebra"])
    message = (
        r"1 class of the images is not known: lama \(1\)\. The images have cat, lama, zebra \(3\); "
        r"known are cat, llama, zebra \(3\)\. 'lama' may be 'llama'\. Rename"
    )
    with pytest.raises(DataError, match=message):
        source.with_class_names(("zebra", "llama", "cat"))


def test_a_class_that_is_not_known_but_has_no_images_does_no_harm():
    source = arrays(["a", "b", "c"], "sparse").select([0, 2])
    assert source.with_class_names(("c", "a")).labels.tolist() == [1, 0]


def test_several_labels_of_a_known_class_survive_one_without_images():
    source = arrays([["a", "c"], ["c"]], "multi_label", class_names=("a", "b", "c"))
    assert source.with_class_names(("c", "a")).targets(np.arange(2)).tolist() == [[1, 1], [1, 0]]


def test_class_numbers_without_names_stay_what_they_are():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = arrays([0, 1, 1], "sparse").with_class_names(("rose", "tulip", "yew"))
    assert named.labels.tolist() == [0, 1, 1]
    assert named.class_names == ("rose", "tulip", "yew")


def test_class_numbers_that_may_be_names_in_another_order_are_refused():
    with pytest.raises(DataError, match=r"'2' may be the class of that name, or of that number. Give .* class_names="):
        arrays([0, 1, 2, 3]).with_class_names(TEXT_ORDER)
    hot = tl.ImageArrays(PIXELS[:3], np.eye(3, dtype=int), label_mode="multi_label")
    with pytest.raises(DataError, match="may be the class of that name"):
        hot.with_class_names(("2", "1", "0"))


def test_more_class_numbers_than_classes_are_refused():
    with pytest.raises(DataError, match=r"class numbers from 0 to 2, but there are 2 classes: cat, dog \(2\)"):
        arrays([0, 1, 2]).with_class_names(("cat", "dog"))


def test_names_for_classes_that_were_numbers_are_taken_in_order_and_told():
    source = arrays(["cat", "dog"], "sparse")
    with pytest.warns(UserWarning, match=r"classes without names, numbered 0 to 1; .* 0 is 'cat'"):
        assert source.with_class_names(("0", "1")).labels.tolist() == [0, 1]


def test_names_that_are_numbers_are_found_by_name_among_numbers():
    texts = sorted(map(str, range(12)))
    numbers = numbers_by_name(texts, [str(number) for number in range(12)], [1] * 12)
    assert numbers.tolist() == [int(text) for text in texts]


def test_a_split_and_a_named_source_share_nothing_but_pictures():
    train, validation = arrays(["a", "b", "a", "b"], "sparse").split(0.5, exact=True)
    named = validation.with_class_names(("b", "a"))
    assert named.known_labels.tolist() == [1 - label for label in validation.known_labels.tolist()]
    assert train.class_names == ("a", "b")


def test_accents_that_are_composed_otherwise_make_no_other_class():
    composed, apart = "caf\u00e9", "cafe\u0301"
    source = arrays([apart, "tea", "tea"], "sparse")
    named = source.with_class_names(("tea", composed))
    assert named.labels.tolist() == [1, 0, 0]
    assert named.class_names == ("tea", composed)


def test_long_lists_are_short_in_messages():
    assert tell_names([]) == "none (0)"
    assert tell_names([f"c{number:04}" for number in range(2000)]).endswith("c0007, ... (2,000)")
