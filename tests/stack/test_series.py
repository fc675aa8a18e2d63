"""StageSeries: joints, value range, targets, save and load."""

import json
import re
import zipfile

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, JointError
from thawline.specs import PIXELS, TensorSpec

IMAGES = np.random.default_rng(3).integers(0, 256, (4, 8, 8, 3)).astype("uint8")


def same(**options):
    """A model of 8 px images that gives what it takes."""
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Activation("linear")], **options)


def base(filters=4, **options):
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(filters, 3)], **options)


def head(width, units=2, **options):
    return keras.Sequential([keras.Input(width), keras.layers.Dense(units, activation="softmax")], **options)


def pooled_head(units=2):
    return keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(units, activation="softmax")],
    )


def small_stack(**options):
    keras.utils.set_random_seed(5)
    return tl.Stack(
        [tl.Stage(base(), "base", trainable=False, value_range=(-1, 1)), tl.Stage(pooled_head(**options), "head")]
    )


def compiled(stack):
    stack.compile(optimizer=keras.optimizers.Adam(0.01), loss="categorical_crossentropy", metrics=["accuracy"])
    return stack


# -- the value range ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value_range", [(-1, 1), (0, 1), (0, 255), (-3, 5)])
def test_pixels_are_scaled_into_the_range_of_the_first_stage(value_range):
    stack = tl.Stack([tl.Stage(same(), "base", value_range=value_range)])
    low, high = value_range
    expected = low + IMAGES.astype("float64") / 255 * (high - low)
    np.testing.assert_allclose(stack.model(IMAGES), expected, atol=1e-6)


def test_the_range_of_mobilenet_v2_is_what_its_preprocess_input_makes():
    stack = tl.Stack([tl.Stage(same(), "base", value_range=(-1, 1))])
    expected = keras.applications.mobilenet_v2.preprocess_input(IMAGES.astype("float32"))
    np.testing.assert_allclose(stack.model(IMAGES), expected, atol=1e-6)


def test_without_a_range_pixels_go_in_as_they_are():
    stack = tl.Stack([tl.Stage(same(), "base")])
    np.testing.assert_array_equal(stack.model(IMAGES), IMAGES.astype("float32"))
    assert stack.input_spec.value_range is None


def test_the_stack_takes_pixels_whatever_its_first_stage_takes():
    assert small_stack().input_spec == TensorSpec((None, 8, 8, 3), "float32", PIXELS)


# -- joints ------------------------------------------------------------------------------------------------------


def test_the_joined_model_gives_what_its_stages_give_one_after_the_other():
    stack = small_stack()
    first, second = (stage.model for stage in stack.stages)
    scaled = IMAGES.astype("float32") * np.float32(2 / 255) - 1
    np.testing.assert_allclose(stack.model(IMAGES), second(first(scaled)), atol=1e-6)


def test_the_joined_model_shares_the_weights():
    stack = small_stack()
    before = np.array(stack.model(IMAGES))
    stack.stages[1].model.layers[-1].kernel.assign(np.ones((4, 2)))
    assert not np.array_equal(stack.model(IMAGES), before)


def test_a_map_into_a_head_for_its_channels_suggests_pooling():
    with pytest.raises(JointError) as failure:
        tl.Stack([tl.Stage(base(1280), "base"), tl.Stage(head((1280,)), "head")])
    assert str(failure.value) == (
        "Stage 'head' expects float32 (None, 1280), but 'base' gives float32 (None, 6, 6, 1280): 4 axes, not 2. "
        "Between them fits GlobalAveragePooling2D (1,280 wide, no weights; 2.6 k in the next Dense(2)), or Flatten "
        "(46,080 wide, no weights; 92.2 k in the next Dense(2), which has to be built for it). Build 'head' for (6, 6, "
        "1280), or 'base' for (1280,)."
    )


def test_a_map_into_a_head_for_all_its_values_suggests_flatten():
    with pytest.raises(JointError, match=re.escape("Between them fits Flatten (144 wide, no weights; 290 in the")):
        tl.Stack([tl.Stage(base(4), "base"), tl.Stage(head((6 * 6 * 4,)), "head")])


