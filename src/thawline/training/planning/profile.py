"""Profile: how long each piece of the work takes on this machine, with these images and this stack.

A profile is plain numbers. `measuring` makes one on a few real batches; it is kept in the cache folder under a digest
of everything that it depends on, so that the next plan takes no time.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from thawline.features.identity import digest_description
from thawline.files import write_text

# The format is raised whenever the meaning of a number changes.
_FORMAT = 1


@dataclass(frozen=True)
class Cost:
    """What one piece of work costs.

    What keeps the processor busy adds up, because all pieces share its cores; what waits lets others go on.

    Attributes:
        wall_s: seconds that pass for each piece when nothing else runs, with all cores at its disposal.
        cpu_s: seconds of processor time for each piece, of all cores together.

    Example:
        >>> Cost(0.25, 0.5).times(100)
        Cost(wall_s=25.0, cpu_s=50.0)
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def times(self, count: float) -> "Cost":
        """The cost of so many pieces."""
        return Cost(self.wall_s * count, self.cpu_s * count)


FREE = Cost()


@dataclass(frozen=True)
class Profile:
    """How long each piece of the work takes.

    Attributes:
        cores: how many cores work that takes all of them really had, on average: fewer where others are busy.
        decode: an image from its file to pixels of the right size.
        augment: one view of an image, once it is decoded.
        standardize: one view of an image, from pixels to what the model takes.
        engine: who computes features, like "openvino float32"; empty where nothing is frozen.
        engines: an image through the frozen part, by engine; "keras float32" is also what runs in the training step.
        build_s: seconds until the engine can run.
        prepare_s: seconds for digests of the stack's weights, which come before each training.
        trace_s: seconds until Keras has traced and compiled the training step above the cut.
        validation_trace_s: the same for the step that measures.
        frozen_trace_s: what the frozen part adds to each of the two where it runs in the training step.
        step: a training step above the cut, on a batch of features that lie in memory.
        validation_step: a step that measures.
        steps_together: training steps that Keras took in one go when they were timed.
        is_step_estimated: whether steps were not timed, but estimated from forward passes: what learns is too large to
            be tried in seconds.
        write: a row of features into the cache.
        read: a row of features out of the cache.
        row_bytes: bytes of features per row when that was timed.
        free_ram_bytes: memory that was free.
        free_disk_bytes: what the cache could still take.
        measured_s: how long it took to make this profile.
    """

    cores: float
    decode: Cost
    augment: Cost
    standardize: Cost
    engine: str
    engines: dict[str, Cost]
    build_s: float
    prepare_s: float
    trace_s: float
    validation_trace_s: float
    frozen_trace_s: float
    step: Cost
    validation_step: Cost
    steps_together: int
    is_step_estimated: bool
    write: Cost
    read: Cost
    row_bytes: int
    free_ram_bytes: int = 0
    free_disk_bytes: int = 0
    measured_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Profile":
        """The profile that `as_dict` gave.

        Raises:
            TypeError, ValueError: it is not one.
        """
        costs = {
            name: Cost(**values[name])
            for name in ("decode", "augment", "standardize", "step", "validation_step", "write", "read")
        }
        engines = {name: Cost(**cost) for name, cost in values["engines"].items()}
        return cls(**{**values, **costs, "engines": engines})


@dataclass(frozen=True)
class ProfileMemory:
    """A folder in which profiles are kept, beside the features.

    Attributes:
        folder: the folder; made when the first profile is kept.
        key: everything that a profile depends on, as plain values.

    Example:
        >>> import tempfile
        >>> memory = ProfileMemory(Path(tempfile.mkdtemp()), {"machine": "a"})
        >>> memory.recall() is None
        True
    """

    folder: Path
    key: dict[str, Any] = field(repr=False)

    @property
    def path(self) -> Path:
        """The file of this profile."""
        digest = digest_description({"format": _FORMAT, **self.key})
        return self.folder / f"profile-{digest.hex()}.json"

    def recall(self) -> Profile | None:
        """The profile that was kept, or None where there is none, or no whole one."""
        try:
            return Profile.from_dict(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def keep(self, profile: Profile) -> None:
        """Keeps a profile, where that is possible; what is free now is no property of the machine, and is not kept."""
        kept = replace(profile, free_ram_bytes=0, free_disk_bytes=0)
        with contextlib.suppress(OSError):
            write_text(self.path, json.dumps(kept.as_dict(), indent=1) + "\n")
