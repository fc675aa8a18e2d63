"""Closed streams stop nothing: what goes to them is lost, and what goes elsewhere is whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import thawline as package


def run(words, closed):
    """A command whose standard streams of these numbers are closed; exit code and what the others got."""
    code = (
        f"import os, sys; [os.close(n) for n in {closed!r}]; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, "-c", "from thawline.cli import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("closed", [[2], [0, 2], [0]])
def test_results_are_whole_without_a_stream_for_messages(closed, tmp_path):
    code, out, err = run(["cache", "list", "--path", str(tmp_path / "none")], closed)
    assert (code, err) == (0, "")
    assert out.startswith("No features are kept in ")


def test_errors_have_their_exit_code_without_a_stream_for_them(tmp_path):
    assert run(["train", str(tmp_path / "none.yaml")], [2]) == (2, "", "")


def test_without_a_stream_for_results_there_is_no_traceback(tmp_path):
    assert run(["cache", "list", "--path", str(tmp_path / "none")], [1]) == (0, "", "")
    code, out, err = run(["train", str(tmp_path / "none.yaml")], [0, 1])
    assert (code, out) == (2, "")
    assert err.startswith("error: No recipe")
