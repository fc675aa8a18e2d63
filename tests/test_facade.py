"""Stack as users hold it: what is handed to it by mistake is named."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError


@pytest.fixture
def stack():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    made = tl.Stack([tl.Stage(model, "only")])
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_arrays_are_refused_with_the_way_to_go(stack, method):
    with pytest.raises(ArgumentError, match=rf"{method} takes images .* got ndarray. For other data use stack.model"):
        getattr(stack, method)(np.zeros((4, 8, 8, 3)))


def test_validation_arrays_are_refused_too(stack, image_folder):
    images = tl.ImageFolder(image_folder(2), image_size=(8, 8))
    with pytest.raises(ArgumentError, match=r"validation_data takes images .* got tuple"):
        stack.fit(images, validation_data=(np.zeros((4, 8, 8, 3)), np.zeros((4, 2))))


def test_a_model_without_a_name_is_no_stage():
    with pytest.raises(ArgumentError, match=r"made of stages; got Dense. Write tl.Stage\(model, name='base'\)"):
        tl.Stack([keras.layers.Dense(2)])
