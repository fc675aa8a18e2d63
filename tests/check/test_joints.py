"""Joints: stacks and images in, findings out."""

import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.backend import keras
from thawline.check.joints import check_joints, check_stages, judge_joint, probe_images
from thawline.specs import PIXELS, TensorSpec
from thawline.stack import backbones
from thawline.stack.series import StageSeries

layers = keras.layers
RANDOM = np.random.default_rng(6)
IMAGES = RANDOM.integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(2)


def source(pixels=IMAGES, **augment):
    images = tl.ImageArrays(pixels, np.arange(len(pixels)) % 2)
    return images.augment(**augment) if augment else images


def base(*behind, size=(8, 8, 3), filters=4, **options):
    model = keras.Sequential([keras.Input(size), layers.Conv2D(filters, 3, name="first"), *behind])
    return tl.Stage(model, "base", **{"value_range": (0, 1), **options})


def head(*before, width=None, units=2, activation="softmax", **options):
    inputs = [] if width is None else [keras.Input(width)]
    return tl.Stage(keras.Sequential([*inputs, *before, layers.Dense(units, activation=activation)]), "head", **options)


def pooled(**options):
    return head(layers.GlobalAveragePooling2D(), **options)


def codes(findings):
    return [finding.code for finding in findings]


def check(stages, images=None, **options):
    return codes(check_joints(StageSeries(stages), images or source(), **options))


# -- what fits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [{}, {"rescale": 1 / 255}, {"rotation_range": 10, "horizontal_flip": True}])
def test_a_stack_that_fits_is_silent_joined_or_not(augment):
    stages = [base(), pooled()]
    assert check_joints(stages, source(**augment)) == []
    assert check(stages, source(**augment)) == []


@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0", "ResNet50"])
def test_known_backbones_with_fresh_weights_are_silent(name):
    wide = RANDOM.integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    model = backbones.build(name, image_size=(64, 64), weights=None)
    stage = tl.Stage(model, "base", trainable=False, value_range=backbones.find(name).value_range)
    assert check([stage, pooled()], source(wide)) == []


def test_nothing_of_the_stack_or_the_images_is_changed():
    stages = [base(layers.BatchNormalization(), layers.Dropout(0.5)), pooled()]
    stack, images = StageSeries(stages), source(rotation_range=10)
    before = [weight.copy() for weight in stack.model.get_weights()]
    check_joints(stack, images)
    for was, after in zip(before, stack.model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, after)
    assert images.augmentation is not None


# -- shapes, dtypes and ranges -------------------------------------------------------------------------------------


def test_every_joint_that_does_not_fit_is_told_not_only_the_first():
    after = keras.Sequential([keras.Input((7,)), layers.Dense(3)])
    stages = [base(size=(16, 16, 3)), head(width=(9,)), tl.Stage(after, "after")]
    findings = check_joints(stages, source())
    assert codes(findings) == ["joint-shape"] * 3
    assert findings[0].fix == "Read the images with image_size=(16, 16)."
    assert findings[1].fix == (
        "Between them fits GlobalAveragePooling2D + Dense(9) (9 wide, 45 weights), or GlobalAveragePooling2D (4 wide, "
        "no weights; 10 in the next Dense(2), which has to be built for it), or Flatten (784 wide, no weights; 1.6 k "
        "in the next Dense(2), which has to be built for it). Build 'head' for (14, 14, 4), or 'base' for (9,)."
    )
    assert findings[2].what == (
        "Stage 'after' expects float32 (None, 7), but 'head' gives float32 (None, 2) in [0, 1]: axis 1 is 2, not 7."
    )


def test_images_of_another_colour_are_told_how_to_be_read():
    (finding,) = check_joints([base(size=(8, 8, 1)), pooled()], source())
    assert finding.code == "joint-shape"
    assert finding.fix == "Read the images with color_mode='grayscale'."


def test_channels_at_the_other_end_are_told_so():
    model = keras.Sequential([keras.Input((3, 8, 8)), layers.Flatten(), layers.Dense(2)])
    (finding,) = check_joints([tl.Stage(model, "base", value_range=(0, 1))], source())
    assert (finding.code, finding.severity) == ("joint-channels-first", "error")
    assert "Permute (channels first, no weights)" in finding.fix


def test_dtypes_and_declared_ranges_are_compared():
    number, text = TensorSpec((None, 4), "float32"), TensorSpec((None, 4), "string")
    assert codes(judge_joint("base", text, "head", number)) == ["joint-dtype"]
    assert judge_joint("base", number, "head", number) == []
    unit, pixels = TensorSpec((None, 4), "float32", (0, 1)), TensorSpec((None, 4), "float32", PIXELS)
    (finding,) = judge_joint("base", unit, "head", pixels)
    assert (finding.code, finding.severity) == ("joint-range", "error")
    assert finding.fix == "Between them fits Rescaling (from [0, 1] to [0, 255], no weights)."
    assert check_joints([base(layers.Activation("sigmoid")), pooled(value_range=(0, 1))], source()) == []


def test_a_range_that_only_the_values_show_is_measured():
    big = layers.Rescaling(50.0)
    stages = [base(layers.ReLU(), big), pooled(value_range=(0, 1))]
    (finding,) = check_joints(stages, source())
    assert (finding.code, finding.severity) == ("joint-range", "warning")
    assert "'base' gives values from 0 to" in finding.what


