"""The commands `zoo` and `bench`: build a plan's models, run methods on them, print and compare tables."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Alpha, DataDir, EngineChoice, Json, command, noun, settings_of
from birthmark.cli.tables import table
from birthmark.errors import SettingError
from birthmark.types import Plain

if TYPE_CHECKING:
    from birthmark.zoo.crew import Progress
    from birthmark.zoo.plan import Plan

zoo = typer.Typer(help="Build a plan's models, or list them.", no_args_is_help=True)
bench = typer.Typer(help="Run methods on a plan's models; tables, comparisons, a leaderboard.", no_args_is_help=True)

Records = Annotated[Path, typer.Argument(help="Folder of records.")]


@noun(
    {
        "name": Annotated[str, typer.Argument(help="A plan's name (birthmark list plans) or a .toml file.")],
        "store": Annotated[Path, typer.Option("--store", help="Folder of models; plans and owners may share one.")],
        "sources": Annotated[
            list[int],
            typer.Option("--source", help="Only this source's part of the plan, by seed; may be given again."),
        ],
        "data_dir": DataDir,
    }
)
@dataclass(frozen=True)
class PlanChoice:
    """A plan, or some sources' parts of it, and where its models and data are."""

    name: str
    store: Path = Path("zoo")
    sources: Sequence[int] = ()
    data_dir: Path | None = None

    def read(self) -> "Plan":
        from birthmark.zoo.catalogue import read

        return read(self.name)


@noun(
    {
        "methods": Annotated[
            list[str], typer.Option("--method", help="Only this method (and the baselines); may be given again.")
        ],
        "queries": Annotated[
            list[int],
            typer.Option("--queries", help="Numbers of queries that scores are taken at; may be given again."),
        ],
        "alpha": Alpha,
        "settings": Annotated[
            list[str],
            typer.Option(
                "--set", help="A setting of one method in place of the plan's, METHOD.NAME=VALUE; may be given again."
            ),
        ],
    }
)
@dataclass(frozen=True)
class RunChoice:
    """Which methods run, with which settings, at which numbers of queries."""

    methods: Sequence[str] = ()
    queries: Sequence[int] = ()
    alpha: float = 0.05
    settings: Sequence[str] = ()

    def of(self, plan: "Plan") -> dict[str, dict[str, Any]]:
        """Settings by method: the plan's, overruled by the options.

        Raises:
            SettingError: a setting of a method that is not run.
        """
        chosen = {name: dict(plan.methods.get(name, {})) for name in self.methods or plan.methods}
        for key, value in settings_of(list(self.settings)).items():
            name, dot, setting = key.partition(".")
            name = name.replace("_", "-")
            if not dot or name not in chosen:
                raise SettingError(
                    f"expected --set METHOD.NAME=VALUE with a method that is run ({', '.join(chosen)}), got {key!r}"
                )
            chosen[name][setting] = value
        return chosen


@command(zoo, "build")
def zoo_build(plan: PlanChoice, engine: EngineChoice = EngineChoice(), as_json: Json = False) -> None:
    """Make the plan's models that the store does not hold yet, parents first."""
    from birthmark.zoo.summary import build_plan

    with closing(engine.open()) as crew, _view(quiet=as_json) as progress:
        made = build_plan(
            plan.read(), plan.store, crew, sources=tuple(plan.sources), data_dir=plan.data_dir, progress=progress
        )
    if as_json:
        say_json(made)
    else:
        say("{plan}: {models} models in {store}, {made} made now, {seconds:.0f} s".format(**made))


@command(zoo, "list")
def zoo_list(plan: PlanChoice, as_json: Json = False) -> None:
    """List the plan's models and which of them the store holds."""
    from birthmark.zoo.summary import listing

    rows = listing(plan.read(), plan.store, tuple(plan.sources))
    if as_json:
        say_json(rows)
        return
    for row in rows:
        source = "-" if row["source"] is None else row["source"]
        say(f"{'x' if row['there'] else '.'} {row['key']}  {row['role']:<9} {source:>2}  {row['name']}")
    say(f"{sum(row['there'] for row in rows)} of {len(rows)} are there")


@command(bench, "run")
def bench_run(
    plan: PlanChoice,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of records; default benchmarks/PLAN.")] = None,
    choice: RunChoice = RunChoice(),
    engine: EngineChoice = EngineChoice(),
    as_json: Json = False,
) -> None:
    """Enrol the source with every method, ask every suspect, and write records."""
    from birthmark.bench.run import BUDGETS, Choice, run

    said, place = plan.read(), out or Path("benchmarks") / Path(plan.name).stem
    what = Choice(
        choice.of(said), tuple(plan.sources), tuple(choice.queries or BUDGETS), choice.alpha, data_dir=plan.data_dir
    )
    with closing(engine.open()) as crew, _view(quiet=as_json) as progress:
        files = run(said, plan.store, place, crew, what, progress)
    if as_json:
        say_json([str(path) for path in files])
    else:
        say(f"{len(files)} records in {place}")


