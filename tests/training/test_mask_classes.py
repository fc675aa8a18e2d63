"""Masks whose class numbers the last layer cannot answer are told before training, in words."""

import keras
import numpy as np
import pytest

import thawline as tl
from thawline.errors import DataError, JointError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
MASKS = PIXELS[..., 0] % 4


def stack(channels, loss, activation=None):
    activation = activation or ("sigmoid" if channels == 1 else "softmax")
    head = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(channels, 1, activation=activation)])
    made = tl.Stack([tl.Stage(head, "head", value_range=(0, 1))])
    made.compile(optimizer="adam", loss=loss)
    return made


@pytest.mark.parametrize(
    ("channels", "loss", "message"),
    [
        (3, "sparse_categorical_crossentropy", r"class numbers up to 3, but there are 3 values .* with 4 channels"),
        (1, "binary_crossentropy", r"up to 3, but a binary cross entropy compares with 0 and 1"),
        (4, "categorical_crossentropy", r"compares with 4 values per pixel\. Use sparse_categorical"),
    ],
)
def test_fit_and_check_tell_of_masks_that_the_head_cannot_answer(channels, loss, message):
    images = tl.ImageArrays(PIXELS, masks=MASKS)
    made = stack(channels, loss)
    with pytest.raises(JointError, match=message):
        made.fit(images, verbose=0)
    assert "head-map-values" in {finding.code for finding in made.check(images).findings}


def test_masks_that_fit_are_trained_on():
    stack(4, "sparse_categorical_crossentropy").fit(tl.ImageArrays(PIXELS, masks=MASKS), verbose=0)
    stack(1, "binary_crossentropy").fit(tl.ImageArrays(PIXELS, masks=MASKS > 1), verbose=0)


def test_a_class_that_the_loss_leaves_out_needs_no_channel():
    masks = np.where(MASKS == 3, 255, MASKS)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    history = stack(3, loss).fit(tl.ImageArrays(PIXELS, masks=masks), verbose=0)
    assert np.isfinite(history.history["loss"][0])
    with pytest.raises(JointError, match=r"255 marks pixels to leave out, use .*ignore_class=255"):
        stack(3, "sparse_categorical_crossentropy").fit(tl.ImageArrays(PIXELS, masks=masks), verbose=0)


def test_masks_of_0_and_255_train_with_a_loss_from_0_up():
    """As raw numbers a sigmoid's cross entropy would fall below 0 without end."""
    images = tl.ImageArrays(PIXELS, masks=np.where(MASKS > 1, 255, 0))
    with pytest.warns(UserWarning, match="0 and 255, which are taken as class 0 and class 1"):
        assert images.target_spec.value_range == (0, 1)
    history = stack(1, "binary_crossentropy").fit(images, verbose=0)
    assert history.history["loss"][0] > 0


def test_sides_whose_numbers_mean_other_classes_are_refused():
    train, small = tl.ImageArrays(PIXELS, masks=MASKS), tl.ImageArrays(PIXELS[:1], masks=np.where(MASKS[:1] > 1, 2, 0))
    made = stack(4, "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match="hold 0 and 2"):
        assert small.second_mask_value == 2
    for one, other in ((train, small), (small, train)):
        with pytest.raises(DataError, match=r"hold 0 and 2 only, .* class numbers up to 3\. Say for both sides"):
            made.fit(one, validation_data=other, verbose=0)
    kept = tl.ImageArrays(PIXELS[:1], masks=np.where(MASKS[:1] > 1, 2, 0), mask_colors=range(4))
    made.fit(train, validation_data=kept, verbose=0)


def test_class_numbers_above_255_are_trained_on():
    masks = MASKS.astype(np.uint16) * 100
    loss = "sparse_categorical_crossentropy"
    history = stack(301, loss).fit(tl.ImageArrays(PIXELS, masks=masks), verbose=0)
    assert np.isfinite(history.history["loss"][0])
