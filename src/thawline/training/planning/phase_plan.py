"""The plan of a phase: which strategy runs, where the model is cut, with how many views, and why.

With a forecast of every way the fastest is chosen that fits the budget; without one a rule of thumb decides.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from thawline.arguments import whole_number
from thawline.errors import ArgumentError, CacheError, CacheFullError, NothingToLearnError
from thawline.figures import counted, format_bytes, format_count
from thawline.stack.cut import Cut
from thawline.training.planning.budget import Budget
from thawline.training.planning.choice import decide, describe_views
from thawline.training.planning.disk import Disk
from thawline.training.planning.forecast import Forecast, Forecaster
from thawline.training.planning.keeping import Keeping, ways_to_keep

STRATEGY_NAMES = ("joint", "precomputed", "streamed")

# Views per image when features are kept and the user does not say: each costs one pass of all images through the
# prefix, and with few of them the epochs repeat themselves.
DEFAULT_VIEWS = 4

# What reading a byte of features costs, in multiply-adds: a disk gives 1 GB/s, and two cores do 30 G multiply-adds/s
# (EfficientNet-Lite0 has 0.39 G, and runs at 77 images/s).
MULTIPLY_ADDS_PER_BYTE = 30

# An earlier cut is taken without need only when it costs less than this share of what the thaw line does.
CLEARLY_LESS = 0.5

# From here on it is worth saying beforehand what features will take.
MUCH_DISK_BYTES = 1e9

# By forecasts an earlier cut is taken without need when it takes no more than this share of the time.
CLEARLY_FASTER = 0.8


@dataclass(frozen=True)
class PhasePlan:
    """The chosen way to run a phase.

    Attributes:
        strategy: "joint", "precomputed" or "streamed".
        views: distinct views of each image; epoch e shows view e mod views.
        epochs: how many epochs will run.
        reason: why, in plain words.
        row_bytes: bytes of features per view of an image.
        cut: the last layer below the cut.
        place: which of `Cut.places` it is: 0 is the thaw line, others lie below it.
        line_row_bytes: bytes of features per view of an image at the thaw line.
        multiply_adds_recomputed: multiply-adds per image that run again in every epoch, between cut and thaw line.
        disk_bytes: bytes of disk that all features take; 0 where none are kept.
        pooled_disk_bytes: what they would take if maps were averaged over height and width; None where there are none.
        forecast: what it is expected to cost; None where nothing was measured.
        options: the forecasts of all strategies, this one among them.
        ruled_out: why a strategy cannot be had, by its name.
        keepings: what features would cost by cut and storage; empty where nothing was measured or nothing is frozen.
        basis: what further forecasts can be made from; not saved.
    """

    strategy: str
    views: int
    epochs: int
    reason: str
    row_bytes: int
    cut: str
    place: int
    line_row_bytes: int
    multiply_adds_recomputed: int
    disk_bytes: int = 0
    pooled_disk_bytes: int | None = None
    forecast: Forecast | None = None
    options: tuple[Forecast, ...] = ()
    ruled_out: dict[str, str] = field(default_factory=dict)
    keepings: tuple[Keeping, ...] = ()
    basis: Forecaster | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        sentence = f"{self.strategy}, {counted(self.views, 'view')}, {counted(self.epochs, 'epoch')}: {self.reason}"
        if self.place:
            sentence += (
                f"; cut at {self.cut}: {format_bytes(self.row_bytes)} per image instead of "
                f"{format_bytes(self.line_row_bytes)}; {format_count(self.multiply_adds_recomputed)} multiply-adds "
                "per image run again each epoch"
            )
        if self.disk_bytes >= MUCH_DISK_BYTES:
            sentence += f"; features take {format_bytes(self.disk_bytes)} of disk, {format_bytes(self.row_bytes)} each"
            if self.pooled_disk_bytes is not None:
                pooled = format_bytes(self.pooled_disk_bytes)
                sentence += f". GlobalAveragePooling2D() below the line would make that {pooled}"
        return sentence

    def check_place(self, cut: Cut) -> None:
        """Raises ArgumentError unless the model can be cut as this plan has it."""
        # Not by name: Keras numbers layers anew in each process.
        if self.place >= len(cut.places) or cut.places[self.place].row_bytes != self.row_bytes:
            places = ", ".join(f"{place.name} ({format_bytes(place.row_bytes)} per image)" for place in cut.places)
            raise ArgumentError(
                f"The plan cuts the model at {self.cut} ({format_bytes(self.row_bytes)} per image), but this one can "
                f"be cut at {places}. Make a new plan."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `plan.json`."""
        forecasts = {
            "forecast": None if self.forecast is None else self.forecast.as_dict(),
            "options": [option.as_dict() for option in self.options],
            "keepings": [keeping.as_dict() for keeping in self.keepings],
        }
        return {name: value for name, value in asdict(replace(self, basis=None)).items() if name != "basis"} | forecasts

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PhasePlan":
        """The plan that `as_dict` gave.

        Raises:
            TypeError: it is not one.
        """
        forecast = values["forecast"]
        forecasts = {
            "forecast": None if forecast is None else Forecast.from_dict(forecast),
            "options": tuple(map(Forecast.from_dict, values["options"])),
            "keepings": tuple(Keeping(**keeping) for keeping in values["keepings"]),
        }
        return cls(**{**values, **forecasts})


