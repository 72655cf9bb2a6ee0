"""Pages from templates: what a stranger wrote is no markup there, holds no secret and steers no screen."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from birthmark import __version__
from birthmark.evidence import Verdict
from birthmark.report.words import HEADLINE, LIMITS, fixed, number, percent
from birthmark.secrets import printable

if TYPE_CHECKING:
    from birthmark.compare.origin import Comparison, Terms
    from birthmark.trace import Trace

FILTERS: Mapping[str, Callable[..., str]] = {"number": number, "fixed": fixed, "percent": percent}
SHARED = {
    Verdict.SUPPORTED: "Their weights share an origin, and the other ways to one are excluded as the reason says.",
    Verdict.NOT_SUPPORTED: "Nothing in the weights that were compared tells these files from strangers.",
    Verdict.INCONCLUSIVE: "This comparison cannot decide. The reason above says what would settle it.",
}


def rendered(template: str, filters: Mapping[str, Callable[..., str]], /, **values: Any) -> str:
    """The page that a template of this package makes of values."""
    environment = Environment(
        loader=PackageLoader("birthmark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)


def _clean(value: Any) -> Any:
    text = isinstance(value, str) and not hasattr(value, "__html__")
    return "\n".join(map(printable, value.split("\n"))) if text else value


def tracing(trace: "Trace") -> str:
    """The report on a trace: whom the suspect's answers name, and how surely."""
    return rendered("trace.html.jinja", {}, trace=trace, data=trace.as_dict())


def comparing(found: "Comparison", terms: "Terms", files: Sequence[Mapping[str, str]], made: tuple[str, str]) -> str:
    """The report on two files' weights.

    Args:
        files: place and SHA-256 of the source and of the suspect.
        made: day and minute of the report.
    """
    return rendered(
        "compare.html.jinja",
        FILTERS,
        found=found,
        a=files[0],
        b=files[1],
        alpha=terms.alpha,
        start=terms.start,
        headline=HEADLINE[found.verdict],
        means=SHARED[found.verdict],
        limit=LIMITS[found.verdict],
        version=__version__,
        made=made,
    )
