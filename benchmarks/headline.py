"""What thawline is for, in one run: a head on a frozen EfficientNet-Lite0, by the usual ways and by thawline's.

    python benchmarks/headline.py [--data DIR] [--limit IMAGES_PER_CLASS] [--size PIXELS] [--epochs N] [--rounds N]
                                  [--epochs-run N] [--json FILE]

Same images, same sides of the split, same base (224 px, averaged over the image), same head, epochs and batch for
every way. The usual ways are written as their tutorials write them; the smarter ways of plain Keras have rows, too.

Seconds are all that a user waits for once Keras is loaded: building, compiling, reading, extraction, training and
validation. Ways that take minutes run once, and an epoch counts as the median of their epochs after the first; two of
them run some of their epochs only (--epochs-run; a star marks them). thawline's and the short ones run several times,
each time with an empty cache and another seed for weights, order and views, and count as the median. Accuracy is that
on held-out images, the mean of the last three epochs; the median, too, where a way runs several times.
"""

import argparse
import io
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
from tensorflow.keras.preprocessing.image import ImageDataGenerator

import thawline as tl
from thawline.cli.demo import fabric_photos
from thawline.features.engines.make import make_engine
from thawline.files import write_text

BATCH, VIEWS = 32, 4
_SEED = 7
VALUE_RANGE = tl.backbones.find("efficientnet_lite0").value_range
AUGMENT = {
    "rotation_range": 10,
    "width_shift_range": 0.05,
    "height_shift_range": 0.05,
    "zoom_range": 0.1,
    "horizontal_flip": True,
}
# Images that the frozen part alone is timed on.
INFERRED = 512


@dataclass(frozen=True)
class Result:
    """What a way cost and gave.

    Attributes:
        seconds: all that was waited for.
        accuracy: on held-out images, the mean of the last three epochs.
    """

    seconds: float
    accuracy: float


class Task:
    """Images in two folders of links, one per side, and the models on them."""

    def __init__(self, data: Path, folder: Path, *, limit: int | None, side: int, epochs: int, epochs_run: int) -> None:
        self.size = (side, side)
        images = tl.ImageFolder(data, image_size=self.size, batch_size=BATCH, seed=_SEED, interpolation="bilinear")
        if limit:
            images = images.limit(limit)
        sides = images.split(validation=0.2, exact=True)
        self.folders = [folder / "train", folder / "validation"]
        for side, target in zip(sides, self.folders, strict=True):
            for path, label in zip(side.paths, side.known_labels, strict=True):
                link = target / images.class_names[label] / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
        self.counts = [len(side) for side in sides]
        self.classes = len(images.class_names)
        self.epochs = epochs
        self.epochs_run = min(epochs, epochs_run)
        # Of the order and the augmentation; the sides of the split stay.
        self.seed = _SEED

    def base(self) -> keras.Model:
        """The frozen part: images in [-1, 1] to 1,280 features."""
        base = tl.backbones.build("efficientnet_lite0", image_size=self.size, pooling="avg")
        base.trainable = False
        return base

    def head(self, units: int = 128) -> keras.Sequential:
        """What learns."""
        layers = keras.layers
        return keras.Sequential(
            [layers.Dense(units, "relu"), layers.Dropout(0.2), layers.Dense(self.classes, "softmax")]
        )

    def flows(self, augment: dict[str, Any], *, shuffle: bool = True) -> list[Any]:
        """Keras' generator for both sides."""
        scale = {"preprocessing_function": lambda pixels: (pixels - 127.0) / 128.0}
        generators = [ImageDataGenerator(**scale, **augment), ImageDataGenerator(**scale)]
        # Each prints how many images it found.
        with redirect_stdout(io.StringIO()):
            return [
                generator.flow_from_directory(
                    folder,
                    self.size,
                    batch_size=BATCH,
                    seed=self.seed,
                    shuffle=shuffle and side == 0,
                    interpolation="bilinear",
                )
                for side, (generator, folder) in enumerate(zip(generators, self.folders, strict=True))
            ]

    def datasets(self, *, shuffle: bool = True) -> list[Any]:
        """Keras' loader for both sides, pixels from 0 to 255."""
        return [
            keras.utils.image_dataset_from_directory(
                folder,
                label_mode="categorical",
                image_size=self.size,
                batch_size=BATCH,
                seed=self.seed,
                shuffle=shuffle and side == 0,
                verbose=False,
            ).prefetch(4)
            for side, folder in enumerate(self.folders)
        ]


