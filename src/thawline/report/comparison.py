"""Runs beside each other: what differs in their recipes, results and speed, and on which images they disagree."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from thawline.errors import ArgumentError
from thawline.report.predictions import Predictions, read_predictions
from thawline.report.settings import dotted
from thawline.training.run_folder.run import RunFolder

# Two runs differ in these by nature.
_OWN_KEYS = ("run.name", "run.folder")

# Where a recipe has no such key, or a run no such figure.
ABSENT = "-"


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a finished run left behind, as far as it is compared.

    Attributes:
        name: how the run is called here: its folder's name, or its path where two have the same.
        path: the folder.
        recipe: by dotted key, what the recipe says.
        metrics: what `metrics.json` holds.
        predictions: its answers.
    """

    name: str
    path: str
    recipe: Mapping[str, str]
    metrics: Mapping[str, Any]
    predictions: Predictions


@dataclass(frozen=True)
class Disagreement:
    """An image that runs answered differently.

    Attributes:
        path: its file, as the first run read it.
        label: its class.
        answers: for each run the class that it named.
        probabilities: for each run how sure it was, 0 to 1.
    """

    path: str
    label: str
    answers: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other; every row has one value for each run, in their order.

    Attributes:
        names: what the runs are called.
        recipe: the keys in which recipes differ, with their values; names and folders of runs aside.
        result: figures on the runs' own held-out images: accuracy, calibration error, losses, shares from 0 to 1.
        recall: for each class the share of its images that were recognised, on the runs' own held-out images; nan where
            a run has no such class or no image of it.
        speed: seconds of the parts of each run, and per epoch; nan where a run has no such part.
        held_out: how many images each run was measured on.
        common: how many images all of them were measured on.
        accuracy: on these, the share of right answers, 0 to 1.
        only_right: on these, how many the run answered right and the first run wrong.
        only_wrong: on these, how many the run answered wrong and the first run right.
        chance: how often two runs of equal quality differ by that much, 0 to 1; 1 for the first run.
        disagreements: the common images that runs answered differently: first those that some answered right, the
            surest first.
    """

    names: tuple[str, ...]
    recipe: tuple[tuple[str, tuple[str, ...]], ...]
    result: tuple[tuple[str, tuple[float, ...]], ...]
    recall: tuple[tuple[str, tuple[float, ...]], ...]
    speed: tuple[tuple[str, tuple[float, ...]], ...]
    held_out: tuple[int, ...]
    common: int
    accuracy: tuple[float, ...]
    only_right: tuple[int, ...]
    only_wrong: tuple[int, ...]
    chance: tuple[float, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def have_same_images(self) -> bool:
        """Whether all runs were measured on the same images."""
        return all(count == self.common for count in self.held_out)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None where a figure is not known."""
        return {
            "runs": list(self.names),
            **{
                part: {key: dict(zip(self.names, map(_plain, values), strict=True)) for key, values in rows}
                for part, rows in (
                    ("recipe", self.recipe),
                    ("result", self.result),
                    ("recall", self.recall),
                    ("speed", self.speed),
                )
            },
            "images": {
                "held_out": dict(zip(self.names, self.held_out, strict=True)),
                "common": self.common,
                **{
                    key: dict(zip(self.names, map(_plain, values), strict=True))
                    for key, values in (
                        ("accuracy", self.accuracy),
                        ("only_right", self.only_right),
                        ("only_wrong", self.only_wrong),
                        ("chance", self.chance),
                    )
                },
            },
            "disagreements": [
                {
                    "path": each.path,
                    "label": each.label,
                    "answers": dict(zip(self.names, each.answers, strict=True)),
                    "probabilities": dict(zip(self.names, map(_plain, each.probabilities), strict=True)),
                }
                for each in self.disagreements
            ],
        }


def read_run(run: RunFolder, name: str) -> RunResult:
    """What a finished run left behind.

    Raises:
        RunError: the run kept no answers.
    """
    recipe = yaml.safe_load(run.recipe_path.read_text(encoding="utf-8"))
    metrics = json.loads(run.metrics_path.read_text(encoding="utf-8"))
    answers = read_predictions(run.predictions_path)
    return RunResult(name, str(run.path), {key: str(value) for key, value in dotted(recipe)}, metrics, answers)


