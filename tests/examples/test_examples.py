"""The examples run, on few images, and say what they promise."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_three_ways_agree(run_script, capsys):
    run_script("examples/three_ways.py", "--limit", 15, "--epochs", 2)
    out = capsys.readouterr().out
    assert out.rstrip().endswith("The three ways agree.")
    for way in ("joint", "precomputed", "streamed"):
        assert f"\n{way}" in f"\n{out}"


def test_three_stages_are_trained_one_by_one_and_together(run_script, capsys):
    run_script("examples/three_stages.py", "--per-class", 12, "--epochs", 2)
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
def test_the_mistakes_of_a_broken_project_are_found_and_its_twin_is_clean(run_script, capsys):
    run_script("examples/broken_project.py", "--per-class", 60)
    out = capsys.readouterr().out
    found, planted = map(int, re.search(r"(\d+) of (\d+) planted mistakes found", out).groups())
    assert planted == 15
    assert found >= 14, out
    assert out.rstrip().endswith("0 false alarms on the repaired twin"), out


@pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")
def test_a_classic_script_for_the_image_data_generator_trains(run_script, capsys):
    run_script("examples/from_image_data_generator.py", "--limit", 10, "--epochs", 1)
    assert "of 6 images after 1 epochs" in capsys.readouterr().out


def test_thawing_in_phases_gives_the_same_by_joint(run_script, capsys):
    run_script("examples/thaw_in_phases.py", "--limit", 15, "--side", 64, "--epochs", 1, 1, 1)
    out = capsys.readouterr().out
    assert out.count("Thaw line above") == 3
    assert "largest difference between their losses 0, between their weights 0" in out


def test_two_runs_are_trained_and_compared(run_script, capsys, tmp_path):
    words = ["--limit", 5, "--side", 32, "--epochs", 1, "--folder", tmp_path]
    run_script("examples/compare_runs.py", *words)
    out = capsys.readouterr().out
    assert re.search(r"^stack.1.layers.0 +GlobalAveragePooling2D +GlobalMaxPooling2D$", out, re.MULTILINE)
    assert re.search(r"^All were measured on the same \d+ images.$", out, re.MULTILINE)
    assert (tmp_path / "comparison.html").exists()


def test_two_backbones_of_one_architecture_train_alike_and_are_exported(run_script, capsys, tmp_path):
    run_script("examples/two_backbones.py", "--images", 90, "--epochs", 2, "--folder", tmp_path)
    out = capsys.readouterr().out
    assert "largest difference between the strategies: figures 0, weights 0" in out
    assert "saved and loaded: largest difference between the answers 0" in out
    assert re.search(r"^onnx: verified in onnxruntime", out, re.MULTILINE)
    assert out.rstrip().endswith("Equal by all three strategies, after loading, and verified in ONNX.")
    assert (tmp_path / "two_backbones.keras").exists()


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning")
def test_classic_scripts_do_the_same_with_either_generator(run_script, capsys):
    with pytest.raises(SystemExit) as ended:
        run_script("examples/classic_scripts.py", "--epochs", 2, "--images", 12)
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(line.endswith("as with Keras' generator") for line in lines)
