"""Fronts: what pixels become on their way, and whether the first layer that learns knows such values."""

from dataclasses import replace

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.check.front_facts import ColourMap, Front, read_front
from thawline.check.fronts import CODES, judge_front, judge_layers
from thawline.check.pretrained import Known
from thawline.data.sources.holder import as_source
from thawline.stack import backbones
from thawline.stack.graph import flatten
from thawline.stack.series import StageSeries

PIXELS = np.random.default_rng(5).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)


def mapped(low, high, order="rgb"):
    """Pixels from 0 to 255 become values from low to high."""
    matrix = np.eye(3) * (high - low) / 255
    return ColourMap(matrix if order == "rgb" else matrix[::-1], np.full(3, float(low)))


def known(name, *preparations, is_trained=True):
    return Known(backbones.find(name), preparations, is_trained)


plain = Front("base", "base/conv", colours=mapped(-1, 1))
mobilenet = replace(plain, known=known("MobileNetV2", "tf"), is_trained=True, image_size=(224, 224))
means = [103.939, 116.779, 123.68]
caffe = ColourMap(np.eye(3)[::-1], -np.array(means))
resnet = replace(plain, known=known("ResNet50", "caffe"), colours=caffe, is_trained=True)
fresh = replace(plain, known=known("MobileNetV2", "tf", is_trained=False))


def codes(front):
    return [finding.code for finding in judge_front(front)]


# -- judging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "front",
    [
        plain,
        replace(plain, colours=mapped(0, 1)),
        replace(plain, colours=None),
        # A user who declares pixels, a normalization at the entrance, and trained weights know what they want.
        replace(plain, colours=mapped(0, 255), is_declared=True),
        replace(plain, colours=mapped(0, 255), begins_with_norm=True),
        replace(plain, colours=mapped(0, 255), is_trained=True, norm_ratio=0.9),
        replace(plain, colours=mapped(0, 0.004), begins_with_norm=True),
        mobilenet,
        replace(mobilenet, colours=mapped(-127 / 128, 1)),
        # Weights of the user's own, trained on pixels: the first BatchNorm says so.
        replace(mobilenet, colours=mapped(0, 255), norm_ratio=1.1),
        replace(mobilenet, image_size=(96, 96)),
        resnet,
        fresh,
        replace(fresh, colours=mapped(0, 1)),
        replace(fresh, image_size=(32, 32)),
    ],
)
def test_what_fits_is_silent(front):
    assert judge_front(front) == []


@pytest.mark.parametrize(
    ("code", "severity", "front"),
    [
        ("joint-scaled-twice", "error", replace(plain, colours=mapped(-1, -0.984))),
        ("joint-scaled-twice", "error", replace(mobilenet, colours=mapped(-1, -0.984))),
        ("joint-scaled-twice", "error", replace(fresh, colours=mapped(0, 1 / 255))),
        ("joint-scaled-twice", "error", replace(plain, norm_ratio=0.004, is_trained=True)),
        ("joint-unscaled", "warning", replace(plain, colours=mapped(0, 255))),
        ("joint-unscaled", "warning", replace(fresh, colours=mapped(0, 255))),
        ("joint-unscaled", "error", replace(mobilenet, colours=mapped(0, 255), is_declared=True, norm_ratio=56.0)),
        ("joint-unscaled", "warning", replace(plain, norm_ratio=56.0, is_trained=True)),
        ("joint-preprocessing", "warning", replace(mobilenet, colours=mapped(0, 1))),
        ("joint-preprocessing", "warning", replace(resnet, colours=mapped(0, 255))),
        ("joint-preprocessing", "error", replace(resnet, colours=mapped(-1, 1))),
        ("joint-bgr", "warning", replace(mobilenet, colours=mapped(-1, 1, "bgr"))),
        ("joint-bgr", "warning", replace(resnet, colours=ColourMap(np.eye(3), -np.array(means[::-1])))),
        ("joint-image-size", "warning", replace(mobilenet, image_size=(64, 64))),
        ("joint-image-size", "note", replace(mobilenet, image_size=(640, 640))),
    ],
)
def test_what_does_not_fit_is_found_and_nothing_else(code, severity, front):
    (finding,) = judge_front(front)
    assert (finding.code, finding.severity) == (code, severity)
    assert severity in CODES[code].partition(":")[0]
    assert finding.what.endswith(".") and finding.fix.endswith(".")