def compiled(model: Any) -> Any:
    """The same optimizer, loss and metric for all."""
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


class EpochTimer(keras.callbacks.Callback):
    """Notes how long each epoch takes, validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._began)


def last_epochs(history: Any) -> float:
    """Validation accuracy, the mean of the last three epochs."""
    return float(np.mean(history.history["val_accuracy"][-3:]))


def by_generator(task: Task, timer: EpochTimer) -> float:
    """The whole model on augmented batches of ImageDataGenerator, base frozen."""
    train, validation = task.flows(AUGMENT)
    model = compiled(keras.Sequential([task.base(), task.head()]))
    return last_epochs(model.fit(train, validation_data=validation, epochs=task.epochs, callbacks=[timer], verbose=0))


def by_predict_generator(task: Task, timer: EpochTimer) -> float:
    """The head on a generator that augments a batch and calls `base.predict` on it."""
    base = task.base()
    train, validation = task.flows(AUGMENT)

    def features(flow: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            images, labels = next(flow)
            yield base.predict(images, verbose=0), labels

    return last_epochs(
        compiled(task.head()).fit(
            features(train),
            steps_per_epoch=len(train),
            validation_data=features(validation),
            validation_steps=len(validation),
            epochs=task.epochs_run,
            callbacks=[timer],
            verbose=0,
        )
    )


def by_predict_once(task: Task, timer: EpochTimer) -> float:
    """Features by one `base.predict` over the generator, in memory; no augmentation."""
    base = task.base()
    sides = [
        (base.predict(flow, verbose=0), keras.utils.to_categorical(flow.classes, task.classes))
        for flow in task.flows({}, shuffle=False)
    ]
    (images, labels), validation = sides
    return last_epochs(
        compiled(task.head()).fit(
            images, labels, validation_data=validation, batch_size=BATCH, epochs=task.epochs, verbose=0
        )
    )


def by_dataset(task: Task, timer: EpochTimer) -> float:
    """Smarter: the whole model on `image_dataset_from_directory` with Keras' augmentation layers."""
    layers = keras.layers
    augmentation = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(10 / 360),
            layers.RandomTranslation(0.05, 0.05),
            layers.RandomZoom(0.1),
        ]
    )
    train, validation = task.datasets()
    train = train.map(lambda images, labels: (augmentation(images, training=True), labels), num_parallel_calls=2)
    model = compiled(keras.Sequential([layers.Rescaling(1 / 128, -127 / 128), task.base(), task.head()]))
    return last_epochs(
        model.fit(train.prefetch(4), validation_data=validation, epochs=task.epochs_run, callbacks=[timer], verbose=0)
    )


def by_dataset_once(task: Task, timer: EpochTimer) -> float:
    """Smarter: features by one `predict` over `image_dataset_from_directory`, in memory; no augmentation."""
    base = keras.Sequential([keras.layers.Rescaling(1 / 128, -127 / 128), task.base()])
    sides = []
    for dataset in task.datasets(shuffle=False):
        labels = np.concatenate([labels for _, labels in dataset])
        sides.append((base.predict(dataset, verbose=0), labels))
    (images, labels), validation = sides
    return last_epochs(
        compiled(task.head()).fit(
            images, labels, validation_data=validation, batch_size=BATCH, epochs=task.epochs, verbose=0
        )
    )


