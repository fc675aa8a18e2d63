"""Whole trainings in processes of their own, which are killed at a moment that a test names."""

import os
import signal
import sys
import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from other_process import context
from thawline.features import extract as extraction
from thawline.features.feature_set import FeatureSet
from thawline.training import fit
from thawline.training.checkpoints.checkpoint import Checkpoint
from thawline.training.run_folder.run import RunFolder
from thawline.training.strategies.feeding import EpochFeed

# Its package has a function of the same name.
command = import_module("thawline.cli.train")

# Images that are extracted at a time, so that an extraction has many moments.
BATCH = 2


@dataclass(frozen=True)
class Kill:
    """When a process is killed.

    Attributes:
        moment: what is about to happen.
        count: for which time in this process.
        after_s: how many seconds later the kill comes, whatever is done by then.
    """

    moment: str
    count: int
    after_s: float


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

    def run(self, kill=None):
        """Trains in a process; gives its exit code."""
        self.notes.unlink(missing_ok=True)
        process = context().Process(target=train, args=(self, kill))
        process.start()
        process.join(120)
        assert not process.is_alive()
        return process.exitcode

    def noted(self):
        """The moments that came in the last process."""
        return self.notes.read_text().split()

    @property
    def output(self):
        """The file of all that the processes wrote."""
        return self.notes.with_suffix(".output")


def train(training, kill):
    """Trains, tells each moment just before it comes, and is killed when it should be."""
    # A shell that started the tests in the background has switched Ctrl-C off for all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["THAWLINE_CACHE"] = str(training.cache)
    with training.output.open("a") as output:
        os.dup2(output.fileno(), sys.stderr.fileno())
        os.dup2(output.fileno(), sys.stdout.fileno())
    extraction.ENGINE_BATCH = BATCH
    moments = _Moments(training.notes, kill)
    for owner, name, moment in (
        (RunFolder, "note_start", "start"),
        (FeatureSet, "write", "extraction"),
        (EpochFeed, "__getitem__", "batch"),
        (Checkpoint, "save", "state"),
        (fit, "save_phase", "phase"),
        (command, "finish", "finish"),
        (RunFolder, "finish", "figures"),
    ):
        moments.tell(owner, name, moment)
    command.train(training.recipe, training.changes, plan=None, is_checked=False, as_json=False, quiet=True)


class _Moments:
    def __init__(self, notes, kill):
        self._notes = notes
        self._kill = kill
        self._left = 0 if kill is None else kill.count

    def tell(self, owner, name, moment):
        """From now on tells when a function is called."""
        original = getattr(owner, name)

        def told(*arguments, **options):
            self._note(moment)
            return original(*arguments, **options)

        setattr(owner, name, told)

    def _note(self, moment):
        with self._notes.open("a") as file:
            file.write(moment + "\n")
        if self._kill is not None and moment == self._kill.moment:
            self._left -= 1
            if self._left == 0:
                # From another thread, while this one goes on.
                threading.Timer(self._kill.after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
