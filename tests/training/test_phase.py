"""Phase: what may be asked."""

import re

import pytest

import thawline as tl
from thawline.errors import ArgumentError


@pytest.mark.parametrize("epochs", [0, -1, 1.5, None, "3"])
def test_epochs_are_a_whole_number_from_one_up(epochs):
    with pytest.raises(
        ArgumentError, match=re.escape(f"A phase's epochs are a whole number from 1 up; got {epochs!r}.")
    ):
        tl.Phase("head", epochs)


@pytest.mark.parametrize("rate", [0, -1e-3, float("nan")])
def test_a_learning_rate_is_above_zero(rate):
    with pytest.raises(ArgumentError, match=re.escape(f"A phase's learning_rate is above 0; got {rate!r}.")):
        tl.Phase("head", 1, learning_rate=rate)


@pytest.mark.parametrize(
    ("train", "expected"), [("head", ("head",)), (["head", "base/*"], ("head", "base/*")), (None, ())]
)
def test_patterns_are_always_a_tuple(train, expected):
    assert tl.Phase(train, 1).patterns == expected
