"""Augmentation against SciPy, Keras and NumPy."""

import itertools
import warnings

import numpy as np
import pytest
from blake3 import blake3
from scipy import ndimage

from thawline.data.augment import Augmentation, Draw, affine_matrix
from thawline.errors import ArgumentError

RANDOM = np.random.default_rng(3)
# Noise: every pixel differs from its neighbours, so that a shift by a part of a pixel is seen.
IMAGES = {
    "square RGB": RANDOM.integers(0, 256, (17, 17, 3), dtype=np.uint8),
    "wide RGB": RANDOM.integers(0, 256, (12, 19, 3), dtype=np.uint8),
    "high grey": RANDOM.integers(0, 256, (18, 11, 1), dtype=np.uint8),
}
# What thawline calls as ImageDataGenerator does, and the SciPy mode that gives these values between edge pixels, too:
# SciPy's own "constant" and "wrap" do not interpolate across the edge.
SCIPY_MODES = {"nearest": "nearest", "constant": "grid-constant", "reflect": "reflect", "wrap": "grid-wrap"}

MOVES = {
    "rotation": Draw(rotation=23.0),
    "rotation beyond a half turn": Draw(rotation=-200.0),
    "shift in x": Draw(shift_x=2.3),
    "shift in y": Draw(shift_y=-3.7),
    "shear": Draw(shear=15.0),
    "negative shear": Draw(shear=-30.0),
    "zoom in x": Draw(zoom_x=0.7),
    "zoom in y": Draw(zoom_y=1.6),
    "zoom out": Draw(zoom_x=1.4, zoom_y=2.1),
    "everything": Draw(rotation=31.0, shift_x=1.2, shift_y=-2.2, shear=11.0, zoom_x=1.2, zoom_y=0.9),
}
ALL_ARGUMENTS = {
    "rotation_range": 20,
    "width_shift_range": 0.2,
    "height_shift_range": 3.0,
    "shear_range": 10,
    "zoom_range": (0.8, 1.3),
    "horizontal_flip": True,
    "vertical_flip": True,
    "brightness_range": (0.5, 1.5),
}
NUMBERS_OF = {
    "rotation_range": {"rotation"},
    "width_shift_range": {"shift_x"},
    "height_shift_range": {"shift_y"},
    "shear_range": {"shear"},
    "zoom_range": {"zoom_x", "zoom_y"},
    "horizontal_flip": {"flip_horizontal"},
    "vertical_flip": {"flip_vertical"},
    "brightness_range": {"brightness"},
}


def draw(seed=7, image=b"image", view=0, image_size=(40, 60), **arguments):
    return Augmentation(**arguments).draw(seed, image, view, image_size=image_size)


def draws(count, **arguments):
    augmentation = Augmentation(**arguments)
    return [augmentation.draw(0, b"image", view, image_size=(40, 60)) for view in range(count)]


def apply(image, numbers, **arguments):
    return Augmentation(**arguments).apply(image, numbers)


def sample_points(numbers, height, width):
    """Where each output pixel is taken from, (row, column): zoom, shear, shift and turn about the true centre."""
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
    x, y = numbers.zoom_x * x, numbers.zoom_y * y
    shear, theta = np.deg2rad(numbers.shear), np.deg2rad(numbers.rotation)
    x, y = x - np.sin(shear) * y, np.cos(shear) * y
    x, y = x + numbers.shift_x, y + numbers.shift_y
    x, y = np.cos(theta) * x - np.sin(theta) * y, np.sin(theta) * x + np.cos(theta) * y
    return np.stack([y + (height - 1) / 2, x + (width - 1) / 2])


# -- drawing ---------------------------------------------------------------------------------------------------


def test_equal_seed_image_and_view_draw_equal_numbers():
    assert draw(**ALL_ARGUMENTS) == draw(**ALL_ARGUMENTS)


@pytest.mark.parametrize("other", [{"seed": 8}, {"image": b"other"}, {"view": 1}])
def test_another_seed_image_or_view_draws_other_numbers(other):
    first, second = draw(**ALL_ARGUMENTS).as_dict(), draw(**ALL_ARGUMENTS, **other).as_dict()
    assert all(first[name] != second[name] for name in set().union(*NUMBERS_OF.values()) if not name.startswith("flip"))


def test_seed_and_view_do_not_stand_in_for_each_other():
    assert draw(seed=1, view=0, **ALL_ARGUMENTS) != draw(seed=0, view=1, **ALL_ARGUMENTS)


