"""The report: its page says what it should, and is whole, harmless and needs nothing else."""

import base64
import html.parser
import math
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from thawline.errors import ArgumentError
from thawline.report.page import write_report
from thawline.report.value import Picture, Report
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
        "augmented": [Picture(np.zeros((150, 150, 3), np.uint8), "rose, view 0")],
    }
    return Report(**(fields | changes))


def page_of(tmp_path: Path, **changes) -> tuple[str, Page]:
    path = tmp_path / "report.html"
    write_report(path, report_of(**changes))
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def decoded(uri: str) -> np.ndarray:
    """The pixels of a data URI, as red, green, blue."""
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def test_a_confusion_of_another_size_is_refused():
    with pytest.raises(ArgumentError, match=r"With 2 class names .* \(2, 2\), but it is \(3, 3\)"):
        report_of(confusion=np.zeros((3, 3), int))


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_pixels_of_another_kind_are_refused(pixels):
    with pytest.raises(ArgumentError, match=r"Picture 'rose' expects uint8 \(height, width, 1 or 3\)"):
        Picture(pixels, "rose")


def test_the_page_says_what_the_report_holds(tmp_path):
    text, page = page_of(
        tmp_path,
        estimate_note="It was forecast to take 5 s.",
        recipe="data: {train: flowers}",
        repeat="thawline train recipe.yaml",
    )
    assert text.startswith("<!doctype html>")
    for words in (
        *("flowers", "9 images", "precomputed", "rose", "tulip", "900 images/s", "rose, view 0"),
        *("It was forecast to take 5 s.", "data: {train: flowers}", "thawline train recipe.yaml"),
        *("88.9 %", "80.0 %", "rose → tulip", "2 epochs", "75.0 %", "25.0 %", "4.0 s in all"),
    ):
        assert words in page.text
    labels = [attributes["aria-label"] for attributes in page.all("div") if attributes.get("role") == "img"]
    assert labels == [
        "Loss per epoch: training from 1.5 to 0.5; validation from 1.25 to 0.625",
        "Accuracy per epoch: training from 0.5 to 0.75; validation from 0.5 to 0.7",
    ]


def test_the_interval_is_the_one_in_the_textbook(tmp_path):
    # Wilson's interval for 8 right out of 10: 0.4902 to 0.9433 (Brown, Cai and DasGupta 2001, formula 4).
    _, page = page_of(tmp_path, confusion=np.array([[4, 1], [1, 4]]))
    assert "49.0 % to 94.3 %" in page.text


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path):
    text, page = page_of(tmp_path, phase_ends=(1, 2))
    assert "http" not in text and "@import" not in text
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", text))
    assert all(uses["href"].startswith("#") for uses in page.all("use"))
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_everything_the_charts_refer_to_is_there(tmp_path):
    text, page = page_of(tmp_path)
    names = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    referred = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert referred and referred <= names


def test_names_are_text_and_never_markup(tmp_path):
    evil = "<script>alert('1')</script>\"&"
    text, page = page_of(
        tmp_path,
        title=evil,
        facts={evil: evil},
        history={evil: [1.0], f"val_{evil}": [2.0]},
        class_names=[evil, "tulip"],
        timings=[Timing(evil, 1.0, evil)],
        augmented=[Picture(np.zeros((4, 4, 1), np.uint8), evil)],
        mistakes=[Picture(np.zeros((4, 4, 1), np.uint8), evil)],
        estimate_note=evil,
        recipe=evil,
        repeat=evil,
    )
    assert "<script" not in text and not page.all("script")
    assert evil in page.text
    assert page.all("img")[0]["alt"] == evil


@pytest.mark.parametrize(
    ("shape", "kind", "shown"),
    [
        ((150, 120, 3), "jpeg", (150, 120)),
        ((28, 28, 3), "png", (28, 28)),
        ((600, 300, 3), "jpeg", (300, 150)),
        ((150, 150, 1), "jpeg", (150, 150)),
        ((900, 2, 1), "jpeg", (300, 1)),
    ],
)
def test_pictures_keep_their_proportions_and_colours(tmp_path, shape, kind, shown):
    colour = np.array([200, 100, 20], np.uint8)[: shape[2]]
    _, page = page_of(tmp_path, augmented=[Picture(np.broadcast_to(colour, shape), "one colour")])
    (image,) = page.all("img")
    assert image["src"].startswith(f"data:image/{kind};base64,")
    assert (int(image["height"]), int(image["width"])) == shown
    pixels = decoded(image["src"])
    assert pixels.shape == (*shown, 3)
    np.testing.assert_allclose(pixels.reshape(-1, 3).mean(axis=0), np.resize(colour, 3), atol=3)


