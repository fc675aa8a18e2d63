"""Draws: plain numbers that can be written down, with a place of their own in the stream."""

import json
from fractions import Fraction

import numpy as np
import pytest
from blake3 import blake3

from thawline.data.augment import Augmentation, Draw
from thawline.data.augment.draw import NUMBERS, generator
from thawline.errors import ArgumentError

SIZE = (40, 60)
# The numbers that each argument moves.
ARGUMENTS = {
    "channel_shift_range": (30, {"channel_shift"}),
    "contrast_range": (0.4, {"contrast"}),
    "saturation_range": ((0.2, 1.8), {"saturation"}),
    "hue_range": (0.2, {"hue"}),
    "grayscale_probability": (1.0, {"grayscale"}),
    "blur_range": (2.0, {"blur"}),
    "noise_range": ((3, 9), {"noise"}),
    "erasing_probability": (1.0, {"erase_left", "erase_top", "erase_width", "erase_height"}),
    "crop_area_range": ((0.2, 0.9), {"crop_left", "crop_top", "crop_width", "crop_height"}),
}
EVERYTHING = {name: value for name, (value, _) in ARGUMENTS.items()}


def draw(view=0, **arguments):
    return Augmentation(**arguments).draw(7, b"image", view, image_size=SIZE)


def uniform(name, view):
    """The number's place in BLAKE3's stream, by hand."""
    key = (7).to_bytes(8, "little") + view.to_bytes(8, "little") + b"image"
    place = 8 * NUMBERS.index(name)
    word = int.from_bytes(blake3(key).digest(length=place + 8)[place:], "little")
    return float(Fraction(word >> 11, 2**53))


def test_the_first_numbers_keep_their_places():
    """Cached features and written runs hold pictures drawn from them."""
    assert NUMBERS[:9] == (
        *("rotation", "shift_x", "shift_y", "shear", "zoom_x", "zoom_y"),
        *("flip_horizontal", "flip_vertical", "brightness"),
    )
    assert draw(rotation_range=10).rotation == pytest.approx(-10 + 20 * uniform("rotation", 0))
    assert draw(contrast_range=(0.5, 1.5)).contrast == pytest.approx(0.5 + uniform("contrast", 0))


def test_a_draw_goes_through_json_and_back():
    numbers = draw(**EVERYTHING, rotation_range=20, horizontal_flip=True, zoom_range=0.2)
    assert numbers != Draw()
    assert Draw.from_dict(json.loads(json.dumps(numbers.as_dict()))) == numbers


def test_a_draw_is_read_from_the_numbers_that_matter():
    assert Draw.from_dict({"rotation": 5, "flip_vertical": True}) == Draw(rotation=5, flip_vertical=True)


def test_a_draw_prints_the_numbers_that_change_something():
    assert str(Draw()) == "as it is"
    assert str(Draw(zoom_x=0.81234, grayscale=True, entropy=9)) == "zoom_x 0.812, grayscale"


@pytest.mark.parametrize("numbers", [{"rotate": 3}, {"entropi": 3}])
def test_unknown_numbers_are_refused(numbers):
    with pytest.raises(ArgumentError, match=r"A draw has no number '(rotate|entropi)'. Known are rotation, shift_x"):
        Draw.from_dict(numbers)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("rotation", "5", "float"),
        ("rotation", True, "float"),
        ("blur", float("nan"), "float"),
        ("grayscale", 1, "bool"),
        ("entropy", 0.5, "int"),
    ],
)
def test_values_of_another_type_are_refused(name, value, kind):
    with pytest.raises(ArgumentError, match=f"A draw's {name} is of type {kind}; got "):
        Draw.from_dict({name: value})


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_switching_an_argument_off_leaves_all_other_numbers(argument):
    with_it, neutral = draw(**EVERYTHING).as_dict(), Draw().as_dict()
    without = draw(**{name: value for name, value in EVERYTHING.items() if name != argument}).as_dict()
    own = ARGUMENTS[argument][1]
    assert with_it == {**without, **{name: with_it[name] for name in own}}
    assert all(without[name] == neutral[name] != with_it[name] for name in own)


def test_entropy_is_drawn_for_what_needs_a_generator_only():
    assert draw(rotation_range=5, blur_range=2, erasing_probability=1.0, erasing_value=0).entropy == 0
    wanted = int(uniform("entropy", 0) * 2**53)
    for arguments in ({"noise_range": 3}, {"erasing_probability": 0.1}, {"functions": [lambda image, rng: image]}):
        assert draw(**arguments).entropy == wanted