def test_the_message_names_what_scales_and_what_to_do():
    steps = ("rescale=0.00392 of the images", "layer 'base/rescaling'")
    (finding,) = judge_front(replace(mobilenet, colours=mapped(0, 1 / 255), steps=steps))
    assert str(finding) == (
        "error    joint-scaled-twice: Pixels enter 'base/conv' as values from 0 to 0.00392, which hardly differ: they "
        "are scaled more than once (rescale=0.00392 of the images; layer 'base/rescaling'); it knows values from -1 to "
        "1. Scale them once: leave all but one of these out. Give its Stage value_range=(-1, 1), and scale pixels "
        "nowhere else."
    )


def test_a_small_image_is_told_with_the_map_that_is_pooled():
    (finding,) = judge_front(replace(mobilenet, image_size=(64, 64), pooled_size=(2, 2)))
    assert "gets images of 64x64, and pools over 2x2, but its weights know things at the size they have in 224x224" in (
        finding.what
    )


def test_both_preparations_of_an_efficientnet_are_right():
    wants = known("EfficientNetB0", "torch_twice", "torch")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for divisor in (deviation, deviation**1.5):
        colours = ColourMap(np.diag(1 / 255 / divisor), -mean / divisor)
        assert codes(replace(mobilenet, known=wants, colours=colours)) == []
    assert codes(replace(mobilenet, known=wants, colours=mapped(-2.1, -2.08))) == ["joint-scaled-twice"]


# -- reading -------------------------------------------------------------------------------------------------------


def source(**augment):
    images = tl.ImageArrays(PIXELS, [0, 1] * 3)
    return images.augment(**augment) if augment else images


def read(layers, images=None, given=None, **options):
    stages = [tl.Stage(keras.Sequential([keras.Input((8, 8, 3)), *layers], name="inner"), "base", **options)]
    series = StageSeries(stages)
    graph = flatten(series.model, {id(stage.model): stage.name for stage in stages})
    return read_front(series, graph, as_source(images or source(), "check", stages[0].value_range), given)


conv = keras.layers.Conv2D


scaling = keras.layers.Rescaling(1 / 127.5, -1)


@pytest.mark.parametrize(
    ("layers", "augment", "value_range", "bounds"),
    [
        ([], {}, None, (0, 255)),
        ([], {}, (-1, 1), (-1, 1)),
        ([scaling], {}, None, (-1, 1)),
        ([scaling], {}, (-1, 1), (-1 - 1 / 127.5, -1 + 1 / 127.5)),
        ([], {"rescale": 1 / 255}, None, (0, 1)),
        # The stack does this scaling itself, and the images are read as pixels.
        ([], {"rescale": 1 / 255}, (0, 1), (0, 1)),
        ([], {"rescale": 1 / 255, "rotation_range": 20}, None, (0, 1)),
        ([], {"preprocessing_function": lambda x: x - 100}, None, (-100, 155)),
        ([keras.layers.Normalization(mean=means, variance=[1, 4, 1])], {}, None, (-123.68, 151.061)),
        ([keras.layers.ZeroPadding2D(1), keras.layers.RandomFlip()], {}, None, (0, 255)),
        ([keras.layers.Resizing(4, 4)], {}, None, (0, 255)),
        ([keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), keras.layers.Dense(2)], {}, None, (0, 1)),
    ],
)
def test_what_pixels_become_is_read_through_whatever_is_in_front(layers, augment, value_range, bounds):
    flat = any(isinstance(layer, keras.layers.Dense) for layer in layers)
    front = read([*layers, *([] if flat else [conv(2, 3)])], source(**augment), value_range=value_range)
    assert front.colours.bounds == pytest.approx(bounds, abs=1e-4)
    assert front.colours.order == "rgb"


