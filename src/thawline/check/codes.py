"""All codes of findings in one table, for the documentation and the tests.

Codes never change their meaning; each file of checks has those of its own findings.
"""

from collections.abc import Mapping

from thawline.check import check, classes, features, fronts, habits, heads, images, joints, neighbours, splits
from thawline.check.finding import SEVERITIES, Severity

# Titles with the beginning of the codes below them, in the order in which a project is looked at.
_ROOMS = (
    ("Images", ("image",)),
    ("Classes", ("class",)),
    ("Splits and labels", ("split", "label")),
    ("Joints between images and stages", ("joint",)),
    ("Features", ("features",)),
    ("Heads, losses and metrics", ("head",)),
    ("Habits", ("habit",)),
    ("The check itself", ("check",)),
)

CODES: Mapping[str, str] = {
    code: meaning
    for part in (images, classes, splits, neighbours, joints, fronts, features, heads, habits, check)
    for code, meaning in part.CODES.items()
}

_HEAD = """# What `thawline check` finds

Each finding has a code, a severity, what shows it with figures, and what to do. `thawline check RECIPE` ends with exit
code 1 when one is an error; `--json` gives all of them as

```json
{"findings": [{"code": "...", "severity": "...", "what": "...", "fix": "...", "paths": [], "evidence": {}}],
 "images": 2000, "seconds": 12.3}
```

**error**: results would be wrong, or training would fail. **warning**: it costs accuracy or time, or is probably not
meant. **note**: good to know. Codes never change their meaning.

`python scripts/write_pages.py` writes this page from the program.
"""


def split_meaning(code: str) -> tuple[tuple[Severity, ...], str]:
    """The severities that findings of a code may have, the worst first, and what such a finding says.

    Example:
        >>> split_meaning("joint-unscaled")
        (('error', 'warning'), 'pixels enter as 0 to 255 where small numbers are expected')
    """
    severities, _, meaning = CODES[code].partition(": ")
    said = severities.split(" or ")
    return tuple(severity for severity in SEVERITIES if severity in said), meaning


def checks_page() -> str:
    """The page `docs/checks.md`: every code with its severities and its meaning, in Markdown."""
    lines = [_HEAD]
    for title, beginnings in _ROOMS:
        lines += [f"## {title}", "", "| code | severity | what was found |", "|---|---|---|"]
        for code in CODES:
            if code.partition("-")[0] in beginnings:
                severities, meaning = split_meaning(code)
                lines.append(f"| `{code}` | {', '.join(severities)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)
