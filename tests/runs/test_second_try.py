"""The second try works: a mistake in a recipe leaves nothing that keeps the corrected one from running."""

import json

import pytest
import yaml
from filelock import FileLock

from thawline.errors import RunError
from thawline.facade.stack import Stack
from thawline.training.run_folder.run import RunFolder

TYPOS = {
    "layer": ["stack.1.layers.0=GlobalAveragePoolin2D"],
    "activation": ["stack.1.layers.0={Dense: {units: 3, activation: rellu}}"],
    "stage": ["phases.0.train=haed"],
    "width": ["stack.1.layers=[GlobalAveragePooling2D, {Dense: {units: 5, activation: softmax}}]"],
    "pooling": ["stack.1.layers=[{Dense: {units: classes, activation: softmax}}]"],
    "joint": ["stack.0.layers=[Flatten]"],
    "optimizer": ["compile.optimizer=addam"],
    "metric": ["compile.metrics=[acc, f1]"],
    "loss": ["compile.loss=categorical_crosentropy"],
    "budget": ["budget.max_time=0.001"],
}


@pytest.mark.parametrize("typo", TYPOS)
def test_a_mistake_leaves_no_run_folder_and_the_corrected_recipe_runs(project, typo):
    failed = project.thawline("train", project.recipe, *TYPOS[typo])
    assert failed.exit_code != 0
    assert not project.run().exists(), sorted(project.run().iterdir())


def test_a_mistake_and_its_correction_have_one_folder(project):
    project.thawline("train", project.recipe, "phases.0.train=haed")
    project.train()
    assert (project.run() / "metrics.json").exists()
    assert [path.name for path in project.run().parent.iterdir()] == ["small"]


def stop_before_an_epoch(monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "fit", stop)


def test_a_run_without_an_epoch_is_replaced_by_another_recipe_and_it_is_said(project, monkeypatch):
    with monkeypatch.context() as changed:
        stop_before_an_epoch(changed)
        assert project.thawline("train", project.recipe).exit_code == 130
    assert (project.run() / "plan.json").exists()
    done = project.thawline("train", project.recipe, "phases.0.epochs=1", "data.seed=4")
    assert done.exit_code == 0, done.output
    assert "an earlier try in" in done.stderr and "finished no epoch; this run replaces it" in done.stderr
    assert yaml.safe_load((project.run() / "recipe.yaml").read_text())["data"]["seed"] == 4
    assert json.loads((project.run() / "plan.json").read_text())["phases"][0]["epochs"] == 1


def test_files_of_others_stay_and_the_run_can_be_replaced(project):
    project.thawline("train", project.recipe, "phases.0.train=haed")
    project.run().mkdir(parents=True)
    (project.run() / ".mine").write_text("")
    project.train()
    assert (project.run() / ".mine").exists()


def test_a_run_with_an_epoch_is_never_replaced(tmp_path):
    run = RunFolder.begin(tmp_path, "a", "one: 1\n")
    (run.path / "history.csv").write_text("epoch,phase,loss\n1,1,0.5\n")
    run.discard()
    assert (run.path / "recipe.yaml").exists()
    with pytest.raises(RunError, match=r"has another recipe \('one: 1' is now 'two: 2'\)"):
        RunFolder.begin(tmp_path, "a", "two: 2\n")
    RunFolder.begin(tmp_path, "a", "one: 1\n").release()


def test_only_what_this_process_began_is_taken_away(tmp_path):
    RunFolder.begin(tmp_path, "a", "one: 1\n").release()
    again = RunFolder.begin(tmp_path, "a", "one: 1\n")
    again.discard()
    assert (tmp_path / "a" / "recipe.yaml").exists()
    replaced = RunFolder.begin(tmp_path, "a", "two: 2\n")
    (replaced.path / "tensorboard").mkdir()
    replaced.discard()
    # With files of others it stays a run, not a folder that nobody may train in.
    assert (tmp_path / "a" / "recipe.yaml").exists()
    (replaced.path / "tensorboard").rmdir()
    last = RunFolder.begin(tmp_path, "a", "three: 3\n")
    last.discard()
    assert not (tmp_path / "a").exists()


def test_a_run_that_another_process_trains_in_is_not_replaced(tmp_path):
    RunFolder.begin(tmp_path, "a", "one: 1\n").release()
    with FileLock(tmp_path / "a" / ".lock"), pytest.raises(RunError, match="Another process trains in"):
        RunFolder.begin(tmp_path, "a", "two: 2\n")
    assert (tmp_path / "a" / "recipe.yaml").read_text() == "one: 1\n"
