"""Recipes: strict, with errors that name the nearest known word; what is written out reads back the same."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from thawline.cli.init import TEMPLATE
from thawline.data.decode import Decoding
from thawline.errors import DataError, JointError, RecipeError
from thawline.recipe import load_recipe, parse_recipe


def content(**changes):
    """A small whole recipe, with some sections changed."""
    return {
        "data": {"train": "images", "validation": 0.25, "image_size": [8, 8], "seed": 3},
        "stack": [
            {"name": "base", "layers": [{"Conv2D": {"filters": 4, "kernel_size": 3}}], "trainable": False},
            {"name": "head", "layers": ["GlobalAveragePooling2D", {"Dense": {"units": "classes"}}]},
        ],
        "phases": [{"train": "head", "epochs": 2}],
        **changes,
    }


@pytest.fixture
def recipe_file(tmp_path):
    """Writes a recipe and gives its path."""

    def write(text=None, **changes):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content(**changes)) if text is None else text)
        return path

    return write


def test_a_recipe_reads_back_as_it_was_written_out():
    recipe = parse_recipe(content(augment={"zoom_range": 0.2, "horizontal_flip": True}))
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


def test_paths_are_relative_to_the_recipes_folder(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file(run={"folder": "../runs", "name": "x"}))
    assert recipe.data.train == str(tmp_path / "images")
    assert recipe.run.folder == str(tmp_path.parent / "runs")


def test_files_of_stages_are_relative_to_the_recipe_and_words_stay_words(recipe_file, tmp_path):
    stages = [
        {"name": "a", "backbone": "MobileNetV2", "weights": "own.weights.h5"},
        {"name": "b", "backbone": "MobileNetV2"},
        {"name": "c", "backbone": "MobileNetV2", "weights": None},
        {"name": "d", "model": "saved/d.keras"},
    ]
    read = load_recipe(recipe_file(stack=stages)).stack
    assert [stage.weights for stage in read[:3]] == [str(tmp_path / "own.weights.h5"), "imagenet", None]
    assert read[3].model == str(tmp_path / "saved" / "d.keras")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dta": 1}, "dta is not known; did you mean 'data'?"),
        ({"data": {"train": "x", "batch_sise": 3}}, "data.batch_sise is not known; did you mean 'batch_size'?"),
        ({"phases": [{"train": "head", "epochs": 1, "learning": 1}]}, "phases.0.learning is not known; did you mean"),
        (
            {"phases": [{"train": "head", "epochs": 0}]},
            "phases.0: a phase's epochs are a whole number from 1 up; got 0",
        ),
        (
            {"phases": [{"train": "head", "epochs": 1, "early_stopping": {"patince": 2}}]},
            "phases.0: early_stopping is a number of epochs from 1 up, or a dictionary like",
        ),
        (
            {"phases": [{"train": "head", "epochs": 1, "learning_rate_factors": {"head": -1}}]},
            "phases.0: learning_rate_factors are numbers above 0; 'head' has -1.0",
        ),
        ({"phases": [{"train": "head", "epochs": 1, "callbacks": []}]}, "phases.0.callbacks is not known"),
        ({"data": {}}, "data.train is missing"),
        ({"data": {"train": "x", "masks": "y"}}, "data.masks is not known; a recipe trains on classes. For masks use"),
        ({"data": {"train": "x", "test": "y"}}, "data.test is not known; other images are measured by  thawline eval"),
        ({"data": {"train": "x", "image_size": "big"}}, "data.image_size: .* got 'big'"),
        ({"stack": [{"name": "a"}]}, "stage 'a' has one of backbone, layers or model; got none"),
        ({"stack": [{"name": "a", "layers": ["Flatten"], "pooling": "avg"}]}, "which belong to a backbone"),
        ({"augment": {"zoom_rnge": 0.1}}, r"augment\(\) has no argument 'zoom_rnge'. Did you mean 'zoom_range'?"),
        ({"augment": {"zoom_range": 2}}, "zoom_range gives factors from -1 to 3; they must stay above 0"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(recipe_file, changes, message):
    path = recipe_file(**changes)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(str(path))


def test_every_wrong_thing_is_told_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content(data={"trian": "x"}, phases=[{"epochs": "many"}]))
    assert len(str(caught.value).splitlines()) == 3  # train is missing, trian is not known, epochs is no number


@pytest.mark.parametrize(("text", "message"), [("a: [1", "is no YAML file"), ("- 1", "it holds a list")])
def test_a_file_that_is_no_recipe_is_refused(recipe_file, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe_file(text))


def test_yaml_cannot_build_objects(recipe_file):
    with pytest.raises(RecipeError, match="is no YAML file"):
        load_recipe(recipe_file("data: !!python/object/apply:os.getcwd []"))


def test_a_missing_recipe_says_how_to_get_one(tmp_path):
    with pytest.raises(RecipeError, match="thawline init"):
        load_recipe(tmp_path / "none.yaml")


def test_overrides_change_single_values_and_make_sections(recipe_file):
    recipe = load_recipe(
        recipe_file(), ["data.batch_size=16", "phases.0.epochs=7", "augment.horizontal_flip=true", "run.name=other"]
    )
    assert (recipe.data.batch_size, recipe.phases[0].epochs, recipe.run.name) == (16, 7, "other")
    assert recipe.augment == {"horizontal_flip": True}


@pytest.mark.parametrize("override", ["data.batch_size", "=3", "phases.4.epochs=3", "data.train.x=3", "data.seed=[1"])
def test_an_override_that_leads_nowhere_is_refused(recipe_file, override):
    with pytest.raises(RecipeError, match=r"override|value of"):
        load_recipe(recipe_file(), [override])


def test_the_stack_has_as_many_answers_as_there_are_classes():
    stack = parse_recipe(content()).build_stack(5)
    assert stack.output_spec.shape == (None, 5)
    assert [stage.name for stage in stack.stages] == ["base", "head"]
    assert [stage.is_frozen for stage in stack.stages] == [True, False]


def test_first_weights_come_from_the_seed():
    first, again, other = (
        parse_recipe(content(data={"train": "x", "image_size": [8, 8], "seed": seed}))
        .build_stack(2)
        .model.get_weights()
        for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_backbone_brings_its_size_and_its_value_range():
    stage = {"name": "base", "backbone": "MobileNetV2", "weights": None, "trainable": False}
    recipe = parse_recipe(content(data={"train": "x"}, stack=[stage, content()["stack"][1]]))
    assert recipe.image_size == (224, 224)
    small = recipe.model_copy(update={"data": recipe.data.model_copy(update={"image_size": (32, 32)})})
    assert small.build_stack(2).stages[0].value_range == (-1, 1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("Dens", "'Dens' is no layer that a recipe may use. Did you mean 'Dense'?"),
        ({"Lambda": {"function": "x"}}, "'Lambda' is no layer that a recipe may use"),
        ({"Dense": {"unit": 3}}, r"Dense\(\{'unit': 3\}\) cannot be built"),
        ({"Dense": {}, "Flatten": {}}, "a layer is one name with its options"),
    ],
)
def test_a_layer_that_cannot_be_built_is_named_with_its_stage(layer, message):
    recipe = parse_recipe(content(stack=[{"name": "only", "layers": [layer]}]))
    with pytest.raises(RecipeError, match=message) as caught:
        recipe.build_stack(2)
    assert "'only'" in str(caught.value)


PHASES = [
    {
        "train": "base",
        "epochs": 2,
        "loss_at": "base",
        "probe": ["GlobalAveragePooling2D", {"Dense": {"units": "classes", "activation": "softmax"}}],
        "learning_rate": 0.1,
    },
    {
        "train": ["head", "base"],
        "epochs": 3,
        "loss": "mse",
        "metrics": ["mae"],
        "early_stopping": {"patience": 2, "monitor": "val_mae", "mode": "min"},
        "learning_rate_factors": {"base": 0.1},
    },
    {"train": "head", "epochs": 1, "early_stopping": 4},
]


def test_phases_take_the_words_of_phase_and_read_back_as_written_out():
    recipe = parse_recipe(content(phases=PHASES))
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe
    first, second, third = recipe.build_phases(5)
    assert (first.loss_at, first.learning_rate) == ("base", 0.1)
    assert first.probe.layers[-1].units == 5
    assert (second.loss, second.metrics, second.learning_rate_factors) == ("mse", ["mae"], {"base": 0.1})
    assert second.stopping == {"patience": 2, "monitor": "val_mae", "mode": "min"}
    assert (third.stopping, third.probe, third.loss) == ({"patience": 4}, None, None)


def test_a_layer_of_a_probe_that_cannot_be_built_is_named_with_its_phase():
    recipe = parse_recipe(content(phases=[PHASES[2], {**PHASES[0], "probe": ["Dens"]}]))
    with pytest.raises(RecipeError, match=r"The probe of phase 2: 'Dens' is no layer .* Did you mean 'Dense'"):
        recipe.build_phases(2)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GlobalAvgPool", "GlobalAvgPool2D"),
        ("GlobalAveragePooling", "GlobalAveragePooling2D"),
        ("conv", "Conv2D"),
        ("Conv2DTranspos", "Conv2DTranspose"),
        ("MaxPoolin1D", "MaxPooling1D"),
        ("Dropot", "Dropout"),
    ],
)
def test_the_nearest_layer_is_one_for_images(written, meant):
    layers = [{"name": "head", "layers": [written]}]
    with pytest.raises(RecipeError, match=rf"'{written}' is no layer that a recipe may use\. Did you mean '{meant}'\?"):
        parse_recipe(content(stack=layers)).build_stages(2)


def test_the_case_of_a_layer_does_not_matter():
    layers = [{"name": "head", "layers": ["globalaveragepooling2d", {"dense": {"units": "classes"}}, "relu"]}]
    (stage,) = parse_recipe(content(stack=layers)).build_stages(2)
    assert [type(layer).__name__ for layer in stage.model.layers] == ["GlobalAveragePooling2D", "Dense", "ReLU"]
    with pytest.raises(RecipeError, match="'lambda' is no layer"):
        parse_recipe(content(stack=[{"name": "head", "layers": ["lambda"]}])).build_stages(2)


def test_images_are_split_and_only_the_training_side_is_augmented(image_folder):
    folder = image_folder(2, count=8)
    recipe = parse_recipe(
        content(data={"train": str(folder), "validation": 0.25, "exact": True}, augment={"horizontal_flip": True})
    )
    train, val = recipe.open_images()
    assert (len(train), len(val)) == (12, 4)
    assert train.augmentation is not None
    assert val.augmentation is None


def test_groups_are_kept_on_one_side(image_folder):
    folder = image_folder(2, count=40)
    recipe = parse_recipe(content(data={"train": str(folder), "validation": 0.4, "groups": r"(\d)\d\.png$"}))
    sides = [{path.stem[1] for path in part.paths} for part in recipe.open_images()]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set("0123")


def test_validation_may_be_a_folder_with_the_same_classes(image_folder):
    train_folder = image_folder({"b": 2, "a": 2}, name="train")
    val_folder = image_folder({"a": 1, "b": 1}, name="val")
    recipe = parse_recipe(content(data={"train": str(train_folder), "validation": str(val_folder)}))
    _, val = recipe.open_images()
    assert val.class_counts == {"a": 1, "b": 1}


def test_validation_images_of_a_class_that_is_not_trained_on_are_refused(image_folder):
    train_folder = image_folder({"a": 2, "b": 2}, name="train")
    val_folder = image_folder({"a": 1, "b": 1, "c": 1, "e": 1}, name="val")
    (val_folder / "e" / "000.png").unlink()
    recipe = parse_recipe(content(data={"train": str(train_folder), "validation": str(val_folder)}))
    with pytest.raises(DataError, match=r"not known: c \(1\)\. The images have a, b, c, e \(4\); known are a, b \(2\)"):
        recipe.open_images()


def test_images_are_read_as_the_recipe_says(image_folder):
    folder = image_folder(2, count=1)
    data = {
        "color_mode": "rgba",
        "interpolation": "area",
        "resize": "pad",
        "background": (9, 8, 7),
        "fast_jpeg": True,
        "image_size": (4, 6),
    }
    recipe = parse_recipe(content(data={"train": str(folder), **data}))
    assert recipe.open_folder(str(folder)).pictures.decoding == recipe.decoding == Decoding(**data)
    assert recipe.build_stack(2).input_spec.shape == (None, 4, 6, 4)


def test_limit_takes_the_first_images_of_each_class(image_folder):
    folder = image_folder({"a": 9, "b": 3})
    recipe = parse_recipe(content(data={"train": str(folder), "limit": 4, "exact": True}))
    train, val = recipe.open_images()
    assert len(train) + len(val) == 4 + 3


def test_a_stage_that_does_not_fit_is_a_joint_error():
    model = [{"name": "a", "layers": ["Flatten"]}, {"name": "b", "layers": ["GlobalAveragePooling2D"]}]
    with pytest.raises(JointError, match="'b'"):
        parse_recipe(content(stack=model)).build_stack(2)


def test_the_template_of_init_is_a_valid_recipe():
    recipe = parse_recipe(yaml.safe_load(TEMPLATE), folder=Path("/data"))
    assert recipe.data.train == "/data/images"
    assert recipe.data.exact
    assert recipe.phases[0].epochs == 10


def test_the_lines_about_a_table_in_the_template_of_init_are_true():
    lines = TEMPLATE.replace("  train: images ", "  # ").replace("  # train: labels.csv", "  train: labels.csv")
    for key in ("images", "paths", "labels"):
        lines = lines.replace(f"  # {key}:", f"  {key}:")
    data = parse_recipe(yaml.safe_load(lines), folder=Path("/data")).data
    assert (data.train, data.images, data.paths, data.labels) == (
        "/data/labels.csv",
        "/data/photos",
        "filename",
        "class",
    )


def test_all_images_of_a_recipe_are_scaled_as_those_it_trains_on(recipe_file, image_folder, tmp_path):
    image_folder({"a": 8, "b": 8})
    recipe = load_recipe(recipe_file(augment={"rescale": 1 / 255, "horizontal_flip": True}))
    train, validation = recipe.open_images()
    whole = recipe.open_folder(str(tmp_path / "images"))
    assert train.augmentation.is_random
    for images in (validation, whole):
        assert images.spec == train.spec
        assert images.augmentation.rescale == 1 / 255
        assert not images.augmentation.is_random
