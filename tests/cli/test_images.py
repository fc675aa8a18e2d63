"""Commands on images as people have them: split folders, tables, other classes, files of other formats."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml

import thawline as tl
from small_project import small_recipe, thawline
from thawline.cli.export import _facts
from thawline.cli.images import describe_shares
from thawline.recipe import load_recipe
from thawline.training.run_folder.run import RunFolder

# pytest.warns gives the warnings on that it does not want, as of the test: Keras 3.15's own, see pyproject.toml.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

COLOURS = {"blue": 12, "green": 12, "red": 12}


def recipe_with(folder, **data):
    """A small recipe with other words about its images."""
    whole = small_recipe()
    whole["data"] = {**whole["data"], **data}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


def split_rows(run):
    return list(csv.DictReader((run / "split.csv").read_text().splitlines()))


# -- folders that are split already --------------------------------------------------------------------------------


@pytest.fixture
def sides(image_folder, tmp_path):
    """images/train, val and test, each with three classes."""
    for seed, (name, count) in enumerate({"train": 6, "val": 3, "test": 2}.items()):
        image_folder(dict.fromkeys(COLOURS, count), size=(20, 16), seed=seed, name=f"images/{name}")
    return tmp_path / "images"


def test_sides_are_used_as_they_are_and_the_test_side_is_left_alone(sides, tmp_path):
    done = thawline("train", recipe_with(tmp_path))
    assert done.exit_code == 0, done.output
    assert (
        "images is split already: train/ is trained on, val/ is measured on (no share of the images is held out), and "
        "test/ is left alone"
    ) in done.stderr
    assert "18 training and 9 validation images" in done.stderr
    run = tmp_path / "runs" / "small"
    rows = split_rows(run)
    assert {row["side"] for row in rows} == {"train", "validation"}
    assert rows[0]["path"] == "blue/000.png"
    assert (run / "labels.txt").read_text() == "blue\ngreen\nred\n"
    described = json.loads((run / "data.json").read_text())
    assert described["train"]["folder"] == str(sides / "train")
    assert described["validation"]["folder"] == str(sides / "val")
    assert json.loads(thawline("evaluate", run, "--json").stdout)["images"] == 9
    assert thawline("check", tmp_path / "recipe.yaml").stderr.count("is split already") == 1

    whole = thawline("evaluate", run, "--data", sides, "--json")
    assert json.loads(whole.stdout)["images"] == 6
    assert "images is split already: test/ is measured on" in whole.stderr


def test_without_a_validation_side_a_share_of_the_training_side_is_held_out(sides, tmp_path):
    shutil.rmtree(sides / "val")
    done = thawline("train", recipe_with(tmp_path, validation=0.5))
    assert done.exit_code == 0, done.output
    assert "train/ is trained on, of which 50% is held out, and test/ is left alone" in done.stderr
    assert "9 training and 9 validation images" in done.stderr


def test_a_folder_that_the_recipe_names_for_validation_is_taken_instead_of_the_side(sides, tmp_path):
    done = thawline("plan", recipe_with(tmp_path, validation="images/test"))
    assert done.exit_code == 0, done.output
    assert f"{sides / 'test'} is measured on, as the recipe says, and val/ is left alone" in done.stderr
    assert "18 training and 6 validation images" in done.stderr


def test_a_card_says_which_images_were_held_out(sides, tmp_path):
    assert thawline("train", recipe_with(tmp_path)).exit_code == 0
    run = RunFolder.open(tmp_path / "runs" / "small")
    assert _facts(run, load_recipe(run.recipe_path))["split"]["how"] == f"held out: {sides / 'val'}"


def test_a_class_called_train_is_a_class(image_folder, tmp_path):
    image_folder({"bus": 8, "train": 8}, size=(20, 16))
    done = thawline("train", recipe_with(tmp_path))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "runs" / "small" / "labels.txt").read_text() == "bus\ntrain\n"


# -- classes by name ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(image_folder, tmp_path):
    """A finished run on three colours."""
    image_folder(COLOURS, size=(20, 16), seed=1)
    done = thawline("train", recipe_with(tmp_path))
    assert done.exit_code == 0, done.output
    return tmp_path / "runs" / "small"


def test_a_set_that_lacks_a_class_is_measured(run, image_folder):
    folder = image_folder({"blue": 2, "red": 2}, size=(20, 16), seed=5, name="some")
    with pytest.warns(UserWarning, match="green"):
        done = thawline("evaluate", run, "--data", folder, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == 4


def test_a_set_of_one_class_is_measured(run, image_folder):
    folder = image_folder({"red": 2}, size=(20, 16), seed=5, name="some")
    with pytest.warns(UserWarning, match="blue"):
        done = thawline("evaluate", run, "--data", folder, "--json")
    assert (done.exit_code, json.loads(done.stdout)["images"]) == (0, 2)


def test_a_class_that_is_not_known_is_refused_with_both_lists(run, image_folder):
    folder = image_folder({"blue": 2, "Green": 1, "red": 2, "violet": 2}, size=(20, 16), seed=5, name="other")
    done = thawline("evaluate", run, "--data", folder)
    assert done.exit_code == 1
    assert "2 classes of the images are not known: Green, violet (2)." in done.stderr
    assert "The images have Green, blue, red, violet (4); known are blue, green, red (3)." in done.stderr
    assert "'Green' may be 'green'." in done.stderr


def test_folders_whose_accents_are_composed_otherwise_are_the_same_classes(image_folder, tmp_path):
    image_folder({"caf\u00e9": 6, "tea": 6}, size=(20, 16), seed=1)
    assert thawline("train", recipe_with(tmp_path)).exit_code == 0
    folder = image_folder({"cafe\u0301": 2, "tea": 2}, size=(20, 16), seed=5, name="other")
    done = thawline("evaluate", tmp_path / "runs" / "small", "--data", folder, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == 4


# -- images that are trained on ----------------------------------------------------------------------------------------


def test_evaluate_warns_of_images_that_were_trained_on(run, tmp_path, image_folder):
    learned = [row["path"] for row in split_rows(run) if row["side"] == "train"]
    folder = image_folder({"blue": 1, "green": 1, "red": 1}, size=(20, 16), seed=8, name="copies")
    for place, path in enumerate(learned[:9]):
        shutil.copy(tmp_path / "images" / path, folder / path.split("/")[0] / f"copy{place}.png")
    with pytest.warns(UserWarning, match=r"9 of 12 images are trained on as well, first .*copy0\.png: figures on them"):
        thawline("evaluate", run, "--data", folder)


def test_train_warns_of_validation_images_that_are_trained_on(image_folder, tmp_path):
    folder = image_folder({"blue": 3, "green": 3}, size=(20, 16))
    shutil.copytree(folder, tmp_path / "again")
    with pytest.warns(UserWarning, match="6 of 6 validation images are trained on as well"):
        done = thawline("train", recipe_with(tmp_path, validation="again"))
    assert done.exit_code == 0, done.output


# -- files that are passed over, and uneven shares -------------------------------------------------------------------


def test_files_of_other_formats_are_told_everywhere(image_folder, tmp_path):
    folder = image_folder({"blue": 8, "green": 8}, size=(20, 16))
    for name in ("blue/1.svg", "blue/2.svg", "green/3.xcf"):
        (folder / name).write_text("no image")
    told = "3 files passed over: 2 .svg, 1 .xcf"
    path = recipe_with(tmp_path)
    assert told in thawline("check", path).stderr
    assert told in thawline("train", path).stderr
    run = tmp_path / "runs" / "small"
    assert json.loads((run / "data.json").read_text())["passed_over"] == {".svg": 2, ".xcf": 1}
    assert told in (run / "report.html").read_text()


def test_nothing_is_said_where_nothing_is_passed_over(run):
    assert "passed_over" not in json.loads((run / "data.json").read_text())
    assert "passed over" not in (run / "report.html").read_text()


def test_uneven_shares_are_told_with_the_way_to_even_ones(image_folder, tmp_path):
    image_folder(dict.fromkeys("abcde", 12), size=(20, 16), seed=1)
    done = thawline("plan", recipe_with(tmp_path, exact=False, validation=0.2, seed=3))
    assert "a held-out share far from 20.0%" in done.stderr
    assert "write  exact: true  under data" in done.stderr
    even = thawline("plan", recipe_with(tmp_path, exact=True, validation=0.2))
    assert "share far from" not in even.stderr


def test_many_images_have_even_shares_enough():
    images = tl.ImageArrays(np.zeros((1000, 4, 4, 3), np.uint8), [0, 1] * 500)
    assert describe_shares(images.select(range(0, 780)), images.select(range(780, 1000)), 0.2) == ""


# -- tables -------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(image_folder, tmp_path):
    """A CSV file beside a folder of all its images, with columns of its own."""
    folder = image_folder(COLOURS, size=(20, 16), seed=1)
    flat = tmp_path / "pictures"
    flat.mkdir()
    rows = []
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        shutil.copy(path, flat / f"{number}.png")
        rows.append([f"{number}.png", path.parent.name, number % 4, 1 + number % 2])
    for name, chosen in {"labels": rows, "some": rows[::3]}.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["file", "colour", "site", "weight"], *chosen])
    shutil.rmtree(folder)
    return tmp_path


WORDS = {"train": "labels.csv", "images": "pictures", "paths": "file", "labels": "colour"}


def test_a_table_is_trained_on_and_measured(table):
    done = thawline("train", recipe_with(table, **WORDS, weights="weight"))
    assert done.exit_code == 0, done.output
    run = table / "runs" / "small"
    rows = split_rows(run)
    assert sorted(row["path"] for row in rows) == sorted(f"{number}.png" for number in range(36))
    assert {row["label"] for row in rows} == set(COLOURS)
    described = json.loads((run / "data.json").read_text())
    assert described["train"]["table"] == str(table / "labels.csv")
    assert described["train"]["folder"] == str(table / "pictures")
    metrics = json.loads((run / "metrics.json").read_text())
    assert json.loads(thawline("evaluate", run, "--json").stdout)["accuracy"] == pytest.approx(metrics["accuracy"])
    with pytest.warns(UserWarning, match="of 12 images are trained on as well"):
        other = thawline("evaluate", run, "--data", table / "some.csv", "--json")
    assert json.loads(other.stdout)["images"] == 12
    assert thawline("check", table / "recipe.yaml").exit_code == 0


def test_groups_of_a_table_stay_on_one_side(table):
    done = thawline("train", recipe_with(table, **WORDS, groups="site", exact=False, validation=0.5))
    assert done.exit_code == 0, done.output
    sites = {"train": set(), "validation": set()}
    for row in split_rows(table / "runs" / "small"):
        sites[row["side"]].add(int(row["path"].split(".")[0]) % 4)
    assert sites["train"] | sites["validation"] == {0, 1, 2, 3}
    assert not sites["train"] & sites["validation"]


def test_validation_may_be_another_table_or_a_folder(table, image_folder):
    with pytest.warns(UserWarning, match="12 of 12 validation images are trained on"):
        done = thawline("train", recipe_with(table, **WORDS, validation="some.csv"))
    assert "36 training and 12 validation images" in done.stderr, done.output
    folder = image_folder({"blue": 1, "green": 1, "red": 1}, size=(20, 16), seed=9, name="held")
    done = thawline("plan", recipe_with(table, **WORDS, validation=str(folder)))
    assert "36 training and 3 validation images" in done.stderr, done.output


def test_columns_have_the_names_of_imageframe_unless_they_are_named(table):
    text = (table / "labels.csv").read_text().replace("file,colour", "filename,class")
    (table / "pictures" / "plain.csv").write_text(text)
    done = thawline("plan", recipe_with(table, train="pictures/plain.csv"))
    assert done.exit_code == 0, done.output


def test_numbers_as_classes_keep_the_order_of_their_run(table):
    rows = [["filename", "class"], *([f"{number}.png", number % 12] for number in range(36))]
    for name, chosen in {"twelve": rows, "one": rows[:1] + rows[3::12]}.items():
        with (table / "pictures" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(chosen)
    with pytest.warns(UserWarning, match="in the order of their names as text"):
        assert thawline("train", recipe_with(table, train="pictures/twelve.csv")).exit_code == 0
    stack = tl.load(table / "runs" / "small" / "stack.keras")
    with pytest.warns(UserWarning, match="trained on"):
        done = thawline("evaluate", table / "runs" / "small", "--data", table / "pictures" / "one.csv", "--json")
    images = tl.ImageFrame(
        table / "pictures" / "one.csv", image_size=(16, 16), class_names=stack.class_names, batch_size=8
    )
    expected = np.mean(stack.predict(images, verbose=0).argmax(axis=1) == stack.class_names.index("2"))
    assert json.loads(done.stdout)["accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "color"}, "label_columns: the table has no column 'color'. Did you mean 'colour'?"),
        ({"paths": "name"}, "path_column: the table has no column 'name'"),
        ({"weights": "wt"}, "weight_column: the table has no column 'wt'"),
        ({"images": "nowhere"}, "36 of 36 files of column 'file' are missing"),
        ({"train": "lables.csv"}, "No CSV file"),
        ({"train": "pictures"}, "images, paths, labels say how a table is read, but train is the folder"),
        ({"label_mode": "regression"}, "trains on one class per image: categorical, sparse or binary. For regression"),
        ({"labels": ["a", "b"]}, "data.labels: a recipe trains on one column of classes"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_in_a_line(table, changes, message):
    done = thawline("train", recipe_with(table, **{**WORDS, **changes}))
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_evaluate_names_the_row_of_a_class_that_is_not_known(table):
    assert thawline("train", recipe_with(table, **WORDS)).exit_code == 0
    text = (table / "some.csv").read_text().replace("0.png,blue", "0.png,violet")
    (table / "odd.csv").write_text(text)
    done = thawline("evaluate", table / "runs" / "small", "--data", table / "odd.csv")
    assert done.exit_code == 1
    assert "'violet'" in done.stderr and "blue, green, red" in done.stderr
