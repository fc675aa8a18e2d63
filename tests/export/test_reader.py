"""reader.py reads files as thawline does, and is a Python file of its own."""

import ast
import importlib.util
import sys
from collections import Counter

import numpy as np
import pytest

from odd_files import BAD, GOOD
from thawline.data.decode import Decoding, decode
from thawline.export.export import FORMATS
from thawline.export.reader import reader_source

READING = {
    "image_size": [20, 16],
    "color_mode": "rgb",
    "interpolation": "area",
    "resize": "crop",
    "background": [1, 2, 3],
    "fast_jpeg": False,
}


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The functions of a reader for ONNX."""
    path = tmp_path / "reader.py"
    path.write_text(reader_source("onnx", "1.2.3"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("a_reader", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "a_reader", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", FORMATS)
def test_a_reader_names_everything_once_and_imports_nothing_of_thawline(form):
    tree = ast.parse(reader_source(form, "1.2.3"))
    defined = Counter(
        node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else ast.unparse(node.targets[0])
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign)
    )
    assert [name for name, count in defined.items() if count > 1] == []
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {"cv2", "numpy", "PIL"} | sys.stdlib_module_names


@pytest.mark.parametrize("name", GOOD)
def test_files_give_the_same_pixels(reader, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(GOOD[name]())
    expected = decode(path.read_bytes(), Decoding((20, 16), resize="crop", background=(1, 2, 3)))
    np.testing.assert_array_equal(reader.read_pixels(None, {"reading": READING}, path), expected)


def test_a_bad_file_is_told_by_its_name(reader, tmp_path):
    data, message = BAD["empty.jpg"]
    (tmp_path / "empty.jpg").write_bytes(data())
    with pytest.raises(reader.UnreadableImageError, match=f"empty.jpg: {message}"):
        reader.read_pixels(None, {"reading": READING}, tmp_path / "empty.jpg")
