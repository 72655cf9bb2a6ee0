"""What the command line prints for people: tables and a few plain sentences."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from rich.console import Console
from rich.table import Table

from birthmark.errors import nearest
from birthmark.evidence import Evidence, Verdict

COLOURS = {Verdict.SUPPORTED: "bold red", Verdict.NOT_SUPPORTED: "green", Verdict.INCONCLUSIVE: "yellow"}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output; numbers' columns are not squeezed."""
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def print_evidence(evidence: Evidence) -> None:
    """The verdict, its reason and what it rests on."""
    console = Console(highlight=False)
    console.print(
        f"[{COLOURS[evidence.verdict]}]{evidence.verdict.value}[/]  {evidence.suspect} was derived from the claimed "
        "source"
    )
    console.print(f"  {evidence.reason}", markup=False)
    p = "none" if evidence.p_parametric is None else f"{evidence.p_parametric:.2g}"
    console.print(
        f"  {evidence.method}: score {evidence.score:.4g}, z {evidence.z:.2f}, {evidence.queries} queries; "
        f"Student-t p (assumes a normal null) {p}; {len(evidence.references_z)} references at z "
        f"{_span(evidence.references_z)}",
        markup=False,
    )
    for note in evidence.notes:
        console.print(f"  note: {note}", markup=False)


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "none"


def print_claim(facts: Mapping[str, Any]) -> None:
    """What a fresh claim can reach, before it is used."""
    console = Console(highlight=False)
    reach = facts["reach"]
    console.print(f"[bold]{facts['method']}[/] claim written to {facts['claim']}  (digest {facts['digest'][:16]}…)")
    smallest = "none" if reach["smallest_p"] is None else f"{reach['smallest_p']:.3g}"
    console.print(
        f"  smallest p {smallest} among {reach['n']} {reach['null']}; alpha .05 takes {reach['needed_for_.05']}, "
        f"alpha .01 takes {reach['needed_for_.01']}"
    )
    console.print(
        f"  {reach['queries']} distinct queries for the whole test; source accuracy "
        f"{facts['source']['accuracy']:.3f}; made in {facts['seconds']} s"
    )
    for warning in facts["warnings"]:
        console.print(f"  warning: {warning}", markup=False)
    rows = [
        (
            row["theft"] + (f" -> {row['student']}" if row["student"] else ""),
            row["answers"],
            *(f"{c['queries']}: {c['z']:.1f}, {c['p']:.2g}" for c in row["by_queries"][-3:]),
        )
        for row in facts["power"]
    ]
    if rows:
        table(
            "  what it says of your own thefts (queries: z, p)",
            ("theft", "answers", "", "", ""),
            [tuple(row) + ("",) * (5 - len(row)) for row in rows],
        )


def names(what: str) -> list[dict[str, str]]:
    """Rows of {"name", ...} of everything of one kind.

    Raises:
        UnknownName: no such kind.
    """
    from birthmark import registry

    if what in registry.KINDS:
        return [
            {
                "name": name,
                "needs": cls.needs.name,  # type: ignore[attr-defined]
                "paper": cls.source_paper,  # type: ignore[attr-defined]
                "summary": (cls.__doc__ or "").strip().splitlines()[0],
            }
            for name, cls in sorted(registry.found(what).items())
        ]
    if what == "datasets":
        from birthmark.data import DATASETS

        return [{"name": name, "summary": (loader.__doc__ or "").splitlines()[0]} for name, loader in DATASETS.items()]
    if what == "architectures":
        from birthmark.workshop.architectures import ARCHITECTURES

        return [
            {"name": name, "summary": ", ".join(f"{key}={value}" for key, value in settings.items())}
            for name, (_, settings) in ARCHITECTURES.items()
        ]
    if what == "plans":
        return [
            {"name": file.name.removesuffix(".toml"), "summary": ""}
            for file in sorted(files("birthmark.plans").iterdir(), key=str)
            if file.name.endswith(".toml")
        ]
    if what == "dialects":
        from birthmark import suspects

        return [
            {"name": name, "summary": (kind.__doc__ or "").strip().splitlines()[0]}
            for name, kind in suspects.dialects().items()
        ]
    raise nearest("list", what, [*registry.KINDS, "datasets", "architectures", "plans", "dialects"])


def print_names(what: str, rows: Sequence[Mapping[str, str]]) -> None:
    columns = [key for key in (rows[0] if rows else {"name": ""}) if any(row[key] for row in rows)]
    table(what, columns, [[row[key] for key in columns] for row in rows])
