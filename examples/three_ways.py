"""Three ways to train a model on top of another from augmented images, and that they agree.

A frozen base gives features, a head learns from them. From a generator of augmented images there are three classic ways
to feed the head:

1. Everything through everything: base and head are one model, every image passes the base in every epoch.
2. Compute first: the base runs over the images once, the head is trained on what it said.
3. Compute on the way: a generator runs the base on each batch before the head sees it.

With thawline each is one word. With the same seed and the same views they give the same losses and the same weights;
only the time differs.

    python examples/three_ways.py [--limit IMAGES_PER_CLASS] [--epochs N]
"""

import argparse
import tempfile
import time

import numpy as np

import thawline as tl
from thawline.backend import keras
from thawline.cli.demo import fabric_photos

WAYS = {
    "joint": "everything through everything",
    "precomputed": "compute first",
    "streamed": "compute on the way",
}
VIEWS = 4


def build_stack(class_count: int) -> tl.Stack:
    """EfficientNet-Lite0 with ImageNet weights, frozen, and a small head that starts with equal weights each time."""
    keras.utils.set_random_seed(7)
    base = tl.backbones.build("efficientnet_lite0", image_size=(150, 150))
    head = keras.Sequential(
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(128, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(class_count, "softmax"),
        ]
    )
    value_range = tl.backbones.find("efficientnet_lite0").value_range
    stack = tl.Stack(
        [tl.Stage(base, name="base", trainable=False, value_range=value_range), tl.Stage(head, name="head")]
    )
    stack.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return stack


def main() -> None:
    """Trains three times and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=None, help="images per class, for a quick look")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()

    images = tl.ImageFolder(fabric_photos(), image_size=(150, 150), batch_size=32, seed=7)
    if options.limit:
        images = images.limit(options.limit)
    train, val = images.split(validation=0.2)
    train = train.augment(shear_range=10, zoom_range=0.2, horizontal_flip=True)

    histories, weights, seconds = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            stack = build_stack(len(images.class_names))
            started = time.perf_counter()
            history = stack.fit(
                train,
                validation_data=val,
                epochs=options.epochs,
                strategy=way,
                views=VIEWS,
                cache=tl.FeatureCache(folder),  # an empty one: nothing is known from an earlier run
                engine="keras",  # the one whose features have the very bits of the whole stack's
                verbose=0,
            )
            seconds[way] = time.perf_counter() - started
            histories[way] = history.history
            weights[way] = [weight.numpy() for weight in stack.stages[1].model.weights]
            losses = " ".join(f"{loss:.6f}" for loss in history.history["loss"])
            print(f"{way:<12} {WAYS[way]:<30} {seconds[way]:6.1f} s   loss {losses}", flush=True)

    figures = max(
        abs(value - other)
        for way in WAYS
        for name, values in histories["joint"].items()
        for value, other in zip(values, histories[way][name], strict=True)
    )
    head = max(
        float(np.abs(first - other).max())
        for way in WAYS
        for first, other in zip(weights["joint"], weights[way], strict=True)
    )
    print(f"\n{len(train):,} training images, {options.epochs} epochs, {VIEWS} views")
    print(f"largest difference between the histories:    {figures:.3g}")
    print(f"largest difference between the head weights: {head:.3g}")
    if max(figures, head) > 1e-5:
        raise SystemExit("The three ways do not agree.")
    print("The three ways agree.")


if __name__ == "__main__":
    main()
