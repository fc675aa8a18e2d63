"""Seeds for iterators without one."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.data.generator.unseeded import take_seed


def seeds(count=3):
    return [take_seed() for _ in range(count)]


def test_seeds_are_fresh_and_repeated_after_seeding():
    keras.utils.set_random_seed(5)
    first = seeds()
    assert len(set(first)) == 3
    keras.utils.set_random_seed(5)
    assert seeds() == first
    keras.utils.set_random_seed(6)
    assert not set(seeds()) & set(first)


def test_seeds_belong_to_the_place_in_numpys_numbers():
    np.random.seed(3)
    first = seeds()
    np.random.random()
    second = seeds()
    np.random.seed(3)
    assert seeds() == first
    np.random.random()
    assert seeds() == second


@pytest.mark.parametrize("draw", [np.random.random, np.random.standard_normal])
def test_numpys_generator_stays_where_it_is(draw):
    np.random.seed(4)
    draw()
    before = np.random.get_state()
    seeds()
    after = np.random.get_state()
    assert before[0] == after[0]
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])
