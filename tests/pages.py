"""Pages as tests read them, and a small whole report to make one of."""

import html.parser

import numpy as np

from thawline.report.value import Picture, PicturePair, Report, Sheet
from thawline.training.clock import Timing

VOID_TAGS = {"meta", "img", "br", "link", "input", "hr"}


class Page(html.parser.HTMLParser):
    """What a page holds; fails where a tag is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report_of(**changes) -> Report:
    """A small whole report, with some fields changed."""
    fields = {
        "title": "flowers",
        "facts": {"Data": "9 images", "Plan": "precomputed"},
        "history": {"loss": [1.5, 0.5], "accuracy": [0.5, 0.75], "val_loss": [1.25, 0.625], "val_accuracy": [0.5, 0.7]},
        "class_names": ["rose", "tulip"],
        "confusion": np.array([[4, 1], [0, 4]]),
        "timings": [Timing("extracting", 3.0, "900 images/s"), Timing("training", 1.0)],
        "sheets": [sheet_of(Picture(np.zeros((150, 150, 3), np.uint8), "rose, view 0"))],
    }
    return Report(**(fields | changes))


def sheet_of(*pictures: Picture | PicturePair) -> Sheet:
    return Sheet("Augmented images", "Images as the model saw them.", pictures)
