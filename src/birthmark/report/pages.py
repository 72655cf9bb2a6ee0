"""Pages from templates: what a stranger wrote is no markup there, holds no secret and steers no screen."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from birthmark.secrets import printable

if TYPE_CHECKING:
    from birthmark.trace import Trace


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
