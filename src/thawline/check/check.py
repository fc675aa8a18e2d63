"""Everything that can be checked before a training: images, splits, labels, joints, heads and habits."""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thawline.check.classes import check_classes
from thawline.check.facts import Survey, survey
from thawline.check.finding import SEVERITIES, Finding, worst_first
from thawline.check.habits import check_habits
from thawline.check.heads import check_head
from thawline.check.images import check_images
from thawline.check.joints import check_joints
from thawline.check.neighbours import check_neighbours
from thawline.check.splits import check_splits
from thawline.data.sources.source import ImageSource
from thawline.data.splits import Groups
from thawline.errors import JointError
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.fingerprint import row_key
from thawline.features.opening import open_features
from thawline.features.options import FeatureOptions
from thawline.figures import counted
from thawline.progress import format_seconds
from thawline.stack.series import StageSeries
from thawline.stack.stage import Stage
from thawline.training.compiled import Compiled
from thawline.training.part import make_part
from thawline.training.phase import Phase

CODES: dict[str, str] = {
    "check-untrusted": "note: neighbours were not looked at, because features of a stack with errors say nothing",
}

_UNTRUSTED = Finding(
    "check-untrusted",
    "note",
    "Near duplicates and likely wrong labels were not looked for: the frozen part does not get what it expects.",
    "Mend the errors of the joints, and check again.",
)

# Features that are read at a time, before they are averaged over the image.
_READ_ROWS = 256


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes:
        findings: the worst first.
        images: how many images were looked at.
        seconds: how long it took.
    """

    findings: tuple[Finding, ...]
    images: int
    seconds: float

    @property
    def has_errors(self) -> bool:
        """Whether a finding is an error: results would be wrong, or training would fail."""
        return any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        kinds = [sum(finding.severity == severity for finding in self.findings) for severity in SEVERITIES]
        counts = [counted(count, severity) for severity, count in zip(SEVERITIES, kinds, strict=True) if count]
        found = ", ".join(counts) or "nothing to complain about"
        where = f"{found} in {counted(self.images, 'image')} and the stack ({format_seconds(self.seconds)})"
        return "\n".join([*map(str, self.findings), where])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "findings": [finding.as_dict() for finding in self.findings],
            "images": self.images,
            "seconds": round(self.seconds, 3),
        }


def check(
    stages: Sequence[Stage],
    train: ImageSource,
    validation: ImageSource | None,
    *,
    compiled: Compiled | None,
    phases: Sequence[Phase] = (),
    groups: Groups | None = None,
    features: FeatureOptions,
    show_progress: bool = True,
) -> Check:
    """Looks at all images once and at the stack, as `thawline.Stack.check` says; stages may not fit each other."""
    began = time.perf_counter()
    of_train = survey(train, show_progress=show_progress)
    of_validation = None if validation is None else survey(validation, show_progress=show_progress)
    findings = _merged([*check_images(of_train, train), *_check_validation_images(of_validation, validation)])
    findings += check_classes(train)
    findings += check_splits(train, validation, of_train, of_validation, groups=groups)
    joints = check_joints(stages, train)
    findings += joints
    try:
        series = StageSeries(stages)
    except JointError:
        # What does not fit is among the findings, and nothing can run before it does.
        series = None
    if series is not None:
        findings += _check_heads(series, train, compiled, phases)
        findings += check_habits(series, train, phases, compiled)
    if any(finding.severity == "error" for finding in joints):
        findings.append(_UNTRUSTED)
    elif series is not None and not series.is_frozen and series.cut().has_frozen_weights:
        sides = (
            [(train, of_train)]
            if validation is None or of_validation is None
            else [(train, of_train), (validation, of_validation)]
        )
        findings += _check_by_features(series, sides, features, show_progress)
    count = len(train) + (0 if validation is None else len(validation))
    return Check(tuple(worst_first(findings)), count, time.perf_counter() - began)


def _check_validation_images(looked: Survey | None, validation: ImageSource | None) -> list[Finding]:
    return [] if looked is None or validation is None else check_images(looked, validation)


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Findings without those that both sides of a split tell alike, as of files that all sides leave out."""
    return list({(finding.code, finding.what): finding for finding in findings}.values())


def _check_heads(
    series: StageSeries, train: ImageSource, compiled: Compiled | None, phases: Sequence[Phase]
) -> list[Finding]:
    if compiled is None:
        return check_head(series, train)
    if not phases:
        return check_head(series, train, loss=compiled.options["loss"], metrics=compiled.options["metrics"])
    findings = []
    for number, phase in enumerate(phases, start=1):
        part = make_part(series, phase, number)
        options = compiled.phase_options(part)
        findings += check_head(part.series, train, loss=options["loss"], metrics=options["metrics"], phase=number)
    return _merged(findings)


def _check_by_features(
    series: StageSeries, sides: Sequence[tuple[ImageSource, Survey]], features: FeatureOptions, show_progress: bool
) -> list[Finding]:
    """Findings by neighbours: a frozen base says what images have in common."""
    (train, of_train), *others = sides
    validation, of_validation = others[0] if others else (None, None)
    with contextlib.ExitStack() as context:
        if features.cache_problem:
            # What cannot be kept lies elsewhere until the check is over.
            place = context.enter_context(tempfile.TemporaryDirectory(prefix="thawline-", ignore_cleanup_errors=True))
            features = replace(features, cache=FeatureCache(place))
        pooled = [_pooled_features(series, source, looked, features, show_progress) for source, looked in sides]
    return check_neighbours(train, validation, pooled[0], pooled[1] if others else None, of_train, of_validation)


def _pooled_features(
    series: StageSeries, source: ImageSource, looked: Survey, options: FeatureOptions, show_progress: bool
) -> np.ndarray:
    """What the frozen part says of each image, averaged over it, float32 (n, d); zeros where an image has a problem."""
    usable = np.flatnonzero(looked.are_usable)
    if not len(usable):
        return np.zeros((len(source), 1), np.float32)
    images = source.unaugmented().select(usable)
    prefix = options.prefix(series.cut())
    kept = open_features(options.opened_cache, prefix, images)
    extract(images, 1, prefix, kept, description="comparing images", show_progress=show_progress)
    keys = [row_key(key, 0) for key in images.view_keys(show_progress=False)]
    parts = [
        np.concatenate([_average(tensor) for tensor in kept.read(keys[start : start + _READ_ROWS])], axis=1)
        for start in range(0, len(keys), _READ_ROWS)
    ]
    pooled = np.zeros((len(source), parts[0].shape[1]), np.float32)
    pooled[usable] = np.concatenate(parts)
    return pooled


def _average(tensor: np.ndarray) -> np.ndarray:
    """Features averaged over all axes between image and channel, float32 (n, channels)."""
    values = tensor.reshape(len(tensor), -1, tensor.shape[-1]) if tensor.ndim > 1 else tensor.reshape(-1, 1, 1)
    averages: np.ndarray = values.mean(axis=1, dtype=np.float32)
    return averages
