"""Cases of findings about joints and features, and of the check itself."""

import warnings
from dataclasses import replace

import numpy as np

from thawline.backend import keras
from thawline.check.check import check
from thawline.check.features import judge_features
from thawline.check.front_facts import ColourMap, Front
from thawline.check.fronts import judge_front, judge_layers
from thawline.check.joints import check_joints, check_stages, judge_joint
from thawline.check.pretrained import Known
from thawline.data.sources.arrays import ImageArrays
from thawline.features.options import FeatureOptions
from thawline.specs import TensorSpec
from thawline.stack import backbones
from thawline.stack.graph import flatten
from thawline.stack.stage import Stage

layers = keras.layers

IMAGES = TensorSpec((None, 8, 8, 3), "uint8")
VALUES = np.random.default_rng(4).normal(size=(6, 32))


def mapped(low, high, order=1):
    """A front whose pixels become values from low to high, in RGB or, with -1, in BGR."""
    matrix = np.eye(3)[::order] * (high - low) / 255
    return Front("base", "base/conv", colours=ColourMap(matrix, np.full(3, float(low))))


def known(front, image_size=(224, 224)):
    """The same front with the weights of ImageNet behind it."""
    mobilenet = Known(backbones.find("MobileNetV2"), ("tf",), is_trained=True)
    return judge_front(replace(front, known=mobilenet, is_trained=True, image_size=image_size))


def given(shape, wanted, **options):
    return judge_joint("base", TensorSpec(shape, "float32"), "head", TensorSpec(wanted, "float32", **options))


def stage(*parts, size=(8, 8, 3), name="base", value_range=(0, 1)):
    return Stage(keras.Sequential([keras.Input(size), *parts]), name, value_range=value_range)


def dtypes(is_wrong):
    text = TensorSpec((None, 4), "string" if is_wrong else "float32")
    return judge_joint("base", text, "head", TensorSpec((None, 4), "float32"))


def ranges(is_wrong):
    unit = TensorSpec((None, 4), "float32", (0, 1))
    return judge_joint("base", unit, "head", TensorSpec((None, 4), "float32", (0, 255) if is_wrong else (0, 1)))


def call(is_wrong):
    head = Stage(keras.Sequential([layers.Conv2D(2, 9 if is_wrong else 3)]), "head")
    return check_stages([stage(layers.Conv2D(2, 3)), head], IMAGES)


def open_size(is_wrong):
    return check_stages([stage(layers.Conv2D(2, 3), size=(None, None, 3) if is_wrong else (8, 8, 3))], IMAGES)


def dark(is_wrong):
    pixels = np.random.default_rng(1).integers(0, 2 if is_wrong else 3, (4, 8, 8, 3), np.uint8)
    dense = stage(layers.Flatten(), layers.Dense(2))
    return check_joints([dense], ImageArrays(pixels), probe=pixels)


def front_layers(*parts):
    return judge_layers(flatten(keras.Sequential([keras.Input((8, 8, 3)), *parts])).nodes)


def channels_first(is_wrong):
    return front_layers(layers.Conv2D(2, 3, data_format="channels_first" if is_wrong else "channels_last"))


def nan(is_wrong):
    values = VALUES.copy()
    values[0, 0] = np.nan if is_wrong else 0.0
    return judge_features("base", values)


def dead_channels(is_wrong):
    values = VALUES.copy()
    values[:, : 26 if is_wrong else 25] = 0
    return judge_features("base", values)


def untrusted(is_wrong):
    """A whole check of eight noisy images whose head does not fit, or fits."""
    pixels = np.random.default_rng(2).integers(0, 256, (8, 8, 8, 3), np.uint8)
    base = stage(layers.Conv2D(4, 3), layers.GlobalAveragePooling2D())
    base.model.trainable = False
    # As trained ones have: fresh weights would be a finding.
    base.model.layers[0].bias.assign(np.full(4, 0.5))
    head = keras.Sequential([keras.Input((5 if is_wrong else 4,)), layers.Dense(2, "softmax")])
    source = ImageArrays(pixels, [0, 1] * 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return check(
            [base, Stage(head, "head")],
            source,
            None,
            compiled=None,
            features=FeatureOptions(engine="keras"),
            show_progress=False,
        ).findings


CASES = {
    "joint-shape": lambda is_wrong: given((None, 4), (None, 5 if is_wrong else 4)),
    "joint-dtype": dtypes,
    "joint-range": ranges,
    "joint-call": call,
    "joint-open-size": open_size,
    "joint-dark": dark,
    "joint-scaled-twice": lambda is_wrong: judge_front(mapped(0, 1 / 255 if is_wrong else 1)),
    "joint-unscaled": lambda is_wrong: judge_front(mapped(0, 255 if is_wrong else 1)),
    "joint-preprocessing": lambda is_wrong: known(mapped(0 if is_wrong else -1, 1)),
    "joint-bgr": lambda is_wrong: known(mapped(-1, 1, order=-1 if is_wrong else 1)),
    "joint-channels-first": channels_first,
    "joint-image-size": lambda is_wrong: known(mapped(-1, 1), (64, 64) if is_wrong else (96, 96)),
    "joint-resized": lambda is_wrong: front_layers(layers.Resizing(6 if is_wrong else 8, 8), layers.Conv2D(2, 3)),
    "features-nan": nan,
    "features-dead": lambda is_wrong: judge_features("base", VALUES * (0 if is_wrong else 1)),
    "features-constant": lambda is_wrong: judge_features("base", VALUES + (100 if is_wrong else 0), images_spread=0.5),
    "features-huge": lambda is_wrong: judge_features("base", VALUES * (1e5 if is_wrong else 1e3)),
    "features-dead-channels": dead_channels,
    "check-untrusted": untrusted,
}