@pytest.mark.parametrize("argument", ALL_ARGUMENTS)
def test_switching_an_argument_off_leaves_all_other_numbers(argument):
    with_it = draw(**ALL_ARGUMENTS).as_dict()
    without = draw(**{name: value for name, value in ALL_ARGUMENTS.items() if name != argument}).as_dict()
    neutral = Draw().as_dict()
    for name in with_it:
        assert without[name] == (neutral[name] if name in NUMBERS_OF[argument] else with_it[name])


def test_numbers_come_from_blake3_of_seed_view_and_image():
    """If they came from elsewhere, cached features would be those of another picture."""
    key = (7).to_bytes(8, "little") + (3).to_bytes(8, "little") + b"digest"
    first = int.from_bytes(blake3(key).digest(length=8), "little") / 2**64
    numbers = draw(seed=7, image=b"digest", view=3, **ALL_ARGUMENTS)
    assert numbers.rotation == pytest.approx(-20 + 40 * first)


def test_numbers_stay_in_their_ranges_and_come_near_the_ends():
    ranges = {
        "rotation": (-20, 20),
        "shift_x": (-0.2 * 60, 0.2 * 60),
        "shift_y": (-3, 3),
        "shear": (-10, 10),
        "zoom_x": (0.8, 1.3),
        "zoom_y": (0.8, 1.3),
        "brightness": (0.5, 1.5),
    }
    numbers = draws(2000, **ALL_ARGUMENTS)
    for name, (low, high) in ranges.items():
        values = np.array([getattr(each, name) for each in numbers])
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_numbers_are_uniform_and_know_nothing_of_each_other():
    count, bins = 4000, 10
    columns = np.array(
        [
            [each.rotation, each.shift_x, each.shift_y, each.shear, each.zoom_x, each.zoom_y, each.brightness]
            for each in draws(count, **ALL_ARGUMENTS)
        ]
    ).T
    for values in columns:
        counts = np.histogram(values, bins)[0]
        # Chi-square with 9 degrees of freedom is above 40 once in 10^5 times.
        assert ((counts - count / bins) ** 2 / (count / bins)).sum() < 40
    # Correlations of independent columns have the standard deviation 1 / sqrt(count).
    assert np.abs(np.corrcoef(columns) - np.eye(len(columns))).max() < 5 / np.sqrt(count)


def test_flips_come_half_of_the_time_and_on_their_own():
    numbers = draws(4000, horizontal_flip=True, vertical_flip=True)
    pairs = [(each.flip_horizontal, each.flip_vertical) for each in numbers]
    for pair in itertools.product([False, True], repeat=2):
        # 1000 expected, standard deviation 27.
        assert abs(pairs.count(pair) - 1000) < 5 * 28


def test_shifts_below_one_are_fractions_and_from_one_up_pixels():
    fraction = draw(width_shift_range=0.5, height_shift_range=0.5, image_size=(40, 60))
    pixels = draw(width_shift_range=30.0, height_shift_range=20.0, image_size=(400, 600))
    assert fraction == pixels


def test_a_zoom_number_means_one_minus_to_one_plus():
    assert draw(zoom_range=0.25) == draw(zoom_range=(0.75, 1.25))
    assert Augmentation(zoom_range=0.25) == Augmentation(zoom_range=[0.75, 1.25])


def test_numpys_global_generator_is_not_touched():
    before = np.random.get_state()
    Augmentation(**ALL_ARGUMENTS).apply(IMAGES["wide RGB"], draw(**ALL_ARGUMENTS))
    after = np.random.get_state()
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_nothing_asked_for_draws_the_identity():
    assert draw() == Draw()
    assert Augmentation().is_identity
    assert Augmentation(fill_mode="wrap", cval=9).is_identity
    assert not any(Augmentation(**{name: value}).is_identity for name, value in ALL_ARGUMENTS.items())


def test_every_argument_is_part_of_the_identity():
    changes = {**ALL_ARGUMENTS, "fill_mode": "wrap", "cval": 9}
    identities = [Augmentation(**{name: value}).identity() for name, value in changes.items()]
    assert all(one != other for one, other in itertools.combinations([Augmentation().identity(), *identities], 2))


