"""TensorBoard and MLflow are told of a run, and what their own readers find is what happened."""

import csv
import io
import shutil
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.errors import MissingDependencyError, RunError
from thawline.facade.stack import Stack
from thawline.training.tracking import mlflow as mlflow_module
from thawline.training.tracking import tensorboard as tensorboard_module
from thawline.training.tracking.tracker import Curves, Tracker, Trackers

SETTINGS = {"data.seed": 7, "phases.0.epochs": 3, "phases.0.train": "head", "stack.0.trainable": False}


@pytest.fixture(autouse=True)
def no_tracking_elsewhere(monkeypatch):
    """Whatever the environment of the tests says, nothing is told to anybody."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)


def curves(count, shift=0.0):
    """So many epochs, the third of a second phase without an accuracy."""
    accuracy = [0.5, 0.75, float("nan"), 0.875][:count]
    loss = [1.0 - epoch / 8 + shift for epoch in range(count)]
    return Curves({"loss": loss, "val_loss": [2 * each for each in loss], "accuracy": accuracy}, [1, 1, 2, 2][:count])


def read_events(folder):
    """Points by tag, pictures by tag, and tags with other content, by TensorBoard's own reader."""
    with warnings.catch_warnings():
        # TensorBoard's reader uses parts of TensorFlow that warn.
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as ordered:
            # TensorBoard reads files by name. Those of one process and second have a count at the end: "10" before "9".
            files = sorted(folder.glob("events.*"), key=lambda file: file.stat().st_mtime_ns)
            for number, file in enumerate(files):
                shutil.copy(file, Path(ordered, f"events.out.tfevents.{number:010}"))
            found = EventAccumulator(ordered, size_guidance={"images": 0, "scalars": 0}).Reload()
        tags = found.Tags()
        points = {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in tags["scalars"]}
        images = {tag: found.Images(tag)[0].encoded_image_string for tag in tags["images"]}
        return points, images, found


def read_run(folder, experiment="thawline"):
    """The only run of an experiment, by MLflow's own client."""
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    client = MlflowClient(tracking_uri=folder.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    names = run.data.metrics
    points = {
        name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)] for name in names
    }
    return run, points, client


# -- the trackers -----------------------------------------------------------------------------------------------------


def test_curves_of_a_training_that_was_killed_have_each_epoch_once_in_tensorboard(tmp_path):
    tracker = tl.TensorBoard(tmp_path)
    tracker.begin(curves(0))
    for count in (1, 2):
        tracker.epoch(curves(count, shift=0.25 * (count == 2)))
    # Killed before the second epoch was kept: it comes again.
    tracker = tl.TensorBoard(tmp_path)
    tracker.settings(SETTINGS)
    tracker.begin(curves(1))
    for count in (2, 3, 4):
        tracker.epoch(curves(count))
    tracker.finish({"accuracy": 0.875}, [])
    assert read_events(tmp_path / "train")[0] == {
        "loss": [(1, 1.0), (2, 0.875), (3, 0.75), (4, 0.625)],
        "accuracy": [(1, 0.5), (2, 0.75), (4, 0.875)],
    }
    assert read_events(tmp_path / "validation")[0] == {"loss": [(1, 2.0), (2, 1.75), (3, 1.5), (4, 1.25)]}


def test_tensorboard_has_the_settings_and_what_they_led_to(tmp_path):
    from tensorboard.plugins.hparams import metadata  # noqa: PLC0415

    tracker = tl.TensorBoard(tmp_path)
    tracker.settings(SETTINGS)
    tracker.begin(curves(0))
    tracker.epoch(curves(1))
    tracker.finish({"accuracy": 0.875}, [])
    points, _, found = read_events(tmp_path)
    assert points == {"accuracy": [(0, 0.875)]}
    content = found.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    told = metadata.parse_session_start_info_plugin_data(content).hparams
    kinds = {name: value.WhichOneof("kind") for name, value in told.items()}
    assert kinds == {
        "data.seed": "number_value",
        "phases.0.epochs": "number_value",
        "phases.0.train": "string_value",
        "stack.0.trainable": "bool_value",
    }
    assert told["data.seed"].number_value == 7
    content = found.summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    assert [info.name.tag for info in metadata.parse_experiment_plugin_data(content).metric_infos] == ["accuracy"]


def test_pictures_are_those_that_were_told(tmp_path):
    tracker = tl.TensorBoard(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype("uint8")
    tracker.pictures("augmented", [("roses/7.jpg", pixels), ("grey", pixels[..., :1])])
    tracker.finish({}, [])
    images = read_events(tmp_path)[1]
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(images["augmented/roses/7.jpg"]))), pixels)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(images["augmented/grey"]))), pixels[..., 0])


