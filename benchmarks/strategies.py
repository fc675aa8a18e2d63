"""What a frozen base costs by each way to train a head on it, in one run on the same images.

The way users would pick instead is written as the usual tutorials write it: one `ImageDataGenerator` with augmentation
feeds base and head in one Keras model, the base frozen. Against it: thawline's three strategies with the same base,
head, augmentation, batch size and epochs, and a second head over features that are kept already.

    python benchmarks/strategies.py [--data DIR] [--limit IMAGES_PER_CLASS] [--epochs N] [--json FILE]

Seconds include everything that a user waits for: compiling, reading, extraction, training and validation.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from tensorflow.keras.preprocessing.image import ImageDataGenerator

import thawline as tl
from thawline.backend import keras
from thawline.cli.demo import fabric_photos
from thawline.files import write_text

SIDE, BATCH, VIEWS = 224, 32, 4
AUGMENT = {"rotation_range": 10, "zoom_range": 0.1, "horizontal_flip": True}


def make_head(units: int, class_count: int) -> keras.Sequential:
    """A head on the base's feature map."""
    return keras.Sequential(
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(class_count, "softmax"),
        ]
    )


def train_by_generator(train: tl.ImageFolder, val: tl.ImageFolder, epochs: int) -> float:
    """The tutorial's way; gives the validation accuracy of the last epoch."""
    base = tl.backbones.build("efficientnet_lite0", image_size=(SIDE, SIDE))
    base.trainable = False
    model = keras.Sequential([base, make_head(128, len(train.class_names))])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])

    def scale(pixels):
        return (pixels - 127.0) / 128.0

    def flow(images: tl.ImageFolder, generator, shuffle: bool):
        # The same files on the same sides: the generator reads links to them.
        folder = Path(tempfile.mkdtemp())
        for path, label in zip(images.paths, images.known_labels, strict=True):
            link = folder / images.class_names[label] / path.name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)
        return generator.flow_from_directory(
            folder, target_size=(SIDE, SIDE), batch_size=BATCH, seed=7, shuffle=shuffle, interpolation="bilinear"
        )

    augmented = ImageDataGenerator(preprocessing_function=scale, **AUGMENT)
    plain = ImageDataGenerator(preprocessing_function=scale)
    history = model.fit(flow(train, augmented, True), validation_data=flow(val, plain, False), epochs=epochs, verbose=0)
    return history.history["val_accuracy"][-1]


def train_by_thawline(
    train: tl.ImageFolder, val: tl.ImageFolder, epochs: int, strategy: str, cache: tl.FeatureCache, units: int = 128
) -> float:
    """One of thawline's strategies; gives the validation accuracy of the last epoch."""
    keras.utils.set_random_seed(7)
    base = tl.backbones.build("efficientnet_lite0", image_size=(SIDE, SIDE))
    value_range = tl.backbones.find("efficientnet_lite0").value_range
    head = make_head(units, len(train.class_names))
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=value_range), tl.Stage(head, "head")])
    stack.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    history = stack.fit(
        train.augment(**AUGMENT),
        validation_data=val,
        epochs=epochs,
        strategy=strategy,
        views=VIEWS if strategy == "precomputed" else None,
        cache=cache,
        verbose=0,
    )
    return history.history["val_accuracy"][-1]


def timed(label: str, work: Callable[[], float]) -> tuple[float, float]:
    """Seconds and validation accuracy of one way."""
    started = time.perf_counter()
    accuracy = work()
    seconds = time.perf_counter() - started
    print(f"{label:<48} {seconds:8.1f} s   validation accuracy {accuracy:.3f}", flush=True)
    return seconds, accuracy


def main() -> None:
    """Runs every way once and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="a folder of classes; by default the fabric photos")
    parser.add_argument("--limit", type=int, default=None, help="images per class")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="keras")

    images = tl.ImageFolder(options.data or fabric_photos(), image_size=(SIDE, SIDE), batch_size=BATCH, seed=7)
    if options.limit:
        images = images.limit(options.limit)
    train, val = images.split(validation=0.2)
    print(f"{len(train):,} training and {len(val):,} validation images, {options.epochs} epochs, batch {BATCH}")
    with tempfile.TemporaryDirectory() as folder:
        cache = tl.FeatureCache(folder)
        generator = timed(
            "ImageDataGenerator through the whole Keras model",
            lambda: train_by_generator(train, val, options.epochs),
        )
        rows = {
            name: timed(label, lambda way=way, units=units: train_by_thawline(
                train, val, options.epochs, way, cache, units
            ))
            for name, label, way, units in (
                ("joint", "joint, a new view in every epoch", "joint", 128),
                ("streamed", "streamed, a new view in every epoch", "streamed", 128),
                ("precomputed", f"precomputed, {VIEWS} views", "precomputed", 128),
                ("second_head", f"precomputed, {VIEWS} views, another head", "precomputed", 64),
            )
        }  # fmt: skip
    figures = {"generator_s": generator[0], "generator_accuracy": generator[1]}
    for name, (seconds, accuracy) in rows.items():
        figures |= {f"{name}_s": seconds, f"{name}_accuracy": accuracy, f"{name}_ratio": generator[0] / seconds}
        print(f"{name:<12} {generator[0] / seconds:5.1f} times as fast as the generator")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
