"""The one door to Keras: every module takes `keras` from here.

Without a Keras backend the failure is one line that says what to install, wherever it happens first.
"""

import importlib
import logging
import os
from typing import Any

from thawline.errors import MissingDependencyError

__all__ = ["keras"]

# TensorFlow greets on stderr with build notes that no user of thawline can act on; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _import_keras() -> Any:
    try:
        return importlib.import_module("keras")
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        missing = (error.name or "").split(".")[0]
        if missing not in (backend, "keras"):
            raise
        raise MissingDependencyError(
            f"thawline trains with Keras on TensorFlow, but {missing!r} is not installed: "
            "run  pip install 'thawline[cpu]'  or, with an NVIDIA GPU,  pip install 'thawline[gpu]'."
        ) from error


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """False for TensorFlow's advice against compiling anew, which every phase does on purpose."""
    return "triggered tf.function retracing" not in record.getMessage()


keras: Any = _import_keras()
logging.getLogger("tensorflow").addFilter(_is_worth_telling)
