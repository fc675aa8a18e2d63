"""Curves, hyper-parameters and pictures as TensorBoard reads them, written by its own writer."""

import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thawline.errors import MissingDependencyError
from thawline.training.tracking.tracker import Curves, Tracker

# Keras' names of figures on validation images begin so; TensorBoard draws equal names of two folders into one chart.
_VALIDATION = "val_"


class TensorBoard(Tracker):
    """Writes event files: curves of training and validation into one chart each, hyper-parameters, pictures.

    A training that goes on writes further files into the same folder; epochs that come again replace what was there.
    Nothing of TensorFlow is used for it.

    Args:
        folder: where the files lie; `tensorboard --logdir` takes it.

    Raises:
        MissingDependencyError: TensorBoard is not installed.

    Example:
        >>> stack.fit(train, epochs=3, tracking=[tl.TensorBoard("logs")])  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        if find_spec("tensorboard") is None:
            raise MissingDependencyError(
                "Files for TensorBoard are wanted, but it is not installed: run  pip install 'thawline[tensorboard]'."
            )
        self._folder = Path(folder)
        self._writers: dict[str, Any] = {}
        self._settings: Mapping[str, Any] = {}

    def settings(self, settings: Mapping[str, Any]) -> None:
        """Keeps them until the names of the figures are known, too."""
        self._settings = settings

    def begin(self, curves: Curves) -> None:
        """Takes what earlier files have of later epochs out of the curves."""
        if len(curves):
            for side in ("train", "validation"):
                log = self._log("SessionLog", status=self._log("SessionLog").START)
                self._writer(side).add_event(
                    self._log("Event", wall_time=time.time(), step=len(curves) + 1, session_log=log)
                )

    def epoch(self, curves: Curves) -> None:
        """A point on each curve."""
        for name, value in curves.figures(len(curves) - 1).items():
            side = "validation" if name.startswith(_VALIDATION) else "train"
            self._add(
                side, self._log("Summary.Value", tag=name.removeprefix(_VALIDATION), simple_value=value), len(curves)
            )
        self._flush()

    def pictures(self, title: str, pictures: Sequence[tuple[str, np.ndarray]]) -> None:
        """Each picture under its name in a group of this title."""
        for name, pixels in pictures:
            self._add("", self._log("Summary.Value", tag=f"{title}/{name}", image=self._image(pixels)), 0)
        self._flush()

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """The hyper-parameters with what they led to, and the end of the files."""
        if self._settings:
            self._write_settings(figures)
        for name, value in figures.items():
            self._add("", self._log("Summary.Value", tag=name, simple_value=value), 0)
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _write_settings(self, figures: Mapping[str, float]) -> None:
        plugin = import_module("tensorboard.plugins.hparams.summary_v2")
        known = {name: value for name, value in self._settings.items() if isinstance(value, bool | int | float | str)}
        metrics = [plugin.Metric(name) for name in figures]
        domains = [plugin.HParam(name) for name in known]
        for summary in (
            plugin.hparams_config_pb(hparams=domains, metrics=metrics),
            plugin.hparams_pb(known, trial_id=self._folder.parent.name),
        ):
            self._writer("").add_event(self._log("Event", wall_time=time.time(), step=0, summary=summary))

    def _add(self, side: str, value: Any, step: int) -> None:
        summary = self._log("Summary", value=[value])
        self._writer(side).add_event(self._log("Event", wall_time=time.time(), step=step, summary=summary))

    def _writer(self, side: str) -> Any:
        if side not in self._writers:
            module = import_module("tensorboard.summary.writer.event_file_writer")
            self._writers[side] = module.EventFileWriter(str(self._folder / side))
        return self._writers[side]

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def _log(self, name: str, **fields: Any) -> Any:
        """One of TensorBoard's messages."""
        module = import_module(f"tensorboard.compat.proto.{'summary' if name.startswith('Summary') else 'event'}_pb2")
        kind: Any = module
        for word in name.split("."):
            kind = getattr(kind, word)
        return kind(**fields)

    def _image(self, pixels: np.ndarray) -> Any:
        height, width, channels = pixels.shape
        # OpenCV writes blue first.
        encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        return self._log("Summary.Image", height=height, width=width, colorspace=channels, encoded_image_string=encoded)
