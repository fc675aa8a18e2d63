"""thawline demo, on few images: the same steps as on all of them."""

import json

from typer.testing import CliRunner

from browser import check_page, find_browser, open_browser
from thawline.cli import app


def test_the_demo_trains_predicts_and_writes_its_report_and_the_second_run_extracts_nothing(tmp_path):
    words = ["demo", "--folder", str(tmp_path), "--limit", "10", "--epochs", "2", "--json"]
    first = CliRunner().invoke(app, words)
    # Two epochs show two views at most.
    assert first.exit_code == 0, first.output
    figures = json.loads(first.stdout)
    assert (figures["extracted"], figures["needed"]) == (24 * 2 + 6, 24 * 2 + 6)
    assert figures["images"] == {"train": 24, "validation": 6}
    assert [result["name"] for result in figures["classes"]] == ["global", "local", "nominal"]
    assert figures["estimate_s"] > 0
    assert len(figures["predicted"]) == 6
    report = tmp_path / "demo" / "report.html"
    assert report.stat().st_size < 5_000_000
    # Where there is no browser, tests/report/test_browser.py says so.
    if find_browser() is not None:
        with open_browser() as browser:
            check_page(browser, report.rename(tmp_path / "demo.html"), tmp_path / "screenshots")

    second = json.loads(CliRunner().invoke(app, words).stdout)
    assert (second["extracted"], second["needed"]) == (0, 24 * 2 + 6)
    assert second["confusion"] == figures["confusion"]
    assert second["last_epoch"] == figures["last_epoch"]