def test_a_training_that_goes_on_adds_to_its_run_in_mlflow(tmp_path):
    def tracker():
        made = tl.MLflow(tmp_path / "mlruns", "flowers", note=tmp_path / "mlflow.txt")
        made.settings({**SETTINGS, "long": "x" * 9000})
        return made

    first, again = tracker(), tracker()
    first.begin(curves(0))
    for count in (1, 2):
        first.epoch(curves(count))
    again.begin(curves(1))
    for count in (2, 3, 4):
        again.epoch(curves(count))
    (tmp_path / "recipe.yaml").write_text("a: 1")
    again.finish({"accuracy": 0.875}, [tmp_path / "recipe.yaml"])
    run, points, client = read_run(tmp_path / "mlruns")
    assert points == {
        "loss": [(1, 1.0), (2, 0.875), (3, 0.75), (4, 0.625)],
        "val_loss": [(1, 2.0), (2, 1.75), (3, 1.5), (4, 1.25)],
        "accuracy": [(1, 0.5), (2, 0.75), (4, 0.875)],
        "final.accuracy": [(0, 0.875)],
    }
    assert run.data.params == {**{name: str(value) for name, value in SETTINGS.items()}, "long": "x" * 500}
    assert (run.info.run_name, run.info.status) == ("flowers", "FINISHED")
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["recipe.yaml"]


def test_a_run_that_was_deleted_in_mlflow_is_begun_anew_with_all_epochs(tmp_path):
    def tracker():
        return tl.MLflow(tmp_path / "mlruns", "flowers", note=tmp_path / "mlflow.txt")

    tracker().begin(curves(0))
    run, _, client = read_run(tmp_path / "mlruns")
    client.delete_run(run.info.run_id)
    tracker().begin(curves(2))
    assert read_run(tmp_path / "mlruns")[1]["loss"] == [(1, 1.0), (2, 0.875)]


def test_mlflow_is_told_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())
    tl.MLflow(tmp_path / "mlruns", "flowers").begin(curves(1))
    assert read_run(tmp_path / "elsewhere")[1]["loss"] == [(1, 1.0)]
    assert not (tmp_path / "mlruns").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://here")
    with pytest.raises(RunError, match="MLflow at nonsense://here does not take this run"):
        tl.MLflow(tmp_path / "mlruns", "flowers").begin(curves(0))


@pytest.mark.parametrize(
    ("module", "name", "make"),
    [
        (tensorboard_module, "tensorboard", lambda path: tl.TensorBoard(path)),
        (mlflow_module, "mlflow", lambda path: tl.MLflow(path, "flowers")),
    ],
)
def test_a_missing_package_is_told_before_anything_runs(module, name, make, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda package: None if package == name else pytest.fail(package))
    with pytest.raises(MissingDependencyError, match=rf"pip install 'thawline\[{name}\]'"):
        make(tmp_path)


class Failing(Tracker):
    """A server that goes away in the middle."""

    def epoch(self, curves):
        raise ConnectionError("the server went away")


class Noting(Tracker):
    def __init__(self):
        self.lengths = []

    def epoch(self, curves):
        self.lengths.append(len(curves))


def test_a_tracker_that_fails_does_not_end_the_training():
    noting = Noting()
    trackers = Trackers([Failing(), noting])
    with pytest.warns(UserWarning, match="Failing failed and is told no more in this training: the server went away"):
        trackers.epoch(curves(1))
    trackers.epoch(curves(2))
    assert noting.lengths == [1, 2]


# -- a run ------------------------------------------------------------------------------------------------------------


def test_a_recipe_names_trackers_and_a_run_that_goes_on_appends(project, monkeypatch):
    project.write(run={"tracking": ["tensorboard", "mlflow"]}, phases=[{"train": "head", "epochs": 3}])
    fit = Stack.fit

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "fit", lambda *args, **options: fit(*args, callbacks=[Stop()], **options))
        assert project.thawline("train", project.recipe).exit_code == 130
    project.train()
    folder = project.run()
    history = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    train, validation = (read_events(folder / "tensorboard" / side)[0] for side in ("train", "validation"))
    run, metrics, client = read_run(project.folder / "runs" / "mlruns", "small")
    for name in ("loss", "accuracy"):
        expected = [(int(row["epoch"]), pytest.approx(float(row[name]), abs=1e-7)) for row in history]
        assert train[name] == expected
        assert metrics[name] == expected
        expected = [(int(row["epoch"]), pytest.approx(float(row[f"val_{name}"]), abs=1e-7)) for row in history]
        assert validation[name] == expected
        assert metrics[f"val_{name}"] == expected
    assert run.data.params["data.seed"] == "3"
    assert run.data.params["stack.1.layers.1.Dropout.rate"] == "0.2"
    assert run.data.params["data.image_size"] == "[16, 16]"
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"recipe.yaml", "labels.txt", "history.csv"} <= files
    images = read_events(folder / "tensorboard")[1]
    assert sum(tag.startswith("augmented/") for tag in images) == 8


def test_an_unknown_tracker_is_named(project):
    project.write(run={"tracking": "tensorbord"})
    told = project.thawline("train", project.recipe)
    assert told.exit_code == 2
    assert "run.tracking: expected tensorboard, mlflow, or a list of both; got 'tensorbord'" in told.stderr
