"""What `thawline train` writes: results on stdout, our own lines on stderr, and nothing of any library."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import thawline

# Every line that a training may say.
OURS = re.compile(
    r"\d+ training and \d+ validation images -> "
    r"|loading Keras$"
    r"|phase \d: "
    r"|plan: (precomputed|streamed|joint), "
    r"|engine: "
    r"|(training|validation) images: [\d,]+ of [\d,]+ extracted"
    r"|epoch \d/\d  "
)


def thawline_process(*words):
    """Runs a command in a fresh process, with everything that native code writes, too."""
    environment = {**os.environ, "PYTHONPATH": str(Path(thawline.__file__).parents[1])}
    for name in ("TF_CPP_MIN_LOG_LEVEL", "MLFLOW_TRACKING_URI", "PYTHONWARNINGS"):
        environment.pop(name, None)
    code = "from thawline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )


def test_only_our_own_lines_are_written(project):
    """By every strategy, with every engine that is installed, and both trackers."""
    project.write(
        features={"engine": "auto"},
        run={"tracking": ["tensorboard", "mlflow"]},
        phases=[
            {"train": "head", "epochs": 2, "views": 2, "strategy": "precomputed"},
            {"train": "head", "epochs": 1, "strategy": "streamed"},
            {"train": ["base", "head"], "epochs": 1, "strategy": "joint"},
        ],
    )
    done = thawline_process("train", project.recipe, "--json")
    assert done.returncode == 0, done.stderr
    strange = [line for line in done.stderr.splitlines() if not OURS.match(line)]
    assert strange == []
    assert sum(line.startswith("epoch ") for line in done.stderr.splitlines()) == 4
    assert json.loads(done.stdout)["run"] == str(project.run())

    quiet = thawline_process("train", project.recipe, "run.name=quiet", "run.tracking=[]", "--progress", "quiet")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert quiet.stdout.startswith("On held-out images")
    assert quiet.stdout.endswith("report.html\n") or "No report" in quiet.stdout


def test_json_progress_is_an_object_per_line(project):
    done = project.train("--progress", "json", "--json")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2]
    assert any(event["event"] == "message" and event["text"].startswith("plan: ") for event in events)
    assert json.loads(done.stdout)["epochs"] == 2
    broken = project.folder / "images" / "red" / "bad.png"
    broken.write_text("no image")
    failed = project.thawline("train", project.recipe, "--progress", "json")
    last = json.loads(failed.stderr.splitlines()[-1])
    assert (failed.exit_code, last["event"]) == (1, "error")
    assert str(broken) in last["text"]
