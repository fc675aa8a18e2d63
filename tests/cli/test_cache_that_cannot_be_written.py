"""A cache that nobody may write to stops what keeps features, and nothing else."""

import json
import re
import warnings

import pytest

from small_project import thawline, write_recipe
from thawline.data import file_memory


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """A cache below a file, where no folder can be made; whoever runs the tests may write into any folder."""
    monkeypatch.setattr(file_memory, "_is_writable", lambda path: False)
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("THAWLINE_CACHE", str(tmp_path / "a file" / "cache"))


@pytest.fixture
def recipe(image_folder, tmp_path):
    image_folder({"blue": 8, "red": 8})
    return write_recipe(tmp_path)


def metrics(tmp_path, name="small"):
    return json.loads((tmp_path / "runs" / name / "metrics.json").read_text())


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize("strategy", ["joint", "streamed"])
def test_strategies_that_keep_nothing_need_no_cache(recipe, tmp_path, strategy):
    done = thawline("train", recipe, f"phases.0.strategy={strategy}", "--quiet")
    assert done.exit_code == 0, done.output
    assert metrics(tmp_path)["phases"][0]["strategy"] == strategy


def test_auto_keeps_nothing_says_so_and_gives_the_same(recipe, tmp_path, request):
    assert thawline("train", recipe, "run.name=kept", "--quiet").exit_code == 0
    request.getfixturevalue("no_cache")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        done = thawline("train", recipe, "--quiet")
    (message,) = {str(each.message) for each in told if issubclass(each.category, UserWarning)}
    assert re.match(r"No features are kept: The feature cache '.*' cannot be opened: .*Name another folder", message)
    assert done.exit_code == 0, done.output
    assert metrics(tmp_path)["phases"][0]["strategy"] == "streamed"
    kept, fresh = metrics(tmp_path, "kept")["last_epoch"], metrics(tmp_path)["last_epoch"]
    assert fresh == pytest.approx(kept, rel=1e-5)
    # Looking at what was trained needs no cache either.
    assert thawline("evaluate", tmp_path / "runs" / "small").exit_code == 0
    image = next((tmp_path / "images").rglob("*.png"))
    assert thawline("predict", tmp_path / "runs" / "small", image).exit_code == 0
    assert thawline("check", recipe).exit_code == 0


@pytest.mark.filterwarnings("ignore:No features are kept")
@pytest.mark.usefixtures("no_cache")
def test_a_plan_measures_and_rules_out_what_keeps_features(recipe):
    done = thawline("plan", recipe, "--json")
    assert done.exit_code == 0, done.output
    (phase,) = json.loads(done.stdout)["phases"]
    assert phase["strategy"] in ("joint", "streamed")
    assert "cannot be opened" in phase["ruled_out"]["precomputed"]


@pytest.mark.usefixtures("no_cache")
def test_what_keeps_features_is_refused_with_the_way_out(recipe):
    done = thawline("train", recipe, "phases.0.strategy=precomputed")
    assert done.exit_code == 1
    assert "cannot be opened: " in done.stderr
    assert "Name another folder (cache=, THAWLINE_CACHE)" in done.stderr
