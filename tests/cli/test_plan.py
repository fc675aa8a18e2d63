"""thawline plan, and train by a plan."""

import json

import pytest

from small_project import thawline, write_recipe
from thawline.training.planning import measuring


@pytest.fixture
def project(image_folder, tmp_path, monkeypatch):
    """A recipe beside a folder of images of three colours."""
    image_folder({"blue": 12, "green": 12, "red": 12}, size=(20, 16), seed=1)
    # How precise figures are does not matter here.
    monkeypatch.setattr(measuring, "_TRIED_S", 0.01)
    augment = {"horizontal_flip": True, "rotation_range": 20}
    return write_recipe(tmp_path, augment=augment, phases=[{"train": "head", "epochs": 6}])


def test_a_recipe_is_planned_before_and_after_its_features_are_there(project, tmp_path):
    done = thawline("plan", project)
    assert done.exit_code == 0, done.output
    assert "27 training and 9 validation images" in done.stderr
    assert "planning: measuring" in done.stderr
    table = done.stdout.splitlines()
    assert [line[4:].split()[0] for line in table[1:4]] == ["precomputed", "streamed", "joint"]
    assert [line[2] for line in table[1:4]].count("*") == 1
    assert not (tmp_path / "runs").exists()

    plan = tmp_path / "plan.json"
    done = thawline("plan", project, "--views", "1,2", "--epochs", "2,20", "--json", "--save", plan)
    assert "measuring" not in done.stderr
    content = json.loads(done.stdout)
    (phase,) = content["phases"]
    kept = next(option for option in phase["options"] if option["strategy"] == "precomputed")
    assert kept["extracted"] == 4 * 27 + 9
    (rows,) = content["what_if"]
    assert [(row["views"], row["epochs"]) for row in rows] == [(1, 2), (2, 2), (1, 20), (2, 20)]
    assert all(row["choice"] in {"precomputed", "streamed", "joint"} for row in rows)

    done = thawline("train", project, "phases.0.strategy=precomputed")
    assert done.exit_code == 0, done.output
    assert "plan: precomputed, 4 views, 6 epochs: as asked; " in done.stderr
    # Written before training, with what was expected.
    saved = json.loads((tmp_path / "runs" / "small" / "plan.json").read_text())
    assert saved["phases"][0]["forecast"]["extracted"] == 4 * 27 + 9
    (phase,) = json.loads(thawline("plan", project, "--json").stdout)["phases"]
    kept = next(option for option in phase["options"] if option["strategy"] == "precomputed")
    assert (kept["extracted"], kept["extract_s"]) == (0, 0)


def test_other_views_and_epochs_are_a_table(project):
    done = thawline("plan", project, "--views", "1,4", "--epochs", "5", "--quiet")
    assert done.stderr == ""
    *_, head, one, four = [line for line in done.stdout.splitlines() if line.strip()]
    assert head.split() == ["views", "epochs", "joint", "precomputed", "streamed", "disk", "fastest"]
    assert [row.split()[:2] for row in (one, four)] == [["1", "5"], ["4", "5"]]
    assert thawline("plan", project, "--views", "many").exit_code == 2


def test_training_follows_a_plan_from_a_file(project, tmp_path):
    plan = tmp_path / "plan.json"
    thawline("plan", project, "--save", plan)
    content = json.loads(plan.read_text())
    content["phases"][0] |= {"strategy": "streamed", "views": 2, "reason": "as planned"}
    plan.write_text(json.dumps(content))
    done = thawline("train", project, "--plan", plan)
    assert done.exit_code == 0, done.output
    assert "plan: streamed, 2 views, 6 epochs: as planned" in done.stderr
    done = thawline("train", project, "phases.0.epochs=7", "--plan", plan)
    assert done.exit_code == 2
    assert "The plan is for another training" in done.stderr


def test_a_recipe_may_have_a_budget(project):
    done = thawline("plan", project, "budget.max_time=1ms")
    assert done.exit_code == 2
    assert "budget: a time is a number of seconds, like 90, 90s" in done.stderr
    done = thawline("train", project, "budget.max_time=0.001")
    assert (done.exit_code, "No way to run fits the budget" in done.stderr) == (2, True)
    done = thawline("plan", project, "budget.max_disk=1kB", "budget.max_ram=1GB", "budget.max_time=1h")
    assert done.exit_code == 0, done.output
    assert "precomputed is ruled out: features would take" in done.stdout
    assert "did you mean 'max_disk'?" in thawline("plan", project, "budget.maxdisk=1").stderr


@pytest.mark.parametrize("word", ["0", "-1", "two", "1;2", "1,,2", ""])
@pytest.mark.parametrize("option", ["--views", "--epochs"])
def test_numbers_that_cannot_be_are_told_before_the_work(option, word, tmp_path):
    done = thawline("plan", tmp_path / "no recipe.yaml", option, word)
    assert done.exit_code == 2
    assert f"{option} takes whole numbers from 1 up" in done.stderr
