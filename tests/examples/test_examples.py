"""The examples and the benchmarks run, on few images, and say what they promise."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")
def test_a_classic_script_for_the_image_data_generator_trains(monkeypatch, capsys):
    run_script(monkeypatch, "examples/from_image_data_generator.py", "--limit", 10, "--epochs", 1)
    assert "of 6 images after 1 epochs" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning")  # Keras' generator uses it
def test_the_benchmark_of_strategies_writes_its_figures(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    run_script(monkeypatch, "benchmarks/strategies.py", "--limit", 5, "--epochs", 1, "--json", figures)
    content = json.loads(figures.read_text())
    assert all(isinstance(value, float) for value in content.values())
    assert {"generator_s", "precomputed_s", "precomputed_ratio", "second_head_ratio"} <= content.keys()


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
