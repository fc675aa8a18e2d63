"""The choice among forecasts, and the words for it. Plain decisions over plain numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thawline.errors import BudgetError
from thawline.figures import counted, format_bytes
from thawline.progress import format_seconds
from thawline.training.planning.budget import Budget
from thawline.training.planning.forecast import Forecast, Forecaster

# Forecasts that are so close are equal: then features are kept, because the next training finds them. Ways to run share
# most of their work, so that which is faster is known better than how long each takes.
TIE = 1.03


@dataclass(frozen=True)
class Decision:
    """Which strategy runs.

    Attributes:
        strategy: the one that was chosen.
        reason: what it costs beside the others, in plain words.
        ruled_out: why others cannot be had, by their names.
    """

    strategy: str
    reason: str
    ruled_out: dict[str, str]


def decide(
    forecaster: Forecaster,
    options: Mapping[str, Forecast],
    wanted: Sequence[str],
    ruled_out: Mapping[str, str],
    budget: Budget,
) -> Decision:
    """The fastest of the strategies that are wanted and fit; where two are equal, the one that comes first.

    Args:
        forecaster: makes further forecasts, for when it pays and for what would fit.
        options: the forecast of each strategy, by its name, the preferred one first.
        wanted: the strategies that may be chosen.
        ruled_out: why some cannot be had, whatever the budget.
        budget: the memory and time that may be taken.

    Raises:
        BudgetError: none of them fits.
    """
    out = dict(ruled_out)
    for name, option in options.items():
        problems = budget.excess(option)
        if problems and name not in out:
            out[name] = " and ".join(problems)
    left = [name for name in options if name in wanted and name not in out]
    if not left:
        raise BudgetError(_nothing_fits(forecaster, options, wanted, out, budget))
    fastest_s = min(options[name].total_s for name in left)
    strategy = next(name for name in left if options[name].total_s <= TIE * fastest_s)
    others = [name for name in options if name != strategy]
    parts = [_cost(options[strategy])]
    for name in others:
        took_out = f" ({out[name]})" if name in out else ""
        parts.append(f"{name} {format_seconds(options[name].total_s)}{took_out}")
    return Decision(strategy, "; ".join(parts) + _break_even(forecaster, options, strategy), out)


def describe_views(forecaster: Forecaster, chosen: Forecast) -> str:
    """What twice the views would cost, and half of them save."""
    parts = []
    for views, word in ((2 * chosen.views, "more"), (chosen.views // 2, "less")):
        if not 1 <= views <= chosen.epochs:
            continue
        apart_s = abs(forecaster.forecast("precomputed", views, chosen.place).total_s - chosen.total_s)
        parts.append(f"{counted(views, 'view')} would take {format_seconds(apart_s)} {word}")
    return f". {', '.join(parts)}" if parts else ""


def _cost(option: Forecast) -> str:
    disk = f", {format_bytes(option.disk_bytes)} of disk" if option.disk_bytes else ""
    return f"{format_seconds(option.total_s)}{disk}"


def _break_even(forecaster: Forecaster, options: Mapping[str, Forecast], strategy: str) -> str:
    """After how many epochs keeping features is faster than anything else; nothing where it is not chosen."""
    others = [name for name in options if name != "precomputed"]
    if strategy != "precomputed" or not others:
        return ""
    kept = options["precomputed"]

    def is_even(epochs: int) -> bool:
        shorter = forecaster.for_epochs(epochs)
        best_s = min(shorter.forecast(name, options[name].views).total_s for name in others)
        return shorter.forecast("precomputed", kept.views, kept.place).total_s <= best_s

    epochs = next((count for count in range(1, kept.epochs + 1) if is_even(count)), None)
    return "" if epochs is None else f". Breaks even after {counted(epochs, 'epoch')}"


def _nothing_fits(
    forecaster: Forecaster,
    options: Mapping[str, Forecast],
    wanted: Sequence[str],
    out: Mapping[str, str],
    budget: Budget,
) -> str:
    """Which way is out of the question and why, and what comes nearest."""
    reasons = "; ".join(
        f"{name} with {counted(options[name].views, 'view')}: {out[name]}" for name in options if name in wanted
    )
    near = [options[name] for name in options if name in wanted]
    if "precomputed" in wanted and "precomputed" in options:
        kept = options["precomputed"]
        near += [forecaster.forecast("precomputed", views, kept.place) for views in range(1, kept.views)]
    # Of what fits the most views, else what is beyond the budget by the least.
    nearest = min(near, key=lambda option: (max(budget.share(option), 1.0), -option.views))
    fits = "fits" if budget.share(nearest) <= 1 else "comes nearest"
    nearest_way = f"{nearest.strategy.capitalize()} with {counted(nearest.views, 'view')} {fits}: {_cost(nearest)}"
    return (
        f"No way to run fits the budget. {reasons}. {nearest_way}. Ask for that many views, raise the budget, or take "
        "fewer epochs or images."
    )
