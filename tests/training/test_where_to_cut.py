"""Cutting below the thaw line: the same training to the bit, other features, and room on the disk."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, CacheFullError, FrozenWeightsMovedError
from thawline.features.feature_set import stored_bytes
from thawline.features.fingerprint import describe_prefix
from thawline.features.options import FeatureOptions
from thawline.training.planning.disk import Disk

layers = keras.layers


def narrow_then_wide():
    """4 bytes x 7 x 7 x 2 are kept below "wide", 4 x 7 x 7 x 16 at the line, after what must not drop or move."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(2, 3, strides=2, name="narrow"),
            layers.Conv2D(16, 7, padding="same", name="wide"),
            layers.BatchNormalization(name="normalization"),
            layers.Dropout(0.5, name="drop"),
            layers.GaussianNoise(0.5, name="noise"),
            layers.Conv2D(4, 3, name="last"),
        ],
        name="base_model",
    )


ROWS = {0: stored_bytes(4 * 7 * 7 * 16), 1: stored_bytes(4 * 7 * 7 * 2)}
LEARNING = ("base/last", "head")


def fit(stack, source, **options):
    phase = tl.Phase(LEARNING, 3, strategy=options.pop("strategy", "auto"), views=options.pop("views", None))
    return stack.fit(source, phases=[phase], **{"verbose": 0, **options})


def numbers(stack):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in stack.model.weights]


def room_for(place, count):
    return ROWS[place] * count


def test_a_training_cut_earlier_is_that_cut_at_the_line_bit_for_bit(small_images, make_stack, cache):
    """With a short last batch of 8, Dropout and noise between the two, and Dropout that learns above."""
    source = small_images.source().augment(horizontal_flip=True)
    held_out = small_images.source().select(range(30))
    trained = {}
    for place in (0, 1):
        stack = make_stack(base=narrow_then_wide, dropout=0.3)
        # 40 images in 3 views, and 30 to measure on.
        history = fit(stack, source, validation_data=held_out, cache=cache, max_disk=room_for(place, 3 * 40 + 30))
        (plan,) = history.record.plans
        assert (plan.strategy, plan.place, plan.cut) == ("precomputed", place, ("base/noise", "base/narrow")[place])
        assert history.record.extractions[0]["extracted"] == 120
        trained[place] = history.history, numbers(stack)
    assert trained[0][0] == trained[1][0]
    for mine, other in zip(trained[0][1], trained[1][1], strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_choice_is_said_and_saved_with_the_plan(small_images, make_stack, cache, capsys):
    history = fit(
        make_stack(base=narrow_then_wide), small_images.source(), cache=cache, max_disk=room_for(1, 40), verbose=1
    )
    says = "cut at base/narrow: 392 B per image instead of 3.1 kB; 76.8 k multiply-adds per image run again each epoch"
    assert says in capsys.readouterr().err
    plan = history.record.plans[0].as_dict()
    assert plan["cut"] == "base/narrow"
    assert (plan["row_bytes"], plan["line_row_bytes"]) == (392, 3136)
    assert plan["multiply_adds_recomputed"] == 7 * 7 * 7 * 7 * 2 * 16


def test_where_nothing_fits_nothing_is_kept(small_images, make_stack, cache):
    history = fit(make_stack(base=narrow_then_wide), small_images.source(), cache=cache, max_disk=room_for(1, 40) - 1)
    (plan,) = history.record.plans
    assert plan.strategy == "streamed"
    assert plan.reason.endswith(f"but {room_for(1, 40) / 1000:.1f} kB may be used")
    assert history.record.extractions == []


def test_precomputed_that_fits_nowhere_is_refused_before_anything_is_computed(small_images, make_stack, cache):
    stack = make_stack(base=narrow_then_wide)
    with pytest.raises(CacheFullError, match=r"strategy='precomputed' has no room: features would take .* of disk"):
        fit(stack, small_images.source(), cache=cache, max_disk=1000, strategy="precomputed")


@pytest.mark.parametrize("layer", ["narrow", "wide", "normalization"])
def test_weights_between_the_cut_and_the_line_are_watched(layer, small_images, make_stack, cache):
    """A frozen weight that moves is found, whether its features are kept or it runs again."""
    stack = make_stack(base=narrow_then_wide)
    weight = stack.stages[0].model.get_layer(layer).weights[-1]
    moving = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weight.assign_add(weight * 0 + 1e-3))
    with pytest.raises(FrozenWeightsMovedError, match=f"of layer 'base/{layer}'"):
        fit(stack, small_images.source(), cache=cache, max_disk=room_for(1, 40), callbacks=[moving])