def test_a_map_into_a_head_for_something_else_names_both_ways_out():
    with pytest.raises(JointError, match=r"Between .* GlobalAveragePooling2D \+ Dense\(5\) \(5 wide, 25 weights\)"):
        tl.Stack([tl.Stage(base(4), "base"), tl.Stage(head((5,)), "head")])


def test_another_width_is_named_with_both_numbers():
    with pytest.raises(JointError) as failure:
        tl.Stack([tl.Stage(base(4), "base"), tl.Stage(base_like((6, 6, 8)), "head")])
    assert str(failure.value) == (
        "Stage 'head' expects float32 (None, 6, 6, 8), but 'base' gives float32 (None, 6, 6, 4): axis 3 is 4, not 8. "
        "Between them fits Conv2D(8, 1) (from 4 to 8 channels, 40 weights that learn). Build 'head' for (6, 6, 4), or "
        "'base' for (6, 6, 8)."
    )


def base_like(shape):
    return keras.Sequential([keras.Input(shape), keras.layers.Conv2D(2, 1)])


def test_a_dtype_that_does_not_fit_is_named():
    words = keras.Sequential([keras.Input((2,), dtype="string"), keras.layers.Hashing(4)])
    with pytest.raises(JointError, match=r"expects string \(None, 2\).*: dtype is float32, not string.*Put a layer"):
        tl.Stack([tl.Stage(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), "a"), tl.Stage(words, "b")])


def test_a_value_range_that_does_not_fit_is_named():
    first = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    with pytest.raises(
        JointError, match=re.escape("in [0, 1]: values are in [0, 1], not in [0, 255]. Between them fits Rescaling")
    ):
        tl.Stack([tl.Stage(first, "base"), tl.Stage(head((2,)), "post", value_range=(0, 255))])


def test_a_value_range_that_fits_is_taken():
    first = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    tl.Stack([tl.Stage(first, "base"), tl.Stage(head((2,)), "post", value_range=(0, 1))])


def test_what_keras_itself_refuses_is_told_as_a_joint():
    two = keras.Model(inputs := [keras.Input((4,)), keras.Input((4,))], keras.layers.add(inputs))
    with pytest.raises(JointError, match=r"Stage 'two' does not take what 'base' gives, float32 \(None, 4\): "):
        tl.Stack([tl.Stage(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), "base"), tl.Stage(two, "two")])


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: keras.Sequential([keras.layers.Conv2D(4, 3)]), "says nothing of its input"),
        (lambda: keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)]), "(None, None, None, 3)"),
    ],
    ids=["not built", "any size"],
)
def test_the_first_stage_must_know_its_images_size(model, says):
    with pytest.raises(ArgumentError, match=re.escape(says)) as failure:
        tl.Stack([tl.Stage(model(), "base")])
    assert "'base'" in str(failure.value)
    assert "Build it with input_shape=(height, width, channels) or keras.Input." in str(failure.value)


def test_a_stack_needs_a_stage():
    with pytest.raises(ArgumentError, match=r"A stack needs at least one stage\."):
        tl.Stack([])


def test_two_stages_of_one_name_are_refused():
    with pytest.raises(ArgumentError, match=re.escape("Two stages are called 'base'; give each its own name=.")):
        tl.Stack([tl.Stage(base(), "base"), tl.Stage(pooled_head(), "base")])


# -- images and labels -------------------------------------------------------------------------------------------


def test_images_that_fit_are_taken():
    small_stack().check_input(TensorSpec((None, 8, 8, 3), "uint8", PIXELS))


def test_images_of_another_size_are_refused_with_the_size_to_give():
    with pytest.raises(JointError) as failure:
        small_stack().check_input(TensorSpec((None, 16, 16, 3), "uint8", PIXELS))
    assert str(failure.value) == (
        "Stage 'base' expects float32 (None, 8, 8, 3) in [0, 255], but the images are uint8 (None, 16, 16, 3) in "
        "[0, 255]: axis 1 is 16, not 8. Give the images image_size=(8, 8), or build the stage for (16, 16, 3)."
    )


