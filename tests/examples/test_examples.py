"""The examples and the benchmarks run, on few images, and say what they promise."""

import json
import os
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def keras_engine_only():
    """Examples and benchmarks run with what is installed, as they do for whoever types them."""


def run_script(monkeypatch, script, *words):
    """Runs a script of the repository as typed."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    runpy.run_path(str(ROOT / script), run_name="__main__")


def test_three_ways_agree(monkeypatch, capsys):
    run_script(monkeypatch, "examples/three_ways.py", "--limit", 15, "--epochs", 2)
    out = capsys.readouterr().out
    assert out.rstrip().endswith("The three ways agree.")
    for way in ("joint", "precomputed", "streamed"):
        assert f"\n{way}" in f"\n{out}"


def test_three_stages_are_trained_one_by_one_and_together(monkeypatch, capsys):
    run_script(monkeypatch, "examples/three_stages.py", "--per-class", 12, "--epochs", 2)
    out = capsys.readouterr().out
    assert "18 images for the classifier, 9 for the calibration, 9 for figures" in out
    figures = re.findall(r"^(before|after).* accuracy +([\d.]+)% +calibration error +([\d.]+)%$", out, re.MULTILINE)
    assert len(figures) == 3
    assert all(0 <= float(share) <= 100 for _, *shares in figures for share in shares)
    assert float(re.search(r"temperature ([\d.]+)", out).group(1)) > 0


def test_the_calibration_error_of_the_example_is_that_of_a_calculation_by_hand():
    """Two answers of 0.8, one of them right: off by 0.3; two of 0.6, both right: off by 0.4."""
    calibration_error = runpy.run_path(str(ROOT / "examples/three_stages.py"))["calibration_error"]
    answers = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    assert calibration_error(answers, np.array([0, 1, 1, 1])) == pytest.approx((2 * 0.3 + 2 * 0.4) / 4)


@pytest.mark.filterwarnings("ignore:Class folders without images")
def test_the_mistakes_of_a_broken_project_are_found_and_its_twin_is_clean(monkeypatch, capsys):
    run_script(monkeypatch, "examples/broken_project.py", "--per-class", 60)
    out = capsys.readouterr().out
    found, planted = map(int, re.search(r"(\d+) of (\d+) planted mistakes found", out).groups())
    assert planted == 15
    assert found >= 14, out
    assert out.rstrip().endswith("0 false alarms on the repaired twin"), out


@pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")
def test_a_classic_script_for_the_image_data_generator_trains(monkeypatch, capsys):
    run_script(monkeypatch, "examples/from_image_data_generator.py", "--limit", 10, "--epochs", 1)
    assert "of 6 images after 1 epochs" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning")  # Keras' generator uses it
@pytest.mark.skipif("THAWLINE_BENCHMARKS" not in os.environ, reason="takes a minute; set THAWLINE_BENCHMARKS to run it")
def test_the_headline_benchmark_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--limit", 5, "--size", 32, "--epochs", 2, "--rounds", 1, "--epochs-run", 1, "--json", figures]
    run_script(monkeypatch, "benchmarks/headline.py", *options)
    content = json.loads(figures.read_text())
    assert all(isinstance(value, float) for value in content.values())
    ratios = ["precomputed_vs_generator", "streamed_vs_predict_generator", "precomputed_vs_predict_once"]
    assert {*ratios, "second_run", "engine_float32", "engine_bfloat16", "accuracy_gap_points"} <= content.keys()


@pytest.mark.skipif("THAWLINE_BENCHMARKS" not in os.environ, reason="takes a minute; set THAWLINE_BENCHMARKS to run it")
def test_the_benchmark_of_engines_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    run_script(monkeypatch, "benchmarks/engines.py", "--images", 8, "--rounds", 1, "--json", figures)
    content = json.loads(figures.read_text())
    assert content["MobileNetV2_openvino_float32_difference"] < 1e-4
    assert 0 < content["efficientnet_lite0_float32_busy"] <= 1


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning")  # Keras' generator uses it
def test_the_benchmark_of_images_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    run_script(monkeypatch, "benchmarks/images.py", "--limit", 4, "--rounds", 1, "--streamed", 20, "--json", figures)
    content = json.loads(figures.read_text())
    assert content.keys() == {
        "first_epoch_vs_generator",
        "later_epochs_vs_generator",
        "first_epoch_all_arguments_vs_generator",
        "later_epochs_all_arguments_vs_generator",
        "one_thread_vs_generator",
        "first_epoch_vs_layers",
        "later_epochs_vs_layers",
        "first_epoch_area_vs_generator",
        "first_epoch_area_vs_layers",
        "rss_growth_mb",
    }


def test_the_benchmark_of_wide_features_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    run_script(
        monkeypatch, "benchmarks/wide_features.py", "--images", 40, "--size", 20, "--epochs", 1, "--json", figures
    )
    content = json.loads(figures.read_text())
    assert content["images"] == 40
    assert 40 * 18 * 18 * 32 * 4 <= content["features_gb"] * 1e9 <= 2 * 40 * 18 * 18 * 32 * 4
    assert {"peak_rss_gb", "seconds"} <= content.keys()


def test_the_benchmark_of_reading_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    run_script(monkeypatch, "benchmarks/reading.py", "--rows", 100, "--epochs", 2, "--json", figures)
    content = json.loads(figures.read_text())
    assert {"dense_rows_per_s", "streamed_rows_per_s", "streamed_share"} <= content.keys()
    assert content["streamed_share"] * content["dense_rows_per_s"] == pytest.approx(content["streamed_rows_per_s"])


def test_the_benchmark_of_forecasts_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--images", 30, "--size", 32, "--settings", 1, "--epochs-run", 1, "--json", figures]
    run_script(monkeypatch, "benchmarks/forecast.py", *options)
    content = json.loads(figures.read_text())
    assert {"median_error", "worst_error", "choices_right"} <= content.keys()
    assert content["settings"] == 1
    errors = [content[f"01_{strategy}_error"] for strategy in ("joint", "precomputed", "streamed")]
    assert content["median_error"] == sorted(errors)[1]
    assert content["choices_right"] in (0, 1)


def test_thawing_in_phases_gives_the_same_by_joint(monkeypatch, capsys):
    run_script(monkeypatch, "examples/thaw_in_phases.py", "--limit", 15, "--side", 64, "--epochs", 1, 1, 1)
    out = capsys.readouterr().out
    assert out.count("Thaw line above") == 3
    assert "largest difference between their losses 0, between their weights 0" in out
