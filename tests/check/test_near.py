"""Near duplicates are found among pictures of every kind, and nothing is found where pictures are only alike."""

import numpy as np
import pytest

from photos import COPIES, as_jpeg, describe, photos, thumbnails, weaves
from thawline.check.near import NearPair, across, agreement, near_pairs
from thawline.check.nearest import nearest


def pairs_of(pictures, labels=None):
    found = near_pairs(describe(pictures), thumbnails(pictures), labels)
    return [(pair.first, pair.second) for pair in found]


@pytest.fixture(scope="module", params=["photos", "weaves"])
def pictures(request):
    return {"photos": photos, "weaves": weaves}[request.param](60)


def test_no_two_pictures_of_a_clean_set_are_near(pictures):
    assert pairs_of(pictures) == []


@pytest.mark.parametrize("kind", COPIES)
def test_five_of_five_copies_are_found_and_nothing_else(pictures, kind):
    originals = [3, 20, 41, 50, 59]
    copies = np.stack([COPIES[kind](pictures[place]) for place in originals])
    found = pairs_of(np.concatenate([pictures, copies]))
    assert sorted(found) == [(place, 60 + number) for number, place in enumerate(originals)]


def test_a_scene_that_never_changes_makes_no_duplicates():
    """One background, and a small part somewhere that differs: what a camera above a conveyor belt sees."""
    random = np.random.default_rng(0)
    scene = photos(1)[0]
    pictures = np.repeat(scene[None], 60, axis=0)
    for picture in pictures:
        top, left = random.integers(0, 66, 2)
        picture[top : top + 30, left : left + 30] = random.integers(0, 256, 3)
    noisy = (pictures + random.normal(0, 6, pictures.shape)).clip(0, 255).astype(np.uint8)
    assert pairs_of(noisy) == []


def test_pictures_of_one_layout_in_other_colours_are_two_pictures():
    random = np.random.default_rng(1)
    flags = np.zeros((60, 96, 96, 3), np.uint8)
    for flag in flags:
        for stripe in range(3):
            flag[:, 32 * stripe : 32 * stripe + 32] = random.integers(0, 256, 3)
    assert pairs_of(flags) == []


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_pictures_are_compared_as_well(count):
    pictures = photos(count)
    assert pairs_of(pictures) == []
    assert pairs_of(np.concatenate([pictures, as_jpeg(pictures[0], 60)[None]])) == [(0, count)]


def test_agreement_sees_through_brightness_movement_and_noise_but_not_through_contrast_or_content():
    one, other = thumbnails(photos(2))
    assert agreement(one, one // 2 + 40) > 0.99
    assert agreement(one, np.roll(one, 2, axis=1)) > 0.9
    assert agreement(one, other) < 0.8
    assert agreement(one, one // 8) == -1


def test_pairs_across_sides_name_the_validation_image_second():
    pairs = [NearPair(0, 3, 0.9), NearPair(1, 2, 0.8), NearPair(0, 1, 1.0)]
    sides = np.array([True, True, False, False])
    assert across(pairs, sides) == [NearPair(3, 0, 0.9), NearPair(2, 1, 0.8)]


def test_nearest_in_blocks_is_what_sorting_all_gives(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    others = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32)
    # Seven rows at a time.
    monkeypatch.setattr("thawline.check.nearest._BLOCK_BYTES", 4 * 50 * 7)
    for second in (vectors, others):
        products = vectors @ second.T
        np.fill_diagonal(products, -np.inf)
        indices, cosines = nearest(vectors, 4, others=second)
        np.testing.assert_array_equal(indices, np.argsort(-products, axis=1)[:, :4])
        np.testing.assert_allclose(cosines, np.take_along_axis(products, indices, axis=1), rtol=1e-5)