def choose_plan(
    cut: Cut,
    *,
    is_augmented: bool,
    epochs: int,
    strategy: str = "auto",
    views: int | None = None,
    disk: Disk | None = None,
    forecaster: Forecaster | None = None,
    budget: Budget | None = None,
) -> PhasePlan:
    """Chooses a strategy, the number of views and where to cut.

    With a forecaster "auto" is the fastest strategy that fits the budget; where two are equal, the one that keeps its
    features. Without one: joint when nothing is frozen, else precomputed. Precomputed is cut at the thaw line when its
    features fit on the disk, else at the candidate that fits with the least work to run again; where none fits, it
    cannot be had.

    Args:
        cut: the thaw line.
        is_augmented: whether two views of an image differ.
        epochs: how many epochs will run.
        strategy: "auto", or the one that is wanted.
        views: the number of views that is wanted; by default up to 4 where features are kept, else one per epoch.
        disk: the room for features; None takes it as endless.
        forecaster: forecasts for this phase; None for the rule.
        budget: memory and time that may be taken; needs forecasts.

    Raises:
        ArgumentError: an unknown strategy, or a number of views that cannot be.
        BudgetError: no way fits the memory or the time that is allowed.
        CacheError: precomputed is wanted, but the cache cannot be used.
        CacheFullError: precomputed is wanted, but its features fit nowhere.
        NothingToLearnError: features are wanted, but nothing is frozen.
    """
    if strategy not in ("auto", *STRATEGY_NAMES):
        raise ArgumentError(f"strategy is 'auto', {', '.join(map(repr, STRATEGY_NAMES))}; got {strategy!r}.")
    views = None if views is None else whole_number("views", views)
    if strategy in ("precomputed", "streamed") and not cut.has_frozen_weights:
        reason = cut.frozen_but_above or "every weight of the stack learns. Freeze a stage (trainable=False)"
        raise NothingToLearnError(
            f"strategy={strategy!r} needs a frozen part to run ahead, but {reason}, or use strategy='joint'."
        )
    kept, fresh = (min(count, epochs) for count in (views or DEFAULT_VIEWS, views or epochs))
    if not is_augmented:
        kept = fresh = 1
    place, problem = 0, ""
    if cut.has_frozen_weights and strategy in ("auto", "precomputed"):
        place, problem = _choose_place(cut, kept, disk)
    if strategy == "precomputed" and problem:
        if disk is not None and disk.problem:
            raise CacheError(problem)
        raise CacheFullError(
            f"strategy='precomputed' has no room: {problem}. Make room or raise max_disk, take fewer views, or use "
            "strategy='streamed', which keeps nothing."
        )
    options: dict[str, Forecast] = {}
    ruled_out = {"precomputed": problem} if problem else {}
    if forecaster is None:
        chosen, reason = _by_rule(cut, strategy, problem)
    else:
        place = place if problem else _faster_place(cut, kept, disk, forecaster, place)
        options = _forecast_all(forecaster, cut, kept, fresh, place)
        wanted = tuple(options) if strategy == "auto" else (strategy,)
        decision = decide(forecaster, options, wanted, ruled_out, budget or Budget())
        chosen, ruled_out = decision.strategy, decision.ruled_out
        reason = decision.reason if strategy == "auto" else f"as asked; {decision.reason}"
        if chosen == "precomputed" and views is None and is_augmented:
            reason += describe_views(forecaster, options[chosen])
    is_kept = chosen == "precomputed"
    where = cut.places[place] if is_kept and place else cut
    disk_bytes, pooled_disk_bytes = 0, None
    if is_kept and disk is not None:
        disk_bytes = disk.needed_bytes(where.row_bytes, kept)
        pooled = where.pooled_row_bytes
        pooled_disk_bytes = None if pooled is None else disk.needed_bytes(pooled, kept)
    return PhasePlan(
        strategy=chosen,
        views=kept if is_kept else fresh,
        epochs=epochs,
        reason=reason,
        row_bytes=where.row_bytes,
        cut=where.name,
        place=place if is_kept else 0,
        line_row_bytes=cut.row_bytes,
        multiply_adds_recomputed=where.multiply_adds_recomputed,
        disk_bytes=disk_bytes,
        pooled_disk_bytes=pooled_disk_bytes,
        forecast=options.get(chosen),
        options=tuple(options.values()),
        ruled_out=ruled_out,
        keepings=ways_to_keep(forecaster, kept) if forecaster is not None and "precomputed" in options else (),
        basis=forecaster,
    )


