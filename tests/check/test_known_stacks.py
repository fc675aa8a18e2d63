"""Known stacks on real photos: the demo's says nothing, and planted mistakes are found in it."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.check.heads import check_head
from thawline.check.joints import check_joints
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
