"""Checkpoint: what is saved comes back, another training's is refused, and nothing in it is executed."""

import pickle
import re

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import RunError
from thawline.training.checkpoints.checkpoint import Checkpoint, restore

IDENTITY = {"stages": [["base", 112], ["head", 10]], "phases": (("head",), 3), "shuffle": True}
PROGRESS = {"phase": 1, "epochs_done": 3, "history": {"loss": [0.5, 1 / 3, 0.1]}}


def variables(seed=0):
    random = np.random.default_rng(seed)
    return {
        "stack/0": keras.Variable(random.random((3, 2), "float32"), name="kernel"),
        "optimizer/0": keras.Variable(random.integers(0, 9, ()), dtype="int32", name="iteration"),
        "stack/1": keras.Variable(random.random(4), dtype="bfloat16", name="half"),
    }


def values(some):
    return {name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in some.items()}


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    saved = variables()
    Checkpoint(tmp_path, IDENTITY).save(PROGRESS, saved)
    progress, arrays = Checkpoint(tmp_path, IDENTITY).load()
    assert progress == PROGRESS
    other = variables(seed=1)
    restore(other, arrays)
    for name, expected in values(saved).items():
        np.testing.assert_array_equal(values(other)[name], expected)
        assert values(other)[name].dtype == expected.dtype


def test_without_a_file_there_is_nothing_to_go_on_from(tmp_path):
    assert Checkpoint(tmp_path / "new", IDENTITY).load() is None


def test_the_last_save_counts(tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    for done in (1, 2):
        checkpoint.save({"epochs_done": done}, variables(done))
    progress, arrays = checkpoint.load()
    assert progress == {"epochs_done": 2}
    np.testing.assert_array_equal(arrays["stack/0"], values(variables(2))["stack/0"])
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]


def test_the_state_of_another_training_is_refused_with_what_differs(tmp_path):
    Checkpoint(tmp_path, IDENTITY).save(PROGRESS, variables())
    with pytest.raises(RunError) as failure:
        Checkpoint(tmp_path, {**IDENTITY, "shuffle": False, "seed": 3}).load()
    assert str(failure.value) == (
        f"The checkpoint {str(tmp_path / 'last.npz')!r} belongs to another training: seed was None, is 3; "
        "shuffle was True, is False. Give this one another folder, or delete the checkpoint to start anew."
    )


@pytest.mark.parametrize("damage", ["cut short", "text", "empty", "no note"])
def test_a_damaged_file_is_named(damage, tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(PROGRESS, variables())
    path = tmp_path / "last.npz"
    if damage == "no note":
        np.savez(path, other=np.zeros(2))
    else:
        path.write_bytes({"cut short": path.read_bytes()[:200], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(RunError, match=r"last\.npz' is damaged: .*\. Delete it to start anew\."):
        checkpoint.load()


class Bomb:
    """Code that a pickle would run."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was executed",))


def test_the_state_that_another_version_kept_is_refused(tmp_path):
    np.savez(tmp_path / "last.npz", note=np.array('{"identity": {}, "progress": {}, "dtypes": {}}'))
    with pytest.raises(RunError, match=r"another version of thawline.*delete"):
        Checkpoint(tmp_path, IDENTITY).load()


def test_a_pickle_in_the_file_is_not_executed(tmp_path):
    np.savez(tmp_path / "last.npz", allow_pickle=True, note=np.array([Bomb()], object))
    with pytest.raises(RunError, match="damaged"):
        Checkpoint(tmp_path, IDENTITY).load()
    (tmp_path / "last.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="damaged"):
        Checkpoint(tmp_path, IDENTITY).load()


def test_a_save_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(PROGRESS, variables())

    def write_half(path, **arrays):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", write_half)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save({"epochs_done": 9}, variables(1))
    assert checkpoint.load()[0] == PROGRESS
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "is missing"),
        (
            {"stack/0": np.zeros((2, 2)), "stack/1": np.zeros(4), "optimizer/0": np.zeros(())},
            "has shape (2, 2), not (3, 2)",
        ),
    ],
)
def test_a_variable_that_does_not_fit_is_named(arrays, says):
    with pytest.raises(RunError, match=re.escape(f"Variable kernel {says} in the checkpoint. Delete the checkpoint")):
        restore(variables(), arrays)
