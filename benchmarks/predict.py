"""Answers for many files: `thawline predict` against a loop that calls `model.predict` for each file.

    python benchmarks/predict.py [--images N] [--looped N] [--size PIXELS] [--json FILE]

The stack is a head on EfficientNet-Lite0 with random weights for the head; the files are links to the fabric photos.
`thawline predict` runs as a process of its own, with an empty cache: its seconds are all that a user waits for. The
loop is timed on fewer files, once its first call has compiled. Memory is the process's resident memory when a fifth of
the answers have come, and at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import yaml

import thawline as tl
from thawline.cli.demo import fabric_photos
from thawline.data.decode import Decoding, decode
from thawline.data.reading import describe_reading
from thawline.files import write_text
from thawline.recipe import Recipe, load_recipe
from thawline.training.run_folder.run import RunFolder


def make_run(folder: Path, side: int) -> tuple[RunFolder, Recipe]:
    """A run folder as `thawline train` leaves it, with a head that learned nothing."""
    content = {
        "data": {"train": str(fabric_photos()), "image_size": [side, side]},
        "stack": [
            {"name": "base", "backbone": "efficientnet_lite0", "trainable": False},
            {"name": "head", "layers": ["GlobalAveragePooling2D", {"Dense": {"units": 3, "activation": "softmax"}}]},
        ],
        "phases": [{"train": "head", "epochs": 1}],
        "run": {"folder": str(folder), "name": "run"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    recipe = load_recipe(folder / "recipe.yaml")
    run = RunFolder.begin(folder, "run", recipe.to_yaml())
    stack = recipe.build_stack(3)
    images = recipe.open_folder(recipe.data.train)
    stack.class_names, stack.reading = images.class_names, describe_reading(images)
    # Keras warns of an optimizer that was never built.
    stack.model.optimizer.build(stack.model.trainable_variables)
    stack.save(run.stack_path)
    write_text(run.path / "metrics.json", "{}\n")
    return run, recipe


def link_images(folder: Path, count: int) -> Path:
    """A folder with so many links to the fabric photos."""
    photos = sorted(fabric_photos().rglob("*.jpg"))
    links = folder / "images"
    links.mkdir()
    for number in range(count):
        (links / f"{number:07d}.jpg").symlink_to(photos[number % len(photos)])
    return links


def resident_mb(process: int) -> float:
    """The memory that a process holds, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def time_command(run: RunFolder, images: Path, count: int, cache: Path) -> dict[str, float]:
    """Seconds and memory of `thawline predict`."""
    words = [sys.executable, "-c", "from thawline.cli import main; main()", "predict", str(run.path), str(images)]
    environment = {**os.environ, "THAWLINE_CACHE": str(cache)}
    began = time.perf_counter()
    memory, rows, first_s = [], 0, 0.0
    with subprocess.Popen(
        [*words, "--format", "jsonl", "--quiet"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout or ():
            assert "error" not in json.loads(line), line
            first_s = first_s or time.perf_counter() - began
            rows += 1
            if rows in (count // 5, count):
                memory.append(resident_mb(process.pid))
    seconds = time.perf_counter() - began
    assert process.returncode == 0
    assert rows == count
    return {
        "seconds": seconds,
        "first_answer_s": first_s,
        "images_per_s": count / seconds,
        "later_images_per_s": (count - 1) / (seconds - first_s),
        "resident_mb_after_a_fifth": memory[0],
        "resident_mb_at_the_end": memory[-1],
    }


def time_loop(run: RunFolder, recipe: Recipe, files: list[Path]) -> float:
    """Images/s of a loop that decodes a file and calls `model.predict`, after its first call."""
    model = keras.saving.load_model(run.stack_path)
    decoding = Decoding(recipe.image_size)

    def answer(path: Path) -> np.ndarray:
        pixels = decode(path.read_bytes(), decoding)[None].astype("float32")
        answers: np.ndarray = model.predict(pixels, verbose=0)
        return answers

    answer(files[0])
    began = time.perf_counter()
    for path in files:
        answer(path)
    return len(files) / (time.perf_counter() - began)


def main() -> None:
    """Runs both and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--looped", type=int, default=300, help="images for the loop")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, recipe = make_run(folder, options.size)
        images = link_images(folder, options.images)
        figures = time_command(run, images, options.images, folder / "cache")
        loop = time_loop(run, recipe, tl.ImageFiles([images]).paths[: options.looped])
    figures |= {"loop_images_per_s": loop, "predict_vs_loop": figures["images_per_s"] / loop}
    for label, value in figures.items():
        print(f"{label:<28} {value:10.1f}")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
