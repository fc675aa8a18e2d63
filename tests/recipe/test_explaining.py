"""What is wrong with a recipe is said in the words of recipes: no word of pydantic or Python reaches the user."""

import re

import pytest
import yaml

from thawline.errors import RecipeError
from thawline.recipe import load_recipe, parse_recipe

WHOLE = {
    "data": {"train": "images"},
    "stack": [{"name": "head", "layers": ["Flatten"]}],
    "phases": [{"train": "head", "epochs": 1}],
}
PAIR = "expected two whole numbers, like [224, 224], or one for both; got"


def parse(**sections):
    return parse_recipe({**WHOLE, **sections})


def of_data(**keys):
    return {"data": {"train": "images", **keys}}


def of_phase(**keys):
    return {"phases": [{"train": "head", "epochs": 1, **keys}]}


def test_one_number_is_a_square():
    assert parse(**of_data(image_size=224)).data.image_size == (224, 224)
    assert parse(**of_data(image_size=[160, 120])).data.image_size == (160, 120)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (of_data(image_size="big"), f"data.image_size: {PAIR} 'big'."),
        (of_data(image_size=[224]), f"data.image_size: {PAIR} [224]."),
        (of_data(image_size=[1, 2, 3]), f"data.image_size: {PAIR} [1, 2, 3]."),
        (of_data(image_size=["a", 3]), f"data.image_size: {PAIR} 'a'."),
        (of_data(image_size=True), f"data.image_size: {PAIR} true."),
        (
            of_data(validation=None),
            "data.validation: expected a share like 0.2, or a folder or a table of other images; got nothing.",
        ),
        (of_data(file_range="mage"), "data.file_range: expected two numbers, like [0, 4095], or 'image'; got 'mage'."),
        (of_data(batch_size=2.5), "data.batch_size: expected a whole number; got 2.5."),
        (of_data(batch_size="many"), "data.batch_size: expected a whole number; got 'many'."),
        (of_data(exact="perhaps"), "data.exact: expected true or false; got 'perhaps'."),
        (of_data(color_mode="bgr"), "data.color_mode: expected 'rgb', 'grayscale' or 'rgba'; got 'bgr'."),
        # YAML's no is false.
        (of_data(train=False), "data.train: expected a text; got false."),
        ({"data": None}, "data: expected keys with values; got nothing."),
        ({"data": "images"}, "data: expected keys with values; got 'images'."),
        ({"phases": {"train": "head"}}, "phases: expected a list; got {'train': 'head'}."),
        (of_phase(epochs=True), "phases.0.epochs: expected a whole number; got true."),
        (of_phase(learning_rate="fast"), "phases.0.learning_rate: expected a number; got 'fast'."),
        (of_phase(learning_rate=True), "phases.0.learning_rate: expected a number; got true."),
        (of_phase(train=5), "phases.0.train: expected a text or a list; got 5."),
        (of_phase(metrics="accuracy"), "phases.0.metrics: expected a list of names, like [accuracy]; got 'accuracy'."),
        (
            {"stack": [{"name": "a", "layers": "Flatten"}]},
            "stack.0.layers: expected a list of layers, each a name or a name with its options, like "
            "{Dense: {units: 5}}; got 'Flatten'.",
        ),
        ({"run": {"tracking": "wandb"}}, "run.tracking: expected tensorboard, mlflow, or a list of both; got 'wandb'."),
        ({"budget": {"max_time": True}}, "budget.max_time: expected a number; got true."),
        ({"run": {"naem": "x"}}, "run.naem is not known; did you mean 'name'?"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_expected(sections, told):
    with pytest.raises(RecipeError) as caught:
        parse(**sections)
    assert str(caught.value) == f"recipe: {told}"
    assert not re.search(r"[Ii]nput|valid |tuple|NoneType|literal|function", str(caught.value))


def test_numbers_written_as_text_are_numbers():
    # YAML 1.1 takes 1e-5 for a text.
    assert parse(**of_phase(**yaml.safe_load("learning_rate: 1e-5"))).phases[0].learning_rate == 1e-5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty. Write a recipe with  thawline init"),
        ("# nothing but words\n", "the file is empty"),
        ("- 1", "it holds a list"),
        ("images", "it holds a text"),
        ("data: {train: a}\ndata: {train: b}", "the key 'data' stands in line 1 and again in line 2"),
        (
            "phases:\n  - epochs: 1\n    train: a\n    epochs: 2",
            "the key 'epochs' stands in line 2 and again in line 4",
        ),
        ("a: " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("a: {" * 3000 + "}" * 3000, "is nested too deeply"),
    ],
)
def test_a_file_that_holds_no_recipe_says_what_it_holds(tmp_path, text, told):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=re.escape(told)) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_what_is_merged_in_may_be_written_again(tmp_path):
    path = tmp_path / "recipe.yaml"
    text = "x: &more {epochs: 1, train: head}\n" + yaml.safe_dump({**WHOLE, "phases": []}).replace(
        "phases: []", "phases: [{<<: *more, epochs: 3}]"
    )
    path.write_text(text.replace("x: ", "run: {name: a}\nbudget: ", 1))
    with pytest.raises(RecipeError, match=r"budget\.epochs is not known"):
        load_recipe(path)
    text = yaml.safe_dump({**WHOLE, "phases": []})
    path.write_text(text.replace("phases: []", "phases: [&one {epochs: 1, train: head}, {<<: *one, epochs: 3}]"))
    assert [phase.epochs for phase in load_recipe(path).phases] == [1, 3]


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="is a folder; expected a recipe, which is a YAML file"):
        load_recipe(tmp_path)


def test_an_override_takes_no_key_twice(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(WHOLE))
    with pytest.raises(RecipeError, match=r"The value of .* is no YAML: the key 'epochs' stands in line 1 and again"):
        load_recipe(path, ["phases.0={train: head, epochs: 1, epochs: 2}"])
