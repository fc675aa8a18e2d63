"""Profiles: measured without a trace, kept, found again; and plans that are made from them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, BudgetError
from thawline.training.planning import epoch_times, measuring
from thawline.training.planning.epoch_times import EpochTimes
from thawline.training.planning.forecast import Forecast
from thawline.training.planning.measured import PhaseTimes, forecast_rows
from thawline.training.planning.profile import FREE, Cost, Profile, ProfileMemory
from thawline.training.strategies.feeding import make_feeds


@pytest.fixture
def measured(monkeypatch):
    """Notes how often something was measured."""
    calls, measure = [], measuring.measure_profile

    def noting(subject):
        calls.append(subject)
        return measure(subject)

    monkeypatch.setattr("thawline.training.planning.planner.measure_profile", noting)
    # Machines on which tests run are busy: what matters here takes no time.
    monkeypatch.setattr(measuring, "_TRIED_S", 0.01)
    return calls


def numbers(stack):
    return [keras.ops.convert_to_numpy(variable) for variable in stack.model.variables]


def flags(stack):
    return [layer.trainable for layer in stack.model._flatten_layers()]


def sides(images):
    train, held_out = images.source(batch_size=8).split(0.3, exact=True)
    return train.augment(horizontal_flip=True, rotation_range=20), held_out


def test_planning_leaves_weights_chances_optimizer_and_metrics_as_they_were(small_images, make_stack, cache, measured):
    """And a training afterwards has the very bits of one without."""
    train, held_out = sides(small_images)
    phases = [tl.Phase("head", 2), tl.Phase(["head", "base/last"], 2, optimizer="sgd", learning_rate=0.01)]
    histories, weights = [], []
    for is_planned in (False, True):
        metric = keras.metrics.AUC(name="auc")
        stack = make_stack(dropout=0.4, metrics=[metric])
        if is_planned:
            before, frozen, optimizer = numbers(stack), flags(stack), stack.model.optimizer
            plan = stack.plan(train, validation_data=held_out, phases=phases, cache=cache, verbose=0)
            assert len(measured) == 2
            assert all(np.array_equal(one, two) for one, two in zip(before, numbers(stack), strict=True))
            assert (flags(stack), stack.model.optimizer) == (frozen, optimizer)
            assert not optimizer.built
            assert all(not np.any(variable) for variable in metric.variables)
            assert [phase.epochs for phase in plan.phases] == [2, 2]
        how = {"phases": phases, "cache": cache, "verbose": 0, "plan": plan if is_planned else None}
        histories.append(stack.fit(train, validation_data=held_out, **how).history)
        weights.append(stack.model.get_weights())
    assert histories[0] == histories[1]
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))


def test_a_profile_is_remembered_for_the_next_stack_of_the_kind(small_images, make_stack, cache, measured):
    train, held_out = sides(small_images)
    first = make_stack().plan(train, validation_data=held_out, epochs=9, cache=cache, verbose=0)
    # Other weights, another number of epochs.
    again = make_stack(seed=8).plan(train, validation_data=held_out, epochs=5, views=2, cache=cache, verbose=0)
    assert len(measured) == 1
    assert again.phases[0].basis.profile.step == first.phases[0].basis.profile.step
    assert (again.phases[0].views, again.phases[0].epochs) == (2, 5)
    # Another batch size, another speed.
    make_stack().plan(small_images.source(batch_size=4), epochs=5, cache=cache, verbose=0)
    assert len(measured) == 2
    plan = make_stack().plan(small_images.source(batch_size=5), epochs=5, cache=cache, verbose=0, measuring="never")
    assert len(measured) == 2
    assert (plan.phases[0].forecast, plan.total_s) == (None, None)


def test_what_was_extracted_is_no_longer_forecast(small_images, make_stack, cache, measured):
    train, held_out = sides(small_images)
    how = {"validation_data": held_out, "epochs": 6, "views": 2, "cache": cache, "verbose": 0}
    stack = make_stack()
    plan = stack.plan(train, **how)
    kept = next(option for option in plan.phases[0].options if option.strategy == "precomputed")
    assert kept.extracted == 2 * len(train) + len(held_out)
    assert kept.extract_s > 0
    stack.fit(train, **how, strategy="precomputed")
    plan = stack.plan(train, **how)
    kept = next(option for option in plan.phases[0].options if option.strategy == "precomputed")
    assert (kept.extracted, kept.extract_s) == (0, 0)
    # Of another view nothing is there.
    rows = [each for phase in plan.what_if(views=[1, 2, 3]) for each in phase]
    assert [row.options["precomputed"].extracted for row in rows] == [0, 0, len(train)]
    assert {row.choice for row in rows} <= {"precomputed", "streamed", "joint"}


def test_fit_measures_nothing_where_it_does_not_matter(small_images, make_stack, cache, measured):
    train, _ = sides(small_images)
    history = make_stack().fit(train, epochs=2, cache=cache, verbose=0)
    make_stack().fit(train, epochs=2, strategy="joint", cache=cache, verbose=0)
    assert measured == []
    assert history.record.plans[0].forecast is None
    assert forecast_rows(history.record) == []
    assert len(history.record.epoch_s) == 2


def test_a_remembered_profile_gives_a_fit_its_forecast(small_images, make_stack, cache, measured):
    train, held_out = sides(small_images)
    how = {"validation_data": held_out, "epochs": 3, "cache": cache, "verbose": 0}
    make_stack().plan(train, **how)
    history = make_stack().fit(train, strategy="streamed", **how)
    assert len(measured) == 1
    assert history.record.plans[0].reason.startswith("as asked; ")
    rows = forecast_rows(history.record)
    assert [row[0] for row in rows] == ["preparing", "first epoch", "epochs 2 to 3", "all"]
    assert all(forecast_s >= 0 and measured_s > 0 for _, forecast_s, measured_s in rows)
    assert rows[-1][2] == pytest.approx(history.record.times[0].total_s)


def test_a_plan_is_given_back_from_a_file(small_images, make_stack, cache, tmp_path, measured):
    train, held_out = sides(small_images)
    how = {"validation_data": held_out, "phases": [tl.Phase("head", 3)], "cache": cache, "verbose": 0}
    plan = make_stack().plan(train, **how)
    other = replace(plan, phases=(replace(plan.phases[0], strategy="streamed", views=2),))
    other.save(tmp_path / "plan.json")
    history = make_stack().fit(train, **how, plan=tl.Plan.load(tmp_path / "plan.json"))
    assert (history.record.plans[0].strategy, history.record.plans[0].views) == ("streamed", 2)
    assert tl.Plan.load(tmp_path / "plan.json").as_dict() == other.as_dict()
    with pytest.raises(ArgumentError, match="Only a plan that was made just now"):
        tl.Plan.load(tmp_path / "plan.json").what_if(views=[1])


def test_a_plan_for_another_training_is_refused(small_images, make_stack, cache, tmp_path):
    train, _ = sides(small_images)
    plan = make_stack().plan(train, epochs=3, cache=cache, measuring="never", verbose=0)
    with pytest.raises(ArgumentError, match="The plan is for another training: phases were"):
        make_stack().fit(train, epochs=4, cache=cache, plan=plan, verbose=0)
    with pytest.raises(ArgumentError, match=r"The plan cuts the model at .* \(24 B per image\)"):
        make_stack(trainable=True).fit(train, epochs=3, cache=cache, plan=plan, verbose=0)
    with pytest.raises(ArgumentError, match="No plan"):
        tl.Plan.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"phases": [{"strategy": "joint"}]}')
    with pytest.raises(ArgumentError, match="holds no plan"):
        tl.Plan.load(tmp_path / "other.json")


def test_an_interrupted_run_goes_on_by_the_plan_that_it_began_with(small_images, make_stack, cache, tmp_path):
    """Though another would be chosen by then."""
    train, _ = sides(small_images)
    plan = make_stack().plan(train, epochs=4, cache=cache, measuring="never", verbose=0)
    other = replace(plan, phases=(replace(plan.phases[0], strategy="streamed", views=3),))

    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    how = {"epochs": 4, "cache": cache, "checkpoint": tmp_path / "state", "verbose": 0}
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_stack().fit(train, **how, plan=other, callbacks=[callback])
    history = make_stack().fit(train, **how)
    assert [(each.strategy, each.views) for each in history.record.plans] == [("streamed", 3)]
    assert [(mark.strategy, mark.views) for mark in history.phases] == [("streamed", 3)]
    # Epochs of both runs.
    assert len(history.record.epoch_s) == 4


def test_time_that_is_allowed_is_measured_against_before_training(small_images, make_stack, cache, measured):
    train, _ = sides(small_images)
    phases = [tl.Phase("head", 2), tl.Phase("head", 3)]
    stack = make_stack()
    before = numbers(stack)
    with pytest.raises(BudgetError, match=r"No way to run fits the budget\. precomputed with 2 views: takes"):
        stack.fit(train, phases=phases, max_time=1e-3, cache=cache, verbose=0)
    assert all(np.array_equal(one, two) for one, two in zip(before, numbers(stack), strict=True))
    history = stack.fit(train, phases=phases, max_time=1e6, cache=cache, verbose=0)
    # Both phases are the same stack: one profile.
    assert len(measured) == 1
    assert [plan.forecast is not None for plan in history.record.plans] == [True, True]


def test_memory_that_is_allowed_limits_the_features_that_are_kept(small_images, make_stack, cache, monkeypatch):
    budgets = []

    def noting(*arguments, budget, **options):
        budgets.append(budget)
        return make_feeds(*arguments, budget=budget, **options)

    monkeypatch.setattr("thawline.training.fit.make_feeds", noting)
    train, _ = sides(small_images)
    # Five batches of 8 images of 16 x 16 x 3 bytes are read ahead.
    make_stack().fit(train, epochs=2, max_ram=5 * 8 * 768 + 100, cache=cache, verbose=0)
    assert budgets[0].reserve(images=1, views=1, row_bytes=101) is None
    assert budgets[0].reserve(images=1, views=1, row_bytes=100) is not None
    with pytest.raises(ArgumentError, match="max_ram is a number of bytes above 0"):
        make_stack().fit(train, max_ram=-1, verbose=0)


def test_with_nothing_frozen_joint_is_forecast_alone(small_images, make_stack, cache, measured):
    train, held_out = sides(small_images)
    plan = make_stack(trainable=True).plan(train, validation_data=held_out, epochs=2, cache=cache, verbose=0)
    (phase,) = plan.phases
    assert (phase.strategy, [option.strategy for option in phase.options]) == ("joint", ["joint"])
    assert phase.forecast.total_s > 0


def test_what_is_too_slow_to_be_tried_is_estimated(small_images, make_stack, cache, measured, monkeypatch):
    monkeypatch.setattr("thawline.training.planning.rehearsal._MOST_CALLS", 0)
    train, _ = sides(small_images)
    stack = make_stack()
    before = numbers(stack)
    profile = stack.plan(train, epochs=2, cache=cache, verbose=0).phases[0].basis.profile
    assert profile.is_step_estimated
    assert profile.step.wall_s == pytest.approx(3 * profile.validation_step.wall_s)
    assert all(np.array_equal(one, two) for one, two in zip(before, numbers(stack), strict=True))


def test_a_plan_is_a_table_with_the_choice_marked(small_images, make_stack, cache, measured):
    train, _ = sides(small_images)
    plan = make_stack().plan(train, epochs=9, cache=cache, max_disk=1, verbose=0)
    lines = str(plan).splitlines()
    assert lines[0].split() == [
        *("strategy", "views", "time", "extraction", "first", "epoch", "later", "ones", "disk", "memory")
    ]
    assert lines[1].split()[:2] == ["x", "precomputed"]
    assert sum(line.lstrip().startswith("*") for line in lines) == 1
    assert "precomputed is ruled out: features would take" in lines[-1]


# -- the memory of profiles ----------------------------------------------------------------------------------------

PROFILE = Profile(
    cores=1.5,
    decode=Cost(0.001, 0.002),
    augment=FREE,
    standardize=FREE,
    engine="keras float32",
    engines={"keras float32": Cost(0.1, 0.2)},
    build_s=1,
    prepare_s=1,
    trace_s=1,
    validation_trace_s=1,
    frozen_trace_s=1,
    step=FREE,
    validation_step=FREE,
    steps_together=16,
    is_step_estimated=False,
    write=FREE,
    read=FREE,
    row_bytes=4,
    free_ram_bytes=1000,
    free_disk_bytes=1000,
)


def test_a_profile_is_found_again_without_what_was_free_then(tmp_path):
    memory = ProfileMemory(tmp_path, {"machine": "a"})
    memory.keep(PROFILE)
    assert memory.recall() == replace(PROFILE, free_ram_bytes=0, free_disk_bytes=0)
    assert ProfileMemory(tmp_path, {"machine": "b"}).recall() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cores": 2}'])
def test_a_profile_that_is_damaged_is_made_anew(tmp_path, content):
    memory = ProfileMemory(tmp_path, {"machine": "a"})
    memory.keep(PROFILE)
    memory.path.write_text(content)
    assert memory.recall() is None


def test_a_profile_with_other_words_is_made_anew(tmp_path):
    memory = ProfileMemory(tmp_path, {"machine": "a"})
    memory.keep(PROFILE)
    values = json.loads(memory.path.read_text())
    memory.path.write_text(json.dumps({**values, "gears": 3}))
    assert memory.recall() is None


# -- epochs against their forecast ---------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Time passes as told: a list that holds the time now, in seconds."""
    now = [0.0]
    monkeypatch.setattr(epoch_times, "_now", lambda: (now[0], now[0]))
    return now


