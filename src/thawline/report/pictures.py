"""Pictures inside a page: as data URIs, no larger than they are shown."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from thawline.errors import ArgumentError
from thawline.report.value import Picture, PicturePair, Sheet, ShownFinding

# Pictures are shown at up to 150 px, and twice that on dense screens.
PICTURE_SIDE = 300

# A finding may name every image there is.
LISTED_PATHS = 200

# JPEG blurs small pictures, and PNG costs little there.
PNG_SIDE = 64


def show_sheet(sheet: Sheet) -> dict[str, object]:
    """What the page shows of a sheet."""
    return {"title": sheet.title, "text": sheet.text, "pictures": [_show(picture) for picture in sheet.pictures]}


def show_findings(findings: Sequence[ShownFinding]) -> list[dict[str, object]]:
    """What the page shows of findings: their words, pictures, and the files that they name."""
    return [
        {
            "finding": shown.finding,
            "pictures": [_show(picture) for picture in shown.pictures],
            "paths": [str(path) for path in shown.finding.paths[:LISTED_PATHS]],
            "more": max(len(shown.finding.paths) - LISTED_PATHS, 0),
        }
        for shown in findings
    ]


def _show(picture: Picture | PicturePair) -> dict[str, object]:
    """What the page shows of a picture, or of two beside each other."""
    if isinstance(picture, PicturePair):
        return {"caption": picture.caption, "pair": [_embed(picture.left), _embed(picture.right)]}
    return {"caption": picture.caption, "pair": None, **_embed(picture)}


def _embed(picture: Picture) -> dict[str, object]:
    """A picture as a data URI, made smaller where it is larger than it can be shown."""
    pixels = picture.pixels
    scale = PICTURE_SIDE / max(pixels.shape[:2])
    if scale < 1:
        height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
        # OpenCV drops the last axis of a grey picture.
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    height, width, channels = pixels.shape
    # OpenCV's encoders take blue, green, red.
    ordered = np.ascontiguousarray(pixels[..., ::-1]) if channels == 3 else pixels
    is_small = max(height, width) <= PNG_SIDE
    suffix, kind, options = (".png", "png", []) if is_small else (".jpg", "jpeg", [cv2.IMWRITE_JPEG_QUALITY, 88])
    done, data = cv2.imencode(suffix, ordered, options)
    if not done:
        raise ArgumentError(f"Picture {picture.caption!r} of shape {pixels.shape} cannot be encoded. Leave it out.")
    return {
        "uri": f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}",
        "alt": picture.caption,
        "width": width,
        "height": height,
        "is_small": is_small,
    }
