"""choose_plan: pure decisions over a cut."""

import json
import math
import re
from dataclasses import dataclass, field, replace

import pytest

from thawline.errors import ArgumentError, BudgetError, CacheError, CacheFullError, NothingToLearnError
from thawline.features.feature_set import stored_bytes
from thawline.training.planning.budget import Budget
from thawline.training.planning.forecast import Forecaster, Place, Workload
from thawline.training.planning.phase_plan import PhasePlan, choose_plan
from thawline.training.planning.profile import FREE, Cost, Profile


class Prefix:
    """Stands in for a Keras model of 1,234 weights."""

    def __init__(self, weights):
        self.weights = [object()] * bool(weights)
        self._count = weights

    def count_params(self):
        return self._count


@dataclass
class StubCut:
    prefix: Prefix = field(default_factory=lambda: Prefix(1234))
    row_bytes: int = 5120
    name: str = "base/last"
    multiply_adds_recomputed: int = 0
    pooled_row_bytes: int | None = None
    candidates: tuple = ()
    frozen_but_above: str = ""

    @property
    def has_frozen_weights(self):
        return bool(self.prefix.weights)

    @property
    def places(self):
        return (self, *self.candidates)


@dataclass
class StubDisk:
    """Room for so many bytes of features of 100 images."""

    room: int
    problem: str = ""

    def needed_bytes(self, row_bytes, views):
        return 100 * views * row_bytes

    def usable_bytes(self):
        return self.room

    def fits(self, cut, views):
        return self.needed_bytes(cut.row_bytes, views) <= self.room


FROZEN, LEARNING = StubCut(), StubCut(Prefix(0))


def plan(cut=FROZEN, **options):
    return choose_plan(cut, **{"is_augmented": True, "epochs": 10, **options})


@pytest.mark.parametrize(("cut", "strategy"), [(FROZEN, "precomputed"), (LEARNING, "joint")])
def test_auto_is_precomputed_when_something_is_frozen(cut, strategy):
    assert plan(cut).strategy == strategy


@pytest.mark.parametrize("strategy", ["joint", "precomputed", "streamed"])
def test_a_strategy_that_is_asked_for_is_taken(strategy):
    chosen = plan(strategy=strategy)
    assert (chosen.strategy, chosen.reason) == (strategy, "as asked")


@pytest.mark.parametrize(
    ("strategy", "options", "views"),
    [
        ("precomputed", {}, 4),
        ("joint", {}, 10),
        ("streamed", {}, 10),
        ("precomputed", {"epochs": 3}, 3),
        ("precomputed", {"is_augmented": False}, 1),
        ("joint", {"is_augmented": False}, 1),
        ("joint", {"views": 2}, 2),
        ("precomputed", {"views": 8}, 8),
        ("precomputed", {"views": 30}, 10),
        ("streamed", {"views": 5, "is_augmented": False}, 1),
    ],
)
def test_views_are_as_many_as_help(strategy, options, views):
    assert plan(strategy=strategy, **options).views == views


def test_a_plan_reads_as_a_sentence():
    assert str(plan()) == "precomputed, 4 views, 10 epochs: 1,234 frozen weights run once per view"
    assert str(plan(LEARNING, epochs=1)) == "joint, 1 view, 1 epoch: nothing is frozen, everything learns"
    inside = StubCut(Prefix(0), frozen_but_above="5 of 9 weights of 'net' are frozen, but inside ...")
    assert str(plan(inside, epochs=1)) == f"joint, 1 view, 1 epoch: {inside.frozen_but_above}"


def test_a_plan_is_plain_values():
    assert plan(strategy="joint", views=3).as_dict() == {
        "strategy": "joint",
        "views": 3,
        "epochs": 10,
        "reason": "as asked",
        "row_bytes": 5120,
        "cut": "base/last",
        "place": 0,
        "line_row_bytes": 5120,
        "multiply_adds_recomputed": 0,
        "disk_bytes": 0,
        "pooled_disk_bytes": None,
        "forecast": None,
        "options": [],
        "ruled_out": {},
        "keepings": [],
    }
    assert PhasePlan.from_dict(json.loads(json.dumps(plan().as_dict()))) == plan()


