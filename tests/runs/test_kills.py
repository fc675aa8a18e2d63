"""A training that is killed again and again ends as one that nobody disturbed."""

import csv
import json
import multiprocessing
import random
import signal
from itertools import zip_longest

import keras
import numpy as np
import pytest

import thawline as tl
from training_process import Kill, Training

# When the training is killed: the n-th time that a moment comes in a process, in the order in which a run goes on. The
# kill follows within so many seconds, so that it falls somewhere into what comes then.
MOMENTS = [
    ("start", 1, 0.1),
    ("extraction", 1, 0.005),
    ("extraction", 2, 0.005),
    ("batch", 2, 0.2),  # the first epoch, which traces the training step
    ("state", 2, 0.005),  # while the state after an epoch is written
    ("batch", 6, 0.02),
    ("phase", 1, 0.05),
    ("batch", 5, 0.05),  # in the second phase
    ("finish", 1, 0.3),
    ("finish", 1, 0.05),
]

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="processes are forked and killed"
)

PHASES = [
    {"train": "head", "epochs": 2, "learning_rate": 0.05, "views": 2, "strategy": "precomputed"},
    {"train": ["base", "head"], "epochs": 2, "early_stopping": 1, "strategy": "joint"},
]


def training(project, name):
    return Training(
        project.recipe, project.folder / f"{name}.notes", project.folder / f"{name} cache", (f"run.name={name}",)
    )


def test_ten_kills_at_random_moments_change_nothing(project):
    project.write(phases=PHASES)
    whole, pieces = training(project, "whole"), training(project, "pieces")
    assert whole.run() == 0, whole.output.read_text()
    chance = random.Random(11)
    for moment, count, within_s in MOMENTS:
        exitcode = pieces.run(Kill(moment, count, chance.uniform(0, within_s)))
        assert exitcode == -signal.SIGKILL, (moment, pieces.output.read_text())
    assert len(MOMENTS) == 10
    assert pieces.run() == 0, pieces.output.read_text()
    # The last one had nothing to train any more.
    assert {"start", "finish", "figures"} <= set(pieces.noted())
    assert "state" not in pieces.noted()
    assert_same_run(project.run("pieces"), project.run("whole"))
    # Nothing was trained twice into another folder.
    assert sorted(path.name for path in (project.folder / "runs").iterdir()) == ["pieces", "whole"]


def assert_same_run(mine, other):
    """The same files, the same numbers, and no traces of a kill."""
    files = [
        sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and path.name != ".lock")
        for run in (mine, other)
    ]
    assert files[0] == files[1]
    for name in ("stack.keras", *(file for file in files[0] if file.startswith("checkpoints"))):
        for one, two in zip_longest(variables(mine / name), variables(other / name)):
            np.testing.assert_array_equal(one, two, err_msg=name)
    for name in ("history.csv", "labels.txt", "split.csv", "data.json"):
        assert (mine / name).read_bytes() == (other / name).read_bytes(), name
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (mine, other)]
    for name in ("accuracy", "classes", "confusion", "last_epoch", "phases", "epochs", "images"):
        assert metrics[0][name] == metrics[1][name], name
    assert len(list(csv.DictReader((mine / "history.csv").read_text().splitlines()))) == metrics[0]["epochs"]


def variables(path):
    """All numbers that a saved stack holds: weights, and the state of its optimizer."""
    model = tl.load(path).model
    return [np.array(keras.ops.convert_to_numpy(each)) for each in (*model.weights, *model.optimizer.variables)]
