"""Images that go bad in the middle: with on_error="skip" no training ends because of them, on any strategy."""

import re
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import thawline as tl
from odd_files import BAD, GOOD
from thawline.backend import keras
from thawline.data.batches import epoch_order
from thawline.errors import DataError, UnreadableImageError

STRATEGIES = ["joint", "streamed", "precomputed"]


@contextmanager
def warned_of(*paths):
    """One warning for each of these files, in any order, and no other of ours or of Keras about its data, but for that
    of images that are measured on as well.

    `pytest.warns` would turn Keras' own deprecations into errors again.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    given = [str(warning.message) for warning in caught if warning.category is UserWarning]
    told = [message for message in given if "trained on as well" not in message]
    assert sorted(message.split(" went bad and is left out from here on: ")[0] for message in told) == sorted(
        map(str, paths)
    )


def after_epoch(number, spoil, path):
    """A callback that does something to a file after an epoch, counted from 1."""
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch + 1 == number and spoil(path))


def delete(path):
    path.unlink()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def trained_by_keras(stack, images, source, epochs, *, without_from):
    """What Keras makes of the same batches, one by one; `without_from` says from which epoch on an image is gone."""
    # Below the line nothing drops.
    cut = stack.cut()
    features = np.array(cut.prefix(images.pixels.astype("float32"), training=False))
    cut.suffix.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    for epoch in range(epochs):
        order = list(epoch_order(len(source), source.seed, epoch))
        for start in range(0, len(order), source.batch_size):
            chosen = [
                index for index in order[start : start + source.batch_size] if epoch < without_from.get(index, 99)
            ]
            if chosen:
                cut.suffix.train_on_batch(features[chosen], images.one_hot[chosen])
    return stack


def assert_same_weights(one, two):
    for left, right in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_nothing_goes_bad_skip_trains_the_same_bits_as_raise(own_images, make_stack, cache, strategy):
    weights, histories = [], []
    for on_error in ("raise", "skip"):
        source = own_images.source(on_error=on_error, batch_size=16).augment(horizontal_flip=True)
        train, held_out = source.split(0.3)
        stack = make_stack(dropout=0.3)
        options = {"strategy": strategy, "cache": cache, "verbose": 0, "epochs": 2}
        histories.append(stack.fit(train, validation_data=held_out, **options).history)
        weights.append(stack.model.get_weights())
    assert histories[0] == histories[1]
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))


@pytest.mark.parametrize(("strategy", "spoil"), [("joint", delete), ("streamed", cut_off)])
def test_a_file_that_goes_bad_after_the_first_epoch_is_left_out_of_the_others(own_images, make_stack, strategy, spoil):
    source, stack = own_images.source(on_error="skip", batch_size=16), make_stack()
    with warned_of(source.paths[5]):
        stack.fit(source, epochs=3, strategy=strategy, verbose=0, callbacks=[after_epoch(1, spoil, source.paths[5])])
    assert [path for path, _ in source.unreadable] == [source.paths[5]]
    assert_same_weights(stack, trained_by_keras(make_stack(), own_images, source, 3, without_from={5: 1}))


def test_precomputed_does_not_miss_a_file_whose_features_are_kept(own_images, make_stack, cache):
    source, stack = own_images.source(on_error="skip", batch_size=16), make_stack()
    callback = after_epoch(1, delete, source.paths[5])
    stack.fit(source, epochs=3, strategy="precomputed", cache=cache, verbose=0, callbacks=[callback])
    assert source.unreadable == ()
    assert_same_weights(stack, trained_by_keras(make_stack(), own_images, source, 3, without_from={}))


@pytest.mark.parametrize(("strategy", "spoil"), [("joint", delete), ("streamed", cut_off), ("precomputed", delete)])
def test_a_file_that_goes_bad_before_the_first_epoch_is_never_seen(own_images, make_stack, cache, strategy, spoil):
    source, stack = own_images.source(on_error="skip", batch_size=16), make_stack()
    spoil(source.paths[5])
    with warned_of(source.paths[5]):
        history = stack.fit(source, epochs=2, strategy=strategy, cache=cache, verbose=0)
    assert_same_weights(stack, trained_by_keras(make_stack(), own_images, source, 2, without_from={5: 0}))
    if strategy == "precomputed":
        assert [(done["extracted"], done["total"]) for done in history.record.extractions] == [(39, 40)]
        # Nothing was stored for it, and it is not tried again.
        again = make_stack().fit(source, epochs=1, strategy=strategy, cache=cache, verbose=0)
        assert again.record.extractions[0]["extracted"] == 0


def test_an_equal_file_takes_the_place_of_one_that_vanished(own_images, make_stack, cache):
    twin = own_images.folder / "class1" / "twin.png"
    twin.write_bytes((own_images.folder / "class0" / "0000.png").read_bytes())
    source = own_images.source(on_error="skip")
    source.content_digests()
    delete(source.paths[0])
    with warned_of(source.paths[0]):
        history = make_stack().fit(source, epochs=1, strategy="precomputed", cache=cache, verbose=0)
    assert history.record.extractions[0]["extracted"] == 40
    assert [path for path, _ in source.unreadable] == [source.paths[0]]


@pytest.mark.parametrize(
    ("strategy", "steps_per_execution", "batch_size", "steps"),
    [
        ("joint", 1, 1, 6 + 4 + 4),
        ("streamed", 2, 1, 6 + 4 + 4),
        ("streamed", 1, 5, 2 + 1 + 1),
        ("joint", 2, 5, 2 + 1 + 1),
        ("streamed", 1, 4, 2 + 2 + 2),
    ],
)
def test_empty_batches_are_passed_over_without_a_step(
    own_images, make_stack, strategy, steps_per_execution, batch_size, steps
):
    source = own_images.source(on_error="skip", batch_size=batch_size).select([0, 1, 2, 30, 31, 32])
    stack = make_stack(steps_per_execution=steps_per_execution)

    def spoil(_):
        delete(source.paths[1])
        delete(source.paths[5])

    with warned_of(source.paths[1], source.paths[5]):
        history = stack.fit(
            source,
            epochs=3,
            strategy=strategy,
            verbose=0,
            shuffle=False,
            validation_data=source,
            callbacks=[after_epoch(1, spoil, None)],
        )
    assert int(stack.model.optimizer.iterations) == steps
    assert history.epoch == [0, 1, 2]
    assert all(np.isfinite(values).all() for values in history.history.values())
    assert all(np.isfinite(weight).all() for weight in stack.model.get_weights())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_validation_and_evaluate_measure_what_is_left(own_images, make_stack, cache, strategy):
    source = own_images.source(on_error="skip", batch_size=8)
    train, held_out = source.select(range(0, 40, 2)), source.select(range(1, 40, 2))
    stack = make_stack()
    delete(held_out.paths[3])
    options = {"strategy": strategy, "cache": cache, "verbose": 0}
    with warned_of(held_out.paths[3]):
        history = stack.fit(train, validation_data=held_out, epochs=2, **options)
    kept = np.delete(np.arange(1, 40, 2), 3)
    loss, accuracy = stack.model.evaluate(own_images.pixels[kept], own_images.one_hot[kept], verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert history.history["val_accuracy"][-1] == pytest.approx(accuracy)
    assert stack.evaluate(held_out, **options) == pytest.approx([loss, accuracy], rel=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_class_and_sample_weights_stay_with_their_images(own_images, make_stack, cache, strategy):
    source = own_images.source(on_error="skip", batch_size=40)
    source.weights = np.linspace(0, 4, 40).astype(np.float32)
    delete(source.paths[7])
    stack = make_stack(optimizer=keras.optimizers.SGD(0.0))
    options = {"strategy": strategy, "cache": cache, "verbose": 0, "class_weight": {1: 3.0}}
    with warned_of(source.paths[7]):
        history = stack.fit(source, epochs=1, **options)
    kept = np.delete(np.arange(40), 7)
    weights = source.weights[kept] * np.where(own_images.labels[kept] == 1, 3.0, 1.0)
    answers = stack.model.predict(own_images.pixels[kept], verbose=0)
    losses = -np.log((answers * own_images.one_hot[kept]).sum(axis=1))
    assert history.history["loss"] == pytest.approx([(losses * weights).sum() / len(kept)], rel=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_predict_keeps_a_row_for_every_image(own_images, make_stack, cache, strategy):
    source, stack = own_images.source(on_error="skip", batch_size=8), make_stack()
    delete(source.paths[9])
    with warned_of(source.paths[9]):
        answers = stack.predict(source, strategy=strategy, cache=cache, verbose=0)
    assert answers.shape == (40, 2)
    assert np.flatnonzero(np.isnan(answers).any(axis=1)).tolist() == [9]
    kept = np.delete(np.arange(40), 9)
    expected = stack.model.predict(own_images.pixels[kept], verbose=0)
    np.testing.assert_allclose(answers[kept], expected, rtol=1e-4, atol=1e-6)
    left = stack.predict(source.without_unreadable(), strategy=strategy, cache=cache, verbose=0)
    np.testing.assert_allclose(left, expected, rtol=1e-4, atol=1e-6)


def test_whole_numbers_as_answers_have_no_room_for_a_missing_one(own_images, make_stack):
    stages = [*make_stack().stages, tl.Stage(keras.layers.Lambda(lambda rows: keras.ops.argmax(rows, -1)), "name")]
    stack, source = tl.Stack(stages), own_images.source(on_error="skip")
    assert stack.predict(source, verbose=0).dtype.kind == "i"
    delete(source.paths[9])
    with (
        warned_of(source.paths[9]),
        pytest.raises(DataError, match=r"1 of 40 images are bad, last .*0009\.png: .*Predict source\.without_unrea"),
    ):
        stack.predict(source, verbose=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_when_all_images_are_gone_the_training_says_so(own_images, make_stack, cache, strategy):
    source = own_images.source(on_error="skip", batch_size=2).select([0, 39, 1])
    for path in source.paths:
        path.unlink()
    options = {"strategy": strategy, "cache": cache, "verbose": 0}
    stack = make_stack()
    gone = r"None of 3 images can be used any more, first .*0000\.png: cannot be read"
    with warned_of(*source.paths), pytest.raises(DataError, match=gone):
        stack.fit(source, **options)
    with pytest.raises(DataError, match=gone):
        stack.evaluate(source, **options)
    with pytest.raises(DataError, match=gone):
        stack.predict(source, **options)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_raise_ends_the_training_with_file_and_reason(own_images, make_stack, cache, strategy):
    source, stack = own_images.source(), make_stack()
    path = source.paths[5]
    options = {"strategy": strategy, "cache": cache, "verbose": 0, "callbacks": [after_epoch(1, delete, path)]}
    if strategy == "precomputed":
        # Nothing is read after the first epoch; here it goes before.
        delete(path)
    with pytest.raises(UnreadableImageError, match=re.escape(f"{path}: cannot be read: No such file")):
        stack.fit(source, epochs=3, **options)


# -- a folder of everything that can be wrong --------------------------------------------------------------------


@pytest.fixture
def odd_folder(tmp_path):
    """Two classes, each with every odd file that can be read; those that cannot be are among them."""
    for number, label in enumerate(("ink", "paper")):
        (tmp_path / "odd" / label).mkdir(parents=True)
        for name, make in GOOD.items():
            (tmp_path / "odd" / label / f"{number} {name}").write_bytes(make())
    for name, (make, _) in BAD.items():
        (tmp_path / "odd" / "paper" / name).write_bytes(make())
    return tmp_path / "odd"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_raise_names_the_first_odd_file(odd_folder, make_stack, cache, strategy):
    source = tl.ImageFolder(odd_folder, image_size=(16, 16))
    with pytest.raises(UnreadableImageError, match=r"30000 squared\.png: 30000 x 30000 pixels; at most"):
        make_stack().fit(source, strategy=strategy, cache=cache, shuffle=False, verbose=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_skip_trains_on_the_good_ones_and_lists_the_bad_ones(odd_folder, make_stack, cache, strategy):
    with pytest.warns(UserWarning, match=r"4 of 14 images cannot be decoded and are left out, first .*30000 squared"):
        source = tl.ImageFolder(odd_folder, image_size=(16, 16), on_error="skip", batch_size=4)
    found = {path.name: re.sub(r" \(\d+ bytes not processed\)", "", reason) for path, reason in source.unreadable}
    assert found == {name: reason for name, (_, reason) in BAD.items()}
    assert sorted(path.name for path in source.paths) == sorted(f"{n} {name}" for n in range(2) for name in GOOD)
    stack = make_stack()
    callback = after_epoch(1, delete, source.paths[0])
    options = {"strategy": strategy, "cache": cache, "verbose": 0, "epochs": 2, "callbacks": [callback]}
    if strategy == "precomputed":
        history = stack.fit(source, **options)
    else:
        with warned_of(source.paths[0]):
            history = stack.fit(source, **options)
        assert source.unreadable[-1][0] == source.paths[0]
    assert np.isfinite(history.history["loss"]).all()
    assert len(history.history["loss"]) == 2