def test_a_plan_says_beforehand_what_much_disk_it_takes_and_what_pooling_would_save():
    """700,928 float32 of a flattened 148 x 148 x 32 map, of 100 images."""
    wide = StubCut(row_bytes=2_803_712, pooled_row_bytes=128)
    chosen = plan(wide, disk=StubDisk(room=10**12))
    assert (chosen.disk_bytes, chosen.pooled_disk_bytes) == (4 * 280_371_200, 4 * 12_800)
    assert str(chosen).endswith(
        "; features take 1.1 GB of disk, 2.8 MB each. GlobalAveragePooling2D() below the line would make that 51.2 kB"
    )
    assert "disk" not in str(plan(wide, disk=StubDisk(room=10**12), views=1))


def test_an_unknown_strategy_is_refused_with_those_that_are():
    with pytest.raises(ArgumentError) as failure:
        plan(strategy="precompute")
    assert str(failure.value) == "strategy is 'auto', 'joint', 'precomputed', 'streamed'; got 'precompute'."


@pytest.mark.parametrize("views", [0, -1, 2.0, "4"])
def test_views_are_a_whole_number_from_one_up(views):
    with pytest.raises(ArgumentError, match=re.escape(f"views is a whole number from 1 up; got {views!r}.")):
        plan(views=views)


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_features_of_nothing_are_refused_with_the_way_out(strategy):
    with pytest.raises(NothingToLearnError) as failure:
        plan(LEARNING, strategy=strategy)
    assert str(failure.value) == (
        f"strategy={strategy!r} needs a frozen part to run ahead, but every weight of the stack learns. "
        "Freeze a stage (trainable=False), or use strategy='joint'."
    )


# -- where to cut ------------------------------------------------------------------------------------------------


def cut_with_candidates(*candidates):
    """A line of 451,584 bytes per image, and (name, bytes, multiply-adds) of candidates below it."""
    stubs = tuple(
        StubCut(name=name, row_bytes=row_bytes, multiply_adds_recomputed=again) for name, row_bytes, again in candidates
    )
    return StubCut(row_bytes=451_584, name="base/block_13_expand_relu", candidates=stubs)


MOBILENET = cut_with_candidates(("base/block_12_add", 75_264, 10_800_000), ("base/block_9_add", 50_176, 68_900_000))


@pytest.mark.parametrize(
    ("room", "place", "strategy"),
    [
        (100 * 4 * 451_584, 0, "precomputed"),
        (100 * 4 * 451_584 - 1, 1, "precomputed"),
        (100 * 4 * 75_264, 1, "precomputed"),
        (100 * 4 * 75_264 - 1, 2, "precomputed"),
        (100 * 4 * 50_176 - 1, 0, "streamed"),
    ],
)
def test_the_cut_is_at_the_line_or_where_the_features_fit_with_the_least_work(room, place, strategy):
    chosen = plan(MOBILENET, disk=StubDisk(room))
    assert (chosen.place, chosen.strategy) == (place, strategy)
    assert chosen.cut == MOBILENET.places[place].name
    assert chosen.row_bytes == MOBILENET.places[place].row_bytes
    assert chosen.line_row_bytes == 451_584


def test_an_earlier_cut_is_said_with_what_it_saves_and_costs():
    assert str(plan(MOBILENET, disk=StubDisk(100 * 4 * 75_264))) == (
        "precomputed, 4 views, 10 epochs: 1,234 frozen weights run once per view; cut at base/block_12_add: 75.3 kB "
        "per image instead of 452 kB; 10.8 M multiply-adds per image run again each epoch"
    )


def test_fewer_views_need_less_room():
    assert plan(MOBILENET, views=1, disk=StubDisk(100 * 451_584)).place == 0
    assert plan(MOBILENET, views=2, disk=StubDisk(100 * 451_584)).place == 1


