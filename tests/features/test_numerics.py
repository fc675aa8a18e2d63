"""Bits that differ between machines keep features apart, and are measured once."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from other_process import tiny_stack
from plain_engine import PlainEngine
from thawline.data.sources.folder import ImageFolder
from thawline.errors import EngineError
from thawline.features import numerics as module
from thawline.features.numerics import (
    Numerics,
    NumericsMemory,
    describe_machine,
    measure_numerics,
    probe_images,
    refuse_mixing,
)
from thawline.features.options import FeatureOptions

SIZE = (6, 5, 3)


class Answering(PlainEngine):
    """Answers by a function of a batch, and counts batches."""

    def __init__(self, function):
        self.function = function
        self.batches = 0

    def run(self, images):
        self.batches += 1
        return [self.function(images)]


def means(images):
    return images.mean(axis=(1, 2), dtype=np.float32)


def extracted_by(images, cache, **environment):
    """What `cache_user.py` says, in a process with these variables."""
    script = Path(__file__).parents[1] / "cache_user.py"
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("ONEDNN_", "DNNL_"))}
    done = subprocess.run(
        [sys.executable, script, images, cache],
        env={**cleared, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="SSE4.1 is an instruction set of x86")
def test_a_process_without_fma_shares_no_row_with_a_cache_made_with_it(image_folder, tmp_path):
    images, cache = image_folder(2, count=4, size=(16, 16)), tmp_path / "cache"
    here = extracted_by(images, cache)
    without_fma = extracted_by(images, cache, ONEDNN_MAX_CPU_ISA="SSE41")
    assert (here["extracted"], without_fma["extracted"]) == (8, 8)
    assert without_fma["set"] != here["set"]
    # Each finds its own again, with what it remembers of itself.
    assert extracted_by(images, cache) == {**here, "extracted": 0}
    assert len(list((cache / "engines").glob("numerics-*.json"))) == 2


# -- what is measured --------------------------------------------------------------------------------------------


def test_the_probe_is_the_same_everywhere_and_has_pixels_of_every_usual_range():
    images = probe_images(SIZE)
    np.testing.assert_array_equal(images, probe_images(SIZE))
    assert (images.shape, images.dtype) == ((8, *SIZE), np.float32)
    highest, lowest = images.max(axis=(1, 2, 3)), images.min(axis=(1, 2, 3))
    assert (highest[::3] > 1).all() and (highest[1::3] <= 1).all() and (lowest[2::3] < 0).all()
    assert probe_images((None, None, 1), "uint8").shape == (8, 64, 64, 1)


def test_engines_of_equal_bits_have_one_digest_and_others_another():
    images = probe_images(SIZE)
    here = measure_numerics(Answering(means), images)
    assert here == measure_numerics(Answering(means), images)
    assert (here.is_by_image, here.is_repeatable) == (True, True)
    # The same mean, rounded otherwise in its last bit.
    other = measure_numerics(Answering(lambda batch: np.nextafter(means(batch), np.float32(9))), images)
    assert other.digest != here.digest


@pytest.mark.parametrize(
    "mixing",
    [
        lambda batch: means(batch) - means(batch).mean(axis=0),
        lambda batch: means(batch) / np.abs(batch).max(),
        lambda batch: means(batch)[::-1],
        lambda batch: np.nextafter(means(batch), np.where(batch.mean() > 60, 9, -9).astype(np.float32)),
    ],
    ids=["mean", "largest value", "order", "last bit"],
)
def test_an_image_that_notices_its_neighbours_is_found_without_tolerance(mixing):
    found = measure_numerics(Answering(mixing), probe_images(SIZE))
    assert (found.is_by_image, found.is_repeatable) == (False, True)
    with pytest.raises(EngineError, match=r"features up to base/c2 cannot be computed ahead.*strategy='joint'"):
        refuse_mixing(found, "base/c2")


def test_an_engine_that_does_not_repeat_its_bits_is_known_by_its_machine(monkeypatch):
    def measured():
        random = np.random.default_rng()
        return measure_numerics(
            Answering(lambda batch: means(batch) + random.random(3, np.float32)), probe_images(SIZE)
        )

    first = measured()
    assert first == measured()
    assert (first.is_by_image, first.is_repeatable) == (True, False)
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    assert measured().digest != first.digest


# -- what is remembered ------------------------------------------------------------------------------------------


def test_the_machine_is_host_processor_cores_and_the_switches_of_the_environment(monkeypatch):
    before = describe_machine()
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_VERBOSE", "OV_CPU", "TF_ENABLE_ONEDNN_OPTS"):
        with monkeypatch.context() as changed:
            changed.setenv(name, "x")
            assert describe_machine()["environment"] == {**before["environment"], name: "x"}
    with monkeypatch.context() as changed:
        changed.setenv("SOMETHING_ELSE", "x")
        assert describe_machine() == before


def test_the_processor_is_its_model_and_instructions_not_its_number_or_speed(monkeypatch, tmp_path):
    text = (
        "processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t: {}\nflags\t: fma avx2\n\nprocessor\t: 1\nmodel name\t: x\n"
    )
    monkeypatch.setattr(module, "_CPU_FILE", tmp_path / "cpuinfo")
    assert set(describe_machine()["processor"]) == {"name"}
    (tmp_path / "cpuinfo").write_text(text.format(2000))
    assert describe_machine()["processor"] == {"model name": "Some CPU", "flags": "fma avx2"}


def test_a_damaged_memory_is_measured_again(tmp_path):
    memory = NumericsMemory(tmp_path, {"prefix": 1})
    assert memory.recall() is None
    memory.keep(Numerics("abc"))
    assert memory.recall() == Numerics("abc")
    assert NumericsMemory(tmp_path, {"prefix": 2}).recall() is None
    (place,) = tmp_path.iterdir()
    for text in ("", "[1]", '{"other": 1}'):
        place.write_text(text)
        assert memory.recall() is None


def test_where_nothing_can_be_kept_nothing_is_remembered(tmp_path):
    (tmp_path / "file").write_text("in the way")
    memory = NumericsMemory(tmp_path / "file" / "engines", {"prefix": 1})
    memory.keep(Numerics("abc"))
    assert memory.recall() is None


def test_where_bits_are_remembered_no_engine_is_built(image_folder, monkeypatch):
    source = ImageFolder(image_folder(), image_size=(8, 8))

    def digest():
        return FeatureOptions(engine="keras").prefix(tiny_stack().cut()).numerics(source).digest

    first = digest()
    monkeypatch.setattr("thawline.features.prefix.make_engine", None)
    assert digest() == first
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with pytest.raises(TypeError):
        digest()
