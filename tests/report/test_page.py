"""The report: its page says what it should, and is whole, harmless and needs nothing else."""

import base64
import math
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pages import Page, report_of, sheet_of
from thawline.check.finding import Finding
from thawline.errors import ArgumentError
from thawline.report.calibration import calibrate
from thawline.report.page import write_report
from thawline.report.sketch import Block, Sketch
from thawline.report.value import Picture, PicturePair, Sheet, ShownFinding
from thawline.training.clock import Timing


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
    assert not page.all("script") and not page.all("link") and not page.all("object") and not page.all("iframe")
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
        sheets=[sheet_of(Picture(np.zeros((4, 4, 1), np.uint8), evil))],
        calibration=calibrate(np.array([[0.9, 0.1]]), np.array([0])),
        sketches=[Sketch(evil, evil, (Block(evil, "above", 1, 1, 1, evil, evil),), ((evil, evil),), 4, (evil,))],
        findings=[ShownFinding(Finding(evil, "error", evil, evil, (Path(evil),)))],
        forecast=[(evil, 1.0, 2.0)],
        environment={evil: evil},
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
    _, page = page_of(tmp_path, sheets=[sheet_of(Picture(np.broadcast_to(colour, shape), "one colour"))])
    (image,) = page.all("img")
    assert image["src"].startswith(f"data:image/{kind};base64,")
    assert (int(image["height"]), int(image["width"])) == shown
    pixels = decoded(image["src"])
    assert pixels.shape == (*shown, 3)
    np.testing.assert_allclose(pixels.reshape(-1, 3).mean(axis=0), np.resize(colour, 3), atol=3)


def test_24_noisy_pictures_stay_under_two_megabytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 150, 150, 3), dtype=np.uint8)
    text, page = page_of(tmp_path, sheets=[sheet_of(*(Picture(pixels, "noise") for pixels in noise))])
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
    text, _ = page_of(tmp_path, history=history, sheets=[])
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
        tmp_path, facts={}, history={}, class_names=[], confusion=np.zeros((0, 0), int), timings=[], sheets=[]
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


def test_curves_are_drawn_over_time_where_each_epoch_was_timed(tmp_path):
    text, page = page_of(tmp_path, epoch_s=[2.0, 1.0])
    assert text.count("<svg") == 4
    assert "seconds of training" in page.text and len(page.all("input")) == 2
    # Without a time for an epoch there is nothing to draw it at.
    for lacking in ([2.0], [2.0, math.nan]):
        text, page = page_of(tmp_path, epoch_s=lacking)
        assert text.count("<svg") == 2 and not page.all("input")


def test_charts_share_no_names_so_that_a_hidden_one_spoils_no_other(tmp_path):
    _, page = page_of(tmp_path, epoch_s=[2.0, 1.0])
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))


def test_a_forecast_stands_beside_its_measurement(tmp_path):
    rows = [("extracting", 60.0, 90.0), ("an epoch", 2.0, math.nan)]
    _, page = page_of(tmp_path, forecast=rows)
    words = re.sub(r"\s+", " ", page.text)
    assert "extracting1 min 00 s1 min 30 s1.5" in words
    assert "an epoch2.0 s\N{EN DASH}\N{EN DASH}" in words


def test_calibration_is_told_in_numbers_as_well(tmp_path):
    answers = np.array([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55]])
    _, page = page_of(tmp_path, calibration=calibrate(answers, np.array([0, 1, 1])))
    words = re.sub(r"\s+", " ", page.text)
    # By hand: (2 * |0.5 - 0.95| + 1 * |1 - 0.55|) / 3.
    assert "Expected calibration error: 45.0 %" in words
    assert "90\N{EN DASH}100 %295.0 %50.0 %" in words


def test_two_pictures_stand_side_by_side_with_one_caption(tmp_path):
    one, other = (Picture(np.full((80, 80, 3), value, np.uint8), name) for value, name in ((0, "left"), (255, "right")))
    _, page = page_of(tmp_path, sheets=[sheet_of(PicturePair(one, other, "nearly the same"))])
    assert [image["alt"] for image in page.all("img")] == ["left", "right"]
    assert "nearly the same" in page.text


def test_a_sheet_without_pictures_says_why(tmp_path):
    _, page = page_of(tmp_path, sheets=[Sheet("What spoke for the answer", "This is left out. The stack has none.")])
    assert "This is left out. The stack has none." in page.text and not page.all("img")


def test_findings_are_told_with_their_files(tmp_path):
    paths = tuple(Path(f"roses/{number}.jpg") for number in range(250))
    finding = Finding("split-same-image", "error", "3 images are on both sides.", "Take them out.", paths)
    _, page = page_of(
        tmp_path, findings=[ShownFinding(finding, [Picture(np.zeros((8, 8, 3), np.uint8), "roses/0.jpg")])]
    )
    words = re.sub(r"\s+", " ", page.text)
    for text in ("Error split-same-image", "3 images are on both sides.", "Take them out.", "250 files", "and 50 more"):
        assert text in words
    assert "roses/199.jpg" in words and "roses/200.jpg" not in words


def test_every_section_has_a_heading_and_every_table_a_caption(tmp_path):
    _, page = page_of(
        tmp_path,
        epoch_s=[1.0, 2.0],
        calibration=calibrate(np.array([[0.9, 0.1]]), np.array([0])),
        forecast=[("extracting", 1.0, 2.0)],
        repeat="thawline train recipe.yaml",
    )
    headings = [tag for tag, _ in page.tags if tag in ("section", "h2")]
    assert headings == ["section", "h2"] * (len(headings) // 2)
    assert len(page.all("caption")) == len(page.all("table"))
    targets = {section.get("id") for section in page.all("section")}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= targets
