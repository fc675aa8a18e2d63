"""Exports: the demo's EfficientNet-Lite0 in all five formats, compared with the stack on 200 held-out photos.

    python benchmarks/exports.py                   the demo's photos, 224x224
    python benchmarks/exports.py --limit 30        fewer images per class, for a quick look
    python benchmarks/exports.py --formats onnx    some formats only

A head is trained on the frozen base first, for a few epochs, so that answers mean something. Every format is then run
by its own runtime in a process of its own, without thawline. Exit code 1 when one answers otherwise than the stack.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import thawline as tl
from thawline.backend import keras
from thawline.cli.demo import fabric_photos
from thawline.data.reading import describe_reading
from thawline.export.export import FORMATS, ExportOptions, export
from thawline.export.golden import source_images


def train(limit: int | None, share: float, size: int, epochs: int) -> tuple[tl.Stack, tl.ImageFolder]:
    """The demo's stack, and the images that it did not see."""
    images = tl.ImageFolder(fabric_photos(), image_size=(size, size), seed=7)
    train_images, held_out = (images if limit is None else images.limit(limit)).split(share, exact=True)
    keras.utils.set_random_seed(7)
    base = tl.backbones.build("efficientnet_lite0", image_size=(size, size))
    head = keras.Sequential(
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(128, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(len(images.class_names), "softmax"),
        ]
    )
    value_range = tl.backbones.find("efficientnet_lite0").value_range
    stack = tl.Stack(
        [tl.Stage(base, "base", trainable=False, value_range=value_range), tl.Stage(head, "head", trainable=True)]
    )
    stack.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    stack.fit(train_images, epochs=epochs, engine="keras", verbose=0)
    return stack, held_out


def main() -> int:
    """Prints a line for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--limit", type=int, help="images per class")
    parser.add_argument("--validation", type=float, default=0.2, help="share of images that are held out")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--to", type=Path, help="keep the artefacts in this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    stack, held_out = train(arguments.limit, arguments.validation, arguments.size, arguments.epochs)
    with tempfile.TemporaryDirectory() as folder:
        options = ExportOptions(golden=source_images(held_out), announce=print)
        target = arguments.to or Path(folder)
        exported = export(stack, target, arguments.formats, reading=describe_reading(held_out), options=options)
    if arguments.json:
        arguments.json.write_text(json.dumps([each.as_dict() for each in exported], indent=2) + "\n")
    return 0 if all(each.is_good for each in exported) else 1


if __name__ == "__main__":
    sys.exit(main())
