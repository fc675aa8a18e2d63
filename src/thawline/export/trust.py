"""Trust in artefacts: those that are programs, and those of them that this user made.

A SavedModel is a program of TensorFlow's, which may read and write files; so is a reader.py. What this user exports is
noted by its digest in the user's folder for data, so that it runs wherever it is moved to. The other formats hold
numbers and names of operations only, and Keras files open in Keras' safe mode.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from thawline.files import write_text

# Formats whose model may do anything that its user may do.
PROGRAMS = ("saved_model",)


def note_own(digests: Mapping[str, str], where: Path) -> None:
    """Notes an artefact as made by this user; warns where the user's folder cannot be written.

    Args:
        digests: the SHA-256 of each of its files, by name, as artefact.json holds them.
        where: where it lies, which is noted for people.
    """
    try:
        write_text(_note(digests), f"{where.absolute()}\n")
    except OSError as error:
        warnings.warn(
            f"The artefact {str(where)!r} cannot be noted as your own: {error}. thawline predict will ask for --trust, "
            "Artefact.open for trust=True.",
            stacklevel=2,
        )


def is_own(digests: Mapping[str, str]) -> bool:
    """Tells whether this user exported an artefact of these files."""
    try:
        return _note(digests).is_file()
    except OSError:
        return False


def own_path() -> Path:
    """The folder in which a user's own exports are noted."""
    return Path(platformdirs.user_data_path("thawline")) / "exports"


def _note(digests: Mapping[str, str]) -> Path:
    content = json.dumps(dict(sorted(digests.items()))).encode()
    return own_path() / hashlib.sha256(content).hexdigest()
