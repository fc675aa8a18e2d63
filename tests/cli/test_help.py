"""The command line answers at once, and without TensorFlow."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import thawline
from thawline.cli import app


def test_help_loads_neither_keras_nor_tensorflow():
    code = (
        "import sys, thawline.cli\n"
        "sys.argv = ['thawline', '--help']\n"
        "try:\n    thawline.cli.main()\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "loaded = {'tensorflow', 'keras', 'cv2', 'numpy'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train on real images" in done.stdout.lower()


@pytest.mark.parametrize("command", ["demo", "init", "check", "train", "compare", "evaluate", "predict", "backbones"])
def test_every_command_explains_itself(command):
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"thawline {command}" in done.stdout.replace("root", "thawline")


def test_backbones_are_listed_with_what_a_recipe_needs_to_know():
    listed = CliRunner().invoke(app, ["backbones"])
    assert listed.exit_code == 0
    row = next(line for line in listed.stdout.splitlines() if line.startswith("EfficientNetB1 "))
    assert row.split() == ["EfficientNetB1", "240", "x", "240", "[0,", "255]", "6.6", "million"]
    known = {each["name"]: each for each in json.loads(CliRunner().invoke(app, ["backbones", "--json"]).stdout)}
    assert len(known) == 41
    assert known["MobileNetV2"]["value_range"] == [-1.0, 1.0]


def test_the_version_is_told():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"thawline {thawline.__version__}\n"


@pytest.mark.parametrize("words", [["trian"], ["train"], ["demo", "--epochs", "0"], ["predict", "run"], ["compare"]])
def test_wrong_usage_is_exit_code_2(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "Error" in done.stderr


def test_what_the_operating_system_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = CliRunner().invoke(app, ["init", str(tmp_path / "file" / "inside")])
    assert done.exit_code == 1
    assert "file" in done.stderr
    assert done.stderr.rstrip().endswith("Check the path, its rights and the room on its disk, then try again.")
    assert "Traceback" not in done.output


def test_whoever_stops_reading_hears_no_complaint(tmp_path):
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-c", "from thawline.cli import main; main()", "cache", "list", "--path", str(tmp_path)]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
