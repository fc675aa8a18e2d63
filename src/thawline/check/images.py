"""What is odd about images: files that cannot be used or are not what they seem, sizes, depths, aspects."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thawline.check.facts import ImageFacts, Survey
from thawline.check.finding import Finding, Severity
from thawline.check.naming import fits, named, short
from thawline.data.formats import EXTENSIONS
from thawline.data.sources.source import ImageSource
from thawline.figures import counted

CODES: dict[str, str] = {
    "image-unreadable": "error or warning: files that cannot be decoded; a warning where on_error='skip' left them out",
    "image-truncated": "warning: images that can be decoded, but a part of which is missing",
    "image-wrong-extension": "note: files whose content is of another format than their ending says",
    "image-blank": "warning: images of a single colour",
    "image-16-bit": "warning or note: images of 16 bits, which become 8; a warning where that leaves them nearly black",
    "image-cmyk": "note: images made of inks, whose colours are converted without their profile",
    "image-transparent": "note: images with transparent pixels, which are laid over the background",
    "image-turned": "note: images that a note of the camera turns or mirrors; other tools may not follow it",
    "image-tiny": "warning or note: images that are enlarged more than twice; a warning from a tenth of all images on",
    "image-huge": "note: images at least eight times as large as needed, which cost time to decode",
    "image-aspect": "warning or note: a quarter of the images or more change their shape, or lose a part, by resize; a "
    "warning where it is much",
}

# Values of a single colour; an encoder's noise is no picture.
_BLANK_SPREAD = 2

# 16 bits that hold 12 or fewer end below this; photos of 16 bits do not.
_DARK = 32

# Enlarged by more, along both sides: what the model was pretrained on, edges and texture, is not there.
_ENLARGED = 2.0

# From this share of all images on, a few odd ones are the rule.
_MANY = 0.1

# At least so many times as large as needed along both sides, and large in pixels: JPEGs can be decoded at an eighth.
_HUGE, _HUGE_PIXELS = 8.0, 4_000_000

# How much a quarter of the images change their aspect at least. 4:3 and 3:2 in a square are usual, 16:9 is 1.78.
_ASPECT_NOTE, _ASPECT_WARNING = 1.7, 3.0


def check_images(survey: Survey, source: ImageSource) -> list[Finding]:
    """Findings about the images of one source, from the facts of each.

    Args:
        survey: what `thawline.check.facts.survey(source)` gave.
        source: the images.
    """
    facts = [each for each in survey.facts if each.problem is None]
    identity = source.pictures.identity()
    colour = identity.get("color_mode", "rgb")
    background = tuple(identity.get("background", ()))
    return [
        *find_unreadable(survey.facts, source.unreadable),
        *find_truncated(facts),
        *find_wrong_extensions(facts),
        *find_blank(facts),
        *find_deep(facts),
        *find_cmyk(facts),
        *(find_transparent(facts, background) if colour != "rgba" else []),
        *find_turned(facts),
        *find_tiny(facts, source.pictures.shape[:2]),
        *find_huge(facts, source.pictures.shape[:2]),
        *find_aspects(facts, source.pictures.shape[:2], identity.get("resize", "stretch")),
    ]


def find_unreadable(facts: Sequence[ImageFacts], left_out: Sequence[tuple[Path, str]] = ()) -> list[Finding]:
    """Files that cannot be used: an error, unless all of them are left out already."""
    known = {path for path, _ in left_out}
    bad = [(each.path, each.problem) for each in facts if each.problem is not None and each.path not in known]
    fix = "Replace them or take them out, or leave them out with on_error='skip'."
    left_out_fix = "They are left out of the training; replace them or take them out."
    return _unreadable("error", bad, fix) + _unreadable("warning", left_out, left_out_fix)


def _unreadable(severity: Severity, listed: Sequence[tuple[Path, str]], fix: str) -> list[Finding]:
    if not listed:
        return []
    paths = tuple(path for path, _ in listed)
    reasons = [reason for _, reason in listed]
    # The error's advice is for one file; the finding gives its own, for all of them.
    reason = reasons[0].partition(". ")[0].rstrip(".")
    what = f"{counted(len(listed), 'file')} cannot be used: {named(paths)}. {short(paths[0])}: {reason}."
    return [Finding("image-unreadable", severity, what, fix, paths, (("reasons", reasons),))]


def find_truncated(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Images that decoders take although a part is missing."""
    found = [each for each in facts if each.doubt is not None]
    if not found:
        return []
    return [
        _finding(
            "image-truncated",
            "warning",
            found,
            f"{counted(len(found), 'image')} can be decoded, but a part is missing: {_names(found)}. In "
            f"{short(found[0].path)} {found[0].doubt}.",
            "Fetch the files again, or take them out.",
            ("reasons", [each.doubt for each in found]),
        )
    ]


