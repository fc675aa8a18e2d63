"""Parameters, curves and files in MLflow: in a folder of its own, or where the user's environment says."""

import os
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from thawline.errors import MissingDependencyError, RunError
from thawline.files import write_text
from thawline.training.tracking.tracker import Curves, Tracker

# MLflow refuses longer values of parameters.
_LONGEST_VALUE = 500

# Figures of the trained stack are called so, apart from those of epochs.
_FINAL = "final."

# MLflow takes so many parameters at once.
_AT_ONCE = 100


class MLflow(Tracker):
    """Tells MLflow the settings as parameters, figures as metrics with the epoch as their step, and files as artefacts.

    Without MLFLOW_TRACKING_URI in the environment everything stays in a folder, and nothing goes over the network;
    MLflow's own telemetry is switched off.

    Args:
        folder: where MLflow keeps what it is told, when the environment says nothing else.
        name: the name of the run.
        experiment: the name of the experiment.
        note: a file that remembers which of MLflow's runs this is, so that a training that goes on adds to it; None
            for a run of its own each time.

    Raises:
        MissingDependencyError: MLflow is not installed.

    Example:
        >>> stack.fit(train, epochs=3, tracking=[tl.MLflow("mlruns", name="flowers")])  # doctest: +SKIP
    """

    def __init__(
        self, folder: str | Path, name: str, *, experiment: str = "thawline", note: str | Path | None = None
    ) -> None:
        if find_spec("mlflow") is None:
            raise MissingDependencyError(
                "MLflow is to be told of the run, but it is not installed: run  pip install 'thawline[mlflow]'."
            )
        self._folder = Path(folder)
        self._name = name
        self._experiment = experiment
        self._note = None if note is None else Path(note)
        self._settings: Mapping[str, Any] = {}
        self._client: Any = None
        self._run = ""
        # The last epoch that MLflow knows, counted from 1.
        self._told = 0

    def settings(self, settings: Mapping[str, Any]) -> None:
        """Keeps them until training begins."""
        self._settings = settings

    def begin(self, curves: Curves) -> None:
        """Opens the run, and tells what was not told before.

        Raises:
            RunError: MLflow cannot be reached, or refuses.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        where = os.environ.get("MLFLOW_TRACKING_URI") or self._folder.resolve().as_uri()
        if where.startswith("file:"):
            # MLflow would rather have a database; a folder is what one can look into, copy and delete.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        errors = import_module("mlflow.exceptions")
        try:
            self._client = import_module("mlflow.tracking").MlflowClient(tracking_uri=where, registry_uri=where)
            self._run = self._noted() or self._new_run()
            names = [name for name in self._client.get_run(self._run).data.metrics if not name.startswith(_FINAL)]
            histories = [self._client.get_metric_history(self._run, name) for name in names]
            self._told = max((metric.step for history in histories for metric in history), default=0)
            for epoch in range(self._told, len(curves)):
                self._tell(curves, epoch)
        except errors.MlflowException as error:
            raise RunError(f"MLflow at {where} does not take this run: {error}") from error

    def epoch(self, curves: Curves) -> None:
        """A point on each curve."""
        self._tell(curves, len(curves) - 1)

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """The figures of the trained stack, the files, and the end of the run."""
        for name, value in figures.items():
            self._client.log_metric(self._run, f"{_FINAL}{name}", value)
        for file in files:
            self._client.log_artifact(self._run, str(file))
        self._client.set_terminated(self._run)

    def _new_run(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        experiment = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
        run: str = self._client.create_run(experiment, run_name=self._name).info.run_id
        kind = import_module("mlflow.entities").Param
        told = [kind(name, str(value)[:_LONGEST_VALUE]) for name, value in self._settings.items()]
        for start in range(0, len(told), _AT_ONCE):
            self._client.log_batch(run, params=told[start : start + _AT_ONCE])
        if self._note is not None:
            write_text(self._note, run + "\n")
        return run

    def _noted(self) -> str | None:
        """The run that an interrupted training told, if it is still there."""
        if self._note is None or not self._note.exists():
            return None
        run = self._note.read_text(encoding="utf-8").strip()
        try:
            found = self._client.get_run(run)
        except import_module("mlflow.exceptions").MlflowException:
            return None
        if found.info.lifecycle_stage != "active":
            return None
        self._client.update_run(run, status="RUNNING")
        return run

    def _tell(self, curves: Curves, epoch: int) -> None:
        """An epoch that was told before it was kept comes a second time, with the same figures."""
        if epoch < self._told:
            return
        kind, now = import_module("mlflow.entities").Metric, time.time_ns() // 1_000_000
        self._client.log_batch(
            self._run, metrics=[kind(name, value, now, epoch + 1) for name, value in curves.figures(epoch).items()]
        )
        self._told = epoch + 1
