"""The backbones that are known by name, with their image sizes and value ranges; Keras is not needed to ask.

`thawline.stack.backbones` builds them.
"""

import difflib
from dataclasses import dataclass
from typing import Any

from thawline.errors import ArgumentError
from thawline.specs import PIXELS, ValueRange


@dataclass(frozen=True)
class Backbone:
    """A backbone, as `find` describes it.

    Attributes:
        name: what `build` and recipes call it.
        image_size: the height and width in pixels its published weights were made for.
        value_range: the smallest and largest value that the input of the model from `build` expects.
        weight_count: how many weights it has, without a classifier.
        front: what `build` puts in front of Keras' model, by Keras' name for it: "caffe" (RGB to BGR, minus
            the channels' means), "torch" (minus the channels' means, by their deviations), or None.
    """

    name: str
    image_size: tuple[int, int]
    value_range: ValueRange
    weight_count: int
    front: str | None = None


def _rows(value_range: ValueRange, front: str | None, known: dict[str, tuple[int, int]]) -> dict[str, Backbone]:
    return {name: Backbone(name, (size, size), value_range, count, front) for name, (size, count) in known.items()}


# Sizes and ways from the source of Keras 3.15: each module's default_size and its preprocess_input. Numbers of weights
# are what its models without a classifier count.
_BACKBONES: dict[str, Backbone] = {
    **_rows(
        (-1.0, 1.0),
        None,
        {
            "InceptionResNetV2": (299, 54_336_736),
            "InceptionV3": (299, 21_802_784),
            "MobileNet": (224, 3_228_864),
            "MobileNetV2": (224, 2_257_984),
            "NASNetLarge": (331, 84_916_818),
            "NASNetMobile": (224, 4_269_716),
            "ResNet50V2": (224, 23_564_800),
            "ResNet101V2": (224, 42_626_560),
            "ResNet152V2": (224, 58_331_648),
            "Xception": (299, 20_861_480),
        },
    ),
    **_rows(
        PIXELS,
        None,
        {
            "ConvNeXtTiny": (224, 27_820_128),
            "ConvNeXtSmall": (224, 49_454_688),
            "ConvNeXtBase": (224, 87_566_464),
            "ConvNeXtLarge": (224, 196_230_336),
            "ConvNeXtXLarge": (224, 348_147_968),
            "EfficientNetB0": (224, 4_049_571),
            "EfficientNetB1": (240, 6_575_239),
            "EfficientNetB2": (260, 7_768_569),
            "EfficientNetB3": (300, 10_783_535),
            "EfficientNetB4": (380, 17_673_823),
            "EfficientNetB5": (456, 28_513_527),
            "EfficientNetB6": (528, 40_960_143),
            "EfficientNetB7": (600, 64_097_687),
            "EfficientNetV2B0": (224, 5_919_312),
            "EfficientNetV2B1": (240, 6_931_124),
            "EfficientNetV2B2": (260, 8_769_374),
            "EfficientNetV2B3": (300, 12_930_622),
            "EfficientNetV2S": (384, 20_331_360),
            "EfficientNetV2M": (480, 53_150_388),
            "EfficientNetV2L": (480, 117_746_848),
            "MobileNetV3Large": (224, 2_996_352),
            "MobileNetV3Small": (224, 939_120),
        },
    ),
    **_rows(
        PIXELS,
        "caffe",
        {
            "ResNet50": (224, 23_587_712),
            "ResNet101": (224, 42_658_176),
            "ResNet152": (224, 58_370_944),
            "VGG16": (224, 14_714_688),
            "VGG19": (224, 20_024_384),
        },
    ),
    **_rows(
        PIXELS,
        "torch",
        {"DenseNet121": (224, 7_037_504), "DenseNet169": (224, 12_642_880), "DenseNet201": (224, 18_321_984)},
    ),
    "efficientnet_lite0": Backbone("efficientnet_lite0", (224, 224), (-127 / 128, 1.0), 3_413_024),
}


def names() -> tuple[str, ...]:
    """The names of all backbones, sorted.

    Example:
        >>> "MobileNetV2" in names()
        True
    """
    return tuple(sorted(_BACKBONES))


def find(name: str) -> Backbone:
    """The backbone of this name. Costs nothing: no model is built.

    Case, hyphens and underscores do not matter: `mobilenet_v2` is MobileNetV2.

    Raises:
        ArgumentError: no backbone has this name. The message names the nearest.

    Example:
        >>> find("mobilenet_v2")
        Backbone(name='MobileNetV2', image_size=(224, 224), value_range=(-1.0, 1.0), weight_count=2257984, front=None)
    """
    plain = {_plain(known): backbone for known, backbone in _BACKBONES.items()}
    if _plain(name) in plain:
        return plain[_plain(name)]
    near = difflib.get_close_matches(_plain(name), plain, n=3)
    nearest = f" Nearest: {', '.join(plain[known].name for known in near)}." if near else ""
    raise ArgumentError(
        f"No backbone is named {name!r}.{nearest} tl.backbones.names(), or  thawline backbones  on the command line, "
        f"lists all {len(_BACKBONES)}."
    )


def _plain(name: Any) -> str:
    """A name without what people write in different ways."""
    return str(name).casefold().replace("-", "").replace("_", "")
