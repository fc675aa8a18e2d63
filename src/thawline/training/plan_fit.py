"""Forecast of a `fit`: its doing and its cost, without training."""

from collections.abc import Sequence

from thawline.data.sources.source import ImageSource
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled
from thawline.training.fit_checks import checked_parts
from thawline.training.fit_options import FitOptions
from thawline.training.phase import Phase
from thawline.training.planning.plan import Plan
from thawline.training.planning.planner import Measuring, Planning


def plan_fit(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    phases: Sequence[Phase],
    *,
    validation_data: ImageSource | None,
    options: FitOptions,
    measuring: Measuring,
) -> Plan:
    """Forecasts `fit` with the same arguments, and what it would cost; see `thawline.Stack.plan`."""
    parts, validation_data = checked_parts(series, compiled, train, phases, validation_data)
    planning = Planning(
        series,
        compiled,
        train,
        validation_data,
        options.features,
        options.budget,
        measuring=measuring,
        announce=options.announce,
    )
    return planning.plan_all(parts)
