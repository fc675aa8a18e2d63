"""How fast augmented images come, against what Keras' users have today; all in one run, on the same files.

    python benchmarks/images.py [--data DIR] [--limit IMAGES_PER_CLASS] [--rounds N] [--streamed N] [--json FILE]

Every way reads the same folder at 150x150, gives float32 from 0 to 1 in batches of 32, and is timed over whole epochs,
the median over the rounds. Against `ImageDataGenerator.flow_from_directory`, and against `image_dataset_from_directory`
with Keras' layers and AUTOTUNE. "First epoch" starts from the files, "later epochs" from what thawline keeps of the
first (decoded pixels in memory); the others keep nothing, as their tutorials write them.

Work is compared with the same work: images are resized as the other way does it by default, to the nearest pixel
against the generator and bilinearly against the layers. thawline's own default, which averages areas and is the only
one of the three that does not alias, costs more, and has rows of its own.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import keras
import tensorflow as tf
from tensorflow.keras.preprocessing.image import ImageDataGenerator

import thawline as tl
from thawline.cli.demo import fabric_photos
from thawline.files import write_text

SIDE, BATCH = 150, 32
USUAL = {"rescale": 1 / 255, "shear_range": 10, "zoom_range": 0.2, "horizontal_flip": True}
ALL = {
    **USUAL,
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "vertical_flip": True,
    "brightness_range": (0.8, 1.2),
}
STREAMED_IMAGES = 20_000


def count_by_generator(folder: Path, arguments: dict) -> int:
    """One epoch of Keras' generator."""
    generator = ImageDataGenerator(**arguments)
    batches = generator.flow_from_directory(folder, target_size=(SIDE, SIDE), batch_size=BATCH, seed=7)
    return sum(len(batches[index][0]) for index in range(len(batches)))


def count_by_layers(folder: Path) -> int:
    """One epoch of Keras' loader and layers."""
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=7),
            keras.layers.RandomShear(x_factor=0.17, seed=7),
            keras.layers.RandomZoom(0.2, seed=7),
        ]
    )
    images = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIDE, SIDE), batch_size=BATCH, seed=7, verbose=False
    )
    augmented = images.map(
        lambda x, y: (layers(x / 255.0, training=True), y), num_parallel_calls=tf.data.AUTOTUNE
    ).prefetch(tf.data.AUTOTUNE)
    return sum(int(x.shape[0]) for x, _ in augmented)


def open_images(folder: Path, arguments: dict, mode: str = "off", interpolation: str = "nearest") -> tl.ImageFolder:
    """The folder as thawline's source."""
    images = tl.ImageFolder(folder, image_size=(SIDE, SIDE), batch_size=BATCH, seed=7, interpolation=interpolation)
    return images.cache_pixels(mode).augment(**arguments)


def count_by_thawline(source: tl.ImageFolder, epoch: int) -> int:
    """One epoch of thawline's batches."""
    return sum(len(batch.images) for batch in source.batches(epoch))


def count_by_one_thread(source: tl.ImageFolder, view: int) -> int:
    """One epoch without batches: read, decode, augment."""
    return sum(len(source.image(index, view)) > 0 for index in range(len(source)))


def rate(work: Callable[[int], int], number: int) -> float:
    """Images per second of one epoch."""
    started = time.perf_counter()
    images = work(number)
    return images / (time.perf_counter() - started)


def resident_mb() -> float:
    """Memory that the process holds now, in MB, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Images per second of every way, the median over the rounds.

    Every round takes all ways one after the other: a machine that becomes slower in between slows all of them.
    """
    plain, usual, everything = (
        open_images(folder, USUAL),
        open_images(folder, USUAL, "ram"),
        open_images(folder, ALL, "ram"),
    )
    for kept in (usual, everything):
        count_by_thawline(kept, 0)
    ways: dict[str, Callable[[int], int]] = {
        "generator": lambda _: count_by_generator(folder, USUAL),
        "first_epoch": lambda number: count_by_thawline(open_images(folder, USUAL, "ram"), number),
        "later_epochs": lambda number: count_by_thawline(usual, number + 1),
        "one_thread": lambda number: count_by_one_thread(plain, number),
        "generator_all_arguments": lambda _: count_by_generator(folder, ALL),
        "first_epoch_all_arguments": lambda number: count_by_thawline(open_images(folder, ALL, "ram"), number),
        "later_epochs_all_arguments": lambda number: count_by_thawline(everything, number + 1),
        "layers": lambda _: count_by_layers(folder),
        "first_epoch_bilinear": lambda number: count_by_thawline(open_images(folder, USUAL, "ram", "bilinear"), number),
        "first_epoch_area": lambda number: count_by_thawline(open_images(folder, USUAL, "ram", "area"), number),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, work in ways.items():
            rates[name].append(rate(work, number))
    return {name: median(values) for name, values in rates.items()}


def measure_growth(folder: Path, count: int) -> float:
    """MB by which resident memory grows while so many images are streamed, nothing kept."""
    source = open_images(folder, USUAL)
    next(iter(source.batches(0)))
    started, largest, seen, epoch = resident_mb(), 0.0, 0, 0
    while seen < count:
        for batch in source.batches(epoch):
            seen += len(batch.images)
            largest = max(largest, resident_mb())
        epoch += 1
    return largest - started


def main() -> None:
    """Measures every way and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="a folder of classes; by default the fabric photos")
    parser.add_argument("--limit", type=int, default=None, help="images per class")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streamed", type=int, default=STREAMED_IMAGES, help="images for the memory figure")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    source = tl.ImageFolder(options.data or fabric_photos())
    if options.limit:
        source = source.limit(options.limit)
    with tempfile.TemporaryDirectory() as name:
        # The same files for every way: links, because Keras' loaders take whole folders.
        folder = Path(name)
        for path, label in zip(source.paths, source.known_labels, strict=True):
            link = folder / source.class_names[label] / path.name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path.resolve())
        rates = measure(folder, options.rounds)
        growth = measure_growth(folder, options.streamed)
    for label, images_per_s in rates.items():
        print(f"{label:<28} {images_per_s:8,.0f} images/s")
    figures = {
        "first_epoch_vs_generator": rates["first_epoch"] / rates["generator"],
        "later_epochs_vs_generator": rates["later_epochs"] / rates["generator"],
        "first_epoch_all_arguments_vs_generator": rates["first_epoch_all_arguments"] / rates["generator_all_arguments"],
        "later_epochs_all_arguments_vs_generator": (
            rates["later_epochs_all_arguments"] / rates["generator_all_arguments"]
        ),
        "one_thread_vs_generator": rates["one_thread"] / rates["generator"],
        "first_epoch_vs_layers": rates["first_epoch_bilinear"] / rates["layers"],
        "later_epochs_vs_layers": rates["later_epochs"] / rates["layers"],
        "first_epoch_area_vs_generator": rates["first_epoch_area"] / rates["generator"],
        "first_epoch_area_vs_layers": rates["first_epoch_area"] / rates["layers"],
        "rss_growth_mb": growth,
    }
    print()
    for label, figure in figures.items():
        print(f"{label:<44} {figure:8.1f}")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