def test_the_order_of_colours_is_read():
    assert read([conv(2, 3)], source(preprocessing_function=lambda x: x[..., ::-1])).colours.order == "bgr"
    mixed = source(preprocessing_function=lambda x: np.repeat(x.mean(axis=-1, keepdims=True), 3, axis=-1))
    assert read([conv(2, 3)], mixed).colours.order == "other"


def test_a_front_that_is_no_affine_map_of_colours_is_not_read():
    assert read([keras.layers.Activation("tanh"), conv(2, 3)], value_range=(-1, 1)).colours is None
    assert read([conv(2, 3)], source(samplewise_center=True)).colours is None


def test_a_stack_without_weights_has_no_front():
    assert read([keras.layers.GlobalAveragePooling2D()]) is None


def test_what_scales_is_listed_in_order():
    front = read(
        [keras.layers.Rescaling(2.0, name="double"), conv(2, 3, name="first")],
        source(preprocessing_function=lambda x: x, rescale=None),
    )
    assert front.layer == "base/first"
    assert front.steps == (
        "preprocessing_function of the images",
        "standardization of the images",
        "layer 'base/double'",
    )
    assert read([conv(2, 3)], value_range=(0, 1)).steps == ("value_range=[0, 1] of Stage 'base'",)


def trained_base(scale):
    """A convolution and a BatchNorm that were trained on pixels times a scale."""
    keras.utils.set_random_seed(3)
    layers = [conv(4, 3, use_bias=False), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    values = keras.ops.convert_to_numpy(layers[0](PIXELS.astype(np.float32) * scale))
    layers[1].moving_mean.assign(values.mean(axis=(0, 1, 2)))
    layers[1].moving_variance.assign(values.var(axis=(0, 1, 2)))
    return model.layers


@pytest.mark.parametrize(
    ("scale", "ratio", "found"),
    [(1 / 255, 1.0, []), (1.0, 1 / 255, ["joint-scaled-twice"]), (1e-4, 39.2, ["joint-unscaled"])],
)
def test_the_first_batch_norm_says_on_which_values_it_was_trained(scale, ratio, found):
    front = read(trained_base(scale), given=PIXELS, value_range=(0, 1))
    assert front.is_trained
    assert front.norm_ratio == pytest.approx(ratio, rel=1e-3)
    assert codes(front) == found


def test_a_fresh_batch_norm_says_nothing():
    front = read([conv(4, 3), keras.layers.BatchNormalization()], given=PIXELS)
    assert (front.norm_ratio, front.begins_with_norm, front.is_trained) == (None, True, False)


def test_sizes_are_those_at_the_entrance_and_before_pooling():
    front = read([keras.layers.Resizing(6, 6), conv(2, 3), keras.layers.GlobalAveragePooling2D()])
    assert (front.image_size, front.pooled_size) == ((6, 6), (4, 4))


# -- layers --------------------------------------------------------------------------------------------------------


def layer_codes(*layers):
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    return [finding.code for finding in judge_layers(flatten(model).nodes)]


def test_a_layer_that_takes_rows_for_channels_is_found():
    first = {"data_format": "channels_first"}
    assert layer_codes(conv(2, 3)) == []
    assert layer_codes(keras.layers.Activation("relu"), conv(2, 3, **first)) == ["joint-channels-first"]
    assert layer_codes(keras.layers.Permute((3, 1, 2)), conv(2, 3, **first)) == []


def test_a_layer_that_resizes_once_more_is_noted():
    assert layer_codes(keras.layers.Resizing(6, 6), conv(2, 3)) == ["joint-resized"]
    assert layer_codes(keras.layers.Resizing(8, 8), conv(2, 3)) == []
