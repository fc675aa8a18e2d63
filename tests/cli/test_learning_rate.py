"""thawline find-learning-rate: a phase's rate from a recipe."""

import json

import pytest

from small_project import CONVOLUTION, thawline, write_recipe


@pytest.fixture
def recipe(image_folder, tmp_path):
    image_folder({"blue": 12, "green": 12, "red": 12}, size=(20, 16), seed=1)
    phases = [
        {"train": "head", "epochs": 2, "learning_rate": 0.05},
        {"train": ["head", "base/*conv*"], "epochs": 1, "optimizer": "sgd"},
    ]
    return write_recipe(tmp_path, base=[CONVOLUTION, "BatchNormalization", "ReLU"], phases=phases)


def find(recipe, *words):
    return thawline("find-learning-rate", recipe, "--steps", 20, *words)


def test_it_prints_what_it_found_and_draws_it(recipe, tmp_path):
    done = find(recipe, "--plot", tmp_path / "rates.svg")
    assert done.exit_code == 0, done.output
    assert "steps of 8 images by adam" in done.stdout
    assert (tmp_path / "rates.svg").exists()
    assert not (tmp_path / "runs").exists()


def test_a_later_phase_goes_on_from_what_those_before_it_trained(recipe):
    done = find(recipe, "--phase", 2, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["phase"], found["optimizer"]) == (2, "sgd")
    assert "before phase 2" in done.stderr
    untrained = json.loads(find(recipe, "--phase", 2, "--json", "phases.0.learning_rate=1.0e-9").stdout)
    # Two epochs with a rate of 0.05 tell three colours apart.
    assert found["first_losses"][0] < untrained["first_losses"][0]


def test_wrong_phases_and_files_are_said_before_the_work(recipe):
    done = find(recipe, "--phase", 3)
    assert (done.exit_code, done.stderr) == (2, "error: The recipe has 2 phases; got --phase 3. Phases count from 1.\n")
    done = find(recipe, "--plot", "rates.gif")
    assert done.exit_code == 2
    assert "written as .svg or .png" in done.stderr
