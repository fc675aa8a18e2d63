"""The figures of a run agree with a hand calculation and with scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support

from thawline.report.scores import ClassResult, accuracy, class_results, confusion_matrix


def test_confusion_counts_true_classes_in_rows():
    assert confusion_matrix(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 1, 2, 2, 0]), 4).tolist() == [
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [1, 0, 2, 0],
        [0, 0, 0, 0],
    ]


def test_numbers_agree_with_scikit_learn():
    generator = np.random.default_rng(3)
    labels, answers = generator.integers(0, 7, (2, 200))
    confusion = confusion_matrix(labels, answers, 7)
    np.testing.assert_array_equal(confusion, sklearn_confusion(labels, answers))
    assert accuracy(confusion) == pytest.approx(np.mean(labels == answers))
    precision, recall, _, support = precision_recall_fscore_support(labels, answers)
    results = class_results(confusion, list("abcdefg"))
    np.testing.assert_allclose([result.precision for result in results], precision)
    np.testing.assert_allclose([result.recall for result in results], recall)
    assert [result.support for result in results] == support.tolist()


def test_class_results_by_hand():
    results = class_results(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    assert results == [ClassResult("cat", 4, 0.75, 1.0), ClassResult("dog", 4, 1.0, 0.8)]


def test_what_is_not_defined_is_nan():
    absent = class_results(np.array([[2, 0], [0, 0]]), ["cat", "dog"])[1]
    assert absent.support == 0 and math.isnan(absent.recall) and math.isnan(absent.precision)
    assert math.isnan(accuracy(np.zeros((2, 2), int)))
    assert confusion_matrix(np.array([], int), np.array([], int), 2).tolist() == [[0, 0], [0, 0]]
