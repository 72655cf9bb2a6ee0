"""The command `compare`: is file B derived from file A?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Alpha, Json, command, noun
from birthmark.evidence import EXIT, plain_data

if TYPE_CHECKING:
    from birthmark.compare.origin import Comparison


@noun(
    {
        "twins": Annotated[
            list[Path],
            typer.Option("--twin", help="A model of A's recipe from A's own initial weights; may be given again."),
        ],
        "ancestor": Annotated[
            Path | None, typer.Option("--ancestor", help="A public model that both descend from; it is taken away.")
        ],
        "start": Annotated[
            str,
            typer.Option(
                "--start", help="Where A's initial weights came from: secret (a seed of 128 bits) or unknown."
            ),
        ],
    }
)
@dataclass(frozen=True)
class Against:
    """What a shared origin is held against."""

    twins: Sequence[Path] = ()
    ancestor: Path | None = None
    start: str = "unknown"


def mount(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "compare")(compare)


def compare(
    a: Annotated[Path, typer.Argument(help="The source: safetensors, ONNX, or a folder of shards.")],
    b: Annotated[Path, typer.Argument(help="The suspect's file, likewise.")],
    against: Against = Against(),
    alpha: Alpha = 0.05,
    orders: Annotated[int, typer.Option("--orders", min=1, help="Random orders of the units a tensor.")] = 9_999,
    as_json: Json = False,
) -> int:
    """Weights against weights: is B derived from A? No data, no queries."""
    from birthmark.compare.origin import Terms, compared
    from birthmark.compare.reading import weights

    ancestor = weights(against.ancestor) if against.ancestor else None
    terms = Terms(alpha=alpha, orders=orders, start=against.start)
    found = compared(a, b, twins=[weights(twin) for twin in against.twins], ancestor=ancestor, terms=terms)
    if as_json:
        say_json({**_evidence(found, alpha), "a": str(a), "b": str(b)})
    else:
        _print(found)
    return EXIT[found.verdict]


def _evidence(found: "Comparison", alpha: float) -> dict[str, object]:
    ranked = found.p_twins is not None
    return {
        **plain_data(found),
        "grade": "tested",
        "method": "compare",
        "score": found.closeness,
        "p_value": found.p_twins if ranked else found.p_order,
        "null": "twins" if ranked else "orders of units",
        "n_placebos": len(found.twins) if ranked else found.orders,
        "p_parametric": None,
        "alpha": alpha,
        "queries": 0,
    }


def _print(found: "Comparison") -> None:
    say(f"  {found.reason}", lead=found.verdict.value)
    if found.matched is not None:
        say(f"  units that both views match alike: {found.matched.share:.0%} of {sum(found.matched.units)}")
    for layer in found.layers:
        say(f"  {layer.name}: {layer.units} units, z {layer.z:.1f}, p {layer.p:.2g}")
