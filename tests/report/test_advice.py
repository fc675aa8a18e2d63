"""Advice is given where figures allow it: enough images, and a training that has settled."""

import numpy as np
import pytest

from thawline.report.advice import has_settled, unrecognised
from thawline.report.scores import class_results

SETTLED = {"loss": [1.0] * 6, "accuracy": [0.5, 0.8, 0.9, 0.9, 0.9, 0.9], "val_accuracy": [0.1] * 6}


def results(*supports):
    """Classes of which no image is recognised, beside one whose images all are."""
    confusion = np.zeros((len(supports) + 1,) * 2, int)
    confusion[0, 0] = 20
    for number, support in enumerate(supports, start=1):
        confusion[number, 0] = support
    return class_results(confusion, ["known", *(f"lost{number}" for number in range(1, len(supports) + 1))])


def test_only_classes_with_many_images_are_named():
    assert unrecognised(results(10, 9, 0, 30), SETTLED) == ["lost1", "lost4"]


@pytest.mark.parametrize(
    "history",
    [
        {"accuracy": [0.5]},
        {"accuracy": [0.2, 0.4, 0.6, 0.8, 0.9]},
        {"loss": [1.0] * 9},
        {"val_accuracy": [0.5] * 9},
        {},
    ],
)
def test_before_training_accuracy_has_settled_nothing_is_said(history):
    assert unrecognised(results(30), history) == []


def test_an_accuracy_by_any_name_counts():
    assert unrecognised(results(30), {"sparse_categorical_accuracy": [0.9] * 5}) == ["lost1"]
    assert unrecognised(results(30), {"acc": [0.9] * 5}) == ["lost1"]


def test_a_figure_that_still_rises_has_not_settled():
    assert not has_settled([0.1, 0.2, 0.3, 0.4])
    assert not has_settled([0.5, 0.5, 0.5])
    assert has_settled([0.5, 0.5, 0.5, 0.5])
    assert has_settled([0.9, 0.5, 0.6, 0.7])


def test_epochs_without_the_figure_do_not_count():
    nan = float("nan")
    assert not has_settled([nan, nan, nan, 0.5])
    assert has_settled([nan, 0.9, 0.9, nan, 0.9, 0.9])