def test_a_first_stage_that_is_open_in_size_is_told_what_to_build():
    findings = check_joints([base(size=(None, None, 3)), pooled()], source())
    assert codes(findings) == ["joint-open-size"]
    assert "keras.Input((8, 8, 3))" in findings[0].fix


def test_a_stage_that_fails_when_it_is_called_is_told_with_its_reason():
    stages = [base(), head(layers.Conv2D(2, 9), layers.GlobalAveragePooling2D())]
    (finding,) = check_stages(stages, source().spec)
    assert finding.code == "joint-call"
    assert finding.what.startswith("Stage 'head' does not take what 'base' gives, float32 (None, 6, 6, 4)")
    assert check_stages([base(), pooled()], source().spec) == []


def test_what_joining_alone_would_refuse_is_told_as_well():
    twice = [base(), tl.Stage(pooled().model, "base")]
    (finding,) = check_joints(twice, source())
    assert finding.code == "joint-call"
    assert finding.what == "Two stages are called 'base'; give each its own name=."


# -- values --------------------------------------------------------------------------------------------------------


def test_images_that_the_stack_would_scale_once_more_are_found():
    (finding,) = check_joints([base(value_range=(-1, 1)), pooled()], source(rescale=1 / 255))
    assert (finding.code, finding.severity) == ("joint-scaled-twice", "error")
    assert "brings them to [-1, 1] itself, but the images are standardized already" in finding.what


def test_a_rescaling_inside_the_base_is_found_and_explains_what_follows():
    biased = layers.Conv2D(32, 3, bias_initializer="ones")
    inside = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), biased])
    assert check([tl.Stage(inside, "base", value_range=(0, 1)), pooled()]) == ["joint-scaled-twice"]


def test_where_the_front_cannot_be_read_features_that_hardly_differ_tell():
    biased = layers.Conv2D(32, 3, bias_initializer="ones")
    stages = [tl.Stage(keras.Sequential([keras.Input((8, 8, 3)), biased]), "base"), pooled()]
    assert check(stages, source(preprocessing_function=lambda x: np.sqrt(x) / 1e4)) == ["features-constant"]
    assert check(stages, source(preprocessing_function=lambda x: np.sqrt(x) / 16)) == []


def test_pixels_that_nothing_scales_are_found():
    assert check([base(value_range=None), pooled()]) == ["joint-unscaled"]
    assert check([base(value_range=(0, 255)), pooled()]) == []


def test_values_from_0_to_1_that_were_stored_as_pixels_are_found():
    (finding,) = check_joints([base(), pooled()], source(IMAGES // 128), probe=IMAGES // 128)
    assert (finding.code, finding.severity) == ("joint-dark", "warning")


# -- features ------------------------------------------------------------------------------------------------------


def test_dead_features_are_found_with_the_layer_where_they_begin():
    dead = layers.Conv2D(4, 1, bias_initializer=keras.initializers.Constant(-1e3), name="below")
    stages = [base(dead, layers.ReLU(name="cut_off"), layers.AveragePooling2D(2)), pooled()]
    (finding,) = check_joints(stages, source())
    assert (finding.code, finding.severity) == ("features-dead", "error")
    assert finding.fix.startswith("It begins at layer 'base/cut_off'.")


def test_values_that_are_no_numbers_are_found_with_the_layer_where_they_begin():
    logarithm = layers.Lambda(keras.ops.log, name="logarithm")
    stages = [base(), head(logarithm, layers.GlobalAveragePooling2D())]
    (finding,) = check_joints(stages, source())
    assert (finding.code, finding.severity) == ("features-nan", "error")
    assert finding.fix.startswith("It begins at layer 'head/logarithm'.")


def test_huge_features_are_found():
    assert check([base(layers.Rescaling(1e6)), pooled()]) == ["features-huge"]


def test_answers_that_are_the_same_for_every_image_are_found():
    dead = layers.Dense(8, "relu", bias_initializer=keras.initializers.Constant(-1e3))
    stages = [base(), head(layers.GlobalAveragePooling2D(), dead)]
    (finding,) = check_joints(stages, source())
    assert finding.code == "features-constant"
    assert finding.what.startswith("Stage 'head' gives nearly the same for 16 different images")


def test_answers_behind_features_too_small_to_count_are_let_be():
    assert check([base(layers.Rescaling(1e-12)), pooled()]) == []


# -- the probe -----------------------------------------------------------------------------------------------------


def test_images_of_the_probe_are_spread_over_the_source_and_bad_ones_passed_over(image_folder):
    folder = image_folder({"a": 20, "b": 20})
    images = tl.ImageFolder(folder, image_size=(8, 8))
    assert probe_images(images).shape == (16, 8, 8, 3)
    np.testing.assert_array_equal(probe_images(images, 2)[1], np.array(Image.open(images.paths[-1])))
    images.paths[0].write_bytes(b"no image")
    assert probe_images(images).shape == (15, 8, 8, 3)
    assert check([base(), pooled()], images) == []


def test_without_an_image_that_can_be_read_the_rest_is_still_checked(image_folder):
    folder = image_folder(2, count=1)
    images = tl.ImageFolder(folder, image_size=(8, 8))
    for path in images.paths:
        path.write_bytes(b"no image")
    assert probe_images(images) is None
    assert check([base(), pooled()], images) == []
    assert check([base(value_range=None), pooled()], images) == ["joint-unscaled"]