def _by_rule(cut: Cut, strategy: str, problem: str) -> tuple[str, str]:
    """The strategy by a rule of thumb, and why."""
    if strategy != "auto":
        return strategy, "as asked"
    if problem:
        return "streamed", problem
    if not cut.has_frozen_weights:
        return "joint", cut.frozen_but_above or "nothing is frozen, everything learns"
    return "precomputed", f"{cut.prefix.count_params():,} frozen weights run once per view"


def _forecast_all(forecaster: Forecaster, cut: Cut, kept: int, fresh: int, place: int) -> dict[str, Forecast]:
    """The forecast of every strategy that can be had, by name, the preferred one first."""
    if not cut.has_frozen_weights:
        return {"joint": forecaster.forecast("joint", fresh)}
    return {
        "precomputed": forecaster.forecast("precomputed", kept, place),
        "streamed": forecaster.forecast("streamed", fresh),
        "joint": forecaster.forecast("joint", fresh),
    }


def _faster_place(cut: Cut, views: int, disk: Disk | None, forecaster: Forecaster, place: int) -> int:
    """Another place to cut, where features fit and that is clearly faster than the one of the rule; else that."""
    if not cut.has_frozen_weights:
        return place
    seconds = [forecaster.forecast("precomputed", views, number).total_s for number in range(len(cut.places))]
    for number in sorted(range(len(seconds)), key=seconds.__getitem__):
        if seconds[number] > CLEARLY_FASTER * seconds[place]:
            return place
        if disk is None or disk.fits(cut.places[number], views):
            return number
    return place


def _choose_place(cut: Cut, views: int, disk: Disk | None) -> tuple[int, str]:
    """Where to cut, as a position in `cut.places`, and why that cannot be; the reason is empty where it can."""
    places = cut.places
    costs = [place.row_bytes + place.multiply_adds_recomputed / MULTIPLY_ADDS_PER_BYTE for place in places]
    cheapest = costs.index(min(costs))
    wanted = cheapest if costs[cheapest] < CLEARLY_LESS * costs[0] else 0
    if disk is None:
        return wanted, ""
    if disk.problem:
        return 0, disk.problem
    # Candidates come in the order of what runs again.
    for number in (wanted, *(number for number in range(len(places)) if number != wanted)):
        if disk.fits(places[number], views):
            return number, ""
    needed = [format_bytes(disk.needed_bytes(place.row_bytes, views)) for place in places]
    least = f", {needed[-1]} at the smallest earlier cut" if len(needed) > 1 else ""
    usable = format_bytes(disk.usable_bytes())
    return 0, f"features would take {needed[0]} of disk{least}, but {usable} may be used"