def test_a_disk_on_which_nothing_can_be_kept_rules_precomputed_out():
    broken = StubDisk(10**12, problem="The feature cache cannot be opened.")
    chosen = plan(disk=broken)
    assert (chosen.strategy, chosen.views, chosen.reason) == ("streamed", 10, "The feature cache cannot be opened.")
    assert chosen.ruled_out == {"precomputed": "The feature cache cannot be opened."}
    assert plan(LEARNING, disk=broken).strategy == "joint"
    with pytest.raises(CacheError, match=r"^The feature cache cannot be opened\.$"):
        plan(disk=broken, strategy="precomputed")


def test_where_nothing_fits_every_epoch_streams_its_own_view():
    chosen = plan(MOBILENET, disk=StubDisk(10_000_000))
    assert str(chosen) == (
        "streamed, 10 views, 10 epochs: features would take 181 MB of disk, 20.1 MB at the smallest earlier cut, but "
        "10 MB may be used"
    )


def test_precomputed_that_fits_nowhere_is_refused_with_the_ways_out():
    with pytest.raises(CacheFullError) as failure:
        plan(StubCut(), strategy="precomputed", disk=StubDisk(1_000_000))
    assert str(failure.value) == (
        "strategy='precomputed' has no room: features would take 2 MB of disk, but 1 MB may be used. Make room or "
        "raise max_disk, take fewer views, or use strategy='streamed', which keeps nothing."
    )


@pytest.mark.parametrize("strategy", ["joint", "streamed"])
def test_strategies_that_keep_nothing_need_no_room_and_cut_at_the_line(strategy):
    chosen = plan(MOBILENET, strategy=strategy, disk=StubDisk(0))
    assert (chosen.strategy, chosen.place) == (strategy, 0)


@pytest.mark.parametrize(
    ("row_bytes", "multiply_adds", "place"),
    [
        # A byte counts as 30 multiply-adds; half of 451,584 bytes are 225,792.
        (100_000, 0, 1),
        (100_000, 30 * 125_000, 1),
        (100_000, 30 * 126_000, 0),
        (226_000, 0, 0),
    ],
)
def test_an_earlier_cut_that_is_clearly_cheaper_is_taken_without_need(row_bytes, multiply_adds, place):
    cut = cut_with_candidates(("base/early", row_bytes, multiply_adds))
    assert plan(cut).place == place
    assert plan(cut, disk=StubDisk(10**12)).place == place


# -- with forecasts ------------------------------------------------------------------------------------------------

# On one core: nothing to decode, 10 ms per image by the engine and 40 ms by Keras, 1 ms to read a row of 1,000 bytes.
SPEEDS = Profile(
    cores=1,
    decode=FREE,
    augment=FREE,
    standardize=FREE,
    engine="openvino float32",
    engines={"openvino float32": Cost(0.01, 0.01), "keras float32": Cost(0.04, 0.04)},
    build_s=0.0,
    prepare_s=0.0,
    trace_s=0.0,
    validation_trace_s=0.0,
    frozen_trace_s=0.0,
    step=FREE,
    validation_step=FREE,
    steps_together=1,
    is_step_estimated=False,
    write=FREE,
    read=Cost(0.001, 0.001),
    row_bytes=1000,
)


def forecaster(cut=FROZEN, epochs=10, profile=SPEEDS, **changes):
    places = tuple(
        Place(number, place.name, place.row_bytes, share_below=1 - number / 10)
        for number, place in enumerate(cut.places)
    )
    return Forecaster(profile, Workload(100, 0, 10, epochs=epochs, image_bytes=10, places=places, **changes))


def test_with_forecasts_the_fastest_is_chosen_and_the_others_told():
    """Four extractions of 1 s and four epochs that read 5.12 kB, against ten of 1 s and ten of 4 s."""
    chosen = plan(forecaster=forecaster())
    assert (chosen.strategy, chosen.views, chosen.place) == ("precomputed", 4, 0)
    assert chosen.forecast.total_s == pytest.approx(4 + 4 * 0.512)
    assert [option.total_s for option in chosen.options] == pytest.approx([6.048, 10, 40], rel=1e-4)
    assert str(chosen) == (
        "precomputed, 4 views, 10 epochs: 6.0 s, 3.4 MB of disk; streamed 10.0 s; joint 40.0 s. Breaks even after 7 "
        "epochs. 8 views would take 6.0 s more, 2 views would take 3.0 s less"
    )
    assert PhasePlan.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen


