"""The run folder: what is known is there early, whole or not at all, and another process's run is left alone."""

import csv
import json
import os

import keras
import numpy as np
import pytest
from blake3 import blake3
from filelock import FileLock

import thawline as tl
from thawline.errors import RunError
from thawline.facade.stack import Stack
from thawline.files import linking, remove_left_over, replacing
from thawline.training.checkpoints.phase_files import BestWeights
from thawline.training.run_folder import run as module
from thawline.training.run_folder.run import RunFolder
from thawline.training.run_folder.run_data import Side, data_changes, write_data

EARLY = [
    *("checkpoints", "data.json", "environment.json", "history.csv", "labels.txt", "plan.json", "recipe.yaml"),
    "split.csv",
]


@pytest.fixture
def interrupted(project, monkeypatch):
    """A project whose training was stopped in its second epoch."""
    fit = Stack.fit

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "fit", lambda *args, **options: fit(*args, callbacks=[Stop()], **options))
        assert project.thawline("train", project.recipe).exit_code == 130
    return project


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_what_is_known_early_is_written_early_and_the_history_after_each_epoch(interrupted):
    run = interrupted.run()
    assert sorted(path.name for path in run.iterdir() if path.name != ".lock") == EARLY
    assert [row["epoch"] for row in rows(run / "history.csv")] == ["1"]
    assert (run / "labels.txt").read_text().split() == ["blue", "green", "red"]


def test_a_plan_that_is_refused_is_not_kept(project):
    project.write(phases=[{"train": "head", "epochs": 1}])
    project.train("run.name=short")
    project.write()
    done = project.thawline("train", project.recipe, "--plan", project.run("short") / "plan.json")
    assert done.exit_code == 2
    assert "another training" in done.output
    project.train()


def test_a_run_that_goes_on_takes_no_other_plan(interrupted):
    plan = interrupted.run() / "plan.json"
    content = plan.read_text()
    other = interrupted.folder / "other.json"
    other.write_text(content.replace('"reason": "', '"reason": "not that: '))
    done = interrupted.thawline("train", interrupted.recipe, "--plan", other)
    assert done.exit_code == 2
    assert "without --plan" in done.output
    assert plan.read_text() == content
    interrupted.train("--plan", plan)


def test_names_of_files_that_are_no_utf_8_come_back(project):
    name = os.fsdecode(b"\xff.png")
    images = project.folder / "images" / "blue"
    try:
        next(images.iterdir()).rename(images / name)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    project.train("run.name=a")
    source = tl.ImageFolder(images.parent, image_size=(16, 16))
    write_data(project.folder, [Side("train", source, images.parent)])
    others = source.select([row for row, path in enumerate(source.paths) if path.name != name])
    told = data_changes(project.folder, [Side("train", others, images.parent)])
    assert told == f"1 gone, first blue/{name}"


def test_equal_files_that_mean_something_else_now_are_told_apart(image_folder, tmp_path):
    folder = image_folder({"a": 2, "b": 2, "c": 0})

    def changes(before, now):
        write_data(tmp_path, [Side("train", before, folder)])
        return data_changes(tmp_path, [Side("train", now, folder)])

    source = tl.ImageFolder(folder, classes=["a", "b"], image_size=(8, 8))
    empty = tl.ImageFolder(folder, classes=["a", "c", "b"], image_size=(8, 8))
    assert changes(source, empty) == "the classes of train were a, b, and are a, c, b"
    repeated = source.select([0, 0, 1, 2, 3])
    turned = repeated.augment(rotation_range=30)
    told = "copies among those of train were augmented alike, and have views of their own now"
    assert changes(repeated, turned) == told
    assert changes(source.select([0, 1]), source.select([1, 0])) == "they are in another order"
    assert changes(source, source.augment(rotation_range=30)) == ""


def test_a_run_that_goes_on_knows_what_was_extracted_before(interrupted, monkeypatch):
    with np.load(interrupted.run() / "checkpoints" / "last.npz") as state:
        before = json.loads(str(state["note"]))["progress"]["times"]
    assert before[0]["extract_s"] > 0
    fit, done = Stack.fit, []
    monkeypatch.setattr(Stack, "fit", lambda *args, **options: done.append(fit(*args, **options)) or done[0])
    interrupted.train()
    times = done[0].record.times
    assert times[0].extract_s >= before[0]["extract_s"]
    assert "had to be extracted since the run went on after epoch 1<" in (interrupted.run() / "report.html").read_text()


def test_the_split_says_where_each_file_was_with_its_content(interrupted):
    run, images = interrupted.run(), interrupted.folder / "images"
    split = rows(run / "split.csv")
    data = json.loads((run / "data.json").read_text())
    assert sorted(row["path"] for row in split) == sorted(
        path.relative_to(images).as_posix() for path in images.rglob("*.png")
    )
    for row in split:
        assert row["digest"] == blake3((images / row["path"]).read_bytes()).hexdigest()
        assert row["label"] == row["path"].split("/")[0]
    for side, count in (("train", 9), ("validation", 3)):
        assert data[side]["classes"] == {"blue": count, "green": count, "red": count}
        assert sum(row["side"] == side for row in split) == data[side]["images"] == 3 * count


