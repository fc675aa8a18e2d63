"""Forecasts, against calculations by hand."""

from dataclasses import replace

import pytest

from thawline.errors import BudgetError
from thawline.features.feature_set import stored_bytes
from thawline.training.planning.budget import Budget
from thawline.training.planning.choice import decide, describe_views
from thawline.training.planning.forecast import Forecast, Forecaster, Place, Workload, ahead_bytes, in_pipeline
from thawline.training.planning.profile import FREE, Cost, Profile

# On two cores: an image takes 4 ms to decode, 2 ms to augment and 20 ms through the engine, all of processor time.
PROFILE = Profile(
    cores=2,
    decode=Cost(0.002, 0.004),
    augment=Cost(0.001, 0.002),
    standardize=FREE,
    engine="openvino float32",
    engines={"openvino float32": Cost(0.010, 0.020), "keras float32": Cost(0.030, 0.060)},
    build_s=3.0,
    prepare_s=0.5,
    trace_s=1.0,
    validation_trace_s=0.25,
    frozen_trace_s=2.0,
    step=Cost(0.010, 0.010),
    validation_step=Cost(0.005, 0.005),
    steps_together=1,
    is_step_estimated=False,
    write=Cost(0.0001, 0.0001),
    read=Cost(0.0005, 0.0005),
    row_bytes=4000,
)
LINE = Place(0, "base/last", 4000)
# 1,000 images in 100 steps, 200 in 20 steps to measure on.
WORK = Workload(1000, 200, 10, epochs=10, image_bytes=300, places=(LINE,))


def forecast(strategy, views=1, *, profile=PROFILE, place=0, **changes):
    return Forecaster(profile, replace(WORK, **changes)).forecast(strategy, views, place)


def test_what_keeps_the_cores_busy_adds_up_and_what_waits_does_not():
    assert in_pipeline(2, [Cost(1.0, 2.0), Cost(0.5, 1.0)]) == 1.5
    # The disk makes it wait.
    assert in_pipeline(2, [Cost(1.0, 2.0), Cost(5.0, 0.1)]) == 5.0
    # With a processor to itself instead of half of one.
    assert in_pipeline(1, [Cost(1.0, 2.0), Cost(0.5, 1.0)]) == 3.0


def test_streamed_decodes_and_runs_the_engine_in_every_epoch():
    found = forecast("streamed", 10)
    # (4 + 2 + 20) ms of 1,000 images and 100 steps of 10 ms, on two cores; 24 ms of 200 images and 20 steps of 5 ms.
    train_s = (26 + 1) / 2
    assert found.first_epoch_s == pytest.approx(train_s + (200 * 0.024 + 0.1) / 2)
    # Features of validation images stay in memory; steps come one after another.
    assert found.later_epoch_s == pytest.approx(train_s + 0.1)
    assert (found.prepare_s, found.trace_s, found.extract_s) == (3.5, 1.25, 0)
    assert found.total_s == pytest.approx(3.5 + 1.25 + found.first_epoch_s + 9 * found.later_epoch_s)
    assert (found.disk_bytes, found.ram_bytes) == (0, 200 * 4000 + 5 * 10 * 300)


def test_joint_takes_keras_for_every_image_and_traces_the_frozen_part_twice():
    found = forecast("joint", 10)
    # 8 ns for each of 300 bytes of an image.
    fed_s = 1200 * 300 * 8e-9 / 2
    assert found.first_epoch_s == pytest.approx((66 + 1) / 2 + (200 * 0.064 + 0.1) / 2 + fed_s)
    assert found.later_epoch_s == found.first_epoch_s
    assert (found.prepare_s, found.trace_s) == (0.5, 1.25 + 2 * 2.0)
    assert found.ram_bytes == ahead_bytes(10, 300) == 15_000


def test_precomputed_decodes_once_for_all_views_and_trains_from_memory():
    found = forecast("precomputed", 4)
    # 4 ms of 1,000 images; 2 + 20 + 0.1 ms of 4,000 views; the engine waits for 32 images: 4 / 4 + 2 ms each.
    train_s = (4 + 4000 * 0.0221) / 2 + 32 * 0.003
    validation_s = 200 * 0.0241 / 2 + 32 * 0.004
    # The engine is built in 3 s.
    assert found.extract_s == pytest.approx(3 + train_s + validation_s)
    assert found.prepare_s == 0.5
    # Each view is read once: 1,000 rows of 0.5 ms beside 100 steps of 10 ms. Then the steps are all.
    assert found.first_epochs == 4
    assert found.first_epoch_s == pytest.approx(1.0 + 0.1)
    assert found.later_epoch_s == pytest.approx(1.0 + 0.1)
    assert found.disk_bytes == 4200 * stored_bytes(4000)
    assert found.ram_bytes == 4200 * 4000 + 15_000
    assert (found.extracted, found.keeps_in_ram) == (4200, True)


