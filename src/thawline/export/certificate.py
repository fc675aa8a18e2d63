"""Certificate: how far an artefact's answers are from the stack's, and whether that is near enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The largest difference of answers where the model gets the same pixels, and where it decodes them otherwise. Answers
# above 1 are compared in relation to the largest one.
TOLERANCE = 1e-4
DECODING_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Group:
    """What was found on images of one kind.

    Attributes:
        kind: "held out", or what is odd about the images.
        images: how many there are.
        difference: the largest difference of answers; NaN where no image was answered.
        tolerance: what it may be.
        top1: share of images for which both name the same class; None where answers are no classes.
        pixels: the largest difference of pixels, 0 to 255, and the share of images in which any differs.
        refused: how many images the artefact did not read, and the first reason.
        reason: why differences are expected; empty where they are not.
    """

    kind: str
    images: int
    difference: float
    tolerance: float
    top1: float | None
    pixels: tuple[int, float]
    refused: tuple[int, str]
    reason: str = ""

    @property
    def is_within(self) -> bool:
        """Whether all images were answered, near enough."""
        return not self.refused[0] and self.difference <= self.tolerance


@dataclass(frozen=True)
class Certificate:
    """How an artefact's answers compare with the stack's.

    Attributes:
        format: the format.
        runtime: what ran it, with the version.
        groups: what was found, by kind of images.
        times: milliseconds for one image, the median: "file_ms" from the file on, "model_ms" the model alone.
        environment: versions and machine.
        failure: why the artefact did not run at all; empty where it did.
    """

    format: str
    runtime: str
    groups: Sequence[Group] = ()
    times: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def verified(self) -> bool:
        """Whether every image was answered, near enough."""
        return not self.failure and bool(self.groups) and all(group.is_within for group in self.groups)

    @property
    def images(self) -> int:
        """How many images were compared."""
        return sum(group.images for group in self.groups)

    @property
    def difference(self) -> float:
        """The largest difference of all answers."""
        return float(np.nanmax([group.difference for group in self.groups])) if self.groups else float("nan")

    @property
    def top1(self) -> float | None:
        """Share of all images for which both name the same class."""
        known = [(group.top1, group.images) for group in self.groups if group.top1 is not None]
        return sum(share * count for share, count in known) / sum(count for _, count in known) if known else None

    def as_dict(self) -> dict[str, Any]:
        """What certificate.json holds."""
        groups = [
            {
                "kind": group.kind,
                "images": group.images,
                "largest_difference": _known(group.difference),
                "tolerance": group.tolerance,
                "top1_agreement": group.top1,
                "largest_pixel_difference": group.pixels[0],
                "images_with_other_pixels": group.pixels[1],
                "refused": group.refused[0],
                "refused_because": group.refused[1],
                "reason": group.reason,
                "within_tolerance": group.is_within,
            }
            for group in self.groups
        ]
        return {
            "format": self.format,
            "runtime": self.runtime,
            "verified": self.verified,
            "failure": self.failure,
            "images": self.images,
            "largest_difference": _known(self.difference),
            "top1_agreement": self.top1,
            "milliseconds_per_image": self.times,
            "groups": groups,
            "environment": self.environment,
        }

    def __str__(self) -> str:
        if self.failure:
            return f"{self.format}: NOT verified: it does not run in {self.runtime}: {self.failure}"
        top1 = "" if self.top1 is None else f", same class for {self.top1:.1%}"
        lines = [
            f"{self.format}: {'verified' if self.verified else 'NOT verified'} in {self.runtime} on {self.images} "
            f"images: largest difference {self.difference:.1e}{top1}"
        ]
        if self.times:
            lines[0] += f"; {self.times['model_ms']:.1f} ms per image, {self.times['file_ms']:.1f} ms from the file on"
        for group in self.groups:
            if group.refused[0]:
                lines.append(
                    f"  {group.kind}: {group.refused[0]} of {group.images} images were not read, first: "
                    f"{group.refused[1]}"
                )
            if not group.difference <= group.tolerance and group.refused[0] < group.images:
                lines.append(f"  {group.kind}: {group.difference:.1e} apart, at most {group.tolerance:.0e} is allowed")
            if group.reason:
                lines.append(f"  {group.kind}: {group.reason}")
        return "\n".join(lines)


def compare(
    kind: str,
    expected: Sequence[np.ndarray],
    given: Sequence[np.ndarray],
    pixels: tuple[np.ndarray, np.ndarray],
    refused: Sequence[str],
) -> Group:
    """What answers for images of one kind have in common.

    Args:
        kind: the kind.
        expected: the stack's answers by output, (n, ...), for images that were read.
        given: the artefact's.
        pixels: what both saw, uint8 (n, height, width, channels).
        refused: for each further image why it was not read.
    """
    count = len(pixels[0])
    apart = np.abs(pixels[0].astype(np.int16) - pixels[1].astype(np.int16))
    apart = apart.reshape(count, int(np.prod(apart.shape[1:])))
    differs = bool(apart.size and apart.max())
    differences = [difference(*both) for both in zip(expected, given, strict=True)] if count else [float("nan")]
    is_classes = len(expected) == 1 and expected[0].ndim == 2 and count > 0
    reason = ""
    if differs:
        reason = (
            f"pixels differ by up to {apart.max()} of 255 in {np.mean(apart.max(axis=1) > 0):.0%} of the images: "
            "the format decodes or resizes otherwise"
        )
    return Group(
        kind=kind,
        images=count + len(refused),
        difference=max(differences),
        tolerance=DECODING_TOLERANCE if differs else TOLERANCE,
        top1=float(np.mean(_classes(expected[0]) == _classes(given[0]))) if is_classes else None,
        pixels=(int(apart.max()) if apart.size else 0, float(np.mean(apart.max(axis=1) > 0)) if apart.size else 0.0),
        refused=(len(refused), refused[0] if refused else ""),
        reason=reason,
    )


def difference(expected: np.ndarray, given: np.ndarray) -> float:
    """The largest difference; in relation to the largest expected value where that is above 1.

    Anything that is no number, or of another shape, is infinitely far.

    Example:
        >>> difference(np.array([[0.5, -20.0]]), np.array([[0.5, -20.2]])).__round__(3)
        0.01
    """
    if expected.shape != given.shape or not np.all(np.isfinite(given)):
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    return float(np.abs(expected.astype(np.float64) - given).max(initial=0)) / scale


def _classes(answers: np.ndarray) -> np.ndarray:
    """The class that each answer names; of a single probability that of the second class from one half up."""
    classes: np.ndarray = answers[:, 0] >= 0.5 if answers.shape[1] == 1 else answers.argmax(axis=1)
    return classes


def _known(value: float) -> float | None:
    """A number as JSON can say it."""
    return value if np.isfinite(value) else None
