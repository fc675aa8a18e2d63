"""The OpenVINO engine: how far it reads ahead, what it leaves behind, what it refuses, and that it tells nobody."""

import os
import re
import subprocess
import sys
import textwrap
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import EngineError
from thawline.features.engines import conversion, openvino_engine
from thawline.features.engines.conversion import convert, import_openvino
from thawline.features.engines.openvino_engine import OpenVinoEngine

layers = keras.layers


@pytest.fixture(scope="module")
def engine(network):
    """The engine for the small network."""
    return OpenVinoEngine(network)


@pytest.mark.parametrize(("size", "ahead"), [(32, 3), (8, 9), (100, 2)])
def test_at_least_two_batches_of_32_are_on_their_way_while_one_is_used(engine, pictures, monkeypatch, size, ahead):
    # As on any machine with up to 32 cores.
    monkeypatch.setattr(engine, "_images_ahead", 64)
    read = []

    def batches():
        for seed in range(20):
            read.append(seed)
            yield pictures(size, seed)

    answers = engine.answers(batches())
    assert read == []
    for taken in range(3):
        next(answers)
        assert len(read) == taken + ahead
    answers.close()


def test_requests_in_line_are_limited_however_large_a_batch_is(engine, pictures):
    line = openvino_engine._Line(engine._compiled, [], 6)
    line.put(pictures(50), [np.empty((50, 4, 4, 4), np.float32)])
    assert len(line._requests) == 6
    np.testing.assert_array_equal(line.take(), engine.run(pictures(50)))


def test_the_number_of_cores_changes_nothing(engine, network, pictures, monkeypatch):
    for cores in (1, 3):
        monkeypatch.setattr(openvino_engine, "count_cores", lambda cores=cores: cores)
        np.testing.assert_array_equal(OpenVinoEngine(network).run(pictures(40)), engine.run(pictures(40)))


def test_threads_may_share_an_engine(engine, pictures):
    with ThreadPoolExecutor(4) as pool:
        answered = list(pool.map(lambda seed: engine.run(pictures(20, seed)), range(24)))
    for seed, answers in enumerate(answered):
        np.testing.assert_array_equal(answers, engine.run(pictures(20, seed)))


def test_an_interruption_leaves_nothing_behind(engine, pictures):
    def batches():
        yield from (pictures(32, seed) for seed in range(3))
        raise KeyboardInterrupt

    answers = engine.answers(batches())
    next(answers)
    with pytest.raises(KeyboardInterrupt):
        next(answers)
    np.testing.assert_array_equal(engine.run(pictures(2))[0], engine.run(pictures(32)[:2])[0])


