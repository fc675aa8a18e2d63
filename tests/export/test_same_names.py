"""Layers of equal names do not mix up what an exported model answers."""

import json

import pytest

import thawline as tl
from thawline.backend import keras
from tiny_stack import SIZE, pictures, reading

layers = keras.layers


def branch(name, units):
    """A network whose layers are called as those of every other branch."""
    return keras.Sequential(
        [keras.Input((*SIZE, 3)), layers.Conv2D(units, 3, name="conv"), layers.GlobalAveragePooling2D(name="pool")],
        name=name,
    )


@pytest.mark.parametrize("form", ["keras", "onnx", "litert", "openvino"])
def test_two_bases_and_two_heads_of_equal_names_are_verified(form, tmp_path):
    keras.utils.set_random_seed(3)
    images = keras.Input((*SIZE, 3))
    base = keras.Model(images, layers.Concatenate()([branch("one", 4)(images), branch("two", 5)(images)]), name="base")
    joined = keras.Input((9,))
    heads = {
        name: keras.Sequential([layers.Dense(units, "softmax", name="fc")], name=f"{name}_layers")(joined)
        for name, units in (("size", 2), ("kind", 3))
    }
    stack = tl.Stack([tl.Stage(base, "base", trainable=False), tl.Stage(keras.Model(joined, heads, name="top"), "top")])
    stack.reading = reading()
    (exported,) = stack.export(tmp_path, [form], golden=list(pictures(20)), verbose=0)
    assert "verified" in str(exported) and "NOT" not in str(exported)
    facts = json.loads((tmp_path / form / "artefact.json").read_text())
    assert [(each["name"], each["shape"][-1]) for each in facts["outputs"]] == [("kind", 3), ("size", 2)]
