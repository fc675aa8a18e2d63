"""What a plan forecasts, against what the training takes then; and whether the strategy that it chooses is the fastest.

    python benchmarks/forecast.py [--data DIR] [--images N] [--size PIXELS] [--epochs-run N] [--settings N]
                                  [--json FILE]

Twelve settings of base, number of images, views and epochs, on the fabric photos: EfficientNet-Lite0 with ImageNet
weights at 224 px, and MobileNetV2 with random ones at 96 px, each frozen under a small head. For each setting a plan is
made, and the head is trained by all three strategies with an empty cache; all that one waits for in `fit` counts.
Speeds are measured once for each base, as for every user: the plans after the first find them remembered, and so do
the trainings with the choice of the engine. Before that something is trained, so that neither plans nor trainings pay
for what Keras does once in a process.

Streamed and joint run some of their epochs only (--epochs-run; a star marks them): the rest counts as the median of
those after the first. What takes less than ten seconds is measured three times, and counts as the median. The error of
a forecast is its difference from the measurement, as a share of the measurement. A choice is right when the chosen
strategy is the fastest that was measured, or within 10 % of it.
"""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import keras
import numpy as np

import thawline as tl
from thawline.cli.demo import fabric_photos
from thawline.files import write_text

BATCH = 32
AUGMENT = {"rotation_range": 10, "zoom_range": 0.1, "horizontal_flip": True, "fill_mode": "reflect"}
WEIGHTS = {"efficientnet_lite0": "imagenet", "MobileNetV2": None}
SIZES = {"efficientnet_lite0": 224, "MobileNetV2": 96}
RIGHT = 1.1
# Trainings that are shorter than this are measured three times: a second more or less would decide.
SHORT_S = 10


@dataclass(frozen=True)
class Setting:
    """A training.

    Attributes:
        base: which frozen base.
        share: how many of the images, from 0 to 1.
        views: distinct views of each.
        epochs: how many epochs.
    """

    base: str
    share: float
    views: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.base}, {self.share:.0%} of the images, views {self.views}, epochs {self.epochs}"


SETTINGS = [
    Setting("MobileNetV2", 1.0, 1, 1),
    Setting("MobileNetV2", 1.0, 1, 10),
    Setting("MobileNetV2", 0.5, 2, 4),
    Setting("MobileNetV2", 1.0, 4, 4),
    Setting("MobileNetV2", 1.0, 4, 20),
    Setting("MobileNetV2", 0.5, 8, 16),
    Setting("efficientnet_lite0", 1.0, 1, 1),
    Setting("efficientnet_lite0", 0.5, 1, 10),
    Setting("efficientnet_lite0", 0.5, 2, 2),
    Setting("efficientnet_lite0", 1.0, 2, 5),
    Setting("efficientnet_lite0", 0.5, 4, 10),
    Setting("efficientnet_lite0", 0.5, 4, 40),
]


@dataclass(frozen=True)
class Measured:
    """What a training took.

    Attributes:
        seconds: all of it; where some epochs did not run, with the median of the others for each of these.
        is_extrapolated: whether some did not run.
    """

    seconds: float
    is_extrapolated: bool


