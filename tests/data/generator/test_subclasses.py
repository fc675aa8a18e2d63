"""Subclasses of the generator: methods of their own are called, with the draws of the image that is made."""

import numpy as np
import pytest

import thawline as tl
from thawline.errors import ArgumentError

pytestmark = pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")

IMAGES = np.random.default_rng(6).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
MOVES = {"rotation_range": 40, "zoom_range": 0.3, "horizontal_flip": True}


class Scaled(tl.ImageDataGenerator):
    """A last step of its own."""

    def standardize(self, x):
        return super().standardize(x) / 2


class Twice(tl.ImageDataGenerator):
    """The way of Keras 2, whose iterators called this method."""

    def random_transform(self, x, seed=None):
        return super().random_transform(super().random_transform(x, seed), seed)


def batch(generator, **options):
    return generator.flow(IMAGES, batch_size=6, **{"seed": 2, "shuffle": False, **options})[0]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_method_that_calls_its_parent_changes_no_draw(legacy):
    plain = batch(tl.ImageDataGenerator(**MOVES, legacy=legacy))
    np.testing.assert_array_equal(batch(Scaled(**MOVES, legacy=legacy)), plain / 2)


@pytest.mark.parametrize("legacy", [False, True])
def test_draws_of_a_subclass_are_repeatable_and_move_in_step(legacy):
    generator = Twice(**MOVES, legacy=legacy)
    assert generator.overridden == {"random_transform"}
    np.testing.assert_array_equal(batch(generator), batch(generator))
    grey = generator.flow(IMAGES[..., :1], batch_size=6, seed=2, shuffle=False)[0]
    np.testing.assert_allclose(grey, batch(generator)[..., :1], atol=1e-3)


def test_each_draw_for_an_image_is_another_one():
    numbers = []

    class Noted(tl.ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            numbers.append(super().get_random_transform(img_shape, seed)["theta"])
            return super().get_random_transform(img_shape, seed)

    batch(Noted(rotation_range=40))
    again = list(numbers)
    numbers.clear()
    batch(Noted(rotation_range=40))
    assert numbers == again
    assert len(set(numbers)) == 6


def test_a_function_set_on_the_object_is_called():
    generator = tl.ImageDataGenerator()
    generator.standardize = lambda image: image * 0 + 3
    np.testing.assert_array_equal(batch(generator), np.full(IMAGES.shape, 3, np.float32))


def test_a_method_gets_the_layout_and_the_values_that_were_given():
    class Checked(tl.ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            assert x.shape == (3, 8, 8)
            assert x.dtype == np.float32
            assert x.max() <= 1
            return super().apply_transform(x, transform_parameters)

    fractions = (IMAGES / 255.0).transpose(0, 3, 1, 2)
    given = Checked(data_format="channels_first").flow(fractions, batch_size=6, shuffle=False)[0]
    np.testing.assert_allclose(given, fractions, atol=1e-6)


def test_validation_images_are_not_moved_by_a_subclass_either():
    class Dark(tl.ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            return x * 0

    generator = Dark(validation_split=0.5, rescale=0.5)
    val = generator.flow(IMAGES, np.arange(6) % 2, subset="validation", batch_size=6, shuffle=False)
    assert (val[0][0] > 0).any()
    assert not generator.flow(IMAGES, np.arange(6) % 2, subset="training", batch_size=6)[0][0].any()


def test_a_stack_refuses_methods_that_it_does_not_call():
    with pytest.raises(ArgumentError, match=r"Scaled has its own standardize\. Use keras\.Model\.fit, or ImageFolder"):
        _ = Scaled().flow(IMAGES, np.arange(6)).source


def test_copies_show_what_the_methods_made(tmp_path):
    class Dark(tl.ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            return x * 0 + 40

    next(Dark().flow(IMAGES, batch_size=2, save_to_dir=tmp_path, save_prefix="dark"))
    names = sorted(path.name.split("_")[0] for path in tmp_path.iterdir())
    assert names == ["dark", "dark"]
