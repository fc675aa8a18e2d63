"""Thaw a pretrained model in phases: the head first, then the last blocks, then all of it.

Each phase has its own thaw line. What lies below it is run once per view and kept; what lies above learns. Only
convolutions are named: BatchNormalization stays frozen throughout, as fine-tuning on few images asks for.

The second phase is also trained by `joint`, every image through the whole model in every epoch, from the same weights
and with the same views: the result is the same, the time is not.

    python examples/thaw_in_phases.py [--limit IMAGES_PER_CLASS] [--side PIXELS] [--epochs HEAD BLOCKS ALL]
"""

import argparse
import tempfile
import time

import numpy as np

import thawline as tl
from thawline.backend import keras
from thawline.cli.demo import fabric_photos

HEAD = ["head"]
BLOCKS = ["head", "base/block6[cd]*conv", "base/block7*conv", "base/top_conv"]
EVERYTHING = ["head", "base/*conv"]


def build_stack(side: int, class_count: int) -> tl.Stack:
    """EfficientNet-Lite0 with ImageNet weights, and a small head that starts with equal weights each time."""
    keras.utils.set_random_seed(7)
    base = tl.backbones.build("efficientnet_lite0", image_size=(side, side))
    head = keras.Sequential(
        [
            keras.layers.GlobalMaxPooling2D(),  # a flaw is small: a mean over the whole picture would drown it
            keras.layers.Dense(128, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(class_count, "softmax"),
        ]
    )
    value_range = tl.backbones.find("efficientnet_lite0").value_range
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=value_range), tl.Stage(head, "head")])
    stack.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return stack


def train_phase(
    stack: tl.Stack,
    images: tuple[tl.ImageFolder, tl.ImageFolder],
    phase: tl.Phase,
    cache: tl.FeatureCache,
) -> tuple[float, list[float]]:
    """Trains one phase; gives the seconds that it took and the loss of each epoch."""
    train, validation = images
    started = time.perf_counter()
    # Keras is the engine whose features have the very bits of the whole stack's, so that ways can be compared.
    history = stack.fit(train, validation_data=validation, phases=[phase], cache=cache, engine="keras", verbose=0)
    return time.perf_counter() - started, history.history["loss"]


def accuracy(stack: tl.Stack, images: tl.ImageFolder) -> tuple[float, str]:
    """The share of images that are recognized, and the same for each class in words."""
    answers = stack.predict(images, verbose=0).argmax(axis=1)
    is_right = answers == images.labels
    each = ", ".join(
        f"{name} {is_right[images.labels == number].mean():.0%}" for number, name in enumerate(images.class_names)
    )
    return float(is_right.mean()), each


def main() -> None:
    """Trains three phases, and the second one twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=None, help="images per class, for a quick look")
    parser.add_argument("--side", type=int, default=250, help="height and width of the images")
    parser.add_argument("--epochs", type=int, nargs=3, default=(10, 8, 3), metavar=("HEAD", "BLOCKS", "ALL"))
    options = parser.parse_args()

    images = tl.ImageFolder(fabric_photos(), image_size=(options.side, options.side), batch_size=32, seed=7)
    if options.limit:
        images = images.limit(options.limit)
    train, held_out = images.split(validation=0.25, exact=True)
    # Mirroring only: turning and zooming would blur the fine threads that tell the classes apart.
    both = train.augment(horizontal_flip=True, vertical_flip=True), held_out
    head, blocks, everything = options.epochs
    phases = {
        "head only": tl.Phase(HEAD, head, views=4),
        "last blocks": tl.Phase(BLOCKS, blocks, learning_rate=5e-5, views=2),
        "everything": tl.Phase(EVERYTHING, everything, learning_rate=3e-5),
    }

    stack = build_stack(options.side, len(images.class_names))
    rows, losses, states = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        cache = tl.FeatureCache(folder)  # an empty one: nothing is known from an earlier run
        for name, phase in phases.items():
            print(f"\n-- {name}: {', '.join(phase.patterns)}\n{stack.cut(train=phase.train)}", flush=True)
            seconds, losses[name] = train_phase(stack, both, phase, cache)
            # All variables: Dropout's random numbers have a state, too.
            states[name] = [keras.ops.convert_to_numpy(variable).copy() for variable in stack.model.variables]
            share, each = accuracy(stack, held_out)
            rows.append((name, seconds, share))
            print(f"{seconds:.0f} s, {share:.1%} of {len(held_out)} held-out images are right: {each}", flush=True)

        print("\n-- last blocks once more, by joint, from the same weights", flush=True)
        other = build_stack(options.side, len(images.class_names))
        for variable, value in zip(other.model.variables, states["head only"], strict=True):
            variable.assign(value)
        again = tl.Phase(BLOCKS, blocks, learning_rate=5e-5, views=2, strategy="joint")
        joint_s, joint_losses = train_phase(other, both, again, cache)
    print(f"{joint_s:.0f} s")

    apart = max(abs(one - two) for one, two in zip(losses["last blocks"], joint_losses, strict=True))
    moved = max(
        float(np.abs(keras.ops.convert_to_numpy(variable).astype(float) - value).max())
        for variable, value in zip(other.model.variables, states["last blocks"], strict=True)
    )
    print(f"\n{'phase':<14} {'seconds':>8} {'held-out accuracy':>18}")
    for name, seconds, share in rows:
        print(f"{name:<14} {seconds:8.0f} {share:18.1%}")
    gained = max(share for _, _, share in rows[1:]) - rows[0][2]
    print(f"\nthawed, {gained * 100:+.1f} points of accuracy against the head alone")
    print(f"last blocks: {joint_s / rows[1][1]:.2f} times as fast as by joint")
    print(f"largest difference between their losses {apart:.3g}, between their weights {moved:.3g}")


if __name__ == "__main__":
    main()