def test_an_interruption_while_waiting_leaves_nothing_behind(engine, pictures, monkeypatch):
    expected = engine.run(pictures(40))[0]
    fetch, count = openvino_engine._Line._fetch, []

    def interrupted(line):
        count.append(line)
        if len(count) == 10:
            raise KeyboardInterrupt
        fetch(line)

    monkeypatch.setattr(openvino_engine._Line, "_fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(engine.answers(pictures(32, seed) for seed in range(9)))
    assert not count[0]._requests
    monkeypatch.undo()
    np.testing.assert_array_equal(engine.run(pictures(40))[0], expected)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads by Linux's means")  # noqa: PTH112
def test_memory_and_threads_are_given_back(network, pictures, collect):
    def threads():
        collect()
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208

    OpenVinoEngine(network).run(pictures(2))
    before = threads()
    for _ in range(3):
        engine = OpenVinoEngine(network)
        answers = engine.answers(pictures(32) for _ in range(9))
        next(answers)
        compiled = weakref.ref(engine._compiled)
        # Neither closed nor used up: it is only forgotten.
        del engine, answers
        collect()
        assert compiled() is None
    assert threads() <= before


def test_what_is_compiled_stays_when_weights_change(pictures):
    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    engine = OpenVinoEngine(dense)
    before = engine.run(pictures(2))[0].copy()
    dense.layers[-1].set_weights([np.zeros((3, 2)), np.zeros(2)])
    np.testing.assert_array_equal(engine.run(pictures(2))[0], before)


def test_numpy_keeps_its_tiny_numbers(network, pictures):
    """An option of OpenVINO would drop those below 1e-38 in the caller's thread, too."""
    OpenVinoEngine(network).run(pictures(2))
    tiny = np.full(16, 1e-40, np.float32)
    assert (tiny * np.float32(0.5) > 0).all()


@keras.saving.register_keras_serializable()
class Foreign(layers.Layer):
    """Calls Python in the middle of the graph."""

    def call(self, inputs):
        import tensorflow  # noqa: PLC0415

        return tensorflow.ensure_shape(tensorflow.numpy_function(lambda x: x * 2, [inputs], "float32"), inputs.shape)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable()
class Failing(layers.Layer):
    """Takes no single image."""

    def call(self, inputs):
        if inputs.shape[0] == 1:
            raise ValueError("one image at a time is too few\nfor this layer")
        return inputs


def two_inputs():
    left, right = keras.Input((8, 8, 3)), keras.Input((4,))
    return keras.Model([left, right], [layers.Flatten()(left), right])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_inputs, r"takes one input of a fixed size, but .* has \(None, 8, 8, 3\), \(None, 4\)\. Build it"),
        (
            lambda: keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3)]),
            r"takes one input of a fixed size, but .* has \(None, None, None, 3\)\. Build it for one image size",
        ),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, dtype="mixed_float16")]),
            r"compute in float16 by their own dtype.*precision='bfloat16'",
        ),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, dtype="bfloat16")]),
            r"compute in bfloat16 by their own dtype.*Use engine='keras'",
        ),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), Foreign()]), r"cannot run .*PyFunc.* Use engine='keras'\.$"),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3)), Failing()]),
            r"cannot run .*calling Failing.call\(\)\. one image at a time is too few\. Use engine='keras'\.$",
        ),
    ],
    ids=["inputs", "size", "float16", "bfloat16", "python", "error"],
)
def test_a_prefix_that_it_cannot_run_is_refused(make, message):
    with pytest.raises(EngineError, match=message):
        OpenVinoEngine(make())


def test_a_processor_without_bfloat16_is_refused(network, monkeypatch):
    class Old:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino_engine, "_core", Old)
    with pytest.raises(EngineError, match=r"cannot compute in bfloat16 here.*Use precision='float32'"):
        OpenVinoEngine(network, "bfloat16")


def test_one_that_is_not_installed_is_named_with_what_to_install(network, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name) if name == "openvino" else AssertionError(name)

    monkeypatch.setattr(conversion, "version", missing)
    monkeypatch.setitem(sys.modules, "openvino", None)
    conversion.import_openvino.cache_clear()
    with pytest.raises(EngineError, match=re.escape("pip install 'thawline[openvino]'")):
        OpenVinoEngine(network)
    assert openvino_engine.describe("float32")["version"] is None


def test_float32_is_asked_for_and_every_stream_has_one_thread(engine):
    compiled = engine._compiled
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == import_openvino().Type.f32
    assert compiled.get_property("NUM_STREAMS") == compiled.get_property("INFERENCE_NUM_THREADS")


def test_the_model_takes_one_image_of_the_dtype_of_the_prefix(network):
    (pixels,) = convert(network, 1).inputs
    assert (list(pixels.shape), pixels.element_type.to_dtype()) == ([1, 8, 8, 3], np.dtype(np.float32))


QUIET = """
    import os, socket, sys, threading

    def tell(*arguments, **options):
        os.write(1, b"somebody wants to talk")
        raise OSError("no network here")

    socket.socket.connect = socket.create_connection = socket.getaddrinfo = tell

    import numpy as np
    import thawline
    from thawline.features.engines.make import make_engine

    assert not {"openvino", "openvino_telemetry"} & set(sys.modules)
    from thawline.backend import keras
    prefix = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), keras.layers.Dropout(0.5)])
    make_engine("openvino", prefix).run(np.zeros((40, 4, 4, 3), np.float32))
    assert threading.active_count() == 1, threading.enumerate()
    # Whoever wants the package afterwards finds it, and OpenVINO whole.
    import openvino, openvino_telemetry
    assert callable(openvino.convert_model)
"""


def test_it_neither_talks_nor_prints_nor_writes_into_the_home(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(QUIET)]
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    # Where a CI is recognized OpenVINO is silent by itself.
    for name in ("CI", "TF_BUILD", "JENKINS_URL", "THAWLINE_CACHE"):
        environment.pop(name, None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # Keras has a folder of its own there, and a few of its packages.
    assert not [path for path in tmp_path.rglob("*") if "intel" in path.name.lower() or "openvino" in path.name]