def same_shapes():
    """Each of three maps would do as a candidate, and the two narrow ones look alike."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(2, 3, strides=2, padding="same", name="early"),
            layers.Conv2D(2, 3, padding="same", name="late"),
            layers.Conv2D(16, 1, name="wide"),
            layers.Conv2D(4, 3, name="last"),
        ],
        name="base_model",
    )


def test_features_of_another_cut_of_the_same_shapes_are_not_used(small_images, make_stack, cache):
    """The cut moves from "late" to "early" when "late" learns; both give 8 x 8 x 2."""
    source = small_images.source()
    stack = make_stack(base=same_shapes)
    late = stack.cut(train=LEARNING).candidates[0]
    early = stack.cut(train=["base/late", *LEARNING])
    assert (late.name, early.name) == ("base/late", "base/early")
    assert late.crossing == early.crossing
    assert describe_prefix(late) != describe_prefix(early)
    room = stored_bytes(late.row_bytes) * 40
    first = fit(stack, source, cache=cache, max_disk=room)
    assert first.record.plans[0].cut == "base/late"
    phase = tl.Phase(["base/late", *LEARNING], 1)
    second = make_stack(base=same_shapes).fit(source, phases=[phase], cache=cache, max_disk=room, verbose=0)
    assert second.record.plans[0].cut == "base/early"
    assert [done["extracted"] for run in (first, second) for done in run.record.extractions] == [40, 40]
    again = fit(make_stack(base=same_shapes), source, cache=cache, max_disk=room)
    assert again.record.extractions[0]["extracted"] == 0


# -- room on the disk --------------------------------------------------------------------------------------------


def disk_and_cut(small_images, make_stack, cache, max_disk=None):
    stack = make_stack(base=narrow_then_wide)
    return Disk(FeatureOptions(cache), max_disk, small_images.source()), stack.cut(train=LEARNING)


def test_features_that_are_stored_need_no_free_disk(small_images, make_stack, cache, monkeypatch):
    disk, cut = disk_and_cut(small_images, make_stack, cache)
    monkeypatch.setattr(tl.FeatureCache, "free_bytes", 1000)
    assert not disk.fits(cut, 1)
    monkeypatch.undo()
    fit(make_stack(base=narrow_then_wide), small_images.source(), cache=cache, views=1)
    monkeypatch.setattr(tl.FeatureCache, "free_bytes", 1000)
    assert disk.fits(cut, 1)
    assert not disk.fits(cut, 2)


def test_nine_tenths_of_what_is_free_may_be_used(small_images, make_stack, cache, monkeypatch):
    disk, cut = disk_and_cut(small_images, make_stack, cache)
    needed = room_for(0, 40)
    monkeypatch.setattr(tl.FeatureCache, "free_bytes", needed / 0.9 + 2)
    assert disk.fits(cut, 1)
    monkeypatch.setattr(tl.FeatureCache, "free_bytes", needed / 0.9 - 2)
    assert not disk.fits(cut, 1)


def test_the_quota_of_the_cache_limits_what_is_free(tmp_path):
    cache = tl.FeatureCache(tmp_path, max_bytes=2 << 20)
    assert cache.free_bytes == (2 << 20) - cache.size_bytes
    assert tl.FeatureCache(tmp_path / "other").free_bytes > 2 << 20


@pytest.mark.parametrize("max_disk", [0, -1, "10 GB"])
def test_max_disk_is_a_number_of_bytes(max_disk, small_images, make_stack, cache):
    with pytest.raises(ArgumentError, match=r"max_disk is a number of bytes above 0, like 10e9 for 10 GB; got"):
        fit(make_stack(), small_images.source(), cache=cache, max_disk=max_disk)


def test_evaluate_and_predict_answer_the_same_wherever_the_model_is_cut(
    small_images, make_stack, tmp_path, monkeypatch
):
    stack = make_stack(base=narrow_then_wide)
    source = small_images.source()
    for stage in stack.stages:
        for layer in stage.model.layers:
            layer.trainable = layer.name not in ("narrow", "wide", "normalization", "drop", "noise")
    answers = []
    for place in (0, 1):
        monkeypatch.setattr(tl.FeatureCache, "free_bytes", room_for(place, 40) / 0.9 + 2)
        how = {"cache": tl.FeatureCache(tmp_path / str(place)), "strategy": "precomputed", "verbose": 0}
        answers.append((stack.evaluate(source, **how), stack.predict(source, **how)))
    assert answers[0][0] == answers[1][0]
    np.testing.assert_array_equal(answers[0][1], answers[1][1])
