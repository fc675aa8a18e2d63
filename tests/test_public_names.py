"""The public names: all there, found without loading TensorFlow, clear when it is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import thawline


def run(code):
    """Runs Python code in a fresh process with warnings as errors, and gives what it did."""
    source = str(Path(thawline.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", thawline.__all__)
def test_every_public_name_resolves(name):
    assert getattr(thawline, name) is not None
    assert name in dir(thawline)


def test_public_names_are_what_they_say():
    from thawline import errors, stack  # noqa: PLC0415

    assert thawline.errors is errors
    assert thawline.backbones is stack.backbones
    assert thawline.ImageFolder.__name__ == "ImageFolder"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'thawline' has no attribute 'Stak'"):
        _ = thawline.Stak


def test_importing_thawline_loads_neither_tensorflow_nor_keras():
    done = run(
        "import sys, thawline; dir(thawline); thawline.ImageFolder; thawline.TensorSpec; thawline.errors\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'jax', 'torch'}))"
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize("missing", ["tensorflow", "keras"])
def test_without_tensorflow_one_line_says_what_to_install(missing):
    done = run(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import thawline as tl\n"
        "try:\n    tl.Stack\n"
        "except tl.errors.MissingDependencyError as error:\n    print(error); assert isinstance(error, ImportError)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert f"{missing!r} is not installed" in done.stdout
    assert "pip install 'thawline[cpu]'" in done.stdout


def test_a_package_that_keras_itself_lacks_is_not_blamed_on_tensorflow():
    done = run("import sys; sys.modules['absl'] = None\nimport thawline.backend")
    assert done.returncode == 1
    assert "MissingDependencyError" not in done.stderr
    assert "absl" in done.stderr
