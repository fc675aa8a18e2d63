"""Weights out of a legacy PyTorch file and into a Keras model, without PyTorch and without running its code.

`read_tensors` gives the file's tensors as NumPy arrays; `set_weights` puts them into a model, layer by layer.
A pickle can run anything it names, so the file's digest is checked before one byte is parsed, and the
unpickler knows four names and no others.

The legacy format (`torch.save` before PyTorch 1.6) is five pickles in a row - a magic number, the protocol
version, the sizes of the writer's integers, the object itself, the keys of its storages - and then, for each
key in that order, an int64 with the number of elements and the elements themselves, little-endian.
"""

import hashlib
import io
import pickle
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thawline.errors import WeightsError

__all__ = ["read_tensors", "set_weights"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

# What the file calls the kinds of storage, and how their elements lie in it.
_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
}

# The part of a torch tensor's name that goes with the name of a Keras weight.
_TORCH_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

# How torch's axes go to Keras': convolutions OIHW -> HWIO, depthwise ones (C, 1, H, W) -> (H, W, C, 1), and
# Dense (outputs, inputs) -> (inputs, outputs).
_KERNEL_AXES = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}

# How many batches BatchNorm has seen: training bookkeeping that Keras does not keep.
_BOOKKEEPING = ".num_batches_tracked"


@dataclass(frozen=True)
class _Storage:
    """A storage that the pickle speaks of; its elements come later in the file."""

    dtype: np.dtype[Any]
    key: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor that the pickle speaks of: a strided look at a storage. Offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    """What stands in for `torch._utils._rebuild_tensor_v2`."""
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """An unpickler that makes ordered dictionaries and stand-ins for tensors, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise WeightsError(
            f"The pickle asks for {module}.{name}, which weights have no need of: only dictionaries "
            "and tensors are read. Nothing was run. Do not use this file."
        )

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", np.dtype() as dtype, str() as key, str(), int() as size, None):
                return _Storage(dtype, key, size)
        raise WeightsError(f"The pickle refers to {pid!r}, expected a storage of tensors. Do not use this file.")


def read_tensors(path: str | Path, *, sha256: str) -> dict[str, NDArray[Any]]:
    """The tensors of a legacy PyTorch file, by name.

    For a state dict that `torch.save` wrote before PyTorch 1.6. Costs about twice the file's size in memory.

    Args:
        path: the file.
        sha256: the digest the file must have, 64 hexadecimal digits. It is checked before anything is parsed.

    Returns:
        One array per tensor, in the file's order, with the file's shapes and dtypes, contiguous.

    Raises:
        WeightsError: the file is missing, is not the one expected, is not in this format, or its pickle asks
            for anything but dictionaries and tensors.

    Example:
        >>> tensors = read_tensors("efficientnet-lite0-57934424.pth", sha256=SHA256)  # doctest: +SKIP
        >>> tensors["_conv_stem.weight"].shape  # doctest: +SKIP
        (32, 3, 3, 3)
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}. Check the path.") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise WeightsError(
            f"{path} is not the file expected: its sha256 is {digest}, expected {sha256}. "
            "Nothing of it was parsed. Fetch the file again."
        )
    try:
        return _parse(io.BytesIO(content))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # A broken pickle fails in any way it likes.
        raise WeightsError(
            f"{path} is not a legacy PyTorch file of tensors ({type(error).__name__}: {error}). Fetch it again."
        ) from error


def set_weights(
    model: Any,
    tensors: Mapping[str, NDArray[Any]],
    *,
    torch_names: Mapping[str, str],
    left_out: Collection[str] = (),
) -> None:
    """Gives every weight of a Keras model its value from PyTorch's tensors.

    Nothing is set unless everything fits: every weight of the model has its tensor, of the right shape after
    its axes were moved, and every tensor has its weight. BatchNorm's `num_batches_tracked` is not needed.

    Args:
        model: a Keras model of Conv2D, DepthwiseConv2D, BatchNormalization, Dense and layers without weights.
        tensors: PyTorch's arrays by name, kernels in PyTorch's order of axes.
        torch_names: for the name of each layer with weights, what its tensors are called before ".weight".
        left_out: tensors that the model has no use for, on purpose.

    Raises:
        WeightsError: a weight without a tensor, a tensor without a weight, or shapes that differ.

    Example:
        >>> from thawline.backend import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="predictions")])
        >>> tensors = {"fc.weight": np.ones((2, 3)), "fc.bias": np.zeros(2)}
        >>> set_weights(model, tensors, torch_names={"predictions": "fc"})
    """
    values, used = [], set(left_out)
    for layer in model.layers:
        for variable in layer.weights:
            name, value = _find_value(layer, variable, tensors, torch_names)
            used.add(name)
            values.append((variable, value))
    unused = [name for name in tensors if name not in used and not name.endswith(_BOOKKEEPING)]
    if unused:
        raise WeightsError(
            f"{len(unused)} tensors fit no layer of model '{model.name}': {', '.join(unused[:5])}. "
            "Every tensor must be used: take the weights that belong to this model."
        )
    for variable, value in values:
        variable.assign(value)