def compare_runs(runs: Sequence[RunResult]) -> Comparison:
    """Sets runs beside each other; the first is what the others are measured by.

    Images are the same when their files have the same content; one that a run has twice counts once.

    Raises:
        ArgumentError: fewer than two runs.
    """
    if len(runs) < 2:
        raise ArgumentError(f"Two runs or more are compared; got {len(runs)}. Name their folders, like runs/a runs/b.")
    rows = [{digest: row for row, digest in reversed([*enumerate(run.predictions.digests)])} for run in runs]
    common = [digest for digest in rows[0] if all(digest in found for found in rows)]
    common.sort(key=lambda digest: rows[0][digest])
    places = [[found[digest] for digest in common] for found in rows]
    is_right = [
        [run.predictions.answers[row] == run.predictions.labels[row] for row in chosen]
        for run, chosen in zip(runs, places, strict=True)
    ]
    only_right = tuple(
        sum(own and not first for own, first in zip(each, is_right[0], strict=True)) for each in is_right
    )
    only_wrong = tuple(
        sum(first and not own for own, first in zip(each, is_right[0], strict=True)) for each in is_right
    )
    return Comparison(
        names=tuple(run.name for run in runs),
        recipe=_differences([run.recipe for run in runs]),
        result=_results(runs),
        recall=_recalls(runs),
        speed=_speed(runs),
        held_out=tuple(len(found) for found in rows),
        common=len(common),
        accuracy=tuple(sum(each) / len(each) if each else math.nan for each in is_right),
        only_right=only_right,
        only_wrong=only_wrong,
        chance=tuple(sign_test(*counts) for counts in zip(only_right, only_wrong, strict=True)),
        disagreements=_disagreements(runs, places),
    )


def describe_images(found: Comparison) -> str:
    """Which images answers are compared on, in a sentence."""
    if found.have_same_images:
        return f"All were measured on the same {found.common:,} images."
    counts = ", ".join(f"{name} on {count:,}" for name, count in zip(found.names, found.held_out, strict=True))
    if not found.common:
        return f"No image was held out by all of them ({counts}), so that answers cannot be compared one by one."
    return f"They were measured on different images ({counts}); here only the {found.common:,} that all have count."


def sign_test(wins: int, losses: int) -> float:
    """How often two equally good models differ by that much or more, 0 to 1, both sides together.

    Of n images that exactly one of them answers right, each is as likely to win either: the exact test by the binomial
    distribution. Source: McNemar (1947), Note on the Sampling Error of the Difference Between Correlated Proportions.

    Example:
        >>> sign_test(5, 5), round(sign_test(6, 0), 9)
        (1.0, 0.03125)
    """
    n = wins + losses
    # By logarithms: the counts of combinations of many images are no floats.
    logarithms = (
        math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1) - n * math.log(2)
        for count in range(max(wins, losses), n + 1)
    )
    return min(1.0, 2 * math.fsum(map(math.exp, logarithms)))


def _differences(recipes: Sequence[Mapping[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    keys = dict.fromkeys(key for recipe in recipes for key in recipe if key not in _OWN_KEYS)
    rows = [(key, tuple(recipe.get(key, ABSENT) for recipe in recipes)) for key in keys]
    return tuple((key, values) for key, values in rows if len(set(values)) > 1)


def _results(runs: Sequence[RunResult]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    rows = [
        ("accuracy", tuple(_number(run.metrics.get("accuracy")) for run in runs)),
        ("calibration error", tuple(_number(run.metrics.get("calibration_error")) for run in runs)),
    ]
    last = [run.metrics.get("last_epoch", {}) for run in runs]
    names = dict.fromkeys(name for figures in last for name in figures)
    rows += [(f"{name} (last epoch)", tuple(_number(figures.get(name)) for figures in last)) for name in names]
    return tuple(row for row in rows if not all(map(math.isnan, row[1])))


def _recalls(runs: Sequence[RunResult]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    recalls = [{each["name"]: _number(each["recall"]) for each in run.metrics["classes"]} for run in runs]
    names = dict.fromkeys(name for found in recalls for name in found)
    return tuple((name, tuple(found.get(name, math.nan) for found in recalls)) for name in names)


def _speed(runs: Sequence[RunResult]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    seconds = [run.metrics.get("seconds", {}) for run in runs]
    labels = dict.fromkeys(label for found in seconds for label in found)
    rows = [(label, tuple(_number(found.get(label)) for found in seconds)) for label in labels]
    rows.append(("all", tuple(float(sum(found.values())) for found in seconds)))
    epochs = [run.metrics.get("epoch_seconds") or [math.nan] for run in runs]
    rows.append(("per epoch", tuple(sum(found) / len(found) for found in epochs)))
    return tuple(rows)


def _disagreements(runs: Sequence[RunResult], places: Sequence[Sequence[int]]) -> tuple[Disagreement, ...]:
    found = []
    for rows in zip(*places, strict=True):
        answers = tuple(run.predictions.answers[row] for run, row in zip(runs, rows, strict=True))
        if len(set(answers)) == 1:
            continue
        sure = tuple(float(run.predictions.probabilities[row].max()) for run, row in zip(runs, rows, strict=True))
        first = runs[0].predictions
        found.append(Disagreement(first.paths[rows[0]], first.labels[rows[0]], answers, sure))
    return tuple(sorted(found, key=lambda each: (each.label not in each.answers, -sum(each.probabilities))))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
