"""The one door to Keras: every module takes `keras` from here.

Without a Keras backend the failure is one line that says what to install, wherever it happens first.
"""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from thawline.errors import MissingDependencyError

__all__ = ["keras", "plain_argmax", "print_message", "seeding_mark"]

# Warnings and errors of TensorFlow still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


# TensorFlow 2.21 writes these at import whatever TF_CPP_MIN_LOG_LEVEL says; no user of thawline can act on them.
_GREETINGS = (
    b"absl::InitializeLog()",
    b"oneDNN custom operations are on",
    b"optimized to use available CPU instructions",
)


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    """Takes the greetings out of what native code writes to stderr; everything else is passed on."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not any(greeting in line for greeting in _GREETINGS):
                    os.write(2, line)


def _import_keras() -> Any:
    try:
        with _without_greetings():
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


def seeding_mark() -> object:
    """An object that `keras.utils.set_random_seed` replaces by another; None before anything was seeded.

    TensorFlow's generator of seeds is such an object: seeding puts a new one in its place.
    """
    context = sys.modules.get("tensorflow.python.eager.context")
    return None if context is None else getattr(context.context(), "_rng", None)


def print_message(text: str) -> None:
    """Prints a line as Keras prints its own: on stdout, or into the log where interactive logging is switched off."""
    importlib.import_module("keras.src.utils.io_utils").print_msg(text)


@contextlib.contextmanager
def plain_argmax() -> Iterator[None]:
    """While this lasts, `keras.ops.argmax` and `argmin` of floats along an axis are TensorFlow's own.

    Keras looks at the bits of numbers, so that -0.0 is below 0.0; formats beside TensorFlow's have no such operation.
    """
    module = importlib.import_module("keras.src.backend.tensorflow.numpy")
    tensorflow = importlib.import_module("tensorflow")
    originals = {name: getattr(module, name) for name in ("argmax", "argmin")}

    def plain(name: str) -> Any:
        def index(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
            values = keras.ops.convert_to_tensor(x)
            if axis is None or not keras.backend.is_float_dtype(keras.backend.standardize_dtype(values.dtype)):
                return originals[name](x, axis=axis, keepdims=keepdims)
            values = keras.ops.cast(values, keras.backend.result_type(values.dtype, "float32"))
            found = getattr(tensorflow, name)(values, axis=axis, output_type="int32")
            return tensorflow.expand_dims(found, axis) if keepdims else found

        return index

    for name in originals:
        setattr(module, name, plain(name))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(module, name, original)