def test_images_with_other_channels_are_refused_with_the_color_mode_to_give():
    with pytest.raises(JointError, match=r"axis 3 is 1, not 3\. Read the images with color_mode='rgb', or build"):
        small_stack().check_input(TensorSpec((None, 8, 8, 1), "uint8", PIXELS))


def test_images_of_another_range_are_refused():
    expected = "values are in [0, 1], not in [0, 255]. Give float32 (None, 8, 8, 3) in [0, 255]: with a value_range"
    with pytest.raises(JointError, match=re.escape(expected)):
        small_stack().check_input(TensorSpec((None, 8, 8, 3), "float32", (0.0, 1.0)))


ONE_HOT = TensorSpec((None, 2), "float32", (0.0, 1.0))


def test_a_head_as_wide_as_the_classes_is_taken():
    small_stack(units=2).check_targets(ONE_HOT, 2)
    small_stack(units=2).check_targets(TensorSpec((None,), "int32"), 2)
    small_stack(units=1).check_targets(TensorSpec((None, 1), "float32"), 2)


@pytest.mark.parametrize(
    ("units", "targets", "expected"),
    [
        (3, ONE_HOT, "gives 3 values per image, but the images have 2 classes and want 2."),
        (3, TensorSpec((None,), "int32"), "gives 3 values per image, but the images have 2 classes and want 2."),
        (2, TensorSpec((None, 1), "float32"), "gives 2 values per image, but the images have 2 classes and want 1."),
    ],
    ids=["one-hot", "class numbers", "binary"],
)
def test_a_head_of_another_width_is_refused(units, targets, expected):
    with pytest.raises(JointError, match=re.escape(f"Stage 'head' {expected} Build the last layer with")):
        small_stack(units=units).check_targets(targets, 2)


def test_a_map_as_answer_is_refused_with_the_layer_that_lacks():
    with pytest.raises(JointError, match=r"Stage 'base' gives float32 \(None, 6, 6, 2\), a map,.*Put GlobalAverage"):
        tl.Stack([tl.Stage(base(2), "base")]).check_targets(ONE_HOT, 2)


def test_images_without_labels_cannot_be_compared():
    with pytest.raises(JointError, match=r"The images have no labels, but training and evaluation compare"):
        small_stack().check_targets(None, 0)


# -- summary -----------------------------------------------------------------------------------------------------


def test_summary_draws_the_line_between_frozen_and_learning_stages():
    lines = []
    small_stack().summary(print_fn=lambda text: lines.extend(text.splitlines()))
    assert lines[0] == "Stack of 2 stages, takes float32 (None, 8, 8, 3) in [0, 255]"
    # The pooling of the head has no weights and runs below the line: 4 values cross.
    assert [line.split()[0] for line in lines[1:]] == ["base", "----", "head"]
    assert "float32 (None, 4) cross" in lines[2]
    # 3 * 3 * 3 * 4 + 4 weights of the convolution, 4 * 2 + 2 of the head.
    assert "112 weights, 0 learn, wants [-1, 1]" in lines[1]
    assert "10 weights, 10 learn" in lines[3]


def test_summary_says_when_nothing_would_learn():
    lines = []
    tl.Stack([tl.Stage(base(), "base", trainable=False)]).summary(print_fn=lines.append)
    assert lines[0].splitlines()[-1] == "  ---- everything is frozen: nothing would learn ----"


# -- save and load -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled stack after three steps, and the file it was saved to."""
    stack = compiled(small_stack())
    stack.class_names = ("cat", "dog")
    steps(stack.model, 3)
    path = tmp_path_factory.mktemp("saved") / "stack.keras"
    stack.save(path)
    return stack, path


def steps(model, count):
    """Takes steps on fixed images, and gives the losses."""
    model.reset_metrics()
    targets = np.eye(2, dtype="float32")[[0, 1, 0, 1]]
    return [float(model.train_on_batch(IMAGES, targets)[0]) for _ in range(count)]


def test_a_loaded_stack_answers_the_same_bit_for_bit(saved):
    stack, path = saved
    np.testing.assert_array_equal(tl.load(path).model(IMAGES), stack.model(IMAGES))


