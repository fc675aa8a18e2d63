"""Whole trainings in processes of their own, which a test may kill; they tell how far they are."""

import os
import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from other_process import context
from thawline.features import extract as extraction
from thawline.features.feature_set import FeatureSet
from thawline.training import fit
from thawline.training.checkpoint import Checkpoint
from thawline.training.feeding import EpochFeed
from thawline.training.run import RunFolder

# Its package has a function of the same name.
command = import_module("thawline.cli.train")

# Images that are extracted at a time, so that an extraction has several moments.
BATCH = 8


@dataclass(frozen=True)
class Training:
    """A training by `thawline train`.

    Attributes:
        recipe: the recipe.
        notes: a file for what is told to the test.
        cache: the folder of the feature cache.
        changes: changes to the recipe, as typed.
    """

    recipe: Path
    notes: Path
    cache: Path
    changes: tuple[str, ...] = ()

    def start(self):
        """A process that does it."""
        self.notes.unlink(missing_ok=True)
        process = context().Process(target=train, args=(self,))
        process.start()
        return process

    def noted(self):
        """How often each moment has come since the process started."""
        words = self.notes.read_text().split() if self.notes.exists() else []
        return {word: words.count(word) for word in words}

    def note(self, moment):
        """Tells a moment, which is there whatever happens next."""
        with self.notes.open("a") as file:
            file.write(moment + "\n")


def train(training):
    """Trains, and tells each moment just before it comes."""
    # A shell that started the tests in the background has switched Ctrl-C off for all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["THAWLINE_CACHE"] = str(training.cache)
    with training.notes.with_suffix(".stderr").open("a") as stderr:
        os.dup2(stderr.fileno(), sys.stderr.fileno())
        os.dup2(stderr.fileno(), sys.stdout.fileno())
    extraction.ENGINE_BATCH = BATCH
    for owner, name, moment in (
        (RunFolder, "note_start", "start"),
        (FeatureSet, "write", "extraction"),
        (EpochFeed, "__getitem__", "batch"),
        (Checkpoint, "save", "state"),
        (fit, "save_phase", "phase"),
        (command, "finish", "finish"),
        (RunFolder, "finish", "figures"),
    ):
        _tell(training, owner, name, moment)
    command.train(training.recipe, training.changes, as_json=False, quiet=True)


def _tell(training, owner, name, moment):
    original = getattr(owner, name)

    def told(*arguments, **options):
        training.note(moment)
        return original(*arguments, **options)

    setattr(owner, name, told)
