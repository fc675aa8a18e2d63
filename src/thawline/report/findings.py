"""Findings with pictures of the files that they name: pairs beside each other, suspects with both classes."""

from collections.abc import Sequence
from pathlib import Path

from thawline.check.finding import Finding
from thawline.check.naming import short
from thawline.data.decode import Decoding, decode
from thawline.errors import UnreadableImageError
from thawline.report.value import Picture, PicturePair, ShownFinding

# Pictures for one finding: enough to see what kind of thing it is.
_PICTURES, _PAIRS = 12, 6

# As large as the page shows them.
_DECODING = Decoding((300, 300), resize="pad", background=(128, 128, 128))


def show_found(findings: Sequence[Finding]) -> list[ShownFinding]:
    """Findings with some of their files as pictures; files that cannot be read or decoded are left out."""
    return [ShownFinding(finding, _pictures(finding)) for finding in findings]


def _pictures(finding: Finding) -> Sequence[Picture | PicturePair]:
    """Which kind of pictures a finding has is told by its evidence."""
    evidence = dict(finding.evidence)
    if "suspects" in evidence:
        captions = [
            (Path(path), f"{short(Path(path))}: labelled {label}, near {other} ({100 * strength:.0f} %)")
            for path, label, other, strength in evidence["suspects"]
        ]
        return readable_pictures(captions[:_PICTURES])
    pairs = [(Path(pair[0]), Path(pair[1])) for pair in evidence.get("pairs", ()) if finding.paths]
    pairs += [(Path(copies[0][0]), Path(copies[1][0])) for copies in evidence.get("copies", ())]
    if pairs:
        return _pairs(pairs[:_PAIRS])
    return readable_pictures([(path, short(path)) for path in finding.paths[:_PICTURES]])


def _pairs(pairs: Sequence[tuple[Path, Path]]) -> list[PicturePair]:
    shown = []
    for one, other in pairs:
        sides = readable_pictures([(one, short(one)), (other, short(other))])
        if len(sides) == 2:
            shown.append(PicturePair(sides[0], sides[1], f"{short(one)} and {short(other)}"))
    return shown


def readable_pictures(captions: Sequence[tuple[Path, str]]) -> list[Picture]:
    """Files with their captions as pictures, as far as they can be read and decoded."""
    pictures = []
    for path, caption in captions:
        try:
            pictures.append(Picture(decode(path.read_bytes(), _DECODING, name=str(path)), caption))
        except (OSError, UnreadableImageError):
            continue
    return pictures