def test_24_noisy_pictures_stay_under_two_megabytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 150, 150, 3), dtype=np.uint8)
    text, page = page_of(tmp_path, augmented=[Picture(pixels, "noise") for pixels in noise])
    assert len(page.all("img")) == 24
    assert len(text) < 2_000_000


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"loss": []},
        {"loss": [0.5]},
        {"loss": [math.nan, math.nan], "val_loss": [math.inf, 1.0]},
        {"loss": [math.nan], "learning_rate": [math.nan]},
        {"val_loss": [1.0, 0.5]},
        {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [2.0, 1.0]},
        {"loss": [1.0, 0.5], "f1_score": [np.array([0.1, 0.2]), np.array([0.3, 0.4])]},
        {"learning_rate": [1e-3, 1e-3, 1e-5]},
        {"loss": [2.0] * 300},
    ],
    ids=["none", "empty", "one", "not finite", "all nan", "only val", "every 2nd", "vectors", "rate", "long"],
)
def test_any_history_makes_a_page(tmp_path, history):
    text, _ = page_of(tmp_path, history=history, augmented=[])
    drawn = {name.removeprefix("val_") for name, values in history.items() if values and name != "f1_score"}
    assert text.count("<svg") == len(drawn)
    assert not re.search(r"\bnan\b|\binf\b", text)


def test_epochs_are_counted_from_one_in_whole_numbers(tmp_path):
    text, _ = page_of(tmp_path, history={"loss": [2.0, 1.0, 0.5]})
    drawn = re.findall(r"<text[^>]*text-anchor: middle[^>]*>([^<]*)</text>", text)
    assert drawn == ["1", "2", "3", "epoch"]


def test_phases_are_marked_where_the_next_one_starts(tmp_path):
    text, _ = page_of(tmp_path, history={"loss": [4.0, 3.0, 2.0, 1.0]}, phase_ends=(2, 4))
    assert re.findall(r">(phase \d)<", text) == ["phase 2"]


def test_what_is_empty_is_left_out(tmp_path):
    _, page = page_of(
        tmp_path, facts={}, history={}, class_names=[], confusion=np.zeros((0, 0), int), timings=[], augmented=[]
    )
    assert not page.all("img") and not page.all("table") and not page.all("section")
    assert "0 epochs" in page.text and "nan" not in page.text


def test_classes_without_images_show_a_dash(tmp_path):
    _, page = page_of(tmp_path, confusion=np.array([[2, 0], [0, 0]]))
    assert page.text.count("\N{EN DASH}") == 2
    assert "Every image was answered right." in page.text


@pytest.mark.parametrize("classes", [2, 9, 30, 40, 120])
def test_every_class_is_named_and_counted(tmp_path, classes):
    names = [f"class-{number:03d}" for number in range(classes)]
    confusion = np.eye(classes, dtype=int) * 7
    confusion[0, 1] = 3
    _, page = page_of(tmp_path, class_names=names, confusion=confusion)
    assert all(name in page.text for name in names)
    assert "class-000 → class-001" in page.text
    rights = [cell for cell in page.all("td") if cell.get("class") == "right"]
    assert len(rights) == (classes if classes <= 40 else 0)


def test_estimates_are_marked_and_have_no_share(tmp_path):
    timings = [Timing("training", 4.0), Timing("jointly", 120.0, is_estimate=True), Timing("nothing", 0.0)]
    text, page = page_of(tmp_path, timings=timings)
    assert text.count('class="estimate"') == 1 and text.count(">estimate<") == 1
    assert "≈ 2 min 00 s" in page.text and "4.0 s in all" in page.text and "100.0 %" in page.text
    lengths = re.findall(r'class="bar" aria-hidden="true"><i style="width:([\d.]+)%', text)
    assert lengths == ["3.3", "100.0", "0.0"]


def test_the_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "report.html"
    for title in ("first", "second"):
        write_report(path, report_of(title=title))
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    assert "second" in path.read_text(encoding="utf-8")


def test_equal_reports_make_equal_files(tmp_path):
    assert page_of(tmp_path)[0] == page_of(tmp_path)[0]


def test_without_its_packages_the_module_says_what_to_install():
    program = "import sys; sys.modules['jinja2'] = None; import thawline.report.page"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "MissingDependencyError: The report needs Jinja2: pip install 'thawline[report]'" in (result.stderr)


def test_the_module_loads_neither_keras_nor_pyplot():
    program = (
        "import sys, thawline.report.page; "
        "print([name for name in ('keras', 'tensorflow', 'matplotlib.pyplot') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
