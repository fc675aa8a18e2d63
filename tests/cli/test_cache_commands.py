"""thawline cache: what is kept, whether it is whole, and how its room is given back."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from thawline.cli import app
from thawline.cli.cache import format_ago
from thawline.features.cache import FeatureCache
from thawline.specs import TensorSpec

KEYS = [number.to_bytes(36, "big") for number in range(10)]
SPEC = TensorSpec((None, 1000), "float32")


def cache_command(*words):
    return CliRunner().invoke(app, ["cache", *map(str, words)])


def as_json(*words):
    return json.loads(cache_command(*words, "--json").stdout)


def hold(path, name, label):
    """A set with ten rows, in use as long as the answer lives."""
    features = FeatureCache(path).features({"name": name}, [SPEC], label=label)
    features.write(KEYS, [np.full((10, 1000), 1.5, np.float32)])
    return features


def keep(path, name, label="", *, days=0):
    """A set with ten rows that nobody uses, and that was used so many days ago."""
    features = hold(path, name, label)
    then = time.time() - days * 86_400
    os.utime(features.path / "set.json", (then, then))
    return features.path


def damage(path):
    """Turns a bit of one row."""
    content = bytearray((path / "data.mdb").read_bytes())
    place = content.index(np.full(1000, 1.5, np.float32).tobytes())
    content[place + 100] ^= 1
    (path / "data.mdb").write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    """A cache with two sets, pixels, and a folder that is nobody's."""
    path = tmp_path / "cache"
    keep(path, "old", "birds through base", days=3)
    keep(path, "new")
    (path / "pixels" / "deep").mkdir(parents=True)
    (path / "pixels" / "deep" / "data.mdb").write_bytes(bytes(31_400))
    (path / "holiday").mkdir()
    return path


@pytest.mark.parametrize("command", ["list", "verify", "prune", "clear"])
def test_every_command_explains_itself(command):
    done = cache_command(command, "--help")
    assert done.exit_code == 0
    assert "--path" in done.stdout
    assert "--json" in done.stdout


def test_help_loads_nothing_heavy_and_listing_no_keras(folder):
    code = """
import sys, thawline.cli
words, heavy = sys.argv[1:-1], sys.argv[-1].split(",")
sys.argv = ["thawline", "cache", *words]
try:
    thawline.cli.main()
except SystemExit as stop:
    assert not stop.code
loaded = set(heavy) & set(sys.modules)
assert not loaded, loaded
"""
    for words in (["--help", "keras,tensorflow,numpy,lmdb,cv2"], ["list", "--path", folder, "keras,tensorflow,cv2"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_list_shows_sets_totals_and_what_else_is_kept(folder):
    lines = cache_command("list", "--path", folder).stdout.splitlines()
    new, old = FeatureCache(folder).sets()
    assert lines[0].split() == ["features", "tensors", "views", "size", "last", "used", "in", "use"]
    assert lines[1].split() == [
        *("set", new.identity[:8], "float32", "(1000)", "10"),
        *(f"{new.size_bytes / 1000:.1f}", "kB", "just", "now", "no"),
    ]
    assert lines[2].split()[:3] == ["birds", "through", "base"]
    assert lines[2].split()[-4:] == ["3", "days", "ago", "no"]
    assert f"2 sets of features in {folder}: {(new.size_bytes + old.size_bytes) / 1000:.0f} kB of at most " in lines[4]
    assert lines[5:] == [f"besides, pixels of images in {folder / 'pixels'}: 31.4 kB"]


def test_list_as_json(folder):
    told = as_json("list", "--path", folder)
    assert told["path"] == str(folder)
    assert told["size_bytes"] == FeatureCache(folder).size_bytes
    assert told["max_bytes"] > told["size_bytes"]
    assert [entry["label"] for entry in told["sets"]] == ["", "birds through base"]
    assert [entry["rows"] for entry in told["sets"]] == [10, 10]
    assert told["others"] == [{"name": "pixels", "size_bytes": 31_400}]
    then = datetime.fromisoformat(told["sets"][1]["last_used"])
    assert abs((datetime.now(UTC) - then).total_seconds() - 3 * 86_400) < 600


def test_the_default_is_the_cache_that_thawline_cache_names(own_cache):
    keep(own_cache, "a", "mine")
    assert [entry["label"] for entry in as_json("list")["sets"]] == ["mine"]


@pytest.mark.parametrize("words", [["list"], ["verify"], ["prune", "--max-bytes", "1MB"], ["clear"]])
def test_looking_for_a_cache_does_not_make_one(words, tmp_path):
    for extra in ([], ["--json"]):
        done = cache_command(*words, "--path", tmp_path / "none", *extra)
        assert done.exit_code == 0, done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["list"], ["verify"], ["clear"]])
