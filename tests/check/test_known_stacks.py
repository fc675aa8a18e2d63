"""Known stacks on real photos: the demo's says nothing, and planted mistakes are found in it."""

import importlib.util
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.check.habits import check_habits
from thawline.check.heads import check_head
from thawline.check.joints import check_joints
from thawline.cli.demo import demo_recipe
from thawline.stack import backbones
from thawline.stack.series import StageSeries

RANGE = backbones.find("efficientnet_lite0").value_range
PHOTOS = Path(find_spec("conformal_clip_data").submodule_search_locations[0], "data", "textile_images", "simulated")


@pytest.fixture(scope="module")
def base():
    return backbones.build("efficientnet_lite0")


def photos(size=224, **augment):
    return tl.ImageFolder(PHOTOS, image_size=(size, size)).augment(**augment)


def stack(model, **options):
    head = keras.Sequential(
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(128, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    return StageSeries([tl.Stage(model, "base", trainable=False, **options), tl.Stage(head, "head")])


def codes(findings):
    return [(finding.code, finding.severity) for finding in findings]


def test_the_stack_of_the_demo_is_silent(base):
    series, images = stack(base, value_range=RANGE), photos(rotation_range=10, zoom_range=0.1, horizontal_flip=True)
    assert check_joints(series, images) == []
    assert check_head(series, images, loss="categorical_crossentropy", metrics=["accuracy"]) == []


@pytest.mark.parametrize(
    ("options", "augment", "expected"),
    [
        ({}, {}, ("joint-unscaled", "error")),
        ({"value_range": (0, 1)}, {}, ("joint-preprocessing", "warning")),
        ({}, {"rescale": 1 / 127.5**2}, ("joint-scaled-twice", "error")),
        ({}, {"preprocessing_function": lambda x: x[..., ::-1] / 127.5 - 1}, ("joint-bgr", "warning")),
        ({}, {"preprocessing_function": lambda x: np.sqrt(x) / 1e4}, ("joint-scaled-twice", "error")),
    ],
)
def test_what_is_wrong_with_the_values_is_found_and_nothing_else(base, options, augment, expected):
    assert codes(check_joints(stack(base, **options), photos(**augment))) == [expected]


def test_images_of_quite_another_size_are_found_although_pooling_takes_them():
    small = backbones.build("efficientnet_lite0", image_size=(64, 64))
    (finding,) = check_joints(stack(small, value_range=RANGE), photos(64))
    assert (finding.code, finding.severity) == ("joint-image-size", "warning")
    assert "gets images of 64x64, and pools over 2x2" in finding.what


def test_nothing_is_found_in_the_demos_recipe_with_its_photos(tmp_path):
    """Twenty photos of each class; `python scripts/check_demo.py` looks at all 2,000."""
    recipe = demo_recipe(tmp_path, 20, limit=20)
    train, validation = recipe.open_images()
    stack = recipe.build_stack(len(train.class_names))
    found = stack.check(train, validation, phases=recipe.build_phases(len(train.class_names)), verbose=0)
    assert found.findings == ()
    assert found.images == 60


def example_of(name):
    """An example as a module."""
    path = Path(__file__).resolve().parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


def test_the_habits_of_the_examples_are_good_and_the_usual_ones_are_found():
    example = example_of("thaw_in_phases")
    stack, images = example.build_stack(96, 3), photos(96, horizontal_flip=True)
    good = [
        tl.Phase(example.HEAD, 10, views=4),
        tl.Phase(example.BLOCKS, 8, learning_rate=5e-5, views=2),
        tl.Phase(example.EVERYTHING, 3, learning_rate=3e-5),
    ]
    assert check_habits(stack, images, good, stack._compiled) == []
    # All of the last block, by Adam as it comes.
    (rate, norms) = check_habits(stack, images, [tl.Phase(["head", "base/block7*"], 5)], stack._compiled)
    assert (rate.code, norms.code) == ("habit-learning-rate-high", "habit-batchnorm-moves")
    assert "learning rate of 0.001 (base/block7a_" in rate.what
    assert "train=['head', 'base/block7*[!n]']" in norms.fix
    thawed = StageSeries([tl.Stage(backbones.build("efficientnet_lite0", image_size=(96, 96)), "base")])
    thawed.model.trainable = True
    assert [finding.code for finding in check_habits(thawed, images)] == ["habit-batchnorm-moves"]
