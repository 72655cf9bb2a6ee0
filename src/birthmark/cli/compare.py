"""The command `compare`: is file B derived from file A?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birthmark.artifact import write_atomically
from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Alpha, Json, Report, command, noun
from birthmark.cli.tables import COLOURS, SAYS
from birthmark.evidence import EXIT, plain_data

if TYPE_CHECKING:
    from birthmark.compare.origin import Comparison, Terms

FORMAT = "birthmark/comparison/1"


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
    a: Annotated[Path, typer.Argument(help="The source: safetensors, ONNX, a PyTorch state dict, or a folder.")],
    b: Annotated[Path, typer.Argument(help="The suspect's file, likewise.")],
    against: Against = Against(),
    alpha: Alpha = 0.05,
    orders: Annotated[int, typer.Option("--orders", min=1, help="Random orders of the units a tensor.")] = 19_999,
    report: Report = None,
    as_json: Json = False,
) -> int:
    """Weights against weights: is B derived from A? No data, no queries."""
    from birthmark.compare.origin import Terms, compared
    from birthmark.compare.reading import weights
    from birthmark.suspects.files import identity

    ancestor = weights(against.ancestor) if against.ancestor else None
    terms = Terms(alpha=alpha, orders=orders, start=against.start)
    found = compared(a, b, twins=[weights(twin) for twin in against.twins], ancestor=ancestor, terms=terms)
    files = [identity(a), identity(b)]
    if report:
        from birthmark.report import moment
        from birthmark.report.pages import comparing

        write_atomically(report, comparing(found, terms, files, moment()).encode())
    if as_json:
        say_json({**_evidence(found, terms), "source": files[0], "suspect": files[1]})
    else:
        _print(found, b.name)
    return EXIT[found.verdict]


def _evidence(found: "Comparison", terms: "Terms") -> dict[str, object]:
    null, placebos = found.null
    return {
        **plain_data(asdict(found)),
        "format": FORMAT,
        "grade": "tested",
        "method": "compare",
        "score": found.closeness,
        "p_value": found.p_value,
        "null": null,
        "n_placebos": placebos,
        "p_parametric": None,
        "alpha": terms.alpha,
        "start": terms.start,
        "queries": 0,
    }


def _print(found: "Comparison", name: str) -> None:
    say(f": {SAYS[found.verdict].format(name)}", lead=found.verdict.value, colour=COLOURS[found.verdict])
    say(f"  {found.reason}")
    if found.layers:
        shared = f"{len(found.shared)} of {len(found.layers)}"
        say(f"  tensors that share an origin: {shared}; closeness {found.closeness:.3f}")
    if found.matched is not None and found.matched.units:
        say(f"  units that changed places: {found.matched.units}; both views agree on {found.matched.agreed}")
    for note in found.notes:
        say(f"  note: {note}")
    for layer in found.layers:
        mark = "shared" if layer.name in found.shared else "      "
        what = layer.name if layer.other == layer.name else f"{layer.name} ({layer.other})"
        say(f"  {mark} {what}: {layer.units} units, cosine {layer.cosine:.3f}, z {layer.z:.1f}, p {layer.p:.2g}")