def test_features_that_are_read_more_slowly_than_made_are_streamed():
    slow = replace(SPEEDS, read=Cost(0.01, 0.01))
    chosen = plan(forecaster=forecaster(profile=slow, max_ram=0))
    assert (chosen.strategy, chosen.views, chosen.disk_bytes) == ("streamed", 10, 0)
    assert chosen.reason.startswith("10.0 s; precomputed ")


def test_a_strategy_that_is_asked_for_is_taken_though_others_are_faster():
    chosen = plan(strategy="joint", forecaster=forecaster())
    assert (chosen.strategy, chosen.forecast.strategy) == ("joint", "joint")
    assert chosen.reason == "as asked; 40.0 s; precomputed 6.0 s; streamed 10.0 s"


def test_what_finds_no_room_is_ruled_out_and_the_rest_compared():
    chosen = plan(forecaster=forecaster(), disk=StubDisk(1_000_000))
    assert chosen.strategy == "streamed"
    assert chosen.ruled_out == {"precomputed": "features would take 2 MB of disk, but 1 MB may be used"}


@pytest.mark.parametrize(
    ("max_ram", "place"),
    [
        # 3.6 + 10 x (0.15 + 0.4) instead of 4 + 10 x 0.9.
        (0, 1),
        # Read once for each view: 4 + 4 x 0.9 at the line, 3.6 + 4 x 0.55 + 6 x 0.4 at the candidate.
        (math.inf, 0),
    ],
)
def test_an_earlier_cut_is_taken_where_forecasts_say_so(max_ram, place):
    """Reading a row of 451.6 kB takes 9 ms; reading 75.3 kB and a tenth of Keras' 40 ms in every epoch take less."""
    fast = replace(SPEEDS, read=Cost(0.00002, 0.00002))
    chosen = plan(MOBILENET, strategy="precomputed", forecaster=forecaster(MOBILENET, profile=fast, max_ram=max_ram))
    assert (chosen.place, chosen.forecast.place) == (place, place)
    assert chosen.row_bytes == MOBILENET.places[place].row_bytes


def test_a_budget_that_nothing_fits_is_an_error():
    with pytest.raises(BudgetError, match=r"Streamed with 10 views comes nearest: 10\.0 s"):
        plan(strategy="streamed", forecaster=forecaster(), budget=Budget(max_time=5))


def test_every_cut_and_storage_has_its_price():
    """Four extractions of 1 s and four epochs that read 5.12 kB for each of 100 images, or half of that."""
    line, half = plan(forecaster=forecaster()).keepings
    assert (line.cut, line.storage, line.row_bytes) == (FROZEN.name, "float32", 5120)
    assert (half.cut, half.storage, half.row_bytes) == (FROZEN.name, "float16 or bfloat16", 2560)
    assert (line.total_s, half.total_s) == pytest.approx((4 + 4 * 0.512, 4 + 4 * 0.256))
    assert (line.disk_bytes, half.disk_bytes) == (400 * stored_bytes(5120), 400 * stored_bytes(2560))


def test_an_earlier_cut_has_its_price_beside_the_thaw_line():
    cut = cut_with_candidates(("base/early", 1000, 0))
    ways = plan(cut, forecaster=forecaster(cut)).keepings
    assert [(way.cut, way.row_bytes) for way in ways[2:]] == [("base/early", 1000), ("base/early", 500)]
    assert ways[2].total_s < ways[0].total_s


def test_where_nothing_is_kept_there_is_nothing_to_price():
    assert plan().keepings == ()
    assert plan(LEARNING, forecaster=forecaster(LEARNING)).keepings == ()
