"""Work lost when a training is killed in the middle of a long epoch, and whether it ends as if nothing had happened.

    python benchmarks/resume.py [--kills N] [--images N] [--every SECONDS] [--json FILE]

A convolutional base that learns is trained by `joint` for two epochs, in a process of its own with
`fit(checkpoint=..., checkpoint_every=5)`. The process is killed (kill -9) at a moment drawn at random, started again
with the same call, killed again, and so on; the last one ends by itself. Lost is what a killed process had trained
since the step after which its state was kept: from the end of that step to the kill. The weights at the end are
compared with those of a training that was left alone.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import thawline as tl

EPOCHS = 2
SIDE = 96
BATCH = 16

# A kill comes so many seconds after training began or went on, drawn evenly.
SOONEST_S, LATEST_S = 2.0, 14.0


class Steps(keras.callbacks.Callback):
    """Writes a line when training begins and after each step: which step of all it was, and the time."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("a", buffering=1)
        # The file is no state of the training.
        self.get_state, self.set_state = dict, lambda state: None

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._file.write(f"begin {time.time()}\n")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._file.write(f"{int(self.model.optimizer.iterations)} {time.time()}\n")


def train(folder: Path, images: int, every_s: float) -> None:
    """Trains, or goes on, and saves the weights at the end."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    base = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3))]
        + [layers.Conv2D(width, 3, strides=2, padding="same", activation="relu") for width in (32, 64, 96)]
        + [layers.BatchNormalization()]
    )
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(4, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    pixels = np.random.default_rng(0).integers(0, 256, (images, SIDE, SIDE, 3), dtype=np.uint8)
    source = tl.ImageArrays(pixels, np.arange(images) % 4, batch_size=BATCH, seed=3).augment(horizontal_flip=True)
    stack.fit(
        source,
        epochs=EPOCHS,
        strategy="joint",
        callbacks=[Steps(folder / "steps.txt")],
        checkpoint=folder / "state",
        checkpoint_every=every_s,
        verbose=0,
    )
    np.savez(folder / "weights.npz", *stack.model.get_weights())


def start(folder: Path, images: int, every_s: float) -> subprocess.Popen:
    """The training in a process of its own."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, __file__, "--child", folder, "--images", images, "--every", every_s]
    return subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL)


def read_steps(folder: Path) -> list[tuple[str, float]]:
    """The lines of a training's steps that are whole: which step of all, from 1, or "begin"; and when it ended."""
    path = folder / "steps.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(parts[0], float(parts[1])) for parts in map(str.split, lines) if len(parts) == 2]


def kept_step(folder: Path) -> int:
    """Counts the steps of all that were done when the state was kept."""
    with np.load(folder / "state" / "last.npz", allow_pickle=False) as archive:
        return int(archive["optimizer/0"])


def count_begun(folder: Path) -> int:
    """Counts how often a training began or went on."""
    return [step for step, _ in read_steps(folder)].count("begin")


def kill_once(folder: Path, images: int, every_s: float, chance: random.Random) -> float | None:
    """Kills a training at some moment; gives the seconds that were lost, None where it had ended before."""
    begun = count_begun(folder)
    process = start(folder, images, every_s)
    while process.poll() is None and count_begun(folder) == begun:
        time.sleep(0.05)
    try:
        process.wait(chance.uniform(SOONEST_S, LATEST_S))
        return None
    except subprocess.TimeoutExpired:
        process.kill()
        killed = time.time()
        process.wait()
    kept = kept_step(folder)
    # The last time that this step came: earlier processes may have taken it, too.
    ended = [moment for step, moment in read_steps(folder) if step in (str(kept), "begin")]
    return killed - ended[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--every", type=float, default=5.0, help="seconds, as checkpoint_every")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        train(options.child, options.images, options.every)
        return
    chance, lost = random.Random(5), []
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole", Path(folder) / "cut"
        began = time.time()
        start(whole, options.images, options.every).wait()
        moments = [moment for _, moment in read_steps(whole)]
        print(f"left alone: {time.time() - began:.0f} s, {len(moments) - 1} steps")
        steps_s = np.diff(moments[1:])
        for number in range(options.kills):
            seconds = kill_once(cut, options.images, options.every, chance)
            if seconds is None:
                print(f"the training ended before kill {number + 1}: give it more images")
                break
            lost.append(seconds)
            print(f"kill {number + 1:2}: {seconds:.2f} s lost, {kept_step(cut)} steps kept")
        start(cut, options.images, options.every).wait()
        with np.load(whole / "weights.npz") as expected, np.load(cut / "weights.npz") as came:
            differ = sum(int((expected[name] != came[name]).sum()) for name in expected.files)
    figures = {
        "kills": len(lost),
        "checkpoint_every": options.every,
        "lost_seconds_median": round(statistics.median(lost), 3) if lost else None,
        "lost_seconds_worst": round(max(lost), 3) if lost else None,
        "slowest_step_s": round(float(steps_s.max()), 3),
        "weights_differ": differ,
    }
    for name, value in figures.items():
        print(f"{name:<20} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
