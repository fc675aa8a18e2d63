"""What a storage costs: compared with NumPy, scikit-learn and hand calculations; and which one is chosen."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from thawline.errors import ArgumentError
from thawline.features.feature_set import stored_bytes
from thawline.features.rows import pack_rows
from thawline.features.storage import StorageChoice, StorageCost, choose_storage, measure_storages

RANDOM = np.random.default_rng(0)
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def floats(*shape):
    return RANDOM.standard_normal(shape, np.float32)


def by_name(tensors, rows=1000, labels=None):
    return {cost.storage: cost for cost in measure_storages(tensors, rows, labels)}


def rounded(tensor, storage):
    return tensor.astype(DTYPES[storage]).astype(np.float64)


def leave_one_out(features, labels):
    """The accuracy of scikit-learn's classifier, trained once per image that is left out."""
    features = features.astype(np.float64)
    ridge = 0.3 * ((features - features.mean(axis=0)) ** 2).sum(axis=1).mean()
    right = 0
    for left_out in range(len(labels)):
        others = np.arange(len(labels)) != left_out
        classifier = RidgeClassifier(alpha=ridge, solver="svd").fit(features[others], labels[others])
        right += int(classifier.predict(features[[left_out]])[0] == labels[left_out])
    return right / len(labels)


def nearest(features):
    """The nearest neighbour of each image by the cosine, one pair after another."""
    names = []
    for index, one in enumerate(features):
        cosines = [one @ other / np.linalg.norm(one) / np.linalg.norm(other) for other in features]
        cosines[index] = -2
        names.append(int(np.argmax(cosines)))
    return np.array(names)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("count, width", [(30, 4), (25, 60)])
def test_the_probe_is_scikit_learns_with_each_image_left_out(classes, count, width):
    labels = np.arange(count) % classes
    # So much noise that images are named wrongly; far from 0, so that the intercept counts.
    features = 20 + (floats(count, width) + 2 / width**0.5 * floats(classes, width)[labels])
    costs = by_name([features], labels=labels)
    for storage, cost in costs.items():
        assert cost.probe_accuracy == leave_one_out(rounded(features, storage), labels)
    assert 1 / classes < costs["float32"].probe_accuracy < 1


def test_the_probe_sees_maps_averaged_beside_what_is_flat():
    labels = np.arange(30) % 3
    maps, flat = floats(30, 2, 3, 5) + 0.4 * floats(3, 2, 3, 5)[labels], floats(30, 4)
    pooled = np.concatenate([maps.mean(axis=(1, 2)), flat], axis=1)
    assert by_name([maps, flat], labels=labels)["float32"].probe_accuracy == leave_one_out(pooled, labels)


def test_an_image_that_is_alone_in_its_class_is_no_part_of_the_probe():
    features, labels = floats(21, 4), np.array([7, *np.arange(20) % 2])
    features[:, 0] += labels
    expected = leave_one_out(features[1:], labels[1:])
    assert by_name([features], labels=labels)["float32"].probe_accuracy == expected


@pytest.mark.parametrize("labels", [None, np.zeros(6, int), np.arange(6), np.array([0, 0, 0, 0, 0, 1])])
def test_without_two_classes_of_two_images_there_is_no_probe(labels):
    assert {cost.probe_accuracy for cost in measure_storages([floats(6, 3)], 1, labels)} == {None}


@pytest.mark.parametrize("shape", [(8,), (3, 2, 4)])
def test_agreement_is_the_share_of_neighbours_that_stay(shape):
    # What tells these images apart is small beside what they share: bfloat16 loses much of it.
    tensors = [5 + 0.02 * floats(50, *shape), 3 + 0.02 * floats(50)]
    costs = by_name(tensors)
    flat = {name: np.concatenate([rounded(t, name).reshape(50, -1) for t in tensors], axis=1) for name in DTYPES}
    for storage, cost in costs.items():
        assert cost.agreement == np.mean(nearest(flat[storage]) == nearest(flat["float32"]))
    assert costs["float32"].agreement == 1
    assert costs["bfloat16"].agreement < 0.9


