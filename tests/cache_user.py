"""A process that extracts features of a folder and says how many it had to compute: `cache_user.py IMAGES CACHE`.

It is started anew: what the environment says about instructions is read when TensorFlow is imported.
"""

import json
import sys
from pathlib import Path

import thawline as tl
from thawline.backend import keras
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.opening import open_features
from thawline.features.options import FeatureOptions


def stack():
    """A frozen convolution below a head that learns."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(16, 3), layers.Conv2D(16, 3)])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2)])
    return tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])


def main(images: str, cache: str) -> None:
    """Extracts, and prints what came of it as JSON."""
    source = tl.ImageFolder(images, image_size=(16, 16))
    kept = FeatureCache(cache)
    prefix = FeatureOptions(kept, engine="keras").prefix(stack().cut())
    features = open_features(kept, prefix, source)
    done = extract(source, 1, prefix, features, show_progress=False)
    print(json.dumps({"extracted": done.extracted, "total": done.total, "set": Path(features.path).name}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
