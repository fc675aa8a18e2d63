"""Extractions in processes of their own, which a test may kill.

They are forked from one that has imported everything, which takes seconds, and done nothing else: it has no cache open,
holds no lock, and TensorFlow has no threads in it yet. Nothing is forked from the process of the tests, which has all
that.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from pathlib import Path

import lmdb
import numpy as np
from blake3 import blake3

import thawline as tl
from plain_engine import PlainEngine
from thawline.backend import keras
from thawline.data.sources.folder import ImageFolder
from thawline.errors import CacheFullError
from thawline.features import extract as module
from thawline.features.cache import FeatureCache
from thawline.features.opening import open_features
from thawline.features.options import FeatureOptions
from thawline.specs import TensorSpec

BATCH = 4
SPEC = TensorSpec((None, 8, 8, 3), "float32")

# The exit code of a process that found no room.
FULL = 3


@dataclass(frozen=True)
class Job:
    """What a process computes, and what it writes down.

    Attributes:
        images: the folder of the images.
        cache: the folder of the cache.
        notes: a folder for what is told to the test.
        views: views of each image.
        pause_s: how long the engine takes for a batch.
        stop_after: the engine hangs in the batch after so many, until something is noted as "go".
        most_file_bytes: the system refuses larger files to the process.
    """

    images: Path
    cache: Path
    notes: Path
    views: int = 4
    pause_s: float = 0.0
    stop_after: int | None = None
    most_file_bytes: int | None = None

    def start(self, work=None, **changes):
        """A process that does it."""
        process = context().Process(target=work or compute, args=(replace(self, **changes),))
        process.start()
        return process

    def source(self):
        """The images, every view of every one another."""
        return ImageFolder(self.images, image_size=(8, 8), seed=3).augment(rotation_range=90)

    def features(self, **options):
        """The features that the images doubled are kept as."""
        return FeatureCache(self.cache, **options).features({"prefix": "doubled"}, [SPEC])

    def noted(self, name):
        """The lines that processes wrote under this name."""
        path = self.notes / name
        return path.read_text().splitlines() if path.exists() else []

    def note(self, name, text):
        """Writes a line, which is there whatever happens next."""
        with (self.notes / name).open("a") as file:
            file.write(text + "\n")

    def wait_for(self, name, lines=1):
        """Until so many lines were written under this name."""
        while len(self.noted(name)) < lines:
            time.sleep(0.005)

    def rows(self):
        """What is stored, key by key; nobody may have it open in this process."""
        (folder,) = (self.cache / "features").glob("?*[0-9a-f]")
        with lmdb.open(str(folder)) as environment, environment.begin() as transaction:
            return dict(transaction.cursor())


class NotingEngine(PlainEngine):
    """Stands in for a network: features are the images, doubled. Writes down what it was given, once it has begun."""

    def __init__(self, job):
        self._job = job
        self._calls = 0

    def describe(self):
        return {"name": "doubling"}

    def run(self, images):
        self._job.note("computed", "\n".join(blake3(image.tobytes()).hexdigest() for image in images))
        if self._calls == self._job.stop_after:
            self._job.note("stopped", str(os.getpid()))
            self._job.wait_for("go")
        self._calls += 1
        time.sleep(self._job.pause_s)
        return [images.astype(np.float32) * 2]


def compute(job):
    """Extracts with an engine that takes no time but what it is told to."""
    # A shell that started the tests in the background has switched Ctrl-C off for all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with _told(job):
        module.extract(job.source(), job.views, NotingEngine(job), job.features())


def compute_by_keras(job):
    """Extracts with a real network, prefix and engine, and notes every batch that was answered."""
    # A shell that started the tests in the background has switched Ctrl-C off for all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with _told(job):
        prefix, source = tiny_stack().cut(), job.source()
        prefix = FeatureOptions(engine="keras").prefix(prefix)
        answers = prefix.answers

        def noting(batches):
            for answer in answers(batches):
                job.note("answered", str(os.getpid()))
                yield answer

        prefix.answers = noting
        features = open_features(FeatureCache(job.cache), prefix, source)
        module.extract(source, job.views, prefix, features)


def tiny_stack(seed=0, size=(8, 8)):
    """A frozen convolution below a head that learns."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    base = keras.Sequential([keras.Input((*size, 3)), layers.Conv2D(16, 3, activation="relu")])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2)])
    return tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])


@contextlib.contextmanager
def _told(job):
    """What a process does before and after: it has a cache folder of its own, and tells what it says and fails by."""
    os.environ["THAWLINE_CACHE"] = str(job.cache)
    module.ENGINE_BATCH = BATCH
    module.say = lambda text: job.note("said", text)
    with (job.notes / "stderr").open("a") as stderr:
        os.dup2(stderr.fileno(), sys.stderr.fileno())
    if job.most_file_bytes is not None:
        # Only where there are such limits; Python takes the signal that would end the process.
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_FSIZE, (job.most_file_bytes, job.most_file_bytes))
    try:
        yield
    except CacheFullError as error:
        job.note("full", str(error))
        sys.exit(FULL)


@functools.cache
def context():
    """What processes are made by; the first call takes the seconds that importing takes."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([__name__, "pytest"])
    # The process that others are forked from does not know the folders of the tests otherwise.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    first = made.Process(target=os.getpid)
    first.start()
    first.join()
    return made