def test_a_cache_of_an_earlier_version_is_refused(words, tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"")
    done = cache_command(*words, "--path", tmp_path)
    assert done.exit_code == 1
    assert "is one of an earlier thawline" in done.stderr


def test_list_and_verify_do_not_count_as_use(folder):
    before = FeatureCache(folder).sets()
    cache_command("list", "--path", folder)
    cache_command("verify", "--path", folder)
    assert FeatureCache(folder).sets() == before


def test_verify_of_a_whole_cache(folder):
    done = cache_command("verify", "--path", folder)
    assert done.exit_code == 0
    assert done.stdout.count("whole") == 2
    assert as_json("verify", "--path", folder)["rows"] == 20


def test_verify_takes_damaged_rows_out_and_says_so_once(folder):
    damage(keep(folder, "hurt", "hurt"))
    done = cache_command("verify", "--path", folder)
    assert done.exit_code == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("hurt"))
    assert line.split() == ["hurt", "10", "1", "damaged", "ones", "taken", "out"]
    assert cache_command("verify", "--path", folder).exit_code == 0
    assert {entry["label"]: entry["rows"] for entry in as_json("list", "--path", folder)["sets"]}["hurt"] == 9


def test_verify_deletes_what_cannot_be_read(folder):
    (keep(folder, "foreign", "foreign") / "data.mdb").write_bytes(b"something else " * 1000)
    assert "cannot be read" in cache_command("list", "--path", folder).stdout
    told = cache_command("verify", "--path", folder, "--json")
    assert told.exit_code == 1
    (check,) = (check for check in json.loads(told.stdout)["sets"] if check["label"] == "foreign")
    assert check["is_deleted"]
    assert "MDB_INVALID" in check["problem"]
    assert len(as_json("list", "--path", folder)["sets"]) == 2


def test_prune_deletes_the_oldest_and_says_what_it_freed(folder):
    new, old = FeatureCache(folder).sets()
    done = cache_command("prune", "--path", folder, "--max-bytes", f"{(new.size_bytes + 2000) / 1000}kB")
    assert done.exit_code == 0
    size = f"{old.size_bytes / 1000:.1f} kB"
    assert done.stdout.splitlines() == [
        f"deleted: birds through base, {size}, last used 3 days ago",
        f"{size} freed in {folder}; 1 set of features with {new.size_bytes / 1000:.1f} kB left.",
    ]


@pytest.mark.parametrize(("size", "code"), [("ten", 2), ("-1", 2), ("1 XB", 2)])
def test_prune_refuses_what_is_no_size(size, code, folder):
    done = cache_command("prune", "--path", folder, f"--max-bytes={size}")
    assert (done.exit_code, done.stdout) == (code, "")
    assert f"A size is a number of bytes, like 500000, 500MB, 10GB or 1.5GiB; got '{size}'" in done.stderr
    assert len(FeatureCache(folder).sets()) == 2


def test_clear_keeps_what_is_used_and_says_so(folder):
    features = hold(folder, "used", "kittens")
    done = cache_command("clear", "--path", folder)
    assert done.exit_code == 0
    assert done.stdout.count("deleted: ") == 2
    size = f"{FeatureCache(folder).size_bytes / 1000:.1f} kB"
    assert done.stdout.splitlines()[-1] == f"stays, because a process uses it: kittens, {size}"
    assert features.missing(KEYS) == []
    del features
    told = as_json("clear", "--path", folder)
    assert [entry["label"] for entry in told["deleted"]] == ["kittens"]
    assert (told["left"], told["size_bytes"]) == ([], 0)
    assert told["freed_bytes"] == told["deleted"][0]["size_bytes"]
    assert (folder / "pixels" / "deep" / "data.mdb").exists()


def test_a_folder_with_other_things_only_is_no_empty_cache(folder):
    shutil.rmtree(folder / "features")
    lines = cache_command("list", "--path", folder).stdout.splitlines()
    assert lines == [
        f"No features are kept in {folder}.",
        f"besides, pixels of images in {folder / 'pixels'}: 31.4 kB",
    ]
    assert not (folder / "features").exists()


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        ({"seconds": -5}, "just now"),
        ({"seconds": 59}, "just now"),
        ({"seconds": 60}, "1 min ago"),
        ({"minutes": 59, "seconds": 59}, "59 min ago"),
        ({"hours": 23, "minutes": 59}, "23 h ago"),
        ({"days": 1, "hours": 23}, "1 day ago"),
        ({"days": 59}, "59 days ago"),
        ({"days": 60}, "2024-03-18"),
    ],
)
def test_how_long_ago_in_words(ago, words):
    now = datetime(2024, 5, 17, 12, tzinfo=UTC)
    assert format_ago(now - timedelta(**ago), now) == words
