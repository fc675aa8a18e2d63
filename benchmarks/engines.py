"""How fast a frozen base runs by each engine and precision, how far its features are apart, and how busy the cores are.

    python benchmarks/engines.py [--data DIR] [--images N] [--rounds N] [--json FILE]

EfficientNet-Lite0 with ImageNet weights and MobileNetV2 with random ones, both at 224 px and averaged over the image,
on real images in batches of 32. Ways take turns, each counts as the median of its rounds: `keras.Model.predict` over an
array in memory, `predict` batch by batch, and thawline's engines. Differences are from Keras in float32. The extraction
at the end is the whole of it: reading, decoding, four augmented views, engine, cache.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np

import thawline as tl
from thawline.cli.demo import fabric_photos
from thawline.features.cache import FeatureCache
from thawline.features.engines.agreement import compare
from thawline.features.engines.make import make_engine
from thawline.features.extract import Extraction, extract
from thawline.features.opening import open_features
from thawline.features.options import FeatureOptions
from thawline.files import write_text

SIDE, BATCH, VIEWS = 224, 32, 4
BASES = {"efficientnet_lite0": "imagenet", "MobileNetV2": None}
ENGINES = [("keras", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]


def batches_of(images: tl.ImageFolder, scale: tuple[float, float]) -> list[np.ndarray]:
    """Batches of float32 images from scale[0] to scale[1]."""
    low, high = scale
    return [
        (batch.images / np.float32(255) * np.float32(high - low) + np.float32(low)).astype(np.float32)
        for batch in images.batches(0)
    ]


def time_ways(base: Any, batches: list[np.ndarray], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Images/s of every way, and each engine's features."""
    images = np.concatenate(batches)
    engines = {f"{name}_{precision}": make_engine(name, base, precision) for name, precision in ENGINES}
    ways: dict[str, Callable[[], Any]] = {
        "predict": partial(base.predict, images, verbose=0),
        "predict_each_batch": lambda: [base.predict(batch, verbose=0) for batch in batches],
    }
    ways |= {name: lambda engine=engine: list(engine.answers(batches)) for name, engine in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name in list(ways) * (rounds + 1):
        began = time.perf_counter()
        ways[name]()
        seconds[name].append(time.perf_counter() - began)
    features = {name: engine.run(images) for name, engine in engines.items()}
    # The first round warms up.
    return {name: len(images) / median(each[1:]) for name, each in seconds.items()}, features


def extract_all(base: Any, value_range: tuple[float, float], images: tl.ImageFolder, precision: str) -> Extraction:
    """Four augmented views of each image, into an empty cache."""
    stack = tl.Stack(
        [
            tl.Stage(base, "base", trainable=False, value_range=value_range),
            tl.Stage(keras.Sequential([keras.layers.Dense(2, "softmax")]), "head"),
        ]
    )
    augmented = images.augment(rotation_range=10, zoom_range=0.1, horizontal_flip=True)
    with tempfile.TemporaryDirectory() as folder:
        options = FeatureOptions(FeatureCache(folder), "openvino", precision)
        prefix = options.prefix(stack.cut())
        prefix.choose(augmented)
        features = open_features(options.opened_cache, prefix, augmented)
        return extract(augmented, VIEWS, prefix, features, show_progress=False)


def main() -> None:
    """Measures every base and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="a folder of classes; by default the fabric photos")
    parser.add_argument("--images", type=int, default=512, help="how many images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    folder = tl.ImageFolder(options.data or fabric_photos(), image_size=(SIDE, SIDE), batch_size=BATCH, seed=7)
    images = folder.select(np.linspace(0, len(folder) - 1, options.images).astype(int))
    figures: dict[str, float] = {}
    for name, weights in BASES.items():
        keras.utils.set_random_seed(7)
        base = tl.backbones.build(name, image_size=(SIDE, SIDE), weights=weights, pooling="avg")
        base.trainable = False
        value_range = tl.backbones.find(name).value_range
        speeds, features = time_ways(base, batches_of(images, value_range), options.rounds)
        print(f"\n{name}, {len(images):,} images")
        for way, speed in speeds.items():
            line = f"  {way:<22} {speed:7.1f} images/s  {speed / speeds['predict']:5.2f} x predict"
            figures |= {f"{name}_{way}_images_per_s": speed, f"{name}_{way}_ratio": speed / speeds["predict"]}
            if way in features:
                apart = compare(features["keras_float32"], features[way])
                line += f"   largest difference {apart.largest_difference:.1e}, cosines {apart.cosine:.4f} at least"
                figures |= {f"{name}_{way}_difference": apart.largest_difference, f"{name}_{way}_cosine": apart.cosine}
            print(line, flush=True)
        for precision in ("float32", "bfloat16"):
            done = extract_all(base, value_range, images, precision)
            speed = done.extracted / done.seconds
            print(
                f"  extraction, {precision:<10} {speed:7.1f} images/s, the processor {done.busy:.0%} busy", flush=True
            )
            figures |= {f"{name}_extraction_{precision}_images_per_s": speed, f"{name}_{precision}_busy": done.busy}
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
