"""The plan: which strategy runs, where the model is cut, with how many views, and why."""

from dataclasses import asdict, dataclass
from typing import Any

from thawline.errors import ArgumentError, CacheFullError, NothingToLearnError
from thawline.figures import format_bytes, format_count
from thawline.stack.cut import Cut
from thawline.training.disk import Disk

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


@dataclass(frozen=True)
class Plan:
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

    def __str__(self) -> str:
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        sentence = f"{self.strategy}, {views}, {epochs}: {self.reason}"
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `plan.json`."""
        return asdict(self)


def choose_plan(
    cut: Cut,
    *,
    is_augmented: bool,
    epochs: int,
    strategy: str = "auto",
    views: int | None = None,
    disk: Disk | None = None,
) -> Plan:
    """Chooses a strategy, the number of views and where to cut, by a simple rule.

    Joint when nothing is frozen, else precomputed. Precomputed is cut at the thaw line when its features fit on the
    disk, else at the candidate that fits with the least work to run again; where none fits, streamed keeps nothing.

    Args:
        cut: the thaw line.
        is_augmented: whether two views of an image differ.
        epochs: how many epochs will run.
        strategy: "auto", or the one that is wanted.
        views: the number of views that is wanted.
        disk: the room for features; None takes it as endless.

    Raises:
        ArgumentError: an unknown strategy, or a number of views that cannot be.
        CacheFullError: precomputed is wanted, but its features fit nowhere.
        NothingToLearnError: features are wanted, but nothing is frozen.
    """
    if strategy not in ("auto", *STRATEGY_NAMES):
        raise ArgumentError(f"strategy is 'auto', {', '.join(map(repr, STRATEGY_NAMES))}; got {strategy!r}.")
    if views is not None and (not isinstance(views, int) or views < 1):
        raise ArgumentError(f"views is a whole number from 1 up; got {views!r}.")
    if strategy in ("precomputed", "streamed") and not cut.has_frozen_weights:
        raise NothingToLearnError(
            f"strategy={strategy!r} needs a frozen part to run ahead, but every weight of the stack learns. "
            "Freeze a stage (trainable=False), or use strategy='joint'."
        )
    is_asked = strategy != "auto"
    reason = "as asked"
    if not is_asked:
        frozen = cut.prefix.count_params()
        strategy = "precomputed" if cut.has_frozen_weights else "joint"
        reason = f"{frozen:,} frozen weights run once per view" if frozen else "nothing is frozen, everything learns"
    if not is_augmented:
        views = 1
    place = 0
    kept = min(DEFAULT_VIEWS if views is None else views, epochs)
    if strategy == "precomputed":
        place, problem = _choose_place(cut, kept, disk)
        if problem and is_asked:
            raise CacheFullError(
                f"strategy='precomputed' has no room: {problem}. Make room or raise max_disk, take fewer views, or use "
                "strategy='streamed', which keeps nothing."
            )
        if problem:
            strategy, reason = "streamed", problem
        else:
            views = kept
    chosen = cut.places[place] if place else cut
    disk_bytes, pooled_disk_bytes = 0, None
    if strategy == "precomputed" and disk is not None:
        disk_bytes = disk.needed_bytes(chosen.row_bytes, kept)
        pooled = chosen.pooled_row_bytes
        pooled_disk_bytes = None if pooled is None else disk.needed_bytes(pooled, kept)
    return Plan(
        strategy=strategy,
        views=min(epochs if views is None else views, epochs),
        epochs=epochs,
        reason=reason,
        row_bytes=chosen.row_bytes,
        cut=chosen.name,
        place=place,
        line_row_bytes=cut.row_bytes,
        multiply_adds_recomputed=chosen.multiply_adds_recomputed,
        disk_bytes=disk_bytes,
        pooled_disk_bytes=pooled_disk_bytes,
    )


def _choose_place(cut: Cut, views: int, disk: Disk | None) -> tuple[int, str]:
    """Where to cut, as a position in `cut.places`, and why that cannot be; the reason is empty where it can."""
    places = cut.places
    costs = [place.row_bytes + place.multiply_adds_recomputed / MULTIPLY_ADDS_PER_BYTE for place in places]
    cheapest = costs.index(min(costs))
    wanted = cheapest if costs[cheapest] < CLEARLY_LESS * costs[0] else 0
    if disk is None:
        return wanted, ""
    # Candidates come in the order of what runs again.
    for number in (wanted, *(number for number in range(len(places)) if number != wanted)):
        if disk.fits(places[number], views):
            return number, ""
    needed = [format_bytes(disk.needed_bytes(place.row_bytes, views)) for place in places]
    least = f", {needed[-1]} at the smallest earlier cut" if len(needed) > 1 else ""
    usable = format_bytes(disk.usable_bytes())
    return 0, f"features would take {needed[0]} of disk{least}, but {usable} may be used"