def test_reading_counts_where_it_takes_longer_than_the_steps():
    slow = replace(PROFILE, read=Cost(0.005, 0.001))
    found = forecast("precomputed", 4, profile=slow)
    assert found.first_epoch_s == pytest.approx(5.0 + 1.0)
    assert found.later_epoch_s == pytest.approx(1.0 + 0.1)
    assert [found.epoch_s(epoch) for epoch in (3, 4)] == [found.first_epoch_s, found.later_epoch_s]


def test_without_memory_every_epoch_reads_its_rows():
    slow = replace(PROFILE, read=Cost(0.005, 0.001))
    found = forecast("precomputed", 4, profile=slow, max_ram=1000)
    assert not found.keeps_in_ram
    assert found.later_epoch_s == found.first_epoch_s == pytest.approx(6.0)
    # Features of validation images alone may still fit.
    part = forecast("precomputed", 4, profile=slow, max_ram=1_000_000)
    assert part.later_epoch_s == pytest.approx(5.0 + 0.1)


def test_with_as_many_views_as_epochs_nothing_comes_again():
    assert not forecast("precomputed", 10).keeps_in_ram
    # More views than epochs cannot be shown.
    assert forecast("precomputed", 30).views == 10


def test_what_is_in_the_cache_counts_as_done():
    half = replace(LINE, missing=(0, 500), missing_validation=0)
    found = forecast("precomputed", 2, places=(half,))
    assert found.extracted == 500
    assert found.extract_s == pytest.approx(3 + (500 * 0.004 + 500 * 0.0221) / 2 + 32 * 0.006)
    # Of views that nobody looked for nothing is there.
    assert forecast("precomputed", 4, places=(half,)).extracted == 500 + 2000
    whole = forecast("precomputed", 2, places=(replace(LINE, missing=(0, 0), missing_validation=0),))
    assert (whole.extract_s, whole.prepare_s) == (0, 0.5)


def test_an_earlier_cut_keeps_less_and_runs_the_rest_again():
    early = Place(1, "base/early", 400, share_below=0.75)
    found = forecast("precomputed", 4, place=1, places=(LINE, early))
    # Three quarters of the engine's 20 ms, and a tenth of the bytes; a quarter of Keras' 60 ms in every epoch.
    assert found.extract_s == pytest.approx(
        3 + (4 + 4000 * 0.01701) / 2 + 32 * 0.003 + (200 * 0.01901) / 2 + 32 * 0.004, rel=1e-6
    )
    assert found.later_epoch_s == pytest.approx((1000 * 0.015 + 1.0) / 2 + (200 * 0.015 + 0.1) / 2)
    assert found.disk_bytes == 4200 * stored_bytes(400)
    assert found.place == 1


def test_half_precision_takes_half_the_disk_and_the_same_memory():
    found = forecast("precomputed", 4, storage_share=0.5)
    assert found.disk_bytes == 4200 * stored_bytes(2000)
    assert found.ram_bytes == 4200 * 4000 + 15_000


def test_pixels_that_are_kept_are_decoded_once():
    found = forecast("streamed", 10, keeps_pixels=True)
    assert found.first_epoch_s == pytest.approx((26 + 1) / 2 + (200 * 0.024 + 0.1) / 2)
    assert found.later_epoch_s == pytest.approx((22 + 1) / 2 + 0.1)


def test_steps_that_run_apart_take_what_surrounds_each_execution():
    together = replace(PROFILE, steps_together=16)
    one, other = (forecast("streamed", 1, profile=profile).later_epoch_s for profile in (PROFILE, together))
    # 15/16 of 1.5 ms for each of 100 steps, on one of two cores.
    assert other - one == pytest.approx(100 * 0.0015 * 15 / 16 / 2)
    assert forecast("precomputed", 1, profile=together).later_epoch_s == forecast("precomputed", 1).later_epoch_s


def test_without_validation_nothing_is_measured_or_traced_for_it():
    found = forecast("joint", 1, validation=0)
    assert (found.first_epoch_s, found.trace_s) == (pytest.approx(67 / 2 + 1000 * 300 * 8e-9 / 2), 1.0 + 2.0)


