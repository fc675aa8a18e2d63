"""Who runs the prefix: a decision by figures, tried once, remembered."""

import json

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError, EngineError
from thawline.features.engines import choice as choosing
from thawline.features.engines import make
from thawline.features.engines.agreement import Agreement
from thawline.features.engines.choice import EngineChoice, Trial, choose_engine, decide

SAME = Agreement(0.0, 1.0, 1.0)
NEAR = Agreement(1.9e-6, 1.0, 1.0)
FAR = Agreement(0.032, 0.99, 0.995)
REFERENCE = Trial("keras", "float32", SAME, 78)


def chosen(*arguments):
    """The choice, without the engine."""
    return choose_engine(*arguments)[0]


def test_the_fastest_that_agrees_is_chosen_with_the_figures():
    choice = decide(REFERENCE, [Trial("openvino", "float32", NEAR, 209)])
    assert choice == EngineChoice(
        "openvino",
        "float32",
        "openvino in float32: 209 images/s against 78 by keras in float32; features differ by 1.9e-06 at most",
        1.9e-6,
        1.0,
        {"openvino float32": 209, "keras float32": 78},
    )
    assert json.loads(json.dumps(choice.as_dict()))["images_per_s"] == {"openvino float32": 209, "keras float32": 78}


def test_keras_stays_where_it_is_faster():
    choice = decide(REFERENCE, [Trial("openvino", "float32", NEAR, 60)])
    assert (choice.engine, choice.largest_difference, choice.cosine) == ("keras", 0.0, 1.0)
    assert choice.reason == "keras in float32: 78 images/s against 60 by openvino in float32"


def test_keras_stays_where_the_other_disagrees():
    choice = decide(REFERENCE, [Trial("openvino", "float32", FAR)])
    assert choice.engine == "keras"
    assert choice.reason == (
        "keras in float32: openvino in float32 disagrees with keras: "
        "features differ by 3.2e-02 at most, but 1e-04 is allowed"
    )


def test_an_obstacle_is_the_reason():
    choice = decide(REFERENCE, [Trial("openvino", "float32", obstacle="It is not installed.")])
    assert choice.reason == "keras in float32: It is not installed"


@pytest.mark.parametrize(("speed", "precision"), [(355, "bfloat16"), (150, "float32")])
def test_half_precision_has_to_pay(speed, precision):
    trials = [Trial("openvino", "bfloat16", FAR, speed), Trial("openvino", "float32", NEAR, 209)]
    choice = decide(REFERENCE, trials)
    assert (choice.engine, choice.precision) == ("openvino", precision)
    assert f"{speed} " in choice.reason


class Fake:
    """An engine that gives each image's sum, moved a little; it counts how often it was built."""

    def __init__(self, shift=0.0, value=None):
        self.shift, self.value, self.built = shift, value, 0

    def __call__(self, prefix, precision):
        self.built += 1
        return self

    def run(self, images):
        sums = images.sum(axis=(1, 2, 3), dtype=np.float32)[:, None]
        return [sums * (1 + self.shift) if self.value is None else np.full_like(sums, self.value)]

    def answers(self, batches):
        return (self.run(images) for images in batches)


@pytest.fixture
def fakes(monkeypatch):
    """Both engines replaced, and their speeds: keras 10, the other 20 images/s."""
    engines = {"keras": Fake(), "openvino": Fake(1e-6)}
    for name, fake in engines.items():
        monkeypatch.setitem(make.ENGINES, name, fake)
    monkeypatch.setattr(choosing, "_images_per_s", lambda engine, images: 10.0 if engine is engines["keras"] else 20.0)
    return engines


@pytest.fixture
def images(pictures):
    """Eight images."""
    return pictures(8)


def test_auto_takes_the_faster_one(fakes, images):
    choice = chosen("auto", None, "float32", images, None, b"")
    assert choice.engine == "openvino"
    assert choice.images_per_s == {"openvino float32": 20.0, "keras float32": 10.0}


def test_keras_in_float32_is_taken_untried(fakes, tmp_path):
    def no_images():
        raise AssertionError("no image is needed")

    choice = chosen("keras", None, "float32", no_images, tmp_path, b"")
    assert choice == EngineChoice("keras", "float32", "keras in float32, as asked for", 0.0, 1.0, {})
    assert fakes["keras"].built == 0
    assert list(tmp_path.iterdir()) == []


def test_a_named_engine_is_checked_but_not_timed(fakes, images):
    choice = chosen("openvino", None, "float32", images, None, b"")
    assert (choice.engine, choice.images_per_s) == ("openvino", {})
    assert choice.reason.startswith("openvino in float32, as asked for; features differ by ")
    assert 0 < choice.largest_difference < 1e-5


