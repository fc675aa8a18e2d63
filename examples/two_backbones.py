"""Two frozen backbones of one architecture side by side under one head, trained by all three strategies.

Two networks are built alike, layer names included, and trained on different things: one tells shapes, on images
without colour, the other tells colours. Frozen, side by side and under one head they tell a red circle from a blue one
and from a red square, better than either alone. Their layers have the same names (`conv_1`, `norm_1`, ...), as those of
two bases of `keras.applications` or of two models from files; a stack trains, saves, loads and exports them as the
nested Keras model that they are.

The images are drawn here, so nothing is downloaded.

    python examples/two_backbones.py [--images N] [--epochs N] [--folder FOLDER]
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

import thawline as tl
from thawline.backend import keras

layers = keras.layers

SIDE = 32
SHAPES = ("circle", "cross", "square")
COLOURS = {"blue": (40, 70, 220), "green": (40, 190, 60), "red": (220, 50, 40)}
STRATEGIES = ("joint", "precomputed", "streamed")


def draw(count: int, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Noisy images, uint8 (count, 32, 32, 3), each with a shape in a colour; the names of both."""
    random = np.random.default_rng(seed)
    images = random.integers(60, 160, (count, SIDE, SIDE, 3)).astype(np.uint8)
    shapes = [SHAPES[number] for number in random.integers(0, len(SHAPES), count)]
    colours = [sorted(COLOURS)[number] for number in random.integers(0, len(COLOURS), count)]
    for image, shape, colour in zip(images, shapes, colours, strict=True):
        x, y = (int(number) for number in random.integers(11, SIDE - 11, 2))
        size, pen = int(random.integers(5, 9)), COLOURS[colour]
        if shape == "circle":
            cv2.circle(image, (x, y), size, pen, 2)
        elif shape == "square":
            cv2.rectangle(image, (x - size, y - size), (x + size, y + size), pen, 2)
        else:
            cv2.line(image, (x - size, y), (x + size, y), pen, 2)
            cv2.line(image, (x, y - size), (x, y + size), pen, 2)
    return images, shapes, colours


def backbone(name: str) -> keras.Model:
    """A small network; every one of them has the same layers by the same names."""
    images = tensor = keras.Input((SIDE, SIDE, 3))
    for number, filters in enumerate((16, 32, 48), start=1):
        tensor = layers.Conv2D(filters, 3, strides=1 if number == 1 else 2, name=f"conv_{number}")(tensor)
        tensor = layers.BatchNormalization(name=f"norm_{number}")(tensor)
        tensor = layers.ReLU(name=f"relu_{number}")(tensor)
    return keras.Model(images, tensor, name=name)


def head(class_count: int) -> keras.Model:
    """Head that learns on top; its layers have names that layers of the backbones have, too."""
    return keras.Sequential([layers.Dropout(0.1), layers.Dense(class_count, "softmax", name="conv_1")], name="head")


def pretrained(name: str, images: np.ndarray, labels: list[str], epochs: int) -> keras.Model:
    """A backbone that was trained to tell these labels."""
    network = backbone(name)
    top = keras.Sequential([layers.GlobalMaxPooling2D(), layers.Dense(len(set(labels)), "softmax")], name="top")
    stack = tl.Stack([tl.Stage(network, name, value_range=(-1, 1)), tl.Stage(top, "top")])
    stack.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy", metrics=["accuracy"])
    history = stack.fit(tl.ImageArrays(images, labels, batch_size=32, seed=1), epochs=epochs, verbose=0)
    print(f"{name:<10} tells {', '.join(sorted(set(labels)))}: accuracy {history.history['accuracy'][-1]:.1%}")
    return network


def side_by_side(*networks: keras.Model) -> keras.Model:
    """The networks on the same images, what they say pooled and joined."""
    images = keras.Input((SIDE, SIDE, 3))
    said = [layers.GlobalMaxPooling2D()(network(images)) for network in networks]
    return keras.Model(images, said[0] if len(said) == 1 else layers.Concatenate()(said), name="backbones")


def stack_on(networks: list[keras.Model], class_count: int) -> tl.Stack:
    """The frozen networks under a head that starts with the same weights each time."""
    keras.utils.set_random_seed(5)
    stack = tl.Stack(
        [
            tl.Stage(side_by_side(*networks), "backbones", trainable=False, value_range=(-1, 1)),
            tl.Stage(head(class_count), "head"),
        ]
    )
    stack.compile(keras.optimizers.Adam(0.02), "categorical_crossentropy", metrics=["accuracy"])
    return stack


def largest_difference(results: list[list[np.ndarray]]) -> float:
    """The largest difference between the first arrays and those of the others."""
    first, *others = results
    pairs = [pair for other in others for pair in zip(first, other, strict=True)]
    return max(float(np.abs(one - two).max()) for one, two in pairs)


def main() -> None:
    """Trains the networks, then the head on both by each strategy; saves, loads, exports and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=720, help="images to train on")
    parser.add_argument("--epochs", type=int, default=16, help="epochs of each training")
    parser.add_argument("--folder", type=Path, help="where the stack and its ONNX model go; by default nowhere")
    options = parser.parse_args()

    keras.utils.set_random_seed(1)
    pixels, shapes, colours = draw(options.images, seed=1)
    grey = np.repeat(pixels.max(axis=-1, keepdims=True), 3, axis=-1)
    networks = [
        pretrained("shapes", grey, shapes, options.epochs),
        pretrained("colours", pixels, colours, options.epochs),
    ]
    both = [f"{colour} {shape}" for colour, shape in zip(colours, shapes, strict=True)]
    train, val = tl.ImageArrays(pixels, both, batch_size=32, seed=2).split(validation=0.25)
    train = train.augment(horizontal_flip=True, vertical_flip=True)

    for network in networks:
        alone = stack_on([network], len(train.class_names))
        alone.fit(train, epochs=options.epochs, strategy="precomputed", engine="keras", verbose=0)
        accuracy = alone.evaluate(val, verbose=0)[1]
        print(f"{network.name:<10} alone under a head: accuracy {accuracy:.1%} on held-out images")

    histories, weights, stack = [], [], None
    for strategy in STRATEGIES:
        stack = stack_on(networks, len(train.class_names))
        # The engine "keras" gives features with the very bits of the whole stack's.
        ways = {"strategy": strategy, "engine": "keras", "views": 2}
        history = stack.fit(train, validation_data=val, epochs=options.epochs, verbose=0, **ways).history
        histories.append([np.array(values) for name, values in sorted(history.items())])
        weights.append([weight.numpy() for weight in stack.model.weights])
        print(f"both       {strategy:<11}: loss {history['loss'][-1]:.6f}, accuracy {history['val_accuracy'][-1]:.1%}")
    differences = largest_difference(histories), largest_difference(weights)
    print("largest difference between the strategies: figures {:.3g}, weights {:.3g}".format(*differences))

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        stack.save(folder / "two_backbones.keras")
        loaded = tl.load(folder / "two_backbones.keras")
        reloaded = largest_difference([[stack.predict(val, verbose=0)], [loaded.predict(val, verbose=0)]])
        print(f"saved and loaded: largest difference between the answers {reloaded:.3g}")
        for exported in loaded.export(folder / "two_backbones", ["onnx"], images=val, verbose=0):
            print(exported)
    if max(*differences, reloaded) > 1e-6:
        raise SystemExit("The results are not equal.")
    print("Equal by all three strategies, after loading, and verified in ONNX.")


if __name__ == "__main__":
    main()