# -- applying --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill_mode", SCIPY_MODES)
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("kind", IMAGES)
def test_the_affine_is_scipys_linear_interpolation(kind, move, fill_mode):
    image = IMAGES[kind]
    points = sample_points(MOVES[move], *image.shape[:2])
    expected = np.stack(
        [
            ndimage.map_coordinates(channel.astype(float), points, order=1, mode=SCIPY_MODES[fill_mode], cval=77)
            for channel in np.moveaxis(image, -1, 0)
        ],
        axis=-1,
    )
    moved = apply(image, MOVES[move], fill_mode=fill_mode, cval=77)
    assert moved.dtype == np.uint8
    assert moved.shape == image.shape
    assert np.abs(moved - expected).max() <= 1


@pytest.mark.parametrize("move", MOVES)
def test_square_images_come_out_as_from_keras(move):
    """ImageDataGenerator's own function, on a square, where its swapped axes make no difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from keras.src.legacy.preprocessing.image import apply_affine_transform  # noqa: PLC0415

        image, numbers = IMAGES["square RGB"], MOVES[move]
        expected = apply_affine_transform(
            image.astype("float32"),
            theta=numbers.rotation,
            tx=numbers.shift_x,
            ty=numbers.shift_y,
            shear=numbers.shear,
            zx=numbers.zoom_x,
            zy=numbers.zoom_y,
            row_axis=0,
            col_axis=1,
            channel_axis=2,
            fill_mode="nearest",
        )
    assert np.abs(apply(image, numbers) - expected).max() <= 1


@pytest.mark.parametrize("kind", IMAGES)
def test_the_matrix_names_the_points_that_are_sampled(kind):
    height, width = IMAGES[kind].shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    homogeneous = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    x, y = affine_matrix(MOVES["everything"], (height, width)) @ homogeneous
    expected = sample_points(MOVES["everything"], height, width).reshape(2, -1)
    np.testing.assert_allclose([y, x], expected, atol=1e-9)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_quarter_turns_of_a_square_are_those_of_numpy(quarter_turns):
    image = IMAGES["square RGB"]
    turned = apply(image, Draw(rotation=90.0 * quarter_turns), fill_mode="constant")
    # Positive angles turn counter-clockwise, as in numpy.rot90.
    np.testing.assert_array_equal(turned, np.rot90(image, quarter_turns))


@pytest.mark.parametrize("kind", IMAGES)
def test_whole_pixels_of_width_shift_move_along_the_width(kind):
    image = IMAGES[kind]
    np.testing.assert_array_equal(apply(image, Draw(shift_x=3.0), fill_mode="wrap"), np.roll(image, -3, axis=1))
    edge = apply(image, Draw(shift_x=3.0), fill_mode="nearest")
    np.testing.assert_array_equal(edge[:, :-3], image[:, 3:])
    np.testing.assert_array_equal(edge[:, -3:], image[:, -1:].repeat(3, axis=1))


@pytest.mark.parametrize("kind", IMAGES)
def test_whole_pixels_of_height_shift_move_along_the_height(kind):
    image = IMAGES[kind]
    np.testing.assert_array_equal(apply(image, Draw(shift_y=-2.0), fill_mode="wrap"), np.roll(image, 2, axis=0))
    filled = apply(image, Draw(shift_y=-2.0), fill_mode="constant", cval=9)
    np.testing.assert_array_equal(filled[2:], image[:-2])
    assert (filled[:2] == 9).all()


def test_reflect_repeats_the_edge_pixel():
    row = np.array([[[10], [20], [30], [40]]], np.uint8)
    assert apply(row, Draw(shift_x=-2.0), fill_mode="reflect").ravel().tolist() == [20, 10, 10, 20]


def test_a_width_shift_argument_moves_columns_only():
    numbers = draw(width_shift_range=5, image_size=(12, 19))
    striped = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None] * 20, (12, 19, 3)).copy()
    assert numbers.shift_x != 0
    np.testing.assert_array_equal(apply(striped, numbers), striped)


@pytest.mark.parametrize("numbers", [Draw(rotation=37.0), Draw(zoom_x=0.5, zoom_y=1.7), Draw(shear=20.0)])
@pytest.mark.parametrize("size", [(9, 9), (7, 13)])
def test_the_centre_stays_where_it_is(numbers, size):
    image = np.zeros((*size, 1), np.uint8)
    image[size[0] // 2, size[1] // 2] = 255
    assert apply(image, numbers)[size[0] // 2, size[1] // 2, 0] == 255


def test_zoom_above_one_makes_the_picture_smaller():
    image = np.full((9, 9, 1), 200, np.uint8)
    smaller = apply(image, Draw(zoom_x=2.0, zoom_y=2.0), fill_mode="constant")
    # Output column x shows input column 4 + 2 (x - 4): columns 2 to 6 lie inside.
    expected = np.zeros((9, 9, 1), np.uint8)
    expected[2:7, 2:7] = 200
    np.testing.assert_array_equal(smaller, expected)


@pytest.mark.parametrize("kind", IMAGES)
def test_flips_are_those_of_numpy(kind):
    image = IMAGES[kind]
    np.testing.assert_array_equal(apply(image, Draw(flip_horizontal=True)), image[:, ::-1])
    np.testing.assert_array_equal(apply(image, Draw(flip_vertical=True)), image[::-1])
    np.testing.assert_array_equal(apply(image, Draw(flip_horizontal=True, flip_vertical=True)), image[::-1, ::-1])


def test_flips_come_after_the_affine():
    image = IMAGES["wide RGB"]
    both = apply(image, Draw(shift_x=3.0, flip_horizontal=True), fill_mode="wrap")
    np.testing.assert_array_equal(both, np.roll(image, -3, axis=1)[:, ::-1])


@pytest.mark.parametrize("factor", [0.0, 0.37, 1.0, 1.9, 300.0])
@pytest.mark.parametrize("kind", IMAGES)
def test_brightness_is_a_factor_rounded_and_clipped(kind, factor):
    image = IMAGES[kind]
    expected = np.clip(np.rint(image * np.float64(factor)), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(apply(image, Draw(brightness=factor)), expected)


@pytest.mark.parametrize("kind", IMAGES)
def test_the_identity_gives_the_same_pixels(kind):
    np.testing.assert_array_equal(apply(IMAGES[kind], Draw()), IMAGES[kind])


@pytest.mark.parametrize("numbers", [*MOVES.values(), Draw(flip_horizontal=True), Draw(brightness=0.5), Draw()])
def test_the_image_given_is_not_changed(numbers):
    image = IMAGES["wide RGB"].copy()
    image.setflags(write=False)
    apply(image, numbers)
    np.testing.assert_array_equal(image, IMAGES["wide RGB"])


def test_images_that_are_slices_of_others_come_out_the_same():
    whole = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    part = whole[::2, ::-2]
    np.testing.assert_array_equal(apply(part, MOVES["everything"]), apply(part.copy(), MOVES["everything"]))


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rotation_range", "width_shift_range", "height_shift_range", "shear_range"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "10", True, {1, 2}])
def test_ranges_that_are_no_number_from_0_up_are_refused(name, value):
    with pytest.raises(ArgumentError, match=f"{name} is a number from 0 up; got "):
        Augmentation(**{name: value})


@pytest.mark.parametrize(("value", "factors"), [(1, "from 0 to 2"), (1.5, "from -0.5 to 2.5"), ((0, 1), "from 0 to 1")])
def test_zoom_factors_that_reach_0_are_refused(value, factors):
    with pytest.raises(ArgumentError, match=f"zoom_range gives factors {factors}; they must stay above 0. Use"):
        Augmentation(zoom_range=value)


@pytest.mark.parametrize("value", [(1.2, 0.8), (1,), (1, 2, 3), "ab", None, (0.5, float("nan"))])
def test_zoom_ranges_that_are_no_pair_are_refused(value):
    with pytest.raises(ArgumentError, match=r"zoom_range is a pair \(low, high\).*got"):
        Augmentation(zoom_range=value)


@pytest.mark.parametrize("value", [0.5, (-0.1, 1), (2, 1), "ab"])
def test_brightness_ranges_that_are_no_pair_from_0_up_are_refused(value):
    with pytest.raises(ArgumentError, match=r"brightness_range is a pair \(low, high\).*got"):
        Augmentation(brightness_range=value)


def test_unknown_fill_modes_are_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match=r"fill_mode is one of 'constant', 'nearest', .*got 'mirror'"):
        Augmentation(fill_mode="mirror")


@pytest.mark.parametrize("value", [-1, 256, "white", None])
def test_a_cval_that_is_no_pixel_value_is_refused(value):
    with pytest.raises(ArgumentError, match="cval is a pixel value from 0 to 255; got"):
        Augmentation(cval=value)


def test_a_shear_below_one_degree_is_warned_about():
    with pytest.warns(UserWarning, match="shear_range is in degrees: 0.2 cannot be seen. Did you mean a value above 1"):
        Augmentation(shear_range=0.2)


def test_a_shear_of_a_right_angle_is_refused():
    with pytest.raises(ArgumentError, match="shear_range is in degrees, below 90; got 90"):
        Augmentation(shear_range=90)
