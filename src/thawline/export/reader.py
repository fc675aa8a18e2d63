"""reader.py beside an artefact: a Python file of its own that reads images and runs the model, without thawline.

It is put together of the very files that thawline reads images with, so that it cannot read them in another way.
"""

import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

from thawline import arguments
from thawline.data import decode, formats, png_chunks, png_notes, resize
from thawline.export.standalone import from_bytes, from_pixels, main

_HEAD = '''"""Runs the model beside this file: python reader.py IMAGE...   or   from reader import Reader.

Written by thawline {version} for the format {form}. It needs {needs}, and nothing of thawline.
"""
'''

# What stands for thawline's errors.
_ERRORS = '''class ArgumentError(ValueError):
    """An argument has a value that cannot work."""


class UnreadableImageError(ValueError):
    """A file cannot be decoded as an image."""
'''

# What each format is run by, as packages are called.
NEEDS = {
    "saved_model": "tensorflow",
    "keras": "tensorflow, keras",
    "onnx": "onnxruntime",
    "litert": "ai-edge-litert",
    "openvino": "openvino",
}


def write_reader(path: Path, form: str, version: str) -> None:
    """Writes the reader for a format."""
    path.write_text(reader_source(form, version), encoding="utf-8")


def reader_source(form: str, version: str) -> str:
    """The reader for a format, as Python source.

    Example:
        >>> "thawline" in {line.split()[1].split(".")[0] for line in reader_source("onnx", "1").splitlines()
        ...                if line.startswith(("import ", "from "))}
        False
    """
    runtime = import_module(f"thawline.export.standalone.{form}_runtime")
    decodes = form == "saved_model"
    shared = [arguments, png_chunks, png_notes, formats, resize, decode]
    parts = [runtime, from_bytes, main] if decodes else [*shared, runtime, from_pixels, main]
    needs = NEEDS[form] + (", numpy" if decodes else ", numpy, pillow, opencv-python-headless")
    imports: set[str] = set()
    bodies = [] if decodes else [_ERRORS]
    for part in parts:
        found, body = _taken_apart(part)
        imports |= found
        bodies.append(body)
    # Whole modules first, as people sort them.
    ordered = sorted(imports, key=lambda line: (line.startswith("from "), line))
    return "\n\n".join([_HEAD.format(version=version, form=form, needs=needs) + "\n" + "\n".join(ordered), *bodies])


def _taken_apart(module: ModuleType) -> tuple[set[str], str]:
    """The imports of a module, but those of thawline, and what it says below them."""
    source = inspect.getsource(module)
    tree, lines = ast.parse(source), source.splitlines()
    imports = set()
    for node in reversed(tree.body):
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_import and not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("thawline")):
            imports.add(ast.unparse(node))
        is_docstring = node is tree.body[0] and isinstance(node, ast.Expr)
        is_list_of_names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if is_import or is_docstring or is_list_of_names:
            del lines[node.lineno - 1 : node.end_lineno]
    return imports, "\n".join(lines).strip("\n") + "\n"
