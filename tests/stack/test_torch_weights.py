"""Reading PyTorch's legacy files: the right numbers, and nothing run."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import WeightsError
from thawline.stack.torch_weights import read_tensors, set_weights

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


class Storage:
    """A storage of PyTorch, as its pickle refers to it."""

    def __init__(self, key, array, kind):
        self.key, self.array, self.kind = key, array, kind


class Tensor:
    """A tensor of PyTorch, as its pickle makes it."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class StoragePickler(pickle.Pickler):
    """Writes storages the way PyTorch does: by reference."""

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", getattr(sys.modules["torch"], obj.kind), obj.key, "cpu", obj.array.size, None)
        return None


class Attack:
    """An object whose pickle calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """Empty modules with the names that PyTorch's pickles use, so that pickle can write them."""

    def _rebuild_tensor_v2(*_):
        raise AssertionError("Only its name is written; reading must not come here.")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "BFloat16Storage"):
        setattr(module, kind, type(kind, (), {"__module__": "torch", "__qualname__": kind}))
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def dump(thing):
    file = io.BytesIO()
    StoragePickler(file, protocol=2).dump(thing)
    return file.getvalue()


def write(path, thing, storages=(), *, magic=MAGIC, system=SYSTEM, end=b""):
    """Writes a legacy file and gives its digest."""
    parts = [dump(magic), dump(1001), dump(system), dump(thing), dump([storage.key for storage in storages])]
    for storage in storages:
        parts += [storage.array.size.to_bytes(8, "little"), storage.array.tobytes()]
    content = b"".join(parts) + end
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def floats(*values):
    return Storage("7", np.array(values, "<f4"), "FloatStorage")


def test_tensors_come_with_their_names_shapes_dtypes_and_strides(tmp_path):
    storage = floats(9, 1, 2, 3, 4, 5, 6)
    count = Storage("8", np.array([12], "<i8"), "LongStorage")
    thing = OrderedDict(
        row=Tensor(storage, 0, (2,), (1,)),
        turned=Tensor(storage, 1, (2, 3), (1, 2)),
        count=Tensor(count, 0, (), ()),
    )
    tensors = read_tensors(tmp_path / "a.pth", sha256=write(tmp_path / "a.pth", thing, [storage, count]))
    assert list(tensors) == ["row", "turned", "count"]
    np.testing.assert_array_equal(tensors["row"], np.float32([9, 1]))
    np.testing.assert_array_equal(tensors["turned"], np.float32([[1, 3, 5], [2, 4, 6]]))
    assert tensors["turned"].dtype == np.float32
    assert tensors["turned"].flags.c_contiguous
    assert tensors["count"].shape == ()
    assert tensors["count"] == 12


def test_a_file_with_another_digest_is_refused_before_it_is_parsed(tmp_path):
    path, marker = tmp_path / "a.pth", tmp_path / "ran"
    digest = write(path, {"a": Attack(Path.touch, marker)})
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match=rf"a.pth is not the file expected.*expected {digest}.*Nothing"):
        read_tensors(path, sha256=digest)
    assert not marker.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no.pth cannot be read: No such file.*Check the path"):
        read_tensors(tmp_path / "no.pth", sha256="")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ["touch {marker}"]),
        (eval, ["__import__('pathlib').Path('{marker}').touch()"]),
        (exec, ["open('{marker}', 'w').close()"]),
        (open, ["{marker}", "w"]),
        (getattr, ["{marker}", "upper"]),
        (subprocess.Popen, ["touch {marker}", -1]),
        (np.array, [[1]]),
    ],
)
@pytest.mark.parametrize("place", ["first pickle", "tensors"])
def test_a_pickle_that_calls_anything_else_is_refused_and_nothing_runs(tmp_path, function, arguments, place):
    marker = tmp_path / "ran"
    # What would run, if it did, leaves a file behind.
    fill = [text.format(marker=marker) if isinstance(text, str) else text for text in arguments]
    attack = Attack(function, *fill)
    path = tmp_path / "a.pth"
    digest = write(path, attack, magic=attack) if place == "first pickle" else write(path, {"a": attack})
    with pytest.raises(WeightsError, match=rf"a.pth: The pickle asks for .*{function.__name__}.*Do not use"):
        read_tensors(path, sha256=digest)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", [b"torch._utils\n_rebuild_tensor_v2.__globals__", b"torch\nload", b"collections\nnamedtuple"]
)
def test_names_near_the_allowed_ones_are_refused(tmp_path, name):
    path = tmp_path / "a.pth"
    content = dump(MAGIC) + dump(1001) + dump(SYSTEM) + b"c" + name + b"\n."
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="The pickle asks for"):
        read_tensors(path, sha256=hashlib.sha256(content).hexdigest())


def test_a_reference_to_anything_but_a_storage_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    content = b"Psecrets\n."
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="refers to 'secrets', expected a storage"):
        read_tensors(path, sha256=hashlib.sha256(content).hexdigest())


