"""Five classic scripts for ImageDataGenerator, by Keras' generator and by thawline's, only the import changed.

Each is written as such scripts usually are, with `steps_per_epoch`. A line says how many steps every epoch had and
which shapes went in and out, and that both generators agree on them. Exit code 1 when they do not.

    python examples/classic_scripts.py [--epochs N] [--images IMAGES_PER_CLASS]

Keras 3 gives what an epoch leaves to the next one, with either generator, so that steps alternate where the number of
images is no multiple of the batch; without `steps_per_epoch` every epoch has all images.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers
from PIL import Image, ImageDraw
from tensorflow.keras.preprocessing.image import ImageDataGenerator as KerasGenerator

from thawline import ImageDataGenerator

SIZE, BATCH = 32, 10

# What a script did: numbers and shapes by name.
Trace = dict[str, Any]


class Steps(keras.callbacks.Callback):
    """Counts the steps of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.counts.append(0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.counts[-1] += 1


def small_base() -> keras.Model:
    """Builds a stand-in for a pretrained base: two convolutions."""
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
        ],
        name="base",
    )


def bottleneck_features(generator: Any, data: Path, epochs: int) -> Trace:
    """Features of a base by `predict`, and a small model trained on them."""
    datagen = generator(rescale=1.0 / 255)
    batches = datagen.flow_from_directory(
        data / "pictures", target_size=(SIZE, SIZE), batch_size=BATCH, class_mode=None, shuffle=False
    )
    base = small_base()
    features = base.predict(batches, verbose=0)
    labels = keras.utils.to_categorical(batches.classes)
    top = keras.Sequential(
        [keras.Input(base.output_shape[1:]), layers.Flatten(), layers.Dense(len(batches.class_indices), "softmax")]
    )
    top.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    steps = Steps()
    top.fit(features, labels, epochs=epochs, batch_size=BATCH, verbose=0, callbacks=[steps])
    return {"steps": steps.counts, "features": features.shape, "labels": labels.shape}


def fine_tuning(generator: Any, data: Path, epochs: int) -> Trace:
    """A base whose last layer learns, under a head, with a validation subset."""
    datagen = generator(rescale=1.0 / 255, shear_range=10, zoom_range=0.2, horizontal_flip=True, validation_split=0.25)
    options = {"target_size": (SIZE, SIZE), "batch_size": BATCH, "class_mode": "categorical"}
    train = datagen.flow_from_directory(data / "pictures", subset="training", **options)
    validation = datagen.flow_from_directory(data / "pictures", subset="validation", **options)
    base = small_base()
    for layer in base.layers[:-1]:
        layer.trainable = False
    model = keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(train.num_classes, "softmax")])
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "categorical_crossentropy", metrics=["accuracy"])
    steps = Steps()
    model.fit(
        train,
        steps_per_epoch=train.samples // train.batch_size,
        validation_data=validation,
        validation_steps=validation.samples // validation.batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[steps],
    )
    images, answers = train[0]
    return {"steps": steps.counts, "images": images.shape, "answers": answers.shape, "samples": train.samples}


