"""What runs an artefact in a process of its own, without thawline: its answers, and how long it takes for one image.

Called by `thawline.export.verify` as `python -P probe.py FOLDER GOLDEN ANSWERS`: the artefact's folder, a text file
with a path of an image in each line, and the file to write.
"""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_BATCH = 32
_WARM_UPS = 2
_TIMED = 15


def main(folder: Path, golden: Path, target: Path) -> None:
    """Writes answers, pixels, errors and times as an .npz file."""
    # Whatever would import thawline is to fail.
    sys.modules["thawline"] = None  # type: ignore[assignment]
    reader = _reader(folder)
    paths = golden.read_text(encoding="utf-8").splitlines()
    errors, pixels = {}, []
    for index, path in enumerate(paths):
        try:
            pixels.append(reader.read(path))
        # A decoder meets what it does not know with whatever it stumbles over.
        except Exception as error:
            errors[index] = " ".join(str(error).split())[:500]
    good = [path for index, path in enumerate(paths) if index not in errors]
    answers = reader.predict_files(good, batch_size=_BATCH) if good else {}
    answers = answers if isinstance(answers, dict) else {reader.facts["outputs"][0]["name"]: answers}
    times = {}
    if good:
        times["file_ms"] = _median_ms(lambda: reader.predict_files(good[:1]))
        times["model_ms"] = _median_ms(lambda: reader.predict(pixels[0][None]))
    notes = {"errors": errors, "times": times}
    arrays = {f"answers/{name}": values for name, values in answers.items()}
    np.savez(target, notes=np.array(json.dumps(notes)), pixels=np.stack(pixels) if pixels else np.zeros(0), **arrays)


def _reader(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("reader", folder / "reader.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"No reader.py in {folder}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["reader"] = module
    spec.loader.exec_module(module)
    return module.Reader()


def _median_ms(work: Callable[[], Any]) -> float:
    for _ in range(_WARM_UPS):
        work()
    taken = []
    for _ in range(_TIMED):
        started = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - started))
    return statistics.median(taken)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