def test_a_storage_of_an_unknown_kind_is_refused(tmp_path):
    storage = Storage("7", np.zeros(1, "<f2"), "BFloat16Storage")
    digest = write(tmp_path / "a.pth", {"a": Tensor(storage, 0, (1,), (1,))}, [storage])
    with pytest.raises(WeightsError, match=r"torch\.BFloat16Storage"):
        read_tensors(tmp_path / "a.pth", sha256=digest)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(0, (4,), (1,)), (3, (1,), (1,)), (0, (2,), (9,)), (0, (2,), (-1,))]
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, offset, shape, strides):
    storage = floats(1, 2, 3)
    digest = write(tmp_path / "a.pth", {"a": Tensor(storage, offset, shape, strides)}, [storage])
    with pytest.raises(WeightsError, match="not a legacy PyTorch file of tensors"):
        read_tensors(tmp_path / "a.pth", sha256=digest)


def test_files_that_are_not_whole_or_of_another_kind_are_refused(tmp_path):
    path, storage = tmp_path / "a.pth", floats(1, 2, 3)
    good = {"a": Tensor(storage, 0, (3,), (1,))}
    shorter = Storage("7", storage.array[:2], "FloatStorage")
    for arguments, options, message in [
        (([1, 2],), {}, "not hold a dictionary of tensors"),
        (({"a": 1},), {}, "not hold a dictionary of tensors"),
        ((good,), {}, "1 storages are missing"),
        ((good, [shorter]), {}, "has 2 elements and 8 bytes, expected 3"),
        ((good, [storage]), {"end": b"more"}, "4 bytes follow the last storage"),
        ((good, [storage]), {"magic": 1}, "magic number 1"),
        ((good, [storage]), {"system": {"little_endian": False}}, "little_endian"),
    ]:
        digest = write(path, *arguments, **options)
        with pytest.raises(WeightsError, match=message):
            read_tensors(path, sha256=digest)
    path.write_bytes(b"PK\3\4 a newer file")
    with pytest.raises(WeightsError, match="not a legacy PyTorch file"):
        read_tensors(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def model():
    return keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2D(3, (1, 2), use_bias=False, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.DepthwiseConv2D((2, 1), use_bias=False, name="depthwise"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="dense"),
        ],
        name="small",
    )


TORCH_NAMES = {"conv": "c", "norm": "n", "depthwise": "d", "dense": "fc"}


def torch_tensors():
    rng = np.random.default_rng(3)
    shapes = {
        "c.weight": (3, 2, 1, 2),
        "n.weight": (3,),
        "n.bias": (3,),
        "n.running_mean": (3,),
        "n.running_var": (3,),
        "d.weight": (3, 1, 2, 1),
        "fc.weight": (5, 27),
        "fc.bias": (5,),
    }
    tensors = {name: rng.random(shape, "float32") for name, shape in shapes.items()}
    return tensors | {"n.num_batches_tracked": np.array(4)}


def test_weights_go_to_their_layers_with_keras_order_of_axes(model):
    tensors = torch_tensors()
    set_weights(model, tensors, torch_names=TORCH_NAMES)
    conv = model.get_layer("conv").get_weights()[0]
    depthwise = model.get_layer("depthwise").get_weights()[0]
    dense, bias = model.get_layer("dense").get_weights()
    for output, channel, column in np.ndindex(3, 2, 2):
        assert conv[0, column, channel, output] == tensors["c.weight"][output, channel, 0, column]
    for channel, row in np.ndindex(3, 2):
        assert depthwise[row, 0, channel, 0] == tensors["d.weight"][channel, 0, row, 0]
    np.testing.assert_array_equal(dense, tensors["fc.weight"].T)
    np.testing.assert_array_equal(bias, tensors["fc.bias"])
    norm = model.get_layer("norm")
    np.testing.assert_array_equal(norm.gamma, tensors["n.weight"])
    np.testing.assert_array_equal(norm.beta, tensors["n.bias"])
    np.testing.assert_array_equal(norm.moving_mean, tensors["n.running_mean"])
    np.testing.assert_array_equal(norm.moving_variance, tensors["n.running_var"])


def test_nothing_is_set_unless_everything_fits(model):
    before = model.get_weights()
    good = torch_tensors()
    missing = {name: tensor for name, tensor in good.items() if name != "fc.bias"}
    for tensors, names, message in [
        (missing, TORCH_NAMES, "'dense/bias' needs the tensor 'fc.bias'"),
        (good | {"x.weight": np.zeros(1)}, TORCH_NAMES, "1 tensors fit no layer of model 'small': x.weight"),
        (good | {"fc.weight": np.zeros((27, 5))}, TORCH_NAMES, r"'dense/kernel' has shape \(27, 5\)"),
        (good | {"c.weight": np.zeros((3, 4))}, TORCH_NAMES, r"'c.weight' has \(3, 4\)"),
        (good, {"conv": "c"}, "No tensor is known for the weight 'norm/gamma'"),
    ]:
        with pytest.raises(WeightsError, match=message):
            set_weights(model, tensors, torch_names=names)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_tensors_left_out_on_purpose_need_no_layer(model):
    tensors = torch_tensors() | {"x.weight": np.zeros(1)}
    set_weights(model, tensors, torch_names=TORCH_NAMES, left_out=["x.weight"])
