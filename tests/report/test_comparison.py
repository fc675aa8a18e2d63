"""Runs beside each other agree with a count by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from thawline.errors import ArgumentError
from thawline.report.comparison import RunResult, compare_runs, describe_images, sign_test
from thawline.report.comparison_page import write_comparison
from thawline.report.predictions import Predictions


def run_of(name, answers, *, labels="aabb", digests="wxyz", recipe=None, sure=None, **metrics):
    """A run that answered a letter for each of its images, which are letters, too."""
    probabilities = np.array([[0.6, 0.4]] * len(answers) if sure is None else sure)
    predictions = Predictions(
        tuple(f"{name}/{digest}.png" for digest in digests),
        tuple(digests),
        tuple(labels),
        tuple(answers),
        ("a", "b"),
        probabilities,
    )
    classes = [{"name": "a", "recall": 0.5}, {"name": "b", "recall": None}]
    seconds = {"training": 2.0, "measuring": 1.0}
    figures = {"accuracy": 0.5, "classes": classes, "seconds": seconds, "last_epoch": {"loss": 1.0}} | metrics
    return RunResult(name, name, recipe or {}, figures, predictions)


def test_answers_are_compared_image_by_image():
    found = compare_runs([run_of("one", "abbb"), run_of("two", "aaab"), run_of("three", "bbaa")])
    assert found.common == 4 and found.have_same_images
    assert found.accuracy == (0.75, 0.75, 0.0)
    assert found.only_right == (0, 1, 0)
    assert found.only_wrong == (0, 1, 3)
    assert found.chance == pytest.approx((1.0, 1.0, 0.25))
    assert describe_images(found) == "All were measured on the same 4 images."
    # Of x only "two" is right, of y and w some are, and of z "three" is alone; every image is one of disagreement.
    assert [each.path for each in found.disagreements] == [f"one/{digest}.png" for digest in "wxyz"]
    assert found.disagreements[1].answers == ("b", "a", "b")


def test_images_that_somebody_answered_right_come_first_and_then_the_surest():
    sure = [[0.6, 0.4], [0.9, 0.1], [0.5, 0.5], [0.8, 0.2]]
    one, two = run_of("one", "bbaa", labels="abab", sure=sure), run_of("two", "aabb", labels="abcb", sure=sure)
    # y is "a" in "one": what the first run says counts.
    assert [each.path[4] for each in compare_runs([one, two]).disagreements] == ["x", "z", "w", "y"]


def test_images_are_known_by_their_content_wherever_they_lie():
    found = compare_runs([run_of("one", "abbb", digests="wxyz"), run_of("two", "bbaa", digests="zyxv", labels="bbab")])
    # Common are x, y and z; in "two" they are third, second and first.
    assert found.common == 3 and not found.have_same_images
    assert found.accuracy == pytest.approx((2 / 3, 1.0))
    assert (found.only_right, found.only_wrong) == ((0, 1), (0, 0))
    assert describe_images(found) == (
        "They were measured on different images (one on 4, two on 4); here only the 3 that all have count."
    )


def test_an_image_that_a_run_has_twice_counts_once():
    found = compare_runs([run_of("one", "abbb", digests="wwyz"), run_of("two", "aabb", digests="wwyz")])
    assert found.common == 3 and found.have_same_images
    assert found.held_out == (3, 3)
    assert not found.disagreements


def test_without_common_images_there_is_nothing_to_disagree_on():
    found = compare_runs([run_of("one", "abbb"), run_of("two", "abbb", digests="klmn")])
    assert found.common == 0 and not found.disagreements
    assert all(map(math.isnan, found.accuracy))
    assert describe_images(found).startswith("No image was held out by all of them (one on 4, two on 4)")
    assert found.as_dict()["images"]["accuracy"] == {"one": None, "two": None}


def test_only_differences_of_recipes_are_told_and_names_are_none():
    recipes = [
        {"run.name": "one", "data.seed": "7", "phases.0.epochs": "3"},
        {"run.name": "two", "data.seed": "7", "phases.0.epochs": "5", "phases.1.epochs": "2"},
    ]
    found = compare_runs([run_of(name, "aabb", recipe=recipe) for name, recipe in zip("xy", recipes, strict=True)])
    assert found.recipe == (("phases.0.epochs", ("3", "5")), ("phases.1.epochs", ("-", "2")))


def test_figures_that_a_run_lacks_are_not_known():
    one = run_of("one", "aabb", calibration_error=0.1, epoch_seconds=[1.0, 3.0])
    two = run_of("two", "aabb", last_epoch={"mae": 2.0}, seconds={"training": 4.0})
    found = compare_runs([one, two])
    rows = {**dict(found.result), **dict(found.speed)}
    assert rows["accuracy"] == (0.5, 0.5)
    for key, (first, second) in {
        "calibration error": (0.1, None),
        "loss (last epoch)": (1.0, None),
        "mae (last epoch)": (None, 2.0),
        "measuring": (1.0, None),
        "all": (3.0, 4.0),
        "per epoch": (2.0, None),
    }.items():
        plain = [None if math.isnan(value) else value for value in rows[key]]
        assert plain == [first, second], key


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (3, 9), (40, 25), (700, 600)])
def test_chance_is_that_of_the_binomial_distribution(wins, losses):
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_one_run_is_refused():
    with pytest.raises(ArgumentError, match="Two runs or more are compared; got 1"):
        compare_runs([run_of("one", "aabb")])


def test_the_page_shows_images_on_which_runs_disagree_as_far_as_they_are_there(image_folder, tmp_path):
    folder = image_folder({"one": 2})
    (folder / "one" / "000.png").rename(folder / "one" / "w.png")
    runs = [run_of(str(folder / "one"), "abbb"), run_of("<b>two</b>", "bbaa")]
    write_comparison(tmp_path / "comparison.html", compare_runs(runs))
    text = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert text.count("<img") == 1 and "w.png is a;" in text
    assert "&lt;b&gt;two&lt;/b&gt;" in text and "<b>two" not in text