def by_thawline(
    task: Task,
    timer: EpochTimer,
    *,
    strategy: str = "precomputed",
    views: int | None = None,
    precision: str = "float32",
    units: int = 128,
) -> float:
    """thawline, with features in its default cache."""
    train, validation = (
        tl.ImageFolder(side, image_size=task.size, batch_size=BATCH, seed=task.seed, interpolation="bilinear")
        for side in task.folders
    )
    base = tl.Stage(task.base(), "base", trainable=False, value_range=VALUE_RANGE)
    stack = tl.Stack([base, tl.Stage(task.head(units), "head")])
    compiled(stack)
    history = stack.fit(
        train if views == 1 else train.augment(**AUGMENT),
        validation_data=validation,
        epochs=task.epochs,
        strategy=strategy,
        views=views,
        precision=precision,
        callbacks=[timer] if strategy == "streamed" else [],
        verbose=0,
    )
    return last_epochs(history)


def measure(
    label: str, way: Callable[[Task, EpochTimer], float], task: Task, *, rounds: int = 1, cache: Path | None = None
) -> Result:
    """Runs a way several times, prints and gives the medians.

    Args:
        label: what it is, in words.
        way: takes the task and a timer for its epochs, gives the accuracy.
        task: the images and models.
        rounds: how often.
        cache: where thawline keeps what it keeps; None for an empty folder each time.
    """
    results = []
    for number in range(rounds):
        # Views that are kept are those of one seed.
        task.seed = _SEED + number if cache is None else _SEED
        keras.utils.set_random_seed(task.seed)
        timer = EpochTimer()
        with tempfile.TemporaryDirectory() as empty:
            os.environ["THAWLINE_CACHE"] = str(cache or empty)
            began = time.perf_counter()
            accuracy = way(task, timer)
            seconds = time.perf_counter() - began
        # The machine may have been busy with something else in one of the epochs; the first one compiles.
        later = timer.seconds[1:]
        if later:
            seconds += (task.epochs - 1) * median(later) - sum(later)
        results.append(Result(seconds, accuracy))
    result = Result(median(each.seconds for each in results), median(each.accuracy for each in results))
    star = "*" if timer.seconds and len(timer.seconds) < task.epochs else " "
    print(f"{label:<70} {result.seconds:8.1f} s{star} {result.accuracy:7.1%}", flush=True)
    return result


def time_inference(task: Task, rounds: int) -> dict[str, float]:
    """Images/s of the frozen part alone: `predict` over an array in memory, and the engines; taken in turns."""
    base = task.base()
    flow = task.flows({})[1]
    images = np.concatenate([flow[index][0] for index in range(len(flow))])
    images = images[np.arange(INFERRED) % len(images)]
    batches = np.split(images, range(BATCH, INFERRED, BATCH))
    ways: dict[str, Callable[[], Any]] = {"predict": partial(base.predict, images, verbose=0)}
    for precision in ("float32", "bfloat16"):
        engine = make_engine("openvino", base, precision)
        ways[precision] = lambda engine=engine: list(engine.answers(batches))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name in [*ways, *list(ways) * rounds]:
        began = time.perf_counter()
        ways[name]()
        seconds[name].append(time.perf_counter() - began)
    # The first time warms up.
    return {name: INFERRED / median(each[1:]) for name, each in seconds.items()}


