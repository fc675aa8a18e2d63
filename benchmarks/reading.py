"""How fast a head trains from stored features: from memory, streamed from the cache, and by Keras itself on arrays.

    python benchmarks/reading.py [--rows N] [--epochs N] [--rounds N] [--json FILE]

A head Dense(128), Dense(5) learns from rows of 1280 float32 features, 5 kB each, in batches of 32, in a new order in
every epoch. `precomputed` keeps such rows in memory where they fit, else it streams them from the cache, read ahead;
here it is made to do both, beside `keras.Model.fit` on a shuffled array with one step per execution and with 16. All
ways take turns in one process; figures are medians of epochs, the first one, which compiles and fills the memory, left
out.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import thawline as tl
from thawline.backend import keras
from thawline.files import write_text
from thawline.training.strategies import kept

WIDTH, CLASSES, BATCH = 1280, 5, 32


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stops the clock."""
        self.seconds.append(time.perf_counter() - self._started)


def make_head() -> keras.Sequential:
    """The part that learns."""
    return keras.Sequential([keras.layers.Dense(128, "relu"), keras.layers.Dense(CLASSES, "softmax")])


def make_stack() -> tl.Stack:
    """A base that costs next to nothing, so that extraction takes seconds: what is measured comes after it."""
    keras.utils.set_random_seed(7)
    base = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(WIDTH, "relu")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(0, 1)), tl.Stage(make_head(), "head")])
    stack.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return stack


def train_by_thawline(images: tl.ImageArrays, epochs: int, cache: tl.FeatureCache, *, in_memory: bool) -> list[float]:
    """Seconds per epoch by `precomputed`, whose rows are stored already."""
    times, share = EpochTimes(), kept.RAM_SHARE
    kept.RAM_SHARE = share if in_memory else 0.0
    try:
        make_stack().fit(images, epochs=epochs, strategy="precomputed", cache=cache, callbacks=[times], verbose=0)
    finally:
        kept.RAM_SHARE = share
    return times.seconds


def train_by_keras(features: np.ndarray, targets: np.ndarray, epochs: int, steps: int) -> list[float]:
    """Seconds per epoch by Keras on arrays, which it shuffles."""
    times, model = EpochTimes(), make_head()
    model.compile(
        "adam", "categorical_crossentropy", metrics=["accuracy"], steps_per_execution=steps, jit_compile=False
    )
    model.fit(features, targets, batch_size=BATCH, epochs=epochs, callbacks=[times], verbose=0)
    return times.seconds


def main() -> None:
    """Trains by every way in turn, and prints rows per second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=5, help="per round, the first one not counted")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way trains")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    random = np.random.default_rng(7)
    labels = random.integers(0, CLASSES, options.rows)
    labels[:CLASSES] = range(CLASSES)
    images = tl.ImageArrays(
        random.integers(0, 256, (options.rows, 4, 4, 3), np.uint8), labels, batch_size=BATCH, seed=7
    )
    features = random.random((options.rows, WIDTH), np.float32)
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    with tempfile.TemporaryDirectory() as folder:
        cache = tl.FeatureCache(folder)
        make_stack().fit(images, strategy="precomputed", cache=cache, verbose=0)
        ways: dict[str, Callable[[], list[float]]] = {
            "keras": lambda: train_by_keras(features, targets, options.epochs, 1),
            "keras_16_steps": lambda: train_by_keras(features, targets, options.epochs, 16),
            "dense": lambda: train_by_thawline(images, options.epochs, cache, in_memory=True),
            "streamed": lambda: train_by_thawline(images, options.epochs, cache, in_memory=False),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, train in ways.items():
                seconds[name] += train()[1:]
    figures = {f"{name}_rows_per_s": options.rows / float(np.median(epochs)) for name, epochs in seconds.items()}
    figures["streamed_share"] = figures["streamed_rows_per_s"] / figures["dense_rows_per_s"]
    figures["dense_vs_keras"] = figures["dense_rows_per_s"] / figures["keras_rows_per_s"]
    for name, figure in figures.items():
        print(f"{name:<26} {figure:10,.2f}")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
