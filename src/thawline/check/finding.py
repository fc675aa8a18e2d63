"""Finding: one thing that is not as it should be, with what shows it and what to do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]

# From the worst to the mildest.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        code: what kind it is, lower-case words with hyphens like "image-truncated"; codes never change their meaning.
        severity: "error": results would be wrong or training would fail; "warning": it costs accuracy or time, or is
            probably not meant; "note": good to know.
        what: one sentence that names the thing and what shows it, with figures.
        fix: one sentence that says what to do.
        paths: the files it is about, the worst first.
        evidence: plain values that show it, for JSON and the report.

    Example:
        >>> print(Finding("class-empty", "error", "Class 'roses' has no images.", "Take its folder away."))
        error    class-empty: Class 'roses' has no images. Take its folder away.
    """

    code: str
    severity: Severity
    what: str
    fix: str
    paths: tuple[Path, ...] = ()
    evidence: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.severity:<8} {self.code}: {self.what} {self.fix}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "paths": [str(path) for path in self.paths], "evidence": dict(self.evidence)}


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings by severity, otherwise in their order.

    Example:
        >>> note, error = Finding("a", "note", "", ""), Finding("b", "error", "", "")
        >>> [finding.code for finding in worst_first([note, error])]
        ['b', 'a']
    """
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