def main() -> None:
    """Runs every way and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="a folder of classes; by default the fabric photos")
    parser.add_argument("--limit", type=int, default=None, help="images per class")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--epochs-run", type=int, default=4, help="how many of them the slow ways marked with * run")
    parser.add_argument("--rounds", type=int, default=3, help="how often the short ways run")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="keras")
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            options.data or fabric_photos(),
            Path(folder),
            limit=options.limit,
            side=options.size,
            epochs=options.epochs,
            epochs_run=options.epochs_run,
        )
        images = f"{task.counts[0]:,} training and {task.counts[1]:,} validation images"
        print(f"{images}, {options.epochs} epochs, batch {BATCH}")
        figures = run_all(task, options.rounds, Path(folder, "cache"))
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


def run_all(task: Task, rounds: int, cache: Path) -> dict[str, float]:
    """All ways one after the other; the figures by name."""
    thawline = partial(partial, by_thawline)
    ours = {
        "precomputed": ("thawline: precomputed, 4 views, float32", thawline(views=VIEWS)),
        "precomputed_bfloat16": (
            "thawline: precomputed, 4 views, bfloat16",
            thawline(views=VIEWS, precision="bfloat16"),
        ),
        "one_view": ("thawline: precomputed, no augmentation, float32", thawline(views=1)),
        "one_view_bfloat16": (
            "thawline: precomputed, no augmentation, bfloat16",
            thawline(views=1, precision="bfloat16"),
        ),
    }
    results = {name: measure(label, way, task, rounds=rounds, cache=None) for name, (label, way) in ours.items()}
    # Features to come back to.
    os.environ["THAWLINE_CACHE"] = str(cache)
    task.seed = _SEED
    by_thawline(task, EpochTimer(), views=VIEWS)
    results["second"] = measure(
        "thawline: precomputed again, another head", thawline(views=VIEWS, units=64), task, rounds=rounds, cache=cache
    )
    results["streamed"] = measure(
        "thawline: streamed, a new view in each epoch, float32", thawline(strategy="streamed"), task
    )
    theirs = {
        "predict_once": ("Keras: predict once over the generator, no augmentation", by_predict_once, rounds),
        "dataset_once": ("Keras, smarter: predict once over a tf.data set, no augmentation", by_dataset_once, rounds),
        "dataset": ("Keras, smarter: a tf.data set through the whole model, augmented", by_dataset, 1),
        "predict_generator": ("Keras: a generator that calls predict, augmented", by_predict_generator, 1),
        "generator": ("Keras: ImageDataGenerator through the whole model, augmented", by_generator, 1),
    }
    for name, (label, way, count) in theirs.items():
        results[name] = measure(label, way, task, rounds=count)
    speeds = time_inference(task, rounds)
    for name, speed in speeds.items():
        print(f"frozen part alone, {name:<12} {speed:8.1f} images/s")
    figures = {f"{name}_s": result.seconds for name, result in results.items()}
    figures |= {f"{name}_accuracy": result.accuracy for name, result in results.items()}
    figures |= {f"{name}_images_per_s": speed for name, speed in speeds.items()}
    ratios = {
        "precomputed_vs_generator": figures["generator_s"] / figures["precomputed_s"],
        "precomputed_bfloat16_vs_generator": figures["generator_s"] / figures["precomputed_bfloat16_s"],
        "precomputed_vs_dataset": figures["dataset_s"] / figures["precomputed_s"],
        "streamed_vs_predict_generator": figures["predict_generator_s"] / figures["streamed_s"],
        "precomputed_vs_predict_once": figures["predict_once_s"] / figures["one_view_s"],
        "precomputed_bfloat16_vs_predict_once": figures["predict_once_s"] / figures["one_view_bfloat16_s"],
        "precomputed_vs_dataset_once": figures["dataset_once_s"] / figures["one_view_s"],
        "second_run": figures["generator_s"] / figures["second_s"],
        "engine_float32": speeds["float32"] / speeds["predict"],
        "engine_bfloat16": speeds["bfloat16"] / speeds["predict"],
    }
    for name, ratio in ratios.items():
        print(f"{name:<36} {ratio:6.1f}")
    gaps = {
        f"accuracy_gap_points{suffix}": 100 * (results["generator"].accuracy - results[f"precomputed{suffix}"].accuracy)
        for suffix in ("", "_bfloat16")
    }
    for name, gap in gaps.items():
        print(f"{name:<36} {gap:6.1f}")
    return figures | ratios | gaps


if __name__ == "__main__":
    main()