def test_a_forecast_is_the_same_after_json():
    found = forecast("precomputed", 4)
    assert Forecast.from_dict(found.as_dict()) == found
    assert found.as_dict()["total_s"] == found.total_s


# -- the choice ----------------------------------------------------------------------------------------------------


def options_of(forecaster, views=4):
    names = ("precomputed", "streamed", "joint")
    return {name: forecaster.forecast(name, views) for name in names}


def choose(forecaster, wanted=("precomputed", "streamed", "joint"), budget=None, ruled_out=None, **changes):
    options = {name: replace(option, **changes) for name, option in options_of(forecaster).items()}
    return decide(forecaster, options, wanted, ruled_out or {}, budget or Budget())


def test_the_fastest_is_chosen_with_the_others_beside_it():
    decision = choose(Forecaster(PROFILE, WORK))
    # 3.5 + 1.25 + 46.3 + 2.5 + 10 x 1.1; 3.5 + 1.25 + 15.95 + 9 x 13.6; 0.5 + 5.25 + 10 x 39.95. For two epochs and
    # views 3.5 + 1.25 + 24.2 + 2.5 + 2 x 1.1 against 3.5 + 1.25 + 15.95 + 13.6.
    assert decision.strategy == "precomputed"
    assert decision.reason == (
        "1 min 05 s, 18.3 MB of disk; streamed 2 min 23 s; joint 6 min 45 s. Breaks even after 2 epochs"
    )


def test_a_single_epoch_is_streamed_where_keeping_features_takes_longer():
    decision = choose(Forecaster(replace(PROFILE, write=Cost(0.1, 0.001)), WORK).for_epochs(1))
    assert decision.strategy == "streamed"
    assert "Breaks even" not in decision.reason


def test_where_two_are_equal_features_are_kept():
    forecaster = Forecaster(PROFILE, WORK)
    assert choose(forecaster, extract_s=0.0, first_epoch_s=1.0, later_epoch_s=1.0).strategy == "precomputed"


def test_what_is_ruled_out_is_not_chosen_and_says_why():
    decision = choose(Forecaster(PROFILE, WORK), ruled_out={"precomputed": "features would take 9 GB of disk"})
    assert decision.strategy == "streamed"
    assert "precomputed 1 min 05 s (features would take 9 GB of disk)" in decision.reason


def test_memory_and_time_rule_out_what_does_not_fit():
    forecaster = Forecaster(PROFILE, WORK)
    decision = choose(forecaster, budget=Budget(max_ram=1e6))
    assert decision.strategy == "streamed"
    assert decision.ruled_out == {"precomputed": "needs 16.8 MB of memory, max_ram is 1 MB"}
    decision = choose(forecaster, budget=Budget(max_time=120))
    assert decision.strategy == "precomputed"
    assert decision.ruled_out["streamed"] == "takes 2 min 23 s, 2 min 00 s may be taken"


def test_where_nothing_fits_the_error_names_what_would():
    with pytest.raises(BudgetError) as failure:
        choose(Forecaster(PROFILE, WORK), budget=Budget(max_time=45))
    assert str(failure.value) == (
        "No way to run fits the budget. precomputed with 4 views: takes 1 min 05 s, 45.0 s may be taken; streamed with "
        "4 views: takes 2 min 23 s, 45.0 s may be taken; joint with 4 views: takes 6 min 45 s, 45.0 s may be taken. "
        "Precomputed with 2 views fits: 42.5 s, 9.6 MB of disk. Ask for that many views, raise the budget, or take "
        "fewer epochs or images."
    )
    with pytest.raises(BudgetError, match=r"Precomputed with 1 view comes nearest: 3\d\.\d s, 5\.2 MB of disk"):
        choose(Forecaster(PROFILE, WORK), budget=Budget(max_time=10))


def test_more_views_cost_and_fewer_save():
    forecaster = Forecaster(PROFILE, WORK)
    sentence = describe_views(forecaster, forecaster.forecast("precomputed", 4))
    assert sentence == ". 8 views would take 44.2 s more, 2 views would take 22.1 s less"
    assert describe_views(forecaster, forecaster.forecast("precomputed", 1)) == ". 2 views would take 11.0 s more"
    assert describe_views(forecaster.for_epochs(1), forecaster.for_epochs(1).forecast("precomputed", 1)) == ""


@pytest.mark.parametrize("name", ["max_disk", "max_ram", "max_time"])
@pytest.mark.parametrize("value", [0, -1, "10GB", True])
def test_a_budget_is_numbers_above_zero(name, value):
    with pytest.raises(ValueError, match=f"{name} is a number of"):
        Budget(**{name: value})