def test_a_loaded_stack_has_the_same_names_flags_and_ranges(saved):
    _, path = saved
    stack = tl.load(path)
    assert stack.class_names == ("cat", "dog")
    assert [stage.name for stage in stack.stages] == ["base", "head"]
    assert [stage.is_frozen for stage in stack.stages] == [True, False]
    assert [stage.value_range for stage in stack.stages] == [(-1, 1), None]
    assert stack.input_spec == TensorSpec((None, 8, 8, 3), "float32", PIXELS)


def test_layers_that_were_frozen_one_by_one_stay_so(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Conv2D(2, 3)])
    model.layers[0].trainable = False
    tl.Stack([tl.Stage(model, "base")]).save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    assert [layer.trainable for layer in loaded.stages[0].model.layers] == [False, True]


def test_a_loaded_optimizer_goes_on_where_it_was(tmp_path):
    """Bit for bit, with Adam's moments. Not with Dropout: Keras does not save the state of its random numbers."""
    stack = compiled(small_stack())
    steps(stack.model, 2)
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    assert steps(loaded.model, 2) == steps(stack.model, 2)
    for mine, original in zip(loaded.model.weights, stack.model.weights, strict=True):
        np.testing.assert_array_equal(mine, original)


def test_a_loaded_stack_is_compiled_as_it_was(saved):
    stack, path = saved
    assert tl.load(path).model.get_compile_config() == stack.model.get_compile_config()


def test_a_stack_that_was_not_compiled_is_loaded_so(tmp_path):
    small_stack().save(tmp_path / "stack.keras")
    assert not tl.load(tmp_path / "stack.keras").model.compiled


def test_plain_keras_reads_the_file(saved):
    stack, path = saved
    model = keras.saving.load_model(path)
    np.testing.assert_array_equal(model(IMAGES), stack.model(IMAGES))


def test_the_loaded_model_shares_weights_with_its_stages(saved):
    _, path = saved
    stack = tl.load(path)
    assert stack.model.trainable_variables[0] is stack.stages[1].model.trainable_variables[0]


def test_only_keras_files_are_written(tmp_path):
    with pytest.raises(ArgumentError, match=r"A stack is saved as a \.keras file; got '.*stack\.h5'\."):
        small_stack().save(tmp_path / "stack.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_file_before_it(saved, tmp_path, monkeypatch):
    _, path = saved
    target = tmp_path / "stack.keras"
    target.write_bytes(path.read_bytes())
    stack = small_stack()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="disk full"):
        stack.save(target)
    assert target.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


def fail(*arguments, **options):
    raise OSError("disk full")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArgumentError, match=r"No file '.*missing\.keras'\. Check the path\."):
        tl.load(tmp_path / "missing.keras")


@pytest.mark.parametrize("kind", ["text", "plain Keras"])
def test_a_file_of_something_else_is_refused_with_the_way_in(kind, tmp_path):
    path = tmp_path / "other.keras"
    if kind == "text":
        path.write_text("not a model")
    else:
        base().save(path)
    with pytest.raises(ArgumentError, match=r"other\.keras' was not saved by Stack\.save\. For a plain Keras model"):
        tl.load(path)


def test_a_file_of_another_version_is_refused(saved, tmp_path):
    _, path = saved
    target = tmp_path / "newer.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            entry = old.read(name)
            new.writestr(name, json.dumps(json.loads(entry) | {"version": 9}) if name == "thawline.json" else entry)
    with pytest.raises(ArgumentError, match=r"has version 9 of the stack's entry; this thawline reads 1\. Install"):
        tl.load(target)


def test_code_in_a_file_is_not_executed(tmp_path):
    traced = tmp_path / "executed"
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Lambda(lambda x, name=str(traced): (open(name, "w").close(), x)[1]),  # noqa: PTH123
            keras.layers.Conv2D(2, 3),
        ]
    )
    tl.Stack([tl.Stage(model, "base")]).save(tmp_path / "stack.keras")
    traced.unlink()
    with pytest.raises(ValueError, match="unsafe"):
        tl.load(tmp_path / "stack.keras")
    assert not traced.exists()
