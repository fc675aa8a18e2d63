"""Marks of use: they last as long as their process, and not a moment longer."""

import signal
import subprocess
import sys

from thawline.features.use import InUse, is_in_use, remove_old_marks

HOLD = """
import sys, time
from pathlib import Path
from thawline.features.use import InUse
mark = InUse(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_folder_is_in_use_until_the_last_mark_is_let_go(tmp_path):
    assert not is_in_use(tmp_path / "users")
    first, second = InUse(tmp_path / "users"), InUse(tmp_path / "users")
    assert is_in_use(tmp_path / "users")
    first.let_go()
    assert is_in_use(tmp_path / "users")
    second.let_go()
    assert not is_in_use(tmp_path / "users")
    second.let_go()
    assert list((tmp_path / "users").iterdir()) == []


def test_a_mark_goes_with_its_object(tmp_path, collect):
    mark = InUse(tmp_path)
    assert is_in_use(tmp_path)
    del mark
    collect()
    assert not is_in_use(tmp_path)


def test_looking_leaves_the_marks_of_others_as_they_are(tmp_path):
    mark = InUse(tmp_path)
    for _ in range(3):
        assert is_in_use(tmp_path)
    mark.let_go()


def test_a_mark_of_a_killed_process_does_not_count_and_is_removed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_in_use(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert len(list(tmp_path.iterdir())) == 1
    assert not is_in_use(tmp_path)
    remove_old_marks(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_the_process_lets_nothing_go(tmp_path):
    code = f"""
import multiprocessing, sys
from pathlib import Path
from thawline.features.use import InUse, is_in_use, remove_old_marks
folder = Path({str(tmp_path)!r})
mark = InUse(folder)
copy = multiprocessing.get_context("fork").Process(target=mark.let_go)
copy.start()
copy.join()
assert copy.exitcode == 0
assert is_in_use(folder)
mark.let_go()
assert not is_in_use(folder)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
