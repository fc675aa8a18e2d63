"""choose_plan: pure decisions over a cut."""

import re
from dataclasses import dataclass, field

import pytest

from thawline.errors import ArgumentError, NothingToLearnError
from thawline.training.planner import choose_plan


class Prefix:
    """Stands in for a Keras model of 1,234 weights."""

    def __init__(self, weights):
        self.weights = [object()] * bool(weights)
        self._count = weights

    def count_params(self):
        return self._count


@dataclass
class StubCut:
    prefix: Prefix = field(default_factory=lambda: Prefix(1234))
    row_bytes: int = 5120

    @property
    def has_frozen_weights(self):
        return bool(self.prefix.weights)


FROZEN, LEARNING = StubCut(), StubCut(Prefix(0))


def plan(cut=FROZEN, **options):
    return choose_plan(cut, **{"is_augmented": True, "epochs": 10, **options})


@pytest.mark.parametrize(("cut", "strategy"), [(FROZEN, "precomputed"), (LEARNING, "joint")])
def test_auto_is_precomputed_when_something_is_frozen(cut, strategy):
    assert plan(cut).strategy == strategy


@pytest.mark.parametrize("strategy", ["joint", "precomputed", "streamed"])
def test_a_strategy_that_is_asked_for_is_taken(strategy):
    chosen = plan(strategy=strategy)
    assert (chosen.strategy, chosen.reason) == (strategy, "as asked")


@pytest.mark.parametrize(
    ("strategy", "options", "views"),
    [
        ("precomputed", {}, 4),
        ("joint", {}, 10),
        ("streamed", {}, 10),
        ("precomputed", {"epochs": 3}, 3),
        ("precomputed", {"is_augmented": False}, 1),
        ("joint", {"is_augmented": False}, 1),
        ("joint", {"views": 2}, 2),
        ("precomputed", {"views": 8}, 8),
        ("precomputed", {"views": 30}, 10),
        ("streamed", {"views": 5, "is_augmented": False}, 1),
    ],
)
def test_views_are_as_many_as_help(strategy, options, views):
    assert plan(strategy=strategy, **options).views == views


def test_a_plan_reads_as_a_sentence():
    assert str(plan()) == "precomputed, 4 views, 10 epochs: 1,234 frozen weights run once per view"
    assert str(plan(LEARNING, epochs=1)) == "joint, 1 view, 1 epoch: nothing is frozen, everything learns"


def test_a_plan_is_plain_values():
    assert plan(strategy="joint", views=3).as_dict() == {
        "strategy": "joint",
        "views": 3,
        "epochs": 10,
        "reason": "as asked",
        "row_bytes": 5120,
    }


def test_an_unknown_strategy_is_refused_with_those_that_are():
    with pytest.raises(ArgumentError) as failure:
        plan(strategy="precompute")
    assert str(failure.value) == "strategy is 'auto', 'joint', 'precomputed', 'streamed'; got 'precompute'."


@pytest.mark.parametrize("views", [0, -1, 2.0, "4"])
def test_views_are_a_whole_number_from_one_up(views):
    with pytest.raises(ArgumentError, match=re.escape(f"views is a whole number from 1 up; got {views!r}.")):
        plan(views=views)


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_features_of_nothing_are_refused_with_the_way_out(strategy):
    with pytest.raises(NothingToLearnError) as failure:
        plan(LEARNING, strategy=strategy)
    assert str(failure.value) == (
        f"strategy={strategy!r} needs a frozen part to run ahead, but every weight of the stack learns. "
        "Freeze a stage (trainable=False), or use strategy='joint'."
    )
