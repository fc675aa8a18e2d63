"""history.csv: losses and metrics of each epoch, there as soon as the epoch is over."""

import csv
import io
import math
from pathlib import Path

from thawline.files import write_text
from thawline.training.tracking.tracker import Curves, Tracker


class HistoryFile(Tracker):
    """Writes the curves to a CSV file after every epoch, whole or not at all.

    One line per epoch, counted from 1, with the number of its phase; a figure that the phase lacks is left empty.

    Args:
        path: the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "history.csv"
        >>> HistoryFile(path).epoch(Curves({"loss": [0.5, 0.25]}, [1, 1]))
        >>> path.read_text().splitlines()
        ['epoch,phase,loss', '1,1,0.5', '2,1,0.25']
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, curves: Curves) -> None:
        """Writes what is kept, without an epoch that was told, but not kept any more."""
        if len(curves):
            self.epoch(curves)

    def epoch(self, curves: Curves) -> None:
        """Writes all epochs."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", "phase", *curves.history])
        for epoch, (phase, *row) in enumerate(zip(curves.phases, *curves.history.values(), strict=True), start=1):
            writer.writerow([epoch, phase, *("" if math.isnan(value) else value for value in row)])
        write_text(self._path, text.getvalue())
