"""Features wider than memory: the first layer of the classic tutorial, frozen, and Flatten behind it.

    python benchmarks/wide_features.py [--data DIR] [--images N] [--size PIXELS] [--epochs N] [--json FILE]

A 3x3 convolution with 32 filters on 150x150 and Flatten give 148 * 148 * 32 = 700,928 numbers per image: 2,000 images
take 5.6 GB. `precomputed` keeps them on disk and trains from there; the figure is how much memory the process held at
most. The features lie in a folder of their own, which is deleted at the end.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import thawline as tl
from thawline.cli.demo import fabric_photos
from thawline.files import write_text


def build_stack(size: int, class_count: int) -> tl.Stack:
    """The convolution, frozen as it was drawn, then Flatten and one layer that learns."""
    keras.utils.set_random_seed(7)
    base = keras.Sequential([keras.Input((size, size, 3)), keras.layers.Conv2D(32, 3, activation="relu")])
    head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(class_count, activation="softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(0, 1)), tl.Stage(head, "head")])
    stack.compile(keras.optimizers.Adam(1e-5), "categorical_crossentropy", metrics=["accuracy"])
    return stack


def peak_gb() -> float:
    """The most memory that this process ever held, in GB; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    """Trains, and prints the time and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="a folder of classes; by default the fabric photos")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=150, help="height and width of the images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    size = (options.size, options.size)
    images = tl.ImageFolder(options.data or fabric_photos(), image_size=size, batch_size=32, seed=7)
    # Evenly over the folder, so that every class has its share.
    count = min(options.images, len(images))
    images = images.select(np.linspace(0, len(images) - 1, count).astype(int))
    stack = build_stack(options.size, len(images.class_names))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        history = stack.fit(images, epochs=options.epochs, strategy="precomputed", cache=tl.FeatureCache(folder))
        seconds = time.perf_counter() - started
        disk_gb = tl.FeatureCache(folder).size_bytes / 1e9
    figures = {
        "images": len(images),
        "features_gb": disk_gb,
        "peak_rss_gb": peak_gb(),
        "seconds": seconds,
        "seconds_per_epoch": history.record.train_s / options.epochs,
        "accuracy": history.history["accuracy"][-1],
    }
    for name, figure in figures.items():
        print(f"{name:<20} {figure:12,.2f}")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