def run_epochs(watch, clock, seconds):
    for number, (train_s, validation_s) in enumerate(seconds):
        watch.on_epoch_begin(number)
        clock[0] += train_s
        watch.on_test_begin()
        clock[0] += validation_s
        watch.on_test_end()
        watch.on_epoch_end(number)


def test_seconds_of_epochs_and_their_validation_are_noted(clock):
    watch = EpochTimes()
    run_epochs(watch, clock, [(5, 1), (3, 0.5)])
    assert watch.trained == [Cost(5, 5), Cost(3, 3)]
    assert watch.measured == [Cost(1, 1), Cost(0.5, 0.5)]
    assert watch.last_s == 3.5


def slow_and_fast(first_epoch_s=10.0, later_epoch_s=4.0):
    return Forecast("precomputed", 2, 5, 0, 0.0, 0.0, 3.0, first_epoch_s, 2, later_epoch_s)


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        # The first epoch traces; epochs that read take 10 s, those after them 4 s.
        ([(90, 0), (14.9, 0), (5.9, 0)], []),
        ([(10, 0), (9, 7)], ["epoch 2 took 16.0 s, 1.6 times its forecast of 10.0 s"]),
        ([(10, 0), (10, 0), (9, 0), (20, 0)], ["epoch 3 took 9.0 s, 2.2 times its forecast of 4.0 s"]),
        ([(10, 0), (4, 0)], ["epoch 2 took 4.0 s, 0.4 times its forecast of 10.0 s"]),
    ],
)
def test_an_epoch_far_from_its_forecast_is_told_once(clock, epochs, said):
    told = []
    run_epochs(EpochTimes(slow_and_fast(), 0, told.append), clock, epochs)
    assert [sentence.partition(": is the machine")[0] for sentence in told] == said


def test_fractions_of_a_second_are_not_worth_a_line(clock):
    told = []
    run_epochs(EpochTimes(slow_and_fast(0.1, 0.1), 0, told.append), clock, [(1, 0), (0.9, 0)])
    assert told == []


def test_forecast_rows_leave_out_epochs_that_did_not_run():
    plan = SimpleNamespace(forecast=slow_and_fast())
    times = PhaseTimes(prepare_s=1.0, extract_s=2.0, epoch_s=[12.0, 9.0, 5.0])
    assert forecast_rows(SimpleNamespace(plans=[plan], times=[times])) == [
        ("preparing", 0.0, 1.0),
        ("extracting features", 0.0, 2.0),
        ("first epoch", 13.0, 12.0),
        ("epochs 2 to 3", 14.0, 14.0),
        ("all", 27.0, 29.0),
    ]