def test_generators_differ_by_position_and_draw_and_repeat():
    def first(entropy, position):
        return generator(Draw(entropy=entropy), position).random()

    assert first(5, 0) == first(5, 0)
    assert len({first(5, 0), first(5, 1), first(6, 0), first(2**53 - 1, 0)}) == 4


def test_a_whole_number_shifts_by_whole_pixels_as_numpys_choice_does():
    values = [draw(view, width_shift_range=4).shift_x for view in range(4000)]
    seen, counts = np.unique(values, return_counts=True)
    assert seen.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    # choice(4) times a random sign: 0 comes twice as often. Standard deviation below 30.
    np.testing.assert_allclose(counts, [500, 500, 500, 1000, 500, 500, 500], atol=150)


@pytest.mark.parametrize(
    ("elements", "pixels"),
    [([2, 5], [-5, -2, 2, 5]), ((0.1, 0.25), [-15, -6, 6, 15]), ([0.5, 1], [-1, -0.5, 0.5, 1]), ([-3], [-3, 3])],
)
def test_a_list_gives_its_elements_with_either_sign_as_fractions_below_one(elements, pixels):
    values = [draw(view, width_shift_range=elements).shift_x for view in range(200)]
    np.testing.assert_allclose(np.unique(np.round(values, 9)), pixels)
    assert draw(height_shift_range=[0.5]).shift_y in (-20.0, 20.0)


def test_a_shift_by_one_whole_pixel_number_is_warned_about():
    with pytest.warns(UserWarning, match="width_shift_range=1 moves nothing: a whole number n gives whole pixels"):
        assert draw(width_shift_range=1).shift_x == 0


def test_crops_keep_area_and_aspect_and_lie_inside():
    crops = [draw(view, crop_area_range=(0.2, 0.6), crop_aspect_range=(0.8, 1.25)) for view in range(1000)]
    areas = np.array([each.crop_width * each.crop_height for each in crops])
    aspects = np.array([each.crop_width / each.crop_height for each in crops])
    assert 0.2 <= areas.min() < 0.205 and 0.595 < areas.max() <= 0.6
    assert 0.8 - 1e-9 <= aspects.min() < 0.81 and 1.24 < aspects.max() <= 1.25 + 1e-9
    # As many are wide as are high; standard deviation 16.
    assert abs((aspects > 1).sum() - 500) < 80
    assert all(each.crop_left >= 0 and each.crop_left + each.crop_width <= 1 + 1e-12 for each in crops)
    assert all(each.crop_top >= 0 and each.crop_top + each.crop_height <= 1 + 1e-12 for each in crops)


def test_an_aspect_that_does_not_fit_gives_way_to_the_area():
    numbers = draw(crop_area_range=(0.9, 0.9), crop_aspect_range=(3, 3))
    assert (numbers.crop_width, numbers.crop_height) == pytest.approx((1.0, 0.9))


def test_erased_rectangles_keep_area_and_aspect_in_pixels():
    height, width = SIZE
    drawn = [
        draw(view, erasing_probability=1.0, erasing_area_range=(0.05, 0.2), erasing_aspect_range=(0.5, 2))
        for view in range(500)
    ]
    areas = [each.erase_width * each.erase_height for each in drawn]
    aspects = [each.erase_width * width / (each.erase_height * height) for each in drawn]
    assert min(areas) >= 0.05 and max(areas) <= 0.2
    assert min(aspects) >= 0.5 - 1e-9 and max(aspects) <= 2 + 1e-9


@pytest.mark.parametrize(
    ("argument", "name"), [("grayscale_probability", "grayscale"), ("erasing_probability", "erase_width")]
)
def test_probabilities_are_those_given(argument, name):
    count = sum(bool(getattr(draw(view, **{argument: 0.3}), name)) for view in range(2000))
    # 600 expected, standard deviation 20.5.
    assert abs(count - 600) < 100


@pytest.mark.parametrize(
    ("short", "pair"),
    [
        ({"contrast_range": 0.3}, {"contrast_range": (0.7, 1.3)}),
        ({"saturation_range": 1}, {"saturation_range": (0, 2)}),
        ({"hue_range": 0.1}, {"hue_range": (-0.1, 0.1)}),
        ({"blur_range": 2}, {"blur_range": (0, 2)}),
        ({"noise_range": 12}, {"noise_range": [0, 12]}),
        ({"rescale": 0}, {"rescale": None}),
        ({"rotation_range": np.float64(3)}, {"rotation_range": 3.0}),
    ],
)
def test_a_number_is_short_for_a_pair(short, pair):
    assert Augmentation(**short) == Augmentation(**pair)
