"""The state of a training after its last epoch, in one file, so that the same training can go on from there."""

import json
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from thawline.backend import keras
from thawline.errors import RunError
from thawline.files import replacing

STATE_FILE = "last.npz"

# The format is raised whenever what is kept changes, or its meaning.
_FORMAT = 3

# thawline 0.1 kept the state between epochs only.
_READ = (2, _FORMAT)


class Checkpoint:
    """Keeps what a training needs to go on: variables that learned, optimizer, history.

    Args:
        folder: where the file `last.npz` lies; arrays and JSON, no pickle.
        identity: what makes this training this one; a state of another is refused.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self._path = folder / STATE_FILE
        # Through JSON once, so that what is compared is what a file gives back.
        self._identity = json.loads(json.dumps(identity))

    def save(self, progress: dict[str, Any], variables: dict[str, Any]) -> None:
        """Writes the state, whole or not at all.

        Args:
            progress: plain values: where the training is, and its history.
            variables: Keras variables and arrays by a name that is the same in the next process.
        """
        arrays = {name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in variables.items()}
        # NumPy's files know no bfloat16 and its like: their bits are kept.
        dtypes = {name: array.dtype.name for name, array in arrays.items() if array.dtype.kind == "V"}
        arrays |= {name: arrays[name].view(f"u{arrays[name].itemsize}") for name in dtypes}
        note = json.dumps({"format": _FORMAT, "identity": self._identity, "progress": progress, "dtypes": dtypes})
        with replacing(self._path) as temporary:
            np.savez(temporary, allow_pickle=False, note=np.array(note), **arrays)

    def load(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """The progress and the arrays of the last save, or None when there is none.

        Raises:
            RunError: the file belongs to another training or another version of thawline, or is damaged.
        """
        if not self._path.exists():
            return None
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            note = json.loads(str(arrays.pop("note")))
            if note.get("format") not in _READ:
                raise RunError(
                    f"The checkpoint {str(self._path)!r} was written by another version of thawline. Go on with that "
                    "one, or delete the checkpoint to start anew."
                )
            stored, progress = note["identity"], note["progress"]
            arrays |= {name: arrays[name].view(getattr(ml_dtypes, dtype)) for name, dtype in note["dtypes"].items()}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RunError(
                f"The checkpoint {str(self._path)!r} is damaged: {error}. Delete it to start anew."
            ) from error
        different = [key for key in self._identity.keys() | stored.keys() if self._identity.get(key) != stored.get(key)]
        if different:
            changes = "; ".join(_difference(key, stored.get(key), self._identity.get(key)) for key in sorted(different))
            raise RunError(
                f"The checkpoint {str(self._path)!r} belongs to another training: {changes}. "
                "Give this one another folder, or delete the checkpoint to start anew."
            )
        return progress, arrays


def _difference(key: str, was: Any, is_now: Any) -> str:
    """What differs, in words; a stage that was only renamed is named."""
    if key == "stages" and was and [count for _, count in was] == [count for _, count in is_now]:
        pairs = [(old, new) for (old, _), (new, _) in zip(was, is_now, strict=True) if old != new]
        return ", ".join(f"stage {old!r} is called {new!r} now; name it as before" for old, new in pairs)
    return f"{key} was {was}, is {is_now}"


def restore(variables: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Sets variables to what a checkpoint holds for them.

    Raises:
        RunError: a variable is missing in the checkpoint, or has another shape.
    """
    for name, variable in variables.items():
        array = arrays.get(name)
        if array is None or array.shape != tuple(variable.shape):
            came = "is missing" if array is None else f"has shape {array.shape}, not {tuple(variable.shape)}"
            raise RunError(f"Variable {variable.path} {came} in the checkpoint. Delete the checkpoint to start anew.")
        variable.assign(array)
