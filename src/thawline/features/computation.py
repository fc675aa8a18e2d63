"""Computation of a layer, as a digest: its operations as TensorFlow records them, with every constant in them.

A configuration says what a layer was built with, not what its code makes of attributes, arrays, files and globals. All
of these are in the recorded graph. Names are not part of it: Keras and TensorFlow number them as they go.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from blake3 import blake3

from thawline.backend import keras
from thawline.errors import CacheError
from thawline.source_code import digest_arrays
from thawline.stack.graph import Node

# Operations whose answers depend on what no graph holds, with what they do.
_OUTSIDE = {
    "PyFunc": "calls a Python function when it runs",
    "PyFuncStateless": "calls a Python function when it runs",
    "EagerPyFunc": "calls a Python function when it runs",
    "ReadFile": "reads a file when it runs",
    "MatchingFiles": "looks for files when it runs",
}


def digest_computation(node: Node) -> str:
    """BLAKE3 over the operations of one call in inference mode, as 64 hexadecimal digits.

    The values of the layer's weights are left out; which of them goes where is not.

    Raises:
        CacheError: the call cannot be recorded, or depends on something that no recording holds. The message is the
            end of a sentence about the layer.
    """
    if keras.backend.backend() != "tensorflow":
        raise CacheError(f"has code that only TensorFlow could record, and Keras runs on {keras.backend.backend()!r}")
    try:
        recorded = _record(node)
    # The layer's code is the user's own: it may fail in any way.
    except Exception as error:
        raise CacheError(f"cannot be recorded ({type(error).__name__})") from error
    graph = recorded.graph.as_graph_def()
    for operation in (each for part in (graph.node, *(f.node_def for f in graph.library.function)) for each in part):
        if operation.op in _OUTSIDE:
            raise CacheError(_OUTSIDE[operation.op])
    functions = {function.signature.name: function for function in graph.library.function}
    described = _Described(functions)
    inputs = [tensor.op.name for tensor in recorded.inputs]
    lines = described.lines(graph.node, inputs)
    outputs = [described.reference(tensor.name) for tensor in recorded.outputs]
    digest = blake3()
    for line in (*lines, *outputs, *_held(recorded, node.layer)):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _record(node: Node) -> Any:
    """The call as a concrete TensorFlow function of the tensors that enter it."""
    tensorflow = import_module("tensorflow")
    leaves = keras.tree.flatten(node.arguments)
    is_input = [isinstance(leaf, keras.KerasTensor) for leaf in leaves]
    mode = {"training": False} if isinstance(node.layer, keras.layers.Layer) else {}

    def compute(*tensors: Any) -> list[Any]:
        given = iter(tensors)
        filled = [next(given) if enters else leaf for enters, leaf in zip(is_input, leaves, strict=True)]
        arguments, options = keras.tree.pack_sequence_as(node.arguments, filled)
        answers: list[Any] = keras.tree.flatten(node.layer(*arguments, **options, **mode))
        return answers

    signature = [tensorflow.TensorSpec(tensor.shape, tensor.dtype) for tensor in node.inputs]
    # Keras does not let AutoGraph rewrite its layers either.
    return tensorflow.function(compute, input_signature=signature, autograph=False).get_concrete_function()


def _held(recorded: Any, layer: Any) -> Iterable[str]:
    """Inputs of a recorded function besides its arguments, one line each: constants by value, weights by place.

    Raises:
        CacheError: it is something else, a look-up table for example.
    """
    places = {id(each.value.handle): place for place, each in enumerate(getattr(layer, "variables", ()))}
    others = {id(each.handle): each for each in recorded.graph.variables}
    for tensor, _ in recorded.graph.captures:
        if id(tensor) in places:
            yield f"weight {places[id(tensor)]}"
        elif id(tensor) in others:
            yield f"variable {digest_arrays([others[id(tensor)].numpy()])}"
        elif tensor.dtype.name in ("resource", "variant"):
            raise CacheError("holds a table or another resource of TensorFlow")
        else:
            yield f"constant {digest_arrays([tensor.numpy()])}"


class _Described:
    """Operations as lines of text, in which a name is the number at which it came up.

    Args:
        functions: by name, the functions that operations may call.
    """

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self._digests: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def lines(self, operations: Iterable[Any], inputs: Iterable[str]) -> list[str]:
        """One line for each operation, with its arguments and settings."""
        operations = list(operations)
        for name in (*inputs, *(operation.name for operation in operations)):
            self._numbers.setdefault(name, len(self._numbers))
        return [
            " ".join([operation.op, *map(self.reference, operation.input), *self._settings(operation)])
            for operation in operations
        ]

    def reference(self, name: str) -> str:
        """An argument like "add_3:0", or "^add_3" for an order of execution, with the number in place of the name."""
        mark = "^" if name.startswith("^") else ""
        operation, _, place = name.removeprefix("^").partition(":")
        # The first result of an operation may be written with its place and without.
        return f"{mark}{self._numbers[operation]}:{place or 0}"

    def _settings(self, operation: Any) -> Iterable[str]:
        # Those that begin with "_" are notes of TensorFlow for itself, names and numbers of its own among them.
        for name in sorted(name for name in operation.attr if not name.startswith("_")):
            value = operation.attr[name]
            called = [value.func] if value.HasField("func") else list(value.list.func)
            if called:
                yield f"{name}={[self._digest(function.name) for function in called]}"
            else:
                yield f"{name}={value.SerializeToString(deterministic=True).hex()}"

    def _digest(self, name: str) -> str:
        """The digest of a function that is called."""
        if name not in self._digests:
            function, inner = self._functions[name], _Described(self._functions)
            inner._digests = self._digests
            lines = inner.lines(function.node_def, [argument.name for argument in function.signature.input_arg])
            results = [inner.reference(function.ret[result.name]) for result in function.signature.output_arg]
            self._digests[name] = blake3("\n".join([*lines, *results]).encode()).hexdigest()
        return self._digests[name]
