"""Pages looked at in a real browser; where none is installed, these tests are skipped."""

from pathlib import Path

import numpy as np
import pytest

from browser import NAMES, check_page, find_browser, open_browser
from pages import report_of, sheet_of
from thawline.check.finding import Finding
from thawline.report.calibration import calibrate
from thawline.report.page import write_report
from thawline.report.sketch import Block, Sketch
from thawline.report.value import Picture, PicturePair, ShownFinding

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason=f"no browser: none of {', '.join(NAMES)} is installed (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(tmp_path):
    """Writes an HTML page with a body; gives its path."""

    def write(body: str) -> Path:
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><meta name=viewport content='width=device-width'><title>t</title>{body}")
        return path

    return write


def full_report():
    """A report with everything that a page can show, in sizes that do not fit a phone by themselves."""
    random = np.random.default_rng(0)
    noise = [
        Picture(random.integers(0, 256, (90, 120, 3), np.uint8), f"image_with_a_long_name_{n}.jpg") for n in range(3)
    ]
    names = [f"a_class_with_a_long_name_{number}" for number in range(12)]
    path = "/a/folder/" + "deeply/nested/" * 8 + "image.jpg"
    block = Block("base", "below", 120, 3_400_000, 0, "(None, 7, 7, 1280)", "base/top")
    finding = Finding("split-near-duplicate", "warning", f"First {path}.", "Look at them.", (Path(path),))
    answers = random.dirichlet([1, 1], 200)
    return report_of(
        history={"loss": [3.0, 2.0, 1.5], "val_loss": [3.0, 2.5, 2.0], "learning_rate": [1e-3, 1e-3, 1e-5]},
        epoch_s=[5.0, 4.0, 30.0],
        phase_ends=(2, 3),
        class_names=names,
        confusion=random.integers(0, 30, (12, 12)),
        forecast=[("extracting features", 60.0, 70.0)],
        calibration=calibrate(answers, random.integers(0, 2, 200)),
        sketches=[
            Sketch(
                "Phase 1: head by precomputed",
                "(None, 224, 224, 3)",
                (block, Block("head", "above", 3, 1000, 1000, "(None, 12)", "head/answer")),
                (("float32 (None, 7, 7, 1280)", "base/" + "long_" * 20),),
                250_880,
                ("below: 3,400,000 weights, frozen",),
            )
        ],
        findings=[ShownFinding(finding, noise)],
        sheets=[sheet_of(*noise, PicturePair(noise[0], noise[1], "side by side"))],
        recipe=f"data: {{train: {path}}}",
        repeat=f"thawline train {path}",
        environment={"Machine": "x86_64"},
    )


def test_a_page_with_everything_is_whole_on_a_desk_and_on_a_phone(browser, tmp_path):
    path = tmp_path / "everything.html"
    write_report(path, full_report())
    check_page(browser, path, tmp_path / "screenshots")


def test_the_choice_between_epochs_and_time_changes_the_curves(browser, tmp_path):
    path = tmp_path / "choice.html"
    write_report(path, full_report())
    over_epochs = browser.look(path).screenshot
    over_time = browser.look(path, script="document.getElementById('over-time').click()")
    assert over_time.problems == []
    assert over_time.screenshot.shape == over_epochs.shape
    assert not np.array_equal(over_time.screenshot, over_epochs)
    # Back at epochs nothing is lost: charts that were hidden are drawn whole.
    both = "document.getElementById('over-time').click(); document.getElementById('over-epochs').click()"
    assert np.array_equal(browser.look(path, script=both).screenshot, over_epochs)


def test_a_picture_that_is_not_there_is_noticed(browser, page):
    assert browser.look(page("<img src='data:image/png;base64,AAAA' alt='a rose'>")).broken == ["a rose"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>nobody.knows()</script>", "script error"),
        ("<script>console.error('oh')</script>", "console"),
        ("<link rel=stylesheet href='http://127.0.0.1:9/style.css'>", "network: http://127.0.0.1:9/style.css"),
        ("<link rel=stylesheet href='style.css'>", "network: file:///"),
    ],
)
def test_scripts_that_fail_and_requests_are_noticed(browser, page, body, problem):
    assert any(found.startswith(problem) for found in browser.look(page(body)).problems)


def test_what_is_wider_than_a_phone_is_noticed(browser, page):
    path = page("<p>word</p><div style='width:500px'>wide</div>")
    assert browser.look(path, width=375).overflow > 0
    assert browser.look(path, width=1200).overflow == 0