def test_a_run_does_not_go_on_with_other_images(interrupted):
    images = interrupted.folder / "images"
    (images / "red" / "011.png").unlink()
    (images / "blue" / "001.png").write_bytes((images / "blue" / "002.png").read_bytes())
    told = interrupted.thawline("train", interrupted.recipe)
    assert told.exit_code == 2
    assert "The images of the unfinished run" in told.stderr
    # A file with another content may be on another side, too, and with exact shares others change places with it.
    assert "first blue/001.png" in told.stderr
    assert "1 gone, first red/011.png; " in told.stderr


def test_phases_leave_their_best_and_last_stack(project):
    project.write(phases=[{"train": "head", "epochs": 2, "views": 1}, {"train": ["base", "head"], "epochs": 1}])
    project.train()
    run = project.run()
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        f"phase-{number}-{which}.keras" for number in (1, 2) for which in ("best", "last")
    ]
    last = tl.load(run / "checkpoints" / "phase-2-last.keras")
    assert last.class_names == ("blue", "green", "red")
    for mine, other in zip(last.model.get_weights(), tl.load(run / "stack.keras").model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    # The loss on held-out images after phase 1's best epoch is what the history says.
    best = tl.load(run / "checkpoints" / "phase-1-best.keras")
    held_out = tl.ImageFolder(project.folder / "images", image_size=(16, 16), batch_size=8, seed=3)
    held_out = held_out.split(0.25, exact=True)[1]
    losses = [float(row["val_loss"]) for row in rows(run / "history.csv")[:2]]
    best.compile("adam", "categorical_crossentropy")
    assert best.evaluate(held_out, engine="keras", verbose=0)[0] == pytest.approx(min(losses), abs=1e-6)


@pytest.mark.parametrize("keeps", [True, False])
def test_the_stacks_of_phases_stay_unless_they_are_not_wanted(keeps, tmp_path):
    run = RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    run.checkpoints.mkdir()
    for name in ("phase-1-best.keras", "phase-1-last.keras", "last.npz"):
        (run.checkpoints / name).write_text("")
    run.finish(metrics={}, keep_phases=keeps)
    kept = sorted(path.name for path in run.path.rglob("*") if path.is_file())
    phases = ["phase-1-best.keras", "phase-1-last.keras"] if keeps else []
    assert kept == ["metrics.json", *phases, "recipe.yaml"]
    assert run.checkpoints.exists() == keeps


def test_the_best_epoch_is_that_of_the_least_loss():
    weight = keras.Variable([0.0])
    best = BestWeights([weight], has_validation=True)
    assert best.state() is None
    for epoch, loss in enumerate([3.0, 1.0, float("nan"), 2.0]):
        weight.assign([float(epoch)])
        best.on_epoch_end(epoch, {"loss": -epoch, "val_loss": loss})
    again = BestWeights([weight], has_validation=True)
    again.resume(best.state(), best.arrays())
    again.on_epoch_end(4, {"val_loss": 1.5})
    assert again.best_epoch == 1
    np.testing.assert_array_equal(again.values, [[1.0]])


def test_a_run_that_another_process_trains_in_is_left_alone(tmp_path):
    run = RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    with pytest.raises(RunError, match="Another process trains in"):
        RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    run.release()
    again = RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    assert again.path == run.path
    again.release()
    (run.path / "history.csv").write_text("epoch,phase,loss\n1,1,0.5\n")
    with pytest.raises(RunError, match="has another recipe"):
        RunFolder.begin(tmp_path, "flowers", "a: 2\n")
    with FileLock(run.path / ".lock", timeout=0):
        pass


def test_a_process_that_was_killed_leaves_nothing_in_the_way(tmp_path):
    run = tmp_path / "flowers"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints").rmdir()
    # Killed before the recipe was there.
    (run / ".recipe-writing-abc.yaml").write_text("a: ")
    begun = RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    begun.release()
    assert sorted(path.name for path in run.iterdir()) == [".lock", "recipe.yaml"]
    # Killed when everything was written, before the state was deleted.
    (run / "metrics.json").write_text("{}")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.npz").write_text("")
    following = RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    following.release()
    assert following.path == tmp_path / "flowers-2"
    assert list((run / "checkpoints").iterdir()) == []


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flowers" / "thesis.txt").write_text("")
    with pytest.raises(RunError, match="holds no run"):
        RunFolder.begin(tmp_path, "flowers", "a: 1\n")
    assert [path.name for path in (tmp_path / "flowers").iterdir()] == ["thesis.txt"]


def test_going_on_with_other_versions_is_said_and_noted(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    (tmp_path / "data.json").write_text('{"digest": ""}')
    monkeypatch.setattr(module, "data_changes", lambda path, sides: "")
    assert run.note_start([], ["a"]) == []
    now = module.describe_environment()
    now["packages"]["keras"] = "9.0"
    monkeypatch.setattr(module, "describe_environment", lambda: now)
    (told,) = run.note_start([], ["a"])
    assert f"keras {keras.__version__} is 9.0 now" in told
    assert run.note_start([], ["a"]) == []
    assert json.loads((tmp_path / "environment.json").read_text())["continued"] == [now]


def test_a_second_name_of_a_file_takes_no_room(tmp_path):
    (tmp_path / "one").write_text("whole")
    linking(tmp_path / "one", tmp_path / "other")
    linking(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "other").stat().st_ino == (tmp_path / "one").stat().st_ino
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "one") as temporary:
        assert temporary in tmp_path.iterdir()
        (tmp_path / temporary.name.replace("one", "two")).write_text("left over by a killed process")
        raise ZeroDivisionError
    remove_left_over(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]