def test_neighbours_that_are_equally_near_may_change_places():
    images = 5 + 0.1 * floats(4, 30)
    # Every image three times: which of the two others is nearest says nothing.
    assert {cost.agreement for cost in measure_storages([np.tile(images, (3, 1))], 1, None)} == {1.0}
    assert {cost.agreement for cost in measure_storages([np.zeros((4, 30), np.float32)], 1, None)} == {1.0}


def test_two_images_have_no_other_neighbour_to_choose():
    assert {cost.agreement for cost in measure_storages([floats(2, 3)], 1, None)} == {None}


def test_the_largest_difference_is_a_share_of_the_largest_value_of_the_worst_tensor():
    # 2049 becomes 2048 in both, 257 becomes 256 in bfloat16 only.
    large = np.array([[0, 2049], [-4096, 0]], np.float32)
    assert [cost.largest_difference for cost in measure_storages([large], 1, None)] == [0, 1 / 4096, 1 / 4096]
    small = np.array([[257], [260]], np.float32) / 1024
    assert [cost.largest_difference for cost in measure_storages([large, small], 1, None)] == [0, 1 / 4096, 1 / 260]


def test_columns_beyond_the_first_thousands_count():
    tensor = np.ones((3, 10_000), np.float32)
    tensor[1, 9_999] = 1 + 2.0**-12
    tensor[2, 5_000] = 2
    costs = by_name([tensor])
    assert costs["float16"].largest_difference == 2.0**-13
    tensor[0, 9_998] = 1e5
    assert by_name([tensor])["float16"].overflowed == 1


def test_values_that_overflow_are_counted_and_their_rows_stay():
    tensor = floats(4, 500)
    tensor[1, :3] = [7e4, -7e4, 65519]
    tensor[2, 0] = np.inf
    costs = by_name([tensor], rows=1000)
    assert [cost.overflowed for cost in costs.values()] == [0, 2, 0]
    # One row of four takes the room of float32.
    packed, _ = pack_rows([b""] * 4, [tensor], "float16")
    assert costs["float16"].bytes_total == 250 * sum(stored_bytes(len(row)) for row in packed)
    stays = tensor[[0, 2, 3]]
    finite = stays[np.isfinite(stays)]
    expected = np.abs(rounded(finite, "float16") - finite).max() / 7e4
    assert costs["float16"].largest_difference == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.uint8, bool])
def test_what_is_not_float32_costs_nothing_and_saves_nothing(dtype):
    tensor = RANDOM.integers(0, 2, (12, 3, 3, 4)).astype(dtype)
    costs = measure_storages([tensor], 1000, np.arange(12) % 2)
    assert len({(cost.bytes_total, cost.agreement, cost.probe_accuracy) for cost in costs}) == 1
    assert {cost.largest_difference for cost in costs} == {0.0}
    choice = choose_storage(costs)
    assert choice.storage == "float32"
    assert choice.reason == "float16 takes no fewer bytes; bfloat16 takes no fewer bytes"


def test_nan_and_infinity_of_the_engine_do_not_spoil_the_figures():
    tensor = floats(20, 2, 2, 3)
    tensor[3, 0, 0] = [np.nan, np.inf, -np.inf]
    tensor[3, 1, 0] = [np.nan, -np.inf, -np.inf]
    for cost in measure_storages([tensor], 10, np.arange(20) % 2):
        assert cost.overflowed == 0
        assert 0 <= cost.largest_difference < 0.01
        assert 0 <= cost.probe_accuracy <= 1
        assert 0 <= cost.agreement <= 1


def test_the_sample_is_not_changed():
    tensor = floats(5, 3)
    tensor[0, 0] = 1e6
    before = tensor.copy()
    measure_storages([tensor], 10, None)
    np.testing.assert_array_equal(tensor, before, strict=True)


def test_a_sample_that_cannot_be_measured_is_refused():
    with pytest.raises(ArgumentError, match="sample of features is empty"):
        measure_storages([], 10, None)
    with pytest.raises(ArgumentError, match="sample of features is empty"):
        measure_storages([floats(0, 3)], 10, None)
    with pytest.raises(ArgumentError, match=r"one class per image, \(4,\) here; got \(3,\)"):
        measure_storages([floats(4, 3)], 10, np.arange(3))


