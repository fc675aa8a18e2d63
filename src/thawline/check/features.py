"""Features: what a stage gives for a few real images, judged as arrays.

Thresholds were set with EfficientNet-Lite0 (ImageNet weights) on photos of fabric and with eight backbones of
keras.applications with random weights on the same photos. Features of random networks are small, down to 1e-12, and yet
differ from image to image; small is therefore no finding.
"""

from typing import Any

import numpy as np

from thawline.check.finding import Finding, Severity

CODES: dict[str, str] = {
    "features-nan": "error: a stage gives values that are no finite numbers",
    "features-dead": "error: a stage gives only zeros",
    "features-constant": "warning: a stage gives nearly the same for every image",
    "features-huge": "warning: a stage gives values beyond 10,000",
    "features-dead-channels": "note: most channels of a stage are zero for every image",
}

# Beyond this, gradients of what follows are as large, and float16 ends at 65,504. Right ones stayed below 20.
_HUGE = 1e4

# The spread over images as a share of the size of the values: 0.11 to 0.84 for right scaling, with random weights and
# without; 0.012 for a base whose images were scaled twice. Images themselves have to differ more than tenfold of that.
_NEARLY_CONSTANT = 0.03
_SHARE_OF_IMAGES = 0.1

# Photos of one kind leave 47 % of Lite0's 1,280 channels at zero; scaled twice it is 84 %.
_MOST_CHANNELS = 0.8
_FEWEST_CHANNELS = 16


def judge_features(
    stage: str, features: np.ndarray, *, images_spread: float | None = None, is_answer: bool = False
) -> list[Finding]:
    """What is wrong with the features of a few images.

    Args:
        stage: the stage's name.
        features: what it gives for n images, any numbers (n, ...), channels last.
        images_spread: how much the images differ, from `spread`; None where they are not known to differ: what is
            equal for all of them is no finding then.
        is_answer: whether these are the last stage's answers, which may be close together before training; then only
            equal ones are a finding, and channels are not looked at.

    Returns:
        Findings with codes of `CODES`.

    Example:
        >>> [finding.code for finding in judge_features("base", np.zeros((4, 2, 2, 32)))]
        ['features-dead']
    """
    values = np.asarray(features, np.float64).reshape(len(features), -1)
    odd = ~np.isfinite(values)
    if odd.any():
        images = int(odd.any(axis=1).sum())
        return [
            _finding(
                "features-nan",
                f"Stage {stage!r} gives {odd.sum():,} values that are no finite numbers, in {images} of {len(values)} "
                "images.",
                "Look at its weights, and at divisions, logarithms and roots in its layers.",
                images=images,
                values=int(odd.sum()),
            )
        ]
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return [
            _finding(
                "features-dead",
                f"Stage {stage!r} gives only zeros for all {len(values)} images, so that nothing behind it can learn.",
                "Look at the values that enter it, and at its last activation: a ReLU of negative values is 0.",
                images=len(values),
            )
        ]
    found = []
    if largest > _HUGE:
        found.append(
            _finding(
                "features-huge",
                f"Stage {stage!r} gives values up to {largest:.3g}; what follows gets gradients as large.",
                "Scale the images to what it expects, or put a BatchNormalization behind it.",
                largest=largest,
            )
        )
    differs = spread(values)
    limit = 0.0 if is_answer else min(_NEARLY_CONSTANT, _SHARE_OF_IMAGES * (images_spread or 0.0))
    if images_spread and len(values) > 1 and differs <= limit:
        found.append(
            _finding(
                "features-constant",
                f"Stage {stage!r} gives nearly the same for {len(values)} different images: its values differ by "
                f"{differs:.2g} of their size, those of the images by {images_spread:.2g}.",
                "Look at the values that enter it; images that are scaled twice look alike.",
                spread=differs,
                images_spread=images_spread,
            )
        )
    if not is_answer:
        found += _dead_channels(stage, np.asarray(features))
    return found


def spread(values: np.ndarray) -> float:
    """How much rows differ from each other: their standard deviation as a share of their root mean square.

    Args:
        values: finite numbers (n, ...).

    Returns:
        0 for equal rows, up to 1 for rows without anything in common.

    Example:
        >>> spread(np.array([[2.0, 2.0], [2.0, 2.0]])), spread(np.array([[1.0], [-1.0]]))
        (0.0, 1.0)
    """
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    # Squares of values as small as a random network's would vanish.
    largest = np.abs(rows).max(initial=0.0)
    if largest == 0.0 or (rows == rows[0]).all():
        return 0.0
    rows = rows / largest
    return float(np.sqrt(rows.var(axis=0).mean() / np.square(rows).mean()))


def judge_range(stage: str, given_by: str, values: np.ndarray, wanted: tuple[float, float]) -> list[Finding]:
    """Whether values that were measured leave the range that a stage declares.

    Args:
        stage: the stage that declares the range.
        given_by: the stage before it.
        values: what that one gives for a few images, finite numbers.
        wanted: the declared range.

    Returns:
        A finding "joint-range", or none.
    """
    low, high = float(np.min(values)), float(np.max(values))
    slack = 0.1 * (wanted[1] - wanted[0])
    if low >= wanted[0] - slack and high <= wanted[1] + slack:
        return []
    return [
        Finding(
            "joint-range",
            "warning",
            f"Stage {stage!r} declares value_range [{wanted[0]:g}, {wanted[1]:g}], but {given_by!r} gives values from "
            f"{low:.3g} to {high:.3g} for {len(values)} images.",
            f"Put an activation or a Rescaling at the end of {given_by!r}, or declare what {stage!r} takes.",
            evidence=(("low", low), ("high", high)),
        )
    ]


def _dead_channels(stage: str, features: np.ndarray) -> list[Finding]:
    channels = features.shape[-1]
    if features.ndim < 2 or channels < _FEWEST_CHANNELS:
        return []
    dead = int((features.reshape(-1, channels) == 0).all(axis=0).sum())
    if dead <= _MOST_CHANNELS * channels:
        return []
    return [
        _finding(
            "features-dead-channels",
            f"{dead:,} of {channels:,} channels of stage {stage!r} are zero for all {len(features)} images.",
            "Look at the values that enter it; with right ones fewer channels would do.",
            dead=dead,
            channels=channels,
        )
    ]


def _finding(code: str, what: str, fix: str, **evidence: Any) -> Finding:
    severity: Severity = CODES[code].partition(":")[0]  # type: ignore[assignment]
    return Finding(code, severity, what, fix, evidence=tuple(evidence.items()))
