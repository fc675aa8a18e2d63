"""Files written whole or not at all."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from thawline.files import put_folder_in_place, replacing, working_folder, write_text


def test_the_file_is_there_when_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_file_lies_beside_the_target_with_its_suffixes(tmp_path):
    target = tmp_path / "new" / "folder" / "stack.weights.h5"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".weights.h5")
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"x")
    assert target.read_bytes() == b"x"


def test_what_was_written_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")
    synced = []

    def sync(descriptor):
        if os.path.isdir(f"/dev/fd/{descriptor}"):  # noqa: PTH112
            synced.append(target.read_text())
        else:
            assert target.read_text() == "old"
            synced.append(os.pread(descriptor, 10, 0))

    monkeypatch.setattr(os, "fsync", sync)
    write_text(target, "whole")
    # The content first, then the name.
    assert synced == [b"whole", "whole"]
    assert target.read_text() == "whole"


def test_a_long_name_still_fits(tmp_path):
    target = tmp_path / ("x" * 250 + ".txt")
    write_text(target, "long")
    assert target.read_text() == "long"


def test_permissions_are_those_of_a_file_written_directly(tmp_path):
    (tmp_path / "direct").write_text("")
    write_text(tmp_path / "replaced", "")
    assert (tmp_path / "replaced").stat().st_mode == (tmp_path / "direct").stat().st_mode


def test_text_is_written_as_utf_8(tmp_path):
    write_text(tmp_path / "a.txt", "größer ≥")
    assert (tmp_path / "a.txt").read_bytes() == "größer ≥".encode()


# -- folders -----------------------------------------------------------------------------------------------------


def folder_with(path, text):
    path.mkdir()
    (path / "a.txt").write_text(text)
    return path


def test_a_folder_takes_the_place_of_another_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "target"
    for text in ("first", "second"):
        put_folder_in_place(folder_with(tmp_path / "made", text), target)
        assert (target / "a.txt").read_text() == text
        assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("call", range(3))
def test_whichever_rename_fails_the_old_or_the_new_folder_is_there(tmp_path, monkeypatch, call, error):
    target, made = folder_with(tmp_path / "target", "old"), folder_with(tmp_path / "made", "new")
    calls, rename = [], Path.rename

    def failing(path, other):
        calls.append(path)
        if len(calls) == call + 1:
            raise error
        return rename(path, other)

    monkeypatch.setattr(Path, "rename", failing)
    if call < 2:
        with pytest.raises(error):
            put_folder_in_place(made, target)
        assert (target / "a.txt").read_text() == "old"
    else:
        put_folder_in_place(made, target)
        assert (target / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_interruption_right_behind_a_rename_loses_nothing(tmp_path, monkeypatch):
    target, made = folder_with(tmp_path / "target", "old"), folder_with(tmp_path / "made", "new")
    rename = Path.rename

    def interrupted(path, other):
        rename(path, other)
        if path == target:
            raise KeyboardInterrupt

    with monkeypatch.context() as changed, pytest.raises(KeyboardInterrupt):
        changed.setattr(Path, "rename", interrupted)
        put_folder_in_place(made, target)
    assert (target / "a.txt").read_text() == "old"


def test_after_a_kill_between_the_renames_the_next_call_has_the_old_folder_back(tmp_path):
    folder_with(tmp_path / ".target-replaced", "old")
    with pytest.raises(FileNotFoundError):
        put_folder_in_place(tmp_path / "none", tmp_path / "target")
    assert (tmp_path / "target" / "a.txt").read_text() == "old"
    # After one behind both, the new one stays.
    folder_with(tmp_path / ".target-replaced", "older")
    put_folder_in_place(folder_with(tmp_path / "made", "new"), tmp_path / "target")
    assert (tmp_path / "target" / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_working_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path):
    code = (
        "import sys; from pathlib import Path; from thawline.files import working_folder\n"
        "with working_folder(Path(sys.argv[1]), '.making-') as folder:\n"
        "    (folder / 'half').write_text('')\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    theirs = Path(process.stdout.readline().strip())
    with working_folder(tmp_path, ".making-") as mine:
        assert (theirs / "half").exists()
        assert mine != theirs
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (theirs / "half").exists()
    with working_folder(tmp_path, ".making-"):
        assert not theirs.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_working_folder_that_was_moved_away_leaves_nothing(tmp_path):
    with working_folder(tmp_path, ".making-") as folder:
        (folder / "a.txt").write_text("whole")
        put_folder_in_place(folder, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    shutil.rmtree(tmp_path / "made")