def _find_value(
    layer: Any, variable: Any, tensors: Mapping[str, NDArray[Any]], torch_names: Mapping[str, str]
) -> tuple[str, NDArray[Any]]:
    """The name of the tensor that belongs to one weight, and its value with Keras' order of axes."""
    weight = f"{layer.name}/{variable.name}"
    if layer.name not in torch_names or variable.name not in _TORCH_NAMES:
        raise WeightsError(
            f"No tensor is known for the weight '{weight}'. Name its layer in torch_names; the weights that "
            f"can be set are {', '.join(_TORCH_NAMES)}."
        )
    name = f"{torch_names[layer.name]}.{_TORCH_NAMES[variable.name]}"
    if name not in tensors:
        raise WeightsError(
            f"The weight '{weight}' needs the tensor '{name}', which is not there. "
            "Take the weights that belong to this model."
        )
    value = tensors[name]
    axes = _KERNEL_AXES.get(type(layer).__name__) if variable.name == "kernel" else tuple(range(value.ndim))
    if axes is None or len(axes) != value.ndim or value.transpose(axes).shape != tuple(variable.shape):
        raise WeightsError(
            f"The weight '{weight}' has shape {tuple(variable.shape)}, but the tensor '{name}' has "
            f"{value.shape} in PyTorch's order of axes. Take the weights that belong to this model."
        )
    return name, value.transpose(axes)


def _parse(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    """The tensors of a file whose digest is known to be right."""
    magic, protocol, system = (_Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or not system["little_endian"]:
        raise WeightsError(
            f"magic number {magic!r}, protocol {protocol!r}, little_endian {system!r}; expected {_MAGIC}, "
            f"{_PROTOCOL} and True. Save it with torch.save(..., _use_new_zipfile_serialization=False)."
        )
    tensors = _Unpickler(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise WeightsError("It does not hold a dictionary of tensors. Save the model's state_dict().")
    storages = _read_storages(file, {tensor.storage.key: tensor.storage for tensor in tensors.values()})
    return {str(name): _read_tensor(tensor, storages) for name, tensor in tensors.items()}


def _read_storages(file: io.BytesIO, announced: Mapping[str, _Storage]) -> dict[str, NDArray[Any]]:
    """The elements of each storage, by its key. Each must be there once, as announced, and nothing else."""
    storages = {}
    for key in _Unpickler(file).load():
        storage = announced[key]
        count = int.from_bytes(file.read(8), "little", signed=True)
        content = file.read(storage.size * storage.dtype.itemsize)
        if count != storage.size or len(content) != storage.size * storage.dtype.itemsize:
            raise WeightsError(
                f"Storage {key} has {count} elements and {len(content)} bytes, expected {storage.size} "
                f"elements of {storage.dtype.itemsize} bytes. Fetch the file again."
            )
        storages[key] = np.frombuffer(content, storage.dtype)
    if missing := announced.keys() - storages.keys():
        raise WeightsError(f"{len(missing)} storages are missing. Fetch the file again.")
    if rest := len(file.read()):
        raise WeightsError(f"{rest} bytes follow the last storage, expected none. Fetch the file again.")
    return storages


def _read_tensor(tensor: _Tensor, storages: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """One tensor out of its storage. NumPy refuses a look beyond the storage's end."""
    size = tensor.storage.dtype.itemsize
    strided: NDArray[Any] = np.ndarray(
        tensor.shape,
        tensor.storage.dtype,
        buffer=storages[tensor.storage.key],
        offset=tensor.offset * size,
        strides=tuple(stride * size for stride in tensor.strides),
    )
    return np.ascontiguousarray(strided).reshape(tensor.shape)