@command(bench, "table")
def bench_table(
    records: Records,
    group: Annotated[
        str,
        typer.Option(
            "--group", help="Only this group of thefts, or 'all' (the default prints all groups at --at queries)."
        ),
    ] = "",
    at: Annotated[
        int, typer.Option("--at", help="Only this number of queries; 0 for every one (the default with --json).")
    ] = 0,
    fpr: Annotated[
        float, typer.Option("--fpr", help="False-positive rate that the true-positive rate is read at.")
    ] = 0.05,
    as_json: Json = False,
) -> None:
    """Print AUC, ARUC, power and false accusations by attack group and by tier of innocents."""
    from birthmark.bench import tables

    rows = [row for row in tables.rows(tables.load(records), fpr=fpr) if at in (0, row["queries"])]
    rows = [row for row in rows if group in ("", row["group"])]
    if as_json:
        say_json(rows)
        return
    _print("all thefts against all innocents", [row for row in rows if row["group"] == row["tier"]])
    for kind in dict.fromkeys(map(_kind, rows)):
        _print("{2}, {3}, {1}".format(*kind), _at_hundred([row for row in rows if _kind(row) == kind]))


def _at_hundred(rows: Sequence[Plain]) -> list[Plain]:
    """Rows of single groups and tiers, at a hundred queries or the next smaller number there is."""
    own = [row for row in rows if row["group"] != row["tier"]]
    sizes = [row["queries"] for row in own]
    size = max((n for n in sizes if n <= 100), default=max(sizes, default=0))
    return [row for row in own if row["queries"] == size]


def _kind(row: Plain) -> tuple[str, ...]:
    return tuple(row[key] for key in ("plan", "task", "method", "access"))


@command(bench, "compare")
def bench_compare(
    before: Records,
    after: Records,
    least: Annotated[float, typer.Option("--least", help="Smallest change that is shown.")] = 0.005,
    as_json: Json = False,
) -> None:
    """Print what changed between two sets of records."""
    from birthmark.bench import tables

    rows = tables.compare(tables.rows(tables.load(before)), tables.rows(tables.load(after)), least=least)
    if as_json:
        say_json(rows)
        return
    for row in rows:
        where = f"{row['method']} {row['access']} {row['queries']} queries, {row['group']} against {row['tier']}"
        moves = [f"{name} {row[name]['before']} -> {row[name]['after']}" for name in tables.COMPARED if name in row]
        say(f"{row['change']:<8} {where}: {', '.join(moves)}" if moves else f"{row['change']:<8} {where}")
    say(f"{len(rows)} rows differ by {least} or more")


@command(bench, "page")
def bench_page(
    records: Records,
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")] = Path("leaderboard.html"),
    queries: Annotated[int, typer.Option("--queries", help="Most queries in the figures.")] = 100,
) -> None:
    """Write the leaderboard: one HTML file with tables, curves and a heat map."""
    from birthmark.artifact import write_atomically
    from birthmark.bench import tables
    from birthmark.report.leaderboard import page

    write_atomically(out, page(tables.load(records), queries=queries).encode())
    say(str(out))


HEADINGS = (
    "method",
    "access",
    "queries",
    "thefts",
    "innocents",
    "n",
    "AUC (95 %)",
    "ARUC",
    "TPR",
    "supported",
    "false accusations (95 %)",
)


def _print(title: str, rows: Sequence[Plain]) -> None:
    if rows:
        say()
        limits = f"verdicts at alpha {rows[0]['alpha']:g}, TPR at FPR {rows[0]['tpr_fpr']:g}"
        table(f"{title}; {limits}", HEADINGS, [_cells(row) for row in rows])


def _cells(row: Plain) -> list[str]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    return [
        row["method"],
        row["access"],
        str(row["queries"]),
        row["group"],
        row["tier"],
        f"{row['n_pos']}+{row['n_neg']}",
        f"{number(row['auc'])} ({number(row['auc_low'])}-{number(row['auc_high'])})",
        number(row["aruc"]),
        number(row["tpr_at_fpr"]),
        number(row["power"]),
        f"{number(row['fpr'])} ({number(row['fpr_low'])}-{number(row['fpr_high'])})",
    ]


@contextmanager
def _view(*, quiet: bool = False) -> "Iterator[Callable[[Progress], None] | None]":
    """A live line on a terminal; one line an event elsewhere; nothing if quiet."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield lambda state: say(
            f"{state.done}/{state.total} {state.per_minute:5.1f}/min {_minutes(state.eta)} left  {state.event}",
            err=True,
        )
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TextColumn("{task.description}", markup=False),
        )
        with Bar(*columns, console=Console(stderr=True)) as bar:
            line = bar.add_task("", total=None, pace="")

            def show(state: "Progress") -> None:
                pace = (
                    f"{len(state.running)} running, {state.left} left, {state.per_minute:.1f}/min, "
                    f"{_minutes(state.eta)} to go"
                )
                bar.update(line, total=state.total, completed=state.done, pace=pace, description=state.event)

            yield show


def _minutes(seconds: float) -> str:
    return "?" if seconds != seconds else f"{int(seconds // 60)}:{int(seconds % 60):02d}"
