"""Which images are shown."""

import numpy as np

from thawline.report.selection import most_uncertain, surest_right, worst_mistakes

ANSWERS = np.array([[0.7, 0.2, 0.1], [0.1, 0.9, 0.0], [0.4, 0.35, 0.25], [0.0, 0.05, 0.95], [0.6, 0.3, 0.1]])
LABELS = np.array([0, 0, 1, 2, 0])


def test_the_surest_mistake_comes_first():
    assert worst_mistakes(ANSWERS, LABELS, 5) == [1, 2]
    assert worst_mistakes(ANSWERS, LABELS, 1) == [1]


def test_mistakes_of_one_probability_are_ordered_by_how_sure_they_are():
    # 0.02 says class 0 with 98 %.
    assert worst_mistakes(np.array([[0.6], [0.02], [0.9]]), np.array([0, 1, 1]), 5) == [1, 0]


def test_the_nearest_race_comes_first():
    assert most_uncertain(np.array([[0.52, 0.4, 0.08], [0.1, 0.9, 0.0], [0.4, 0.35, 0.25]]), 2) == [2, 0]
    assert most_uncertain(np.array([[0.5], [0.45], [0.6]]), 3) == [0, 1, 2]


def test_answers_that_are_far_ahead_are_not_uncertain():
    # 0.65 against 0.35 is 30 points ahead; 0.9 against 0.1 is 80.
    assert most_uncertain(np.array([[0.9], [0.45], [0.75]]), 3) == [1]
    assert most_uncertain(ANSWERS, 5) == [2]


def test_right_answers_are_taken_from_each_class_in_turn():
    assert surest_right(ANSWERS, LABELS, 2) == [3, 0]
    assert surest_right(ANSWERS, LABELS, 5) == [3, 0, 4]


def test_where_all_is_right_there_are_no_mistakes_and_the_other_way_round():
    labels = ANSWERS.argmax(axis=1)
    assert worst_mistakes(ANSWERS, labels, 5) == []
    assert surest_right(ANSWERS, (labels + 1) % 3, 5) == []