def find_wrong_extensions(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Files whose ending names another format than their content has."""
    found = [
        each
        for each in facts
        if each.format is not None and EXTENSIONS.get(each.path.suffix.lower(), each.format) != each.format
    ]
    if not found:
        return []
    kinds = Counter(f"{each.format} named {each.path.suffix.lower()}" for each in found)
    return [
        _finding(
            "image-wrong-extension",
            "note",
            found,
            f"{counted(len(found), 'file')} {fits(len(found), 'has', 'have')} another format than the ending says ("
            f"{', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common())}): {_names(found)}.",
            "Here the content decides; rename them for tools that go by the ending.",
            ("formats", [each.format for each in found]),
        )
    ]


def find_blank(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Images of a single colour."""
    found = [each for each in facts if each.spread <= _BLANK_SPREAD]
    if not found:
        return []
    return [
        _finding(
            "image-blank",
            "warning",
            found,
            f"{counted(len(found), 'image')} {fits(len(found), 'shows', 'show')} a single colour and nothing else: "
            f"{_names(found)}.",
            "Look at them and take them out; what a label says of them cannot be learned.",
        )
    ]


def find_deep(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Images of 16 bits, and whether anything is left of them in 8."""
    found = [each for each in facts if each.bits == 16]
    if not found:
        return []
    dark = [each for each in found if each.brightest < _DARK]
    if dark:
        brightest = max(each.brightest for each in dark)
        return [
            _finding(
                "image-16-bit",
                "warning",
                dark,
                f"{counted(len(dark), 'image')} of 16 bits {fits(len(dark), 'is', 'are')} nearly black in 8 (no pixel "
                f"above {brightest} of 255), "
                f"because the numbers use a small part of the range: {_names(dark)}.",
                "Give the range of their numbers, like file_range=(0, 4095) for 12 bits, or each image's own by "
                "file_range='image'.",
                ("brightest", [each.brightest for each in dark]),
            )
        ]
    return [
        _finding(
            "image-16-bit",
            "note",
            found,
            f"{counted(len(found), 'image')} of {len(facts):,} with 16 bits per channel, scaled to 8: {_names(found)}.",
            "Nothing to do where 256 steps are enough and the whole range is used; else give file_range=.",
        )
    ]


def find_cmyk(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Images made of inks."""
    found = [each for each in facts if each.is_cmyk]
    if not found:
        return []
    return [
        _finding(
            "image-cmyk",
            "note",
            found,
            f"{counted(len(found), 'image')} of {len(facts):,} in CMYK, made for printing; colours are converted "
            f"without a profile and may be off: {_names(found)}.",
            "Convert them to RGB with the program that made them if colours matter.",
        )
    ]


def find_transparent(facts: Sequence[ImageFacts], background: tuple[int, ...]) -> list[Finding]:
    """Images through which the background shows."""
    found = [each for each in facts if each.is_transparent]
    if not found:
        return []
    return [
        _finding(
            "image-transparent",
            "note",
            found,
            f"{counted(len(found), 'image')} of {len(facts):,} with transparent pixels, which become the background "
            f"{background}: {_names(found)}.",
            "Choose background= so that what they show stands out, or color_mode='rgba'.",
        )
    ]


def find_turned(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Images that the camera's note turns."""
    found = [each for each in facts if each.is_turned]
    if not found:
        return []
    return [
        _finding(
            "image-turned",
            "note",
            found,
            f"{counted(len(found), 'image')} of {len(facts):,} turned upright by the camera's note in EXIF: "
            f"{_names(found)}.",
            "Nothing to do here; whatever else feeds the model must turn them, too (many tools do not).",
        )
    ]


def find_tiny(facts: Sequence[ImageFacts], image_size: tuple[int, int]) -> list[Finding]:
    """Images that are enlarged more than twice along both sides."""
    scales = _scales(facts, image_size)
    order = [int(place) for place in np.argsort(scales.min(axis=1)) if scales[place].max() < 1 / _ENLARGED]
    if not order:
        return []
    found = [facts[place] for place in order]
    smallest = found[0]
    return [
        _finding(
            "image-tiny",
            "warning" if len(found) >= _MANY * len(facts) else "note",
            found,
            f"{counted(len(found), 'image')} of {len(facts):,} enlarged more than twice to {_size(image_size)}, "
            f"the smallest from {smallest.width} x {smallest.height}: {_names(found)}.",
            "Take a smaller image_size, or larger originals.",
            ("sizes", [[each.width, each.height] for each in found]),
        )
    ]


def find_huge(facts: Sequence[ImageFacts], image_size: tuple[int, int]) -> list[Finding]:
    """Images that are many times larger than what the model sees of them."""
    scales = _scales(facts, image_size)
    pixels = np.array([each.width * each.height for each in facts], np.int64)
    huge = (scales.min(axis=1) >= _HUGE) & (pixels >= _HUGE_PIXELS)
    found = [facts[int(place)] for place in np.argsort(-pixels, kind="stable") if huge[place]]
    if not found:
        return []
    largest = found[0]
    return [
        _finding(
            "image-huge",
            "note",
            found,
            f"{counted(len(found), 'image')} of {len(facts):,} at least {_HUGE:.0f} times as high and wide as the "
            f"{_size(image_size)} that are used of them, the largest {largest.width} x {largest.height} "
            f"({largest.width * largest.height * 3 / 1e6:,.0f} MB when decoded): {_names(found)}.",
            "Decode them once with cache_pixels(), or faster with fast_jpeg=True, or keep smaller copies.",
            ("sizes", [[each.width, each.height] for each in found]),
        )
    ]


def find_aspects(facts: Sequence[ImageFacts], image_size: tuple[int, int], resize: str) -> list[Finding]:
    """What resize does to images of other aspects: a finding where a quarter of them or more change much."""
    known = [each for each in facts if each.width and each.height]
    if not known:
        return []
    scales = _scales(known, image_size)
    changes = scales.max(axis=1) / scales.min(axis=1)
    quarter = float(np.quantile(changes, 0.75))
    if quarter < _ASPECT_NOTE:
        return []
    lost = f"{1 - 1 / quarter:.0%}"
    effect, fix = {
        "stretch": (f"are stretched {quarter:.1f} times along one side", "Use resize='crop' or 'pad' to keep shapes"),
        "crop": (f"lose {lost} of their pixels", "Use resize='pad' to keep all of them"),
        "pad": (f"are {lost} background", "Use resize='crop' if the middle is enough"),
    }[resize]
    found = [known[int(place)] for place in np.argsort(-changes, kind="stable") if changes[place] >= quarter]
    worst = found[0]
    return [
        _finding(
            "image-aspect",
            "warning" if quarter >= _ASPECT_WARNING else "note",
            found,
            f"With resize={resize!r} to {_size(image_size)} a quarter of {len(known):,} images {effect} or more, the "
            f"first {short(worst.path)} ({worst.width} x {worst.height}).",
            f"{fix}, or choose an image_size of their aspect.",
            ("quantiles", {str(share): round(float(np.quantile(changes, share)), 2) for share in (0.5, 0.75, 0.95, 1)}),
        )
    ]


def _scales(facts: Sequence[ImageFacts], image_size: tuple[int, int]) -> np.ndarray:
    """How many times as high and wide as needed each image is, float64 (n, 2); 1 where it is not known."""
    sizes = [(each.height or image_size[0], each.width or image_size[1]) for each in facts]
    return np.array(sizes, np.float64).reshape(-1, 2) / image_size


def _finding(
    code: str,
    severity: Severity,
    found: Sequence[ImageFacts],
    what: str,
    fix: str,
    *evidence: tuple[str, object],
) -> Finding:
    paths = tuple(each.path for each in found)
    return Finding(code, severity, what, fix, paths, evidence)


def _names(found: Sequence[ImageFacts]) -> str:
    return named([each.path for each in found])


def _size(image_size: tuple[int, int]) -> str:
    return f"{image_size[1]} x {image_size[0]}"