EXACT = StorageCost("float32", 8000, 0.0, 0, 1.0, 0.9)
HALF = StorageCost("float16", 4000, 2e-4, 0, 1.0, 0.9)
COARSE = StorageCost("bfloat16", 4000, 2e-3, 0, 1.0, 0.9)


@pytest.mark.parametrize(
    "float16, bfloat16, storage, reason",
    [
        ({}, {}, "float16", "50% fewer bytes than float32, and no accuracy lost on the sample"),
        ({"overflowed": 1}, {}, "bfloat16", "float16 cannot hold 1 value of the sample"),
        ({"overflowed": 1200}, {}, "bfloat16", "float16 cannot hold 1,200 values of the sample"),
        (
            {"overflowed": 2},
            {"agreement": 0.98},
            "float32",
            "bfloat16 changes the nearest neighbour of 2.0% of the images",
        ),
        ({"agreement": 0.99, "probe_accuracy": 0.895}, {}, "float16", "50% fewer"),
        (
            {"probe_accuracy": 0.894},
            {"probe_accuracy": 0.88},
            "float32",
            "float16 costs 0.6 points of accuracy; bfloat16",
        ),
        ({"probe_accuracy": 0.95}, {}, "float16", "50% fewer"),
        ({"agreement": None}, {"agreement": None}, "float32", "float16 cannot be judged by so small a sample"),
        ({"bytes_total": 8000}, {"bytes_total": 8000}, "float32", "float16 takes no fewer bytes"),
        ({"bytes_total": 6000}, {}, "bfloat16", "50% fewer"),
    ],
)
def test_the_smallest_storage_that_costs_nothing_is_chosen(float16, bfloat16, storage, reason):
    costs = [EXACT, replace(HALF, **float16), replace(COARSE, **bfloat16)]
    for order in (costs, costs[::-1]):
        choice = choose_storage(order)
        assert choice.storage == storage
        assert reason in choice.reason
        assert choice.costs == tuple(order)


def test_without_classes_the_neighbours_decide():
    costs = [replace(cost, probe_accuracy=None) for cost in (EXACT, HALF, COARSE)]
    assert choose_storage(costs).storage == "float16"
    assert choose_storage([costs[0], replace(costs[1], agreement=0.9), costs[2]]).storage == "bfloat16"


def test_a_choice_needs_float32_to_compare_with():
    assert choose_storage([EXACT]) == StorageChoice("float32", "nothing else was measured", (EXACT,))
    with pytest.raises(ArgumentError, match="float32 is not among the costs"):
        choose_storage([HALF])


def test_features_of_real_size_are_chosen_as_they_should_be():
    labels = np.arange(60) % 3
    features = floats(60, 64) + floats(3, 64)[labels]
    assert choose_storage(measure_storages([features], 1000, labels)).storage == "float16"
    assert choose_storage(measure_storages([features * 1e5], 1000, labels)).storage == "bfloat16"
    # What tells the classes apart is lost beside the number that all share.
    assert choose_storage(measure_storages([features + 1e5], 1000, labels)).storage == "float32"


def test_a_cost_is_one_line_and_a_choice_a_table():
    cost = StorageCost("bfloat16", 4_352_000, 0.00234, 1, None, None)
    assert str(cost) == (
        "bfloat16: 4.4 MB, largest difference 2.3e-03, 1 value overflows, unknown same neighbours, unknown accuracy"
    )
    assert str(choose_storage([EXACT, replace(HALF, overflowed=1200), COARSE])).splitlines() == [
        "          disk  largest difference  overflows  same neighbours  accuracy",
        "float32   8 kB             0.0e+00          0           100.0%     90.0%",
        "float16   4 kB             2.0e-04      1,200           100.0%     90.0%",
        "bfloat16  4 kB             2.0e-03          0           100.0%     90.0%",
        "bfloat16: 50% fewer bytes than float32, and no accuracy lost on the sample; "
        "float16 cannot hold 1,200 values of the sample",
    ]
