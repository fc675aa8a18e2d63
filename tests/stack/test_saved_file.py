"""Loading: what is not Keras' own, what learns, folders of runs, and files that Keras saved of a stack."""

import json
import re
import shutil
import zipfile

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError

layers = keras.layers
IMAGES = np.random.default_rng(5).integers(0, 256, (12, 8, 8, 3)).astype("uint8")
LABELS = [["ash", "birch"][number % 2] for number in range(12)]


def focal(targets, answers):
    return keras.ops.mean((targets - answers) ** 2, axis=-1)


class MyAccuracy(keras.metrics.MeanMetricWrapper):
    def __init__(self, name="mine", **options):
        super().__init__(keras.metrics.categorical_accuracy, name=name, **options)

    def get_config(self):
        return {"name": self.name}


class MyLayer(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class Forgetful(layers.Layer):
    """Its get_config() leaves an argument out."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def get_config(self):
        return super().get_config()

    def call(self, inputs):
        return self.factor * inputs


class MyOptimizer(keras.optimizers.SGD):
    pass


class MySchedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1

    def get_config(self):
        return {}


class MyModel(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs)


def double(values):
    return 2 * values


def images():
    return tl.ImageArrays(IMAGES, LABELS, batch_size=4)


def base():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3)], name="net"
    )


def make(*inside, optimizer="adam", loss="categorical_crossentropy", metrics=("accuracy",), **options):
    head = [layers.GlobalAveragePooling2D(), *inside, layers.Dense(2, "softmax")]
    stack = tl.Stack(
        [tl.Stage(base(), "base", trainable=False, value_range=(-1, 1)), tl.Stage(keras.Sequential(head), "head")]
    )
    stack.compile(optimizer, loss, metrics=list(metrics), **options)
    return stack


IN_TRAINING = {
    "loss": (lambda: make(loss=focal), "function", focal),
    "metric": (lambda: make(metrics=[MyAccuracy()]), "class", MyAccuracy),
    "optimizer": (lambda: make(optimizer=MyOptimizer(0.1)), "class", MyOptimizer),
    "schedule": (lambda: make(optimizer=keras.optimizers.SGD(MySchedule())), "class", MySchedule),
}
IN_THE_MODEL = {
    "layer": (lambda: make(MyLayer()), "class", MyLayer),
    "layer two models deep": (
        lambda: make(keras.Sequential([keras.Sequential([layers.Dense(3), MyLayer()])])),
        "class",
        MyLayer,
    ),
    "activation": (lambda: make(layers.Dense(3, double)), "function", double),
    "function of a Lambda": (lambda: make(layers.Lambda(double)), "function", double),
    "subclassed model": (lambda: make(MyModel()), "class", MyModel),
}
CASES = IN_TRAINING | IN_THE_MODEL


@pytest.fixture
def file(tmp_path):
    return tmp_path / "stack.keras"


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_keras_own_is_named_with_the_words_that_help(case, file):
    build, kind, thing = CASES[case]
    build().save(file)
    name = thing.__name__
    with pytest.raises(ArgumentError) as failure:
        tl.load(file)
    says = str(failure.value)
    assert f"stack.keras' has a {kind} '{name}' in it that is not Keras' own." in says
    assert f"tl.load(path, custom_objects={{'{name}': {name}}})" in says
    assert ("compile=False" in says) == (case in IN_TRAINING)


@pytest.mark.parametrize("case", CASES)
def test_with_what_is_named_the_stack_is_loaded_and_trains(case, file):
    build, _, thing = CASES[case]
    stack = build()
    stack.fit(images(), epochs=1, verbose=0)
    stack.save(file)
    loaded = tl.load(file, custom_objects={thing.__name__: thing})
    np.testing.assert_array_equal(loaded.predict(images(), verbose=0), stack.predict(images(), verbose=0))
    assert loaded.evaluate(images(), verbose=0) == stack.evaluate(images(), verbose=0)
    loaded.fit(images(), epochs=1, verbose=0)


@pytest.mark.parametrize("case", IN_TRAINING)
def test_answers_need_nothing_of_the_training(case, file):
    stack = IN_TRAINING[case][0]()
    stack.save(file)
    loaded = tl.load(file, compile=False)
    np.testing.assert_array_equal(loaded.predict(images(), verbose=0), stack.predict(images(), verbose=0))
    with pytest.raises(ArgumentError, match=r"Call compile\(optimizer=\.\.\., loss=\.\.\.\) before evaluate\(\)"):
        loaded.evaluate(images())


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize(
    "build",
    [
        lambda: make(layers.Lambda(lambda values: 2 * values)),
        lambda: make(loss=lambda targets, answers: focal(targets, answers)),
    ],
    ids=["layer", "loss"],
)
def test_a_lambda_is_run_for_those_who_trust_the_file_only(build, file):
    build().save(file)
    expected = "has a lambda in it, which is code: it is unsafe to run unless you trust the file. If you do: tl.load("
    with pytest.raises(ArgumentError, match=re.escape(expected)):
        tl.load(file)
    assert tl.load(file, safe_mode=False).model.compiled


def test_a_layer_that_forgets_its_arguments_is_told_what_it_lacks(file):
    make(Forgetful(2.0)).save(file)
    with pytest.raises(ArgumentError) as failure:
        tl.load(file, custom_objects={"Forgetful": Forgetful})
    assert "missing 1 required positional argument: 'factor'" in str(failure.value)
    assert str(failure.value).endswith("needs a get_config() with all arguments that its __init__ takes.")


# -- what learns -------------------------------------------------------------------------------------------------


def flags(stack):
    return [layer.trainable for stage in stack.stages for layer in stage.model._flatten_layers()]


def thaw_last(stack):
    stack.stages[0].model.layers[-1].trainable = True


def freeze_first_of_head(stack):
    stack.stages[1].model.layers[0].trainable = False


def thaw_in_phases(stack):
    stack.fit(images(), phases=[tl.Phase("head", 1), tl.Phase(["head", "base/conv2d*"], 1)], verbose=0)


@pytest.mark.parametrize("change", [lambda stack: None, thaw_last, freeze_first_of_head, thaw_in_phases])
def test_every_layer_learns_or_not_as_it_did(change, file):
    stack = make()
    change(stack)
    stack.save(file)
    loaded = tl.load(file)
    assert flags(loaded) == flags(stack)
    assert [stage.trainable for stage in loaded.stages] == [False, True]
    assert [stage.is_frozen for stage in loaded.stages] == [stage.is_frozen for stage in stack.stages]


@pytest.mark.parametrize("change", [lambda stack: None, thaw_last, freeze_first_of_head])
def test_a_loaded_training_goes_on_with_the_state_of_its_optimizer(change, file):
    keras.utils.set_random_seed(3)
    stack = make()
    change(stack)
    stack.fit(images(), epochs=2, verbose=0)
    stack.save(file)
    loaded = tl.load(file)
    for each in (stack, loaded):
        each.fit(images(), epochs=1, verbose=0)
    for mine, expected in zip(loaded.model.weights, stack.model.weights, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_an_optimizer_that_was_made_for_other_weights_is_told(file):
    stack = make()
    stack.fit(images(), epochs=1, verbose=0)
    stack.stages[0].model.layers[-1].trainable = True
    stack.save(file)
    with pytest.warns(UserWarning, match="was made for other weights than those that learn: it begins without a state"):
        tl.load(file)


def as_before(file, *, entry=True):
    """The file as thawline 0.1.0 wrote it, or as Keras' callbacks did then."""
    kept = ("version", "class_names", "stages")
    with zipfile.ZipFile(file) as new, zipfile.ZipFile(file.with_name("old.keras"), "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "thawline.json":
                if not entry:
                    continue
                parts = {key: value for key, value in json.loads(content).items() if key in kept}
                stages = [{key: stage[key] for key in ("name", "layer", "value_range")} for stage in parts["stages"]]
                content = json.dumps({**parts, "stages": stages})
            old.writestr(name, content)
    return file.with_name("old.keras")


def test_a_file_of_an_earlier_version_opens(file):
    stack = make()
    stack.fit(images(), epochs=1, verbose=0)
    stack.save(file)
    loaded = tl.load(as_before(file))
    assert loaded.class_names == ("ash", "birch")
    assert [(stage.name, stage.trainable, stage.is_frozen) for stage in loaded.stages] == [
        ("base", False, True),
        ("head", True, False),
    ]
    assert loaded.evaluate(images(), verbose=0) == stack.evaluate(images(), verbose=0)


# -- steps, folders, and Keras' files ----------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "is_free"), [(1, False), (3, False), ("auto", True)])
def test_the_steps_are_those_that_were_asked_for(steps, is_free, file):
    make(steps_per_execution=steps).save(file)
    compiled = tl.load(file)._compiled
    assert compiled.is_free_in_steps == is_free
    assert compiled.options["steps_per_execution"] == (1 if steps == "auto" else steps)


def test_a_folder_of_a_run_gives_its_stack(tmp_path):
    stack = make()
    stack.save(tmp_path / "run" / "stack.keras")
    for path in (tmp_path / "run", str(tmp_path / "run")):
        np.testing.assert_array_equal(tl.load(path).model(IMAGES), stack.model(IMAGES))


def test_a_folder_without_a_finished_stack_names_what_it_has(tmp_path):
    make().save(tmp_path / "checkpoints" / "phase-1-best.keras")
    expected = (
        r"without stack\.keras, which a run writes when its training is over\. It has checkpoints.phase-1-best\.keras"
    )
    with pytest.raises(ArgumentError, match=expected):
        tl.load(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ArgumentError, match=r"when its training is over\. Give a \.keras file\.$"):
        tl.load(tmp_path)


def test_a_file_of_model_checkpoint_is_the_stack_of_its_epoch(tmp_path):
    stack = make()
    saver = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    stack.fit(images(), epochs=2, callbacks=[saver], verbose=0)
    loaded = tl.load(tmp_path / "2.keras")
    assert loaded.class_names == ("ash", "birch")
    assert loaded.reading == stack.reading
    assert [stage.name for stage in loaded.stages] == ["base", "head"]
    np.testing.assert_array_equal(loaded.model(IMAGES), stack.model(IMAGES))
    assert loaded.evaluate(images(), verbose=0) == stack.evaluate(images(), verbose=0)


def test_a_file_that_keras_wrote_without_names_is_read_with_a_warning(file):
    stack = make()
    stack.fit(images(), epochs=1, verbose=0)
    stack.save(file)
    with pytest.warns(UserWarning, match=r"its stages are called 'net', 'sequential.*Set stack\.class_names"):
        loaded = tl.load(as_before(file, entry=False))
    assert loaded.stages[0].value_range == pytest.approx((-1, 1))
    assert [stage.trainable for stage in loaded.stages] == [False, True]
    np.testing.assert_array_equal(loaded.model(IMAGES), stack.model(IMAGES))


def test_a_model_of_parallel_layers_is_no_stack_whatever_its_name(file):
    inputs = keras.Input((8, 8, 3), name="images")
    outputs = layers.Add()([layers.Conv2D(2, 3)(inputs), layers.Conv2D(2, 3)(inputs)])
    keras.Model(inputs, outputs, name="stack").save(file)
    with pytest.raises(ArgumentError, match=r"was not saved by Stack\.save"):
        tl.load(file)


def test_a_file_of_weights_says_how_they_are_put_in(tmp_path):
    make().model.save_weights(tmp_path / "stack.weights.h5")
    expected = "holds weights only. Build the stack and fill it: stack.model.load_weights(path)."
    with pytest.raises(ArgumentError, match=re.escape(expected)):
        tl.load(tmp_path / "stack.weights.h5")
