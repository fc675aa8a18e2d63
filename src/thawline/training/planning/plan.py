"""Plan: how a whole training will run, phase by phase, and what it is expected to cost."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from thawline.arguments import whole_number
from thawline.errors import ArgumentError
from thawline.figures import counted, format_bytes
from thawline.files import write_text
from thawline.progress import format_seconds
from thawline.training.planning.choice import TIE
from thawline.training.planning.forecast import Forecast
from thawline.training.planning.keeping import Keeping
from thawline.training.planning.phase_plan import PhasePlan

_COLUMNS = ("", "strategy", "views", "time", "extraction", "first epoch", "later ones", "disk", "memory")
_KEPT_COLUMNS = ("", "behind", "as", "per image", "time", "disk")


@dataclass(frozen=True)
class WhatIf:
    """What other views and epochs would cost.

    Attributes:
        views: distinct views of each image.
        epochs: how many epochs.
        options: the forecast of each strategy, by its name.
        choice: the one that would be the fastest, features that are kept preferred; whatever the budget.
    """

    views: int
    epochs: int
    options: dict[str, Forecast]
    choice: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "views": self.views,
            "epochs": self.epochs,
            "choice": self.choice,
            "options": [option.as_dict() for option in self.options.values()],
        }


@dataclass(frozen=True)
class Plan:
    """How a training will run.

    Attributes:
        phases: the plan of each phase.
        names: what each phase is called, and what learns in it.
        identity: which stack and phases it was made for.

    Example:
        >>> plan = stack.plan(train, validation_data=val, epochs=20)  # doctest: +SKIP
        >>> print(plan)  # doctest: +SKIP
        >>> plan.save("plan.json")  # doctest: +SKIP
        >>> stack.fit(train, validation_data=val, epochs=20, plan=Plan.load("plan.json"))  # doctest: +SKIP
    """

    phases: tuple[PhasePlan, ...]
    names: tuple[str, ...] = ()
    identity: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    @property
    def total_s(self) -> float | None:
        """Seconds that all phases are expected to take; None where nothing was measured."""
        forecasts = [phase.forecast for phase in self.phases]
        return None if None in forecasts else sum(each.total_s for each in forecasts if each is not None)

    def what_if(self, views: Sequence[int] = (), epochs: Sequence[int] = ()) -> list[list[WhatIf]]:
        """What other numbers of views and epochs would cost, for each phase; nothing is measured for it.

        Args:
            views: numbers of views; by default what the phase has.
            epochs: numbers of epochs; by default what the phase has.

        Raises:
            ArgumentError: the plan was loaded from a file, or nothing was measured.
        """
        return [list(_what_if(phase, views or (phase.views,), epochs or (phase.epochs,))) for phase in self.phases]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "phases": [phase.as_dict() for phase in self.phases],
            "names": list(self.names),
            "total_s": self.total_s,
            "identity": self.identity,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The plan that `as_dict` gave.

        Raises:
            KeyError, TypeError: it is not one.
        """
        phases = tuple(map(PhasePlan.from_dict, values["phases"]))
        return cls(phases, tuple(values["names"]), values["identity"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the plan as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(self.as_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The plan in a file that `save` or a run wrote.

        Raises:
            ArgumentError: there is no such file, or it holds no plan.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ArgumentError(f"No plan {str(path)!r}. Make one with  plan.save(path)  or  thawline plan.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArgumentError(
                f"{str(path)!r} holds no plan of this thawline ({type(error).__name__}: {error}). Make it anew."
            ) from error

    def check(self, identity: dict[str, Any]) -> None:
        """Raises ArgumentError unless the plan was made for this stack and these phases."""
        wanted = json.loads(json.dumps(identity))
        different = [key for key in wanted if wanted[key] != self.identity.get(key)]
        if different:
            key = different[0]
            raise ArgumentError(
                f"The plan is for another training: {key} were {self.identity.get(key)}, are {wanted[key]}. "
                "Make a new one with stack.plan()."
            )


def _what_if(phase: PhasePlan, views: Sequence[int], epochs: Sequence[int]) -> Iterator[WhatIf]:
    if phase.basis is None:
        raise ArgumentError("Only a plan that was made just now, with measured speeds, can say what else would cost.")
    views = [whole_number("Each of views", number) for number in views]
    epochs = [whole_number("Each of epochs", number) for number in epochs]
    names = [option.strategy for option in phase.options]
    for epoch_count in epochs:
        forecaster = phase.basis.for_epochs(epoch_count)
        for view_count in views:
            options = {
                name: forecaster.forecast(name, view_count, phase.place if name == "precomputed" else 0)
                for name in names
            }
            fastest_s = min(option.total_s for option in options.values())
            choice = next(name for name, option in options.items() if option.total_s <= TIE * fastest_s)
            yield WhatIf(view_count, epoch_count, options, choice)


def _lines(plan: Plan) -> Iterator[str]:
    for number, phase in enumerate(plan.phases):
        if len(plan.phases) > 1 and plan.names:
            yield plan.names[number]
        if phase.options:
            yield from _table([_COLUMNS, *(_row(option, phase) for option in phase.options)])
        yield f"{phase}."
        if phase.keepings:
            yield "Features, by where they are taken and how they are kept (storage=):"
            yield from _table([_KEPT_COLUMNS, *map(_kept_row, phase.keepings)])
        yield from (f"{name} is ruled out: {reason}." for name, reason in phase.ruled_out.items())
    if plan.total_s is not None and len(plan.phases) > 1:
        yield f"All {counted(len(plan.phases), 'phase')}: {format_seconds(plan.total_s)}."


def _row(option: Forecast, phase: PhasePlan) -> tuple[str, ...]:
    mark = "*" if option.strategy == phase.strategy else "x" if option.strategy in phase.ruled_out else " "
    return (
        mark,
        option.strategy,
        str(option.views),
        format_seconds(option.total_s),
        format_seconds(option.extract_s) if option.strategy == "precomputed" else "-",
        format_seconds(option.trace_s + option.first_epoch_s),
        format_seconds(option.later_epoch_s) if option.epochs > 1 else "-",
        format_bytes(option.disk_bytes) if option.disk_bytes else "-",
        format_bytes(option.ram_bytes),
    )


def _kept_row(kept: Keeping) -> tuple[str, ...]:
    figures = (format_bytes(kept.row_bytes), format_seconds(kept.total_s), format_bytes(kept.disk_bytes))
    return ("", kept.cut, kept.storage, *figures)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with columns below each other: words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for mark, name, *figures in rows:
        cells = [figure.rjust(width) for figure, width in zip(figures, widths[2:], strict=True)]
        yield f"  {mark:<1} {name:<{widths[1]}}  {'  '.join(cells)}".rstrip()