class Task:
    """The images of a setting, and stacks for it."""

    def __init__(self, setting: Setting, data: Path, images: int, side: int | None) -> None:
        self.setting = setting
        self.side = side or SIZES[setting.base]
        folder = tl.ImageFolder(data, image_size=(self.side, self.side), batch_size=BATCH, seed=7)
        count = min(int(images * setting.share), len(folder))
        chosen = folder.select(np.linspace(0, len(folder) - 1, count).astype(int))
        train, self.validation = chosen.split(0.2, exact=True)
        self.train = train.augment(**AUGMENT)

    def stack(self) -> tl.Stack:
        """The frozen base under a head that begins with the same weights each time."""
        keras.utils.set_random_seed(7)
        name = self.setting.base
        base = tl.backbones.build(name, image_size=(self.side, self.side), weights=WEIGHTS[name])
        layers = keras.layers
        head = keras.Sequential(
            [
                layers.GlobalAveragePooling2D(),
                layers.Dense(128, "relu"),
                layers.Dropout(0.2),
                layers.Dense(len(self.train.class_names), "softmax"),
            ]
        )
        value_range = tl.backbones.find(name).value_range
        stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=value_range), tl.Stage(head, "head")])
        stack.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        return stack

    def plan(self, cache: tl.FeatureCache) -> tl.Plan:
        """What the setting would cost."""
        setting = self.setting
        how = {"epochs": setting.epochs, "views": setting.views, "cache": cache}
        return self.stack().plan(self.train, validation_data=self.validation, **how, verbose=0)

    def measure_often(self, strategy: str, known: Path, epochs_run: int) -> Measured:
        """What `measure` gives; of a short training the median of three."""
        found = [self.measure(strategy, known, epochs_run)]
        while found[0].seconds < SHORT_S and len(found) < 3:
            found.append(self.measure(strategy, known, epochs_run))
        return sorted(found, key=lambda each: each.seconds)[len(found) // 2]

    def measure(self, strategy: str, known: Path, epochs_run: int) -> Measured:
        """What it takes by a strategy without any features, with the speeds and engines in a folder known."""
        # A cache of its own: features that a stack of this process has used before are never deleted.
        folder = tempfile.mkdtemp(dir=known.parent)
        shutil.copytree(known, folder, dirs_exist_ok=True)
        cache = tl.FeatureCache(folder)
        setting, stack = self.setting, self.stack()
        epochs = setting.epochs if strategy == "precomputed" else min(setting.epochs, epochs_run)
        how = {"epochs": epochs, "views": setting.views, "cache": cache, "strategy": strategy}
        began = time.perf_counter()
        history = stack.fit(self.train, validation_data=self.validation, **how, verbose=0)
        seconds = time.perf_counter() - began
        later = history.record.epoch_s[1:]
        if later and epochs < setting.epochs:
            seconds += (setting.epochs - epochs) * median(later)
        return Measured(seconds, epochs < setting.epochs)


def compare(task: Task, known: Path, epochs_run: int) -> tuple[dict[str, float], bool]:
    """Forecasts and measurements of a setting, by name, and whether the choice was right; printed as well."""
    (phase,) = task.plan(tl.FeatureCache(known)).phases
    measured = {option.strategy: task.measure_often(option.strategy, known, epochs_run) for option in phase.options}
    print(f"\n{task.setting}")
    figures = {}
    for option in phase.options:
        found = measured[option.strategy]
        error = abs(option.total_s - found.seconds) / found.seconds
        mark = "<- chosen" if option.strategy == phase.strategy else ""
        star = "*" if found.is_extrapolated else " "
        print(
            f"  {option.strategy:<12} forecast {option.total_s:7.1f} s   measured {found.seconds:7.1f} s{star}"
            f"  off by {error:4.0%}  {mark}",
            flush=True,
        )
        figures |= {
            f"{option.strategy}_forecast_s": option.total_s,
            f"{option.strategy}_measured_s": found.seconds,
            f"{option.strategy}_error": error,
        }
    fastest_s = min(found.seconds for found in measured.values())
    return figures, measured[phase.strategy].seconds <= RIGHT * fastest_s


def warm_up(folder: str) -> None:
    """Trains something small."""
    base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False), tl.Stage(head, "head")])
    stack.compile("adam", "categorical_crossentropy")
    pixels = np.random.default_rng(7).integers(0, 256, (64, 8, 8, 3), np.uint8)
    images = tl.ImageArrays(pixels, [0, 1] * 32)
    train, validation = images.split(0.25, exact=True)
    stack.fit(train, validation_data=validation, epochs=2, cache=tl.FeatureCache(folder), verbose=0)


def main() -> None:
    """Compares every setting and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="a folder of classes; by default the fabric photos")
    parser.add_argument("--images", type=int, default=600, help="how many images at most")
    parser.add_argument("--size", type=int, default=None, help="height and width in pixels; by default as above")
    parser.add_argument("--epochs-run", type=int, default=3, help="how many epochs streamed and joint run")
    parser.add_argument("--settings", type=int, default=len(SETTINGS), help="how many of the settings")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    right = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        warm_up(str(Path(folder, "warm")))
        known = Path(folder, "known")
        known.mkdir()
        for number, setting in enumerate(SETTINGS[: options.settings], start=1):
            task = Task(setting, options.data or fabric_photos(), options.images, options.size)
            found, is_right = compare(task, known, options.epochs_run)
            figures |= {f"{number:02}_{name}": value for name, value in found.items()}
            right += is_right
    errors = [value for name, value in figures.items() if name.endswith("_error")]
    summary = {"median_error": median(errors), "worst_error": max(errors), "choices_right": right}
    print(f"\n{len(errors)} forecasts: the median is off by {median(errors):.0%}, the worst by {max(errors):.0%}")
    print(f"choices that were the fastest or within 10 % of it: {right} of {options.settings}")
    if options.json:
        write_text(options.json, json.dumps({**summary, "settings": options.settings, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
