"""The benchmarks run, on few images and for few rounds, and write their figures."""

import json

import pytest

import thawline as tl
from thawline.backend import keras


@pytest.fixture
def small_base(monkeypatch):
    """Whatever backbone a benchmark asks for is one convolution: the same ways are taken, in seconds."""

    def build(name, *, image_size, pooling=None, weights="imagenet"):
        pooled = [keras.layers.GlobalAveragePooling2D()] if pooling else []
        convolution = keras.layers.Conv2D(8, 3, strides=2, activation="relu")
        return keras.Sequential([keras.Input((*image_size, 3)), convolution, *pooled], name=name)

    monkeypatch.setattr(tl.backbones, "build", build)


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning")  # Keras' generator uses it
def test_the_headline_benchmark_writes_its_figures(run_script, small_base, tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--limit", 5, "--size", 32, "--epochs", 2, "--rounds", 1, "--epochs-run", 1, "--json", figures]
    run_script("benchmarks/headline.py", *options)
    content = json.loads(figures.read_text())
    assert all(isinstance(value, float) for value in content.values())
    ratios = ["precomputed_vs_generator", "streamed_vs_predict_generator", "precomputed_vs_predict_once"]
    assert {*ratios, "second_run", "engine_float32", "engine_bfloat16", "accuracy_gap_points"} <= content.keys()


def test_the_benchmark_of_engines_writes_its_figures(run_script, small_base, tmp_path):
    figures = tmp_path / "figures.json"
    run_script("benchmarks/engines.py", "--images", 8, "--rounds", 1, "--json", figures)
    content = json.loads(figures.read_text())
    assert content["MobileNetV2_openvino_float32_difference"] < 1e-4
    assert 0 < content["efficientnet_lite0_float32_busy"] <= 1


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning")  # Keras' generator uses it
def test_the_benchmark_of_images_writes_its_figures(run_script, tmp_path):
    figures = tmp_path / "figures.json"
    run_script("benchmarks/images.py", "--limit", 4, "--rounds", 1, "--streamed", 20, "--json", figures)
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


def test_the_benchmark_of_wide_features_writes_its_figures(run_script, tmp_path):
    figures = tmp_path / "figures.json"
    run_script("benchmarks/wide_features.py", "--images", 40, "--size", 20, "--epochs", 1, "--json", figures)
    content = json.loads(figures.read_text())
    assert content["images"] == 40
    assert 40 * 18 * 18 * 32 * 4 <= content["features_gb"] * 1e9 <= 2 * 40 * 18 * 18 * 32 * 4
    assert {"peak_rss_gb", "seconds"} <= content.keys()


def test_the_benchmark_of_reading_writes_its_figures(run_script, tmp_path):
    figures = tmp_path / "figures.json"
    run_script("benchmarks/reading.py", "--rows", 100, "--epochs", 2, "--rounds", 1, "--json", figures)
    content = json.loads(figures.read_text())
    assert {"dense_rows_per_s", "streamed_rows_per_s", "streamed_share"} <= content.keys()
    assert content["streamed_share"] * content["dense_rows_per_s"] == pytest.approx(content["streamed_rows_per_s"])


def test_the_benchmark_of_predictions_writes_its_figures(run_script, small_base, tmp_path):
    figures = tmp_path / "figures.json"
    run_script("benchmarks/predict.py", "--images", 40, "--looped", 3, "--size", 32, "--json", figures)
    content = json.loads(figures.read_text())
    assert content["predict_vs_loop"] == pytest.approx(content["images_per_s"] / content["loop_images_per_s"])
    assert 0 < content["resident_mb_after_a_fifth"] < 10_000


def test_the_benchmark_of_forecasts_writes_its_figures(run_script, small_base, tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--images", 30, "--size", 32, "--settings", 1, "--epochs-run", 1, "--json", figures]
    run_script("benchmarks/forecast.py", *options)
    content = json.loads(figures.read_text())
    assert {"median_error", "worst_error", "choices_right"} <= content.keys()
    assert content["settings"] == 1
    errors = [content[f"01_{strategy}_error"] for strategy in ("joint", "precomputed", "streamed")]
    assert content["median_error"] == sorted(errors)[1]
    assert content["choices_right"] in (0, 1)


def test_the_resume_benchmark_kills_a_training_that_ends_with_the_same_weights(run_script, tmp_path):
    figures = tmp_path / "resume.json"
    run_script("benchmarks/resume.py", "--kills", 1, "--images", 1500, "--every", 0.5, "--json", figures)
    measured = json.loads(figures.read_text())
    assert measured["weights_differ"] == 0
    assert measured["lost_seconds_worst"] is None or measured["lost_seconds_worst"] > 0
