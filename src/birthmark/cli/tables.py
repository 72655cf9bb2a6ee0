"""What the command line prints for people: tables and a few plain sentences."""

from collections.abc import Sequence
from importlib.resources import files

from birthmark.cli.edge import say
from birthmark.errors import nearest
from birthmark.evidence import Evidence, Verdict
from birthmark.secrets import printable
from birthmark.types import Plain

COLOURS = {Verdict.SUPPORTED: "red", Verdict.NOT_SUPPORTED: "green", Verdict.INCONCLUSIVE: "yellow"}
SAYS = {
    Verdict.SUPPORTED: "{} was derived from the claimed source",
    Verdict.NOT_SUPPORTED: "nothing found that says {} was derived from the claimed source",
    Verdict.INCONCLUSIVE: "whether {} was derived from the claimed source stays open",
}
KINDS = ("methods", "attacks", "watermarks", "dialects", "datasets", "architectures", "plans")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns are as wide as they need to be, figures are never squeezed."""
    lines = [[printable(cell) for cell in line] for line in (columns, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    say(lead=printable(title))
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_evidence(evidence: Evidence) -> None:
    """The verdict, its reason and what it rests on."""
    verdict = evidence.verdict
    grade = f" ({evidence.grade})" if verdict is Verdict.SUPPORTED else ""
    say(f": {SAYS[verdict].format(evidence.suspect)}{grade}", lead=verdict.value, colour=COLOURS[verdict])
    say(f"  {evidence.reason}")
    p = "none" if evidence.p_parametric is None else f"{evidence.p_parametric:.2g}"
    say(
        f"  {evidence.method}: score {evidence.score:.4g}, z {evidence.z:.2f}, {evidence.queries} queries; "
        f"Student-t p (assumes a normal null) {p}; {len(evidence.references_z)} references at z "
        f"{_span(evidence.references_z)}"
    )
    for note in evidence.notes:
        say(f"  note: {note}")


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "none"


def print_claim(facts: Plain) -> None:
    """What a fresh claim can reach, before it is used."""
    reach = facts["reach"]
    say(f" claim written to {facts['claim']}  (digest {facts['digest']})", lead=facts["method"])
    smallest = reach["smallest_p"]
    say(
        f"  {reach['n']} {reach['null']} reach no p below {smallest:.3g}: verify with alpha {smallest:.3g} or more; "
        f"alpha .05 takes {reach['needed_for_.05']}, alpha .01 takes {reach['needed_for_.01']}"
        if smallest
        else "  nothing to rank a suspect among: no verdict can be reached"
    )
    rate = facts["source"]["accuracy"]
    accuracy = "" if rate is None else f"; source accuracy {rate:.3f}"
    say(f"  {reach['queries']} distinct queries for the whole test{accuracy}")
    for warning in facts["warnings"]:
        say(f"  warning: {warning}")
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
            "what it says of your own thefts (queries: z, p)",
            ("theft", "answers", "", "", ""),
            [tuple(row) + ("",) * (5 - len(row)) for row in rows],
        )


def names(what: str) -> list[dict[str, str]]:
    """Rows of {"name", ...} of everything of one kind.

    Raises:
        UnknownName: no such kind.
    """
    from birthmark import registry

    if what in KINDS[:3]:
        return [
            {
                "name": name,
                "needs": cls.needs.name,  # type: ignore[attr-defined]
                "paper": cls.source_paper,  # type: ignore[attr-defined]
                "summary": _summary(cls),
            }
            for name, cls in sorted(registry.found(what).items())
        ]
    if what not in OTHERS:
        raise nearest("list", what, KINDS)
    return [{"name": name, "summary": summary} for name, summary in OTHERS[what]().items()]


def _summary(documented: object) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


def _datasets() -> dict[str, str]:
    from birthmark.data import DATASETS

    return {name: _summary(loader) for name, loader in DATASETS.items()}


def _architectures() -> dict[str, str]:
    from birthmark.workshop.architectures import ARCHITECTURES

    return {
        name: ", ".join(f"{key}={value}" for key, value in settings.items())
        for name, (_, settings) in ARCHITECTURES.items()
    }


def _plans() -> dict[str, str]:
    plans = sorted(file.name for file in files("birthmark.plans").iterdir() if file.name.endswith(".toml"))
    return dict.fromkeys((name.removesuffix(".toml") for name in plans), "")


def _dialects() -> dict[str, str]:
    from birthmark import suspects

    return {name: _summary(kind) for name, kind in suspects.dialects().items()}


OTHERS = {"datasets": _datasets, "architectures": _architectures, "plans": _plans, "dialects": _dialects}