@pytest.mark.parametrize(
    ("fake", "figures"),
    [
        (Fake(0.01), r"features differ by 1.0e-02 at most, but 1e-04 is allowed"),
        (Fake(value=np.nan), r"NaN or infinite by one of them only"),
    ],
)
def test_a_named_engine_that_disagrees_is_refused_with_the_figures(fakes, images, monkeypatch, fake, figures):
    monkeypatch.setitem(make.ENGINES, "openvino", fake)
    with pytest.raises(EngineError, match=rf"openvino in float32 disagrees with keras: .*{figures}\. Use engine="):
        chosen("openvino", None, "float32", images, None, b"")
    assert chosen("auto", None, "float32", images, None, b"").engine == "keras"


def test_keras_in_bfloat16_is_checked_too(fakes, images, monkeypatch):
    fakes["keras"].run = iter([[np.eye(8, 3)], [1 - np.eye(8, 3)]]).__next__
    monkeypatch.setattr(fakes["keras"], "run", lambda images, given=fakes["keras"].run: given())
    with pytest.raises(EngineError, match=r"keras in bfloat16 disagrees with keras: cosines of features are 0.000"):
        chosen("keras", None, "bfloat16", images, None, b"")


def test_an_engine_that_is_missing_is_an_error_by_name_and_a_reason_by_auto(fakes, images, monkeypatch):
    def missing(prefix, precision):
        raise EngineError("openvino is not installed.")

    monkeypatch.setitem(make.ENGINES, "openvino", missing)
    with pytest.raises(EngineError, match=r"^openvino is not installed\.$"):
        chosen("openvino", None, "float32", images, None, b"")
    choice = chosen("auto", None, "float32", images, None, b"")
    assert choice.reason == "keras in float32: openvino is not installed"
    assert choice.images_per_s == {}


def test_a_choice_is_remembered(fakes, images, tmp_path):
    first = chosen("auto", None, "float32", images, tmp_path / "new", b"one")
    built = {name: fake.built for name, fake in fakes.items()}

    def no_images():
        raise AssertionError("no image is needed")

    assert chosen("auto", None, "float32", no_images, tmp_path / "new", b"one") == first
    assert {name: fake.built for name, fake in fakes.items()} == built


def test_another_question_has_another_answer(fakes, images, tmp_path, monkeypatch):
    asked = [("auto", "float32", b"one"), ("auto", "float32", b"two"), ("auto", "bfloat16", b"one")]
    for name, precision, identity in [*asked, ("openvino", "float32", b"one")]:
        chosen(name, None, precision, images, tmp_path, identity)
    assert len(list(tmp_path.iterdir())) == 4
    monkeypatch.setattr("thawline.features.engines.openvino_engine.openvino_version", lambda: "1999.1")
    chosen("auto", None, "float32", images, tmp_path, b"one")
    assert len(list(tmp_path.iterdir())) == 5
    monkeypatch.setattr(choosing, "LARGEST_DIFFERENCE", 1e-5)
    chosen("auto", None, "float32", images, tmp_path, b"one")
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", '{"engine": "keras"}', '{"engine": 1}'])
def test_a_damaged_memory_is_written_anew(fakes, images, tmp_path, damage):
    first = chosen("auto", None, "float32", images, tmp_path, b"one")
    (place,) = tmp_path.iterdir()
    whole = place.read_text()
    place.write_text(damage)
    assert chosen("auto", None, "float32", images, tmp_path, b"one") == first
    assert place.read_text() == whole


def test_what_is_not_known_is_refused(images):
    with pytest.raises(ArgumentError, match="engine is one of 'auto', 'keras', 'openvino'; got 'torch'"):
        chosen("torch", None, "float32", images, None, b"")
    with pytest.raises(ArgumentError, match="precision is one of 'float32', 'bfloat16'; got 'int8'"):
        chosen("auto", None, "int8", images, None, b"")


def test_real_engines_are_tried_on_few_images(network, pictures, monkeypatch):
    monkeypatch.setattr(choosing, "_TIMED_S", 0.0)
    choice = chosen("auto", network, "float32", lambda: pictures(3), None, b"")
    assert set(choice.images_per_s) == {"keras float32", "openvino float32"}
    assert all(speed > 0 for speed in choice.images_per_s.values())
    assert choice.largest_difference < 1e-5


def test_a_layer_that_differs_by_batch_is_found_out(pictures):
    """OpenVINO computes image by image: a layer that looks at the whole batch says something else there."""
    centred = keras.layers.Lambda(lambda pixels: pixels - keras.ops.mean(pixels, axis=0, keepdims=True))
    prefix = keras.Sequential([keras.Input((8, 8, 3)), centred])
    with pytest.raises(EngineError, match="openvino in float32 disagrees with keras"):
        chosen("openvino", prefix, "float32", pictures(4), None, b"")
    assert chosen("auto", prefix, "float32", pictures(4), None, b"").engine == "keras"
