"""From values to HTML, by the templates beside this file."""

import math
from typing import Any

from thawline.errors import MissingDependencyError
from thawline.progress import format_seconds

try:
    import jinja2
except ImportError as error:
    raise MissingDependencyError("The report needs Jinja2: pip install 'thawline[report]'") from error

# An en dash, where a share has no denominator.
UNDEFINED = "\N{EN DASH}"


def render(template: str, **values: Any) -> str:
    """The page that a template makes of values; text in them never becomes markup.

    Args:
        template: the name of a file in `templates/`.
        values: what the template names; one that it names and does not get is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thawline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, figures=figures)
    page: str = environment.get_template(template).render(**values)
    return page


def percent(share: float, digits: int = 1) -> str:
    """A share as percent, a dash where it is not defined."""
    return UNDEFINED if math.isnan(share) else f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """A time with its unit, a dash where it is not known."""
    return UNDEFINED if math.isnan(seconds) else format_seconds(seconds)


def figures(value: float, digits: int = 4) -> str:
    """A number with so many figures, a dash where it is not defined."""
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}g}"
