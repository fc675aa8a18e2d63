"""The plan: which strategy runs, with how many views, and why."""

from dataclasses import asdict, dataclass
from typing import Any

from thawline.errors import ArgumentError, NothingToLearnError
from thawline.stack.cut import Cut

STRATEGY_NAMES = ("joint", "precomputed", "streamed")

# Views per image when features are kept and the user does not say: each costs one pass of all images through the
# prefix, and with few of them the epochs repeat themselves.
DEFAULT_VIEWS = 4


@dataclass(frozen=True)
class Plan:
    """The chosen way to run a phase.

    Attributes:
        strategy: "joint", "precomputed" or "streamed".
        views: distinct views of each image; epoch e shows view e mod views.
        epochs: how many epochs will run.
        reason: why, in plain words.
        row_bytes: bytes of features per view of an image.
    """

    strategy: str
    views: int
    epochs: int
    reason: str
    row_bytes: int

    def __str__(self) -> str:
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        return f"{self.strategy}, {views}, {epochs}: {self.reason}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `plan.json`."""
        return asdict(self)


def choose_plan(cut: Cut, *, is_augmented: bool, epochs: int, strategy: str = "auto", views: int | None = None) -> Plan:
    """Chooses a strategy and the number of views, by a simple rule: joint when nothing is frozen, else precomputed.

    Args:
        cut: the thaw line.
        is_augmented: whether two views of an image differ.
        epochs: how many epochs will run.
        strategy: "auto", or the one that is wanted.
        views: the number of views that is wanted.

    Raises:
        ArgumentError: an unknown strategy, or a number of views that cannot be.
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
    reason = "as asked"
    if strategy == "auto":
        frozen = cut.prefix.count_params()
        strategy = "precomputed" if cut.has_frozen_weights else "joint"
        reason = f"{frozen:,} frozen weights run once per view" if frozen else "nothing is frozen, everything learns"
    if not is_augmented:
        views = 1
    if views is None:
        views = min(DEFAULT_VIEWS, epochs) if strategy == "precomputed" else epochs
    return Plan(strategy, min(views, epochs), epochs, reason, cut.row_bytes)
