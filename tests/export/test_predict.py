"""Answers for a stream of files: in order, bad images among them, some hundred on their way at most."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import thawline as tl
from odd_files import BAD, GOOD
from thawline.data.decode import Decoding, decode
from thawline.data.reading import describe_reading
from thawline.errors import ArgumentError
from thawline.export import predict as predicting
from thawline.export import stack_predictor
from thawline.export.artefact import Artefact
from thawline.export.artefact_predictor import ArtefactPredictor
from thawline.export.predict import predict_files
from thawline.export.stack_predictor import StackPredictor


class MeanColour:
    """Says the mean of each channel; notes how many pictures it was given at a time."""

    class_names = ("red", "green", "blue")
    decoding = Decoding((4, 4))

    def __init__(self):
        self.counts = []

    def answers(self, batches):
        for pixels in batches:
            self.counts.append(len(pixels))
            yield pixels.mean(axis=(1, 2))


def colours(paths):
    return [decode(path.read_bytes(), MeanColour.decoding).mean(axis=(0, 1)) for path in paths]


def test_every_file_is_answered_in_order(image_folder):
    files = sorted(image_folder(3, count=30).rglob("*.png"))
    predictor = MeanColour()
    found = list(predict_files(files, predictor))
    assert [each.path for each in found] == files
    np.testing.assert_allclose([each.answer for each in found], colours(files))
    assert predictor.counts == [32, 32, 26]


def test_a_bad_image_is_a_row_with_its_error(image_folder, tmp_path):
    (good,) = image_folder(1, count=1).rglob("*.png")
    files = [good]
    for name, (make, _) in BAD.items():
        files.append(tmp_path / name)
        files[-1].write_bytes(make())
    files += [tmp_path / "none.jpg", tmp_path, good]
    found = list(predict_files(files, MeanColour()))
    assert [each.path for each in found] == files
    expected = ["", *(reason for _, reason in BAD.values()), "there is no such file.", "is no file.", ""]
    # Pillow says how many bytes are left over, too.
    assert [re.sub(r" \(\d+ bytes not processed\)", "", each.error) for each in found] == expected
    assert [each.answer is None for each in found] == [bool(error) for error in expected]


def test_every_kind_of_image_is_decoded_as_for_training(tmp_path):
    files = []
    for name, make in GOOD.items():
        files.append(tmp_path / name)
        files[-1].write_bytes(make())
    found = list(predict_files(files, MeanColour()))
    np.testing.assert_allclose([each.answer for each in found], colours(files))


@pytest.mark.parametrize("bad_first", [True, False])
def test_batches_of_bad_images_only_keep_their_place(image_folder, bad_first):
    good = sorted(image_folder(1, count=40).rglob("*.png"))
    bad = [Path(f"none{number}.jpg") for number in range(70)]
    files = [*bad, *good] if bad_first else [*good, *bad]
    found = list(predict_files(files, MeanColour()))
    assert [each.path for each in found] == files
    assert [bool(each.error) for each in found] == [path in set(bad) for path in files]


def test_only_bad_images_are_all_told():
    found = list(predict_files([Path("a.jpg"), Path("b.jpg")], MeanColour()))
    assert [each.error for each in found] == ["there is no such file."] * 2


def test_files_are_taken_as_they_are_needed(image_folder):
    (good,) = image_folder(1, count=1).rglob("*.png")
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield good

    stream = predict_files(endless(), MeanColour())
    for _ in range(100):
        next(stream)
    stream.close()
    assert taken < 500


@pytest.fixture
def stack(tmp_path):
    """A small stack that takes pixels, saved, with its file."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    head = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3, "softmax")])
    made = tl.Stack([tl.Stage(head, "head", value_range=(-1, 1))])
    made.class_names = ("a", "b", "c")
    return made, tmp_path / "stack.keras"


def predictor_of(stack, files, **steps):
    """The stack's predictor, as if it had been trained on files that were read with these steps."""
    made, file = stack
    source = tl.ImageFiles(files, image_size=(8, 8))
    made.reading = describe_reading(source.augment(**steps) if steps else source)
    made.save(file)
    return StackPredictor(made, file)


def test_a_stack_answers_as_its_model_does(stack, image_folder):
    made, _ = stack
    files = sorted(image_folder(2, count=20).rglob("*.png"))
    predictor = predictor_of(stack, files)
    found = np.array([each.answer for each in predict_files(files, predictor)])
    pixels = np.stack([decode(path.read_bytes(), Decoding((8, 8))) for path in files])
    np.testing.assert_allclose(found, made.model.predict(pixels.astype("float32"), verbose=0), atol=1e-6)
    assert predictor.class_names == ("a", "b", "c")


def test_pixels_are_scaled_as_for_training(stack, image_folder):
    made, _ = stack
    files = sorted(image_folder(1, count=3).rglob("*.png"))
    found = [each.answer for each in predict_files(files, predictor_of(stack, files, rescale=0.5))]
    pixels = np.stack([decode(path.read_bytes(), Decoding((8, 8))) for path in files])
    np.testing.assert_allclose(found, made.model.predict(pixels * np.float32(0.5), verbose=0), atol=1e-6)


def test_few_images_are_left_to_keras_and_many_have_an_engine_chosen(stack, image_folder, monkeypatch):
    files = sorted(image_folder(2, count=20).rglob("*.png"))
    few = predictor_of(stack, files)
    list(predict_files(files, few))
    assert few.reason == "keras in float32, as asked for"
    monkeypatch.setattr(stack_predictor, "_FEW_BATCHES", 2)
    many = predictor_of(stack, files)
    list(predict_files(files, many))
    assert "openvino" in many.reason  # which is said to be missing


def test_several_outputs_are_refused():
    image = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(image)
    model = keras.Model(image, [keras.layers.Dense(1)(flat), keras.layers.Dense(2)(flat)])
    with pytest.raises(ArgumentError, match="but the stack gives 2"):
        StackPredictor(tl.Stack([tl.Stage(model, "both")]), Path("none"))


def test_a_stack_that_was_never_trained_does_not_know_how_to_read(stack):
    with pytest.raises(ArgumentError, match="Nothing is known of how"):
        StackPredictor(*stack)


def test_an_artefact_answers_as_the_stack_does(stack, image_folder, tmp_path):
    files = sorted(image_folder(2, count=20).rglob("*.png"))
    predictor = predictor_of(stack, files)
    stack[0].export(tmp_path / "out", ["keras"], verify=False, verbose=0)
    exported = ArtefactPredictor(Artefact.open(tmp_path / "out"))
    assert exported.class_names == ("a", "b", "c")
    expected = [each.answer for each in predict_files(files, predictor)]
    np.testing.assert_allclose([each.answer for each in predict_files(files, exported)], expected, atol=1e-6)


def test_what_the_system_refuses_is_a_row_with_its_reason(image_folder, tmp_path, monkeypatch):
    (good,) = image_folder(1, count=1).rglob("*.png")
    closed = tmp_path / "closed"
    closed.mkdir()

    def scandir(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(predicting.os, "scandir", scandir)
    found = list(predict_files([Path("x" * 300), closed, Path("a\0b"), good], MeanColour()))
    assert [each.error for each in found] == [
        "cannot be read: File name too long.",
        "cannot be read: Permission denied.",
        "there is no such file.",
        "",
    ]