def u_net(generator: Any, data: Path, epochs: int) -> Trace:
    """Images and masks from two generators of one seed, zipped."""
    arguments = {"rotation_range": 20, "zoom_range": 0.1, "horizontal_flip": True, "fill_mode": "constant"}
    options = {"target_size": (SIZE, SIZE), "class_mode": None, "batch_size": BATCH, "seed": 1}
    images = generator(**arguments, rescale=1.0 / 255).flow_from_directory(
        data / "scenes", classes=["image"], **options
    )
    masks = generator(**arguments, rescale=1.0 / 255).flow_from_directory(
        data / "scenes", classes=["label"], color_mode="grayscale", **options
    )
    agreements = []

    def pairs() -> Any:
        for image, mask in zip(images, masks, strict=True):
            is_inside = mask > 0.5
            # The pictures of this example are bright where the mask is.
            agreements.append(float(np.mean((image.mean(-1, keepdims=True) > 0.5) == is_inside)))
            yield image, is_inside.astype("float32")

    inputs = keras.Input((SIZE, SIZE, 3))
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    coarse = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    joined = layers.Concatenate()([fine, layers.UpSampling2D()(coarse)])
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(joined))
    model.compile("adam", "binary_crossentropy")
    steps = Steps()
    model.fit(pairs(), steps_per_epoch=images.n // images.batch_size, epochs=epochs, verbose=0, callbacks=[steps])
    # Edges are interpolated on either side on their own, so that single pixels may differ.
    return {"steps": steps.counts, "masks": masks[0].shape, "mask fits image": min(agreements) > 0.95}


def table_of_labels(generator: Any, data: Path, epochs: int) -> Trace:
    """A table with several labels for each image, as columns of 0 and 1."""
    table = pd.read_csv(data / "labels.csv")
    columns = ["round", "red"]
    datagen = generator(rescale=1.0 / 255, horizontal_flip=True)
    batches = datagen.flow_from_dataframe(
        table,
        directory=data / "pictures",
        x_col="filename",
        y_col=columns,
        class_mode="raw",
        target_size=(SIZE, SIZE),
        batch_size=BATCH,
        seed=42,
    )
    model = keras.Sequential(
        [small_base(), layers.GlobalAveragePooling2D(), layers.Dense(len(columns), activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    steps = Steps()
    model.fit(
        batches,
        steps_per_epoch=batches.n // batches.batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[steps],
    )
    images, answers = batches[0]
    return {"steps": steps.counts, "images": images.shape, "answers": answers.shape}


def autoencoder(generator: Any, data: Path, epochs: int) -> Trace:
    """The image as its own answer."""
    datagen = generator(rescale=1.0 / 255, width_shift_range=0.1, height_shift_range=0.1)
    batches = datagen.flow_from_directory(
        data / "pictures", target_size=(SIZE, SIZE), batch_size=BATCH, class_mode="input"
    )
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="sigmoid"),
        ]
    )
    model.compile("adam", "mse")
    steps = Steps()
    model.fit(
        batches,
        steps_per_epoch=batches.samples // batches.batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[steps],
    )
    images, answers = batches[0]
    return {"steps": steps.counts, "images": images.shape, "same": bool((images == answers).all())}


SCRIPTS: dict[str, Callable[[Any, Path, int], Trace]] = {
    "bottleneck features": bottleneck_features,
    "fine-tuning": fine_tuning,
    "U-Net": u_net,
    "table of labels": table_of_labels,
    "autoencoder": autoencoder,
}


def draw_pictures(data: Path, per_class: int) -> None:
    """Draws discs and squares, bright on dark, with their masks and a table of what they are."""
    random = np.random.default_rng(0)
    rows = []
    for shape in ("disc", "square"):
        for number in range(per_class):
            name, is_red = f"{number:03d}.png", bool(random.integers(2))
            picture = Image.fromarray(random.integers(0, 60, (48, 48, 3), np.uint8))
            mask = Image.new("L", picture.size)
            left, top, side = random.integers((6, 6, 12), (18, 18, 24)).tolist()
            box = (left, top, left + side, top + side)
            for canvas, colour in ((picture, (255, 200, 200) if is_red else (200, 200, 255)), (mask, 255)):
                pen = ImageDraw.Draw(canvas)
                (pen.ellipse if shape == "disc" else pen.rectangle)(box, fill=colour)
            for folder, content in ((f"pictures/{shape}", picture), ("scenes/image", picture), ("scenes/label", mask)):
                (data / folder).mkdir(parents=True, exist_ok=True)
                content.save(data / folder / (name if "pictures" in folder else f"{shape}_{name}"))
            rows.append((f"{shape}/{name}", int(shape == "disc"), int(is_red)))
    pd.DataFrame(rows, columns=["filename", "round", "red"]).to_csv(data / "labels.csv", index=False)


def run_quietly(script: Callable[[Any, Path, int], Trace], generator: Any, data: Path, epochs: int) -> Trace:
    """Runs a script without its lines about images found, and without warnings.

    Keras' generator warns of its age, and both of `steps_per_epoch`, which is what this example's own lines are about.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return script(generator, data, epochs)


def main() -> int:
    """Runs every script twice and compares what they did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--images", type=int, default=28, help="images per class; of a multiple of 4 both take a quarter for validation"
    )
    options = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder), options.images)
        for name, script in SCRIPTS.items():
            theirs = run_quietly(script, KerasGenerator, Path(folder), options.epochs)
            ours = run_quietly(script, ImageDataGenerator, Path(folder), options.epochs)
            differing += ours != theirs
            told = ", ".join(f"{word} {value}" for word, value in ours.items())
            same = "as with Keras' generator" if ours == theirs else f"but with Keras' generator {theirs}"
            print(f"{name}: {told}; {same}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
