"""A stack that learns from arrays with channels that no image file has."""

import numpy as np
import pytest

import thawline as tl
from thawline.errors import ArgumentError
from thawline.export.stack_predictor import StackPredictor
from tiny_stack import pictures, tiny_stack


@pytest.fixture(params=[2, 5])
def trained(request):
    """The stack after an epoch, and its images."""
    stack = tiny_stack(channels=request.param, value_range=(0, 1))
    stack.stages[0].model.trainable = False
    stack.compile("sgd", "categorical_crossentropy")
    images = tl.ImageArrays(
        pictures(6, request.param), ["fjord", "heath", "moor"] * 2, batch_size=np.int64(3), seed=np.int64(1)
    )
    views = images.augment(rotation_range=np.int64(20), fill_mode="constant")
    stack.fit(views, epochs=np.int64(2), views=np.int64(2), strategy="precomputed", verbose=0)
    return stack, images


def test_it_learns_is_saved_and_answers_arrays(trained, tmp_path):
    stack, images = trained
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), stack.predict(images, verbose=0))
    assert np.isfinite(stack.evaluate(images, verbose=0)).all()


def test_it_is_checked_and_planned(trained):
    stack, images = trained
    assert "error" not in str(stack.check(images, verbose=0))
    assert stack.plan(images, epochs=np.int64(2), max_disk=np.float32(1e9), measuring="never", verbose=0).phases


def test_files_for_it_are_refused_in_words(trained, tmp_path):
    stack, images = trained
    channels = images.pictures.shape[2]
    says = rf"arrays with {channels} channels, which no image file has\. Answer them with stack\.predict\(tl\.ImageArr"
    with pytest.raises(ArgumentError, match=says):
        stack.export(tmp_path / "out", ["keras"], verbose=0)
    with pytest.raises(ArgumentError, match=says):
        stack.export(tmp_path / "out", ["keras"], images=images, verbose=0)
    with pytest.raises(ArgumentError, match=says):
        StackPredictor(stack, tmp_path / "stack.keras")
