"""Finished runs by their folders; Keras is not needed to tell one."""

from pathlib import Path

from thawline.errors import RunError

RECIPE = "recipe.yaml"
METRICS = "metrics.json"


def check_finished(path: Path) -> None:
    """Refuses a folder that is not that of a finished run.

    Raises:
        RunError: there is no such folder, or the run is not finished.
    """
    if not (path / RECIPE).exists():
        raise RunError(f"No run in {str(path)!r}: expected a folder that  thawline train  wrote, like runs/flowers.")
    if not (path / METRICS).exists():
        raise RunError(f"The run {str(path)!r} is not finished. Continue it with  thawline train  and its recipe.")
