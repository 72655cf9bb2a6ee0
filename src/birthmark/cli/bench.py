"""The commands `zoo` and `bench`: build a plan's models, run methods on them, print and compare tables."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.errors import BirthmarkError, SettingError

if TYPE_CHECKING:
    from birthmark.zoo.crew import Progress

zoo = typer.Typer(help="Build a plan's models, or list them.", no_args_is_help=True)
bench = typer.Typer(help="Run methods on a plan's models; tables, comparisons, a leaderboard.", no_args_is_help=True)

PlanName = Annotated[str, typer.Argument(help="A plan's name (birthmark list plans) or a .toml file.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of models; plans and owners may share one.")]
Sources = Annotated[
    list[int] | None, typer.Option("--source", help="Only this source's part of the plan, by seed; may be given again.")
]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="local: a pool of processes; ray: a cluster, address from RAY_ADDRESS.")
]
Workers = Annotated[int, typer.Option("--workers", help="Processes of the local pool; 0 means one a core.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the data set's files are.")]
RecordsOut = Annotated[Path | None, typer.Option("--out", help="Folder of records; default benchmarks/PLAN.")]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="Only this method (and the baselines); may be given again.")
]
Queries = Annotated[
    list[int] | None, typer.Option("--queries", help="Numbers of queries that scores are taken at; may be given again.")
]
BenchSettings = Annotated[
    list[str],
    typer.Option(
        "--set", help="A setting of one method in place of the plan's, METHOD.NAME=VALUE; may be given again."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def ours(function: Callable[..., None]) -> Callable[..., None]:
    """Our errors become one line on standard error and their exit code."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except BirthmarkError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; what was finished is kept, the same command continues from it", err=True)
            raise typer.Exit(130) from None

    return run


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; values are read as JSON where they are, else kept as text."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingError(f"expected --set NAME=VALUE, got {pair!r}")
        try:
            found[key.replace("-", "_")] = json.loads(value)
        except ValueError:
            found[key.replace("-", "_")] = value
    return found


@zoo.command("build")
@ours
def zoo_build(
    plan: PlanName,
    store: StoreFolder = Path("zoo"),
    source: Sources = None,
    executor: ExecutorName = "local",
    workers: Workers = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make the plan's models that the store does not hold yet, parents first."""
    from birthmark.zoo.catalogue import executor as make_executor
    from birthmark.zoo.catalogue import read
    from birthmark.zoo.summary import build_plan

    with closing(make_executor(executor, workers or None)) as engine, _view(quiet=as_json) as progress:
        result = build_plan(
            read(plan), store, engine, sources=tuple(source or ()), data_dir=data_dir, progress=progress
        )
    typer.echo(
        json.dumps(result)
        if as_json
        else "{plan}: {models} models in {store}, {made} made now, {seconds:.0f} s".format(**result)
    )


@zoo.command("list")
@ours
def zoo_list(plan: PlanName, store: StoreFolder = Path("zoo"), source: Sources = None, as_json: Json = False) -> None:
    """List the plan's models and which of them the store holds."""
    from birthmark.zoo.catalogue import read
    from birthmark.zoo.summary import listing

    rows = listing(read(plan), store, tuple(source or ()))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(
            f"{'x' if row['there'] else '.'} {row['key']}  {row['role']:<9} "
            f"{row['source'] if row['source'] is not None else '-':>2}  {row['name']}"
        )
    typer.echo(f"{sum(row['there'] for row in rows)} of {len(rows)} are there")


@bench.command("run")
@ours
def bench_run(
    plan: PlanName,
    store: StoreFolder = Path("zoo"),
    out: RecordsOut = None,
    source: Sources = None,
    method: Methods = None,
    queries: Queries = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Level of the verdicts.")] = 0.05,
    executor: ExecutorName = "local",
    workers: Workers = 0,
    data_dir: DataDir = None,
    settings: BenchSettings = [],
    as_json: Json = False,
) -> None:
    """Enrol the source with every method, ask every suspect, and write records."""
    from birthmark.bench.run import BUDGETS, run
    from birthmark.zoo.catalogue import executor as make_executor
    from birthmark.zoo.catalogue import read

    said, place = read(plan), out or Path("benchmarks") / Path(plan).stem
    chosen = {name: dict(said.methods.get(name, {})) for name in method or said.methods}
    for key, value in settings_of(settings).items():
        name, dot, setting = key.partition(".")
        name = name.replace("_", "-")
        if not dot or name not in chosen:
            raise SettingError(
                f"expected --set METHOD.NAME=VALUE with a method that is run ({', '.join(chosen)}), got {key!r}"
            )
        chosen[name][setting] = value
    with closing(make_executor(executor, workers or None)) as engine, _view(quiet=as_json) as progress:
        files = run(
            said,
            store,
            place,
            engine,
            methods=chosen,
            sources=tuple(source or ()),
            budgets=tuple(queries or BUDGETS),
            alpha=alpha,
            data_dir=data_dir,
            progress=progress,
        )
    typer.echo(json.dumps([str(path) for path in files]) if as_json else f"{len(files)} records in {place}")


@bench.command("table")
@ours
def bench_table(
    records: Annotated[Path, typer.Argument(help="Folder of records.")],
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
    """Print AUC, ARUC, power and false accusations by attack group and by tier of innocents.

    Of records of marks, their own table.
    """
    from birthmark.bench import tables

    if tables.of_marks(records):
        _marks(records, as_json)
        return
    found = [
        row
        for row in tables.rows(tables.load(records), fpr=fpr)
        if (not group or row["group"] == group) and at in (0, row["queries"])
    ]
    if as_json:
        typer.echo(json.dumps(found))
        return
    pooled = [row for row in found if row["group"] == row["tier"]]
    _print("all thefts against all innocents", pooled)
    for plan, task, method, access in dict.fromkeys(
        (row["plan"], row["task"], row["method"], row["access"]) for row in found
    ):
        own = [
            row
            for row in found
            if (row["plan"], row["task"], row["method"], row["access"]) == (plan, task, method, access)
            and row["group"] != row["tier"]
        ]
        size = max(
            (row["queries"] for row in own if row["queries"] <= 100),
            default=max((row["queries"] for row in own), default=0),
        )
        _print(f"{method}, {access}, {task}", [row for row in own if row["queries"] == size])


@bench.command("compare")
@ours
def bench_compare(
    before: Annotated[Path, typer.Argument(help="Folder of records.")],
    after: Annotated[Path, typer.Argument(help="Folder of records.")],
    least: Annotated[float, typer.Option("--least", help="Smallest change that is shown.")] = 0.005,
    as_json: Json = False,
) -> None:
    """Print what changed between two sets of records."""
    from birthmark.bench import tables

    found = tables.compare(tables.rows(tables.load(before)), tables.rows(tables.load(after)), least=least)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for row in found:
        where = f"{row['method']} {row['access']} {row['queries']} queries, {row['group']} against {row['tier']}"
        moves = [f"{name} {row[name]['before']} -> {row[name]['after']}" for name in tables.COMPARED if name in row]
        typer.echo(f"{row['change']:<8} {where}: {', '.join(moves)}" if moves else f"{row['change']:<8} {where}")
    typer.echo(f"{len(found)} rows differ by {least} or more")


@bench.command("page")
@ours
def bench_page(
    records: Annotated[Path, typer.Argument(help="Folder of records.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")] = Path("leaderboard.html"),
    queries: Annotated[int, typer.Option("--queries", help="Most queries in the figures.")] = 100,
) -> None:
    """Write the leaderboard: one HTML file with tables, curves and a heat map."""
    from birthmark.artifact import write_atomically
    from birthmark.bench import tables
    from birthmark.report.leaderboard import page

    write_atomically(out, page(tables.load(records), queries=queries).encode())
    typer.echo(str(out))


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


MARKS = (
    "source",
    "strength",
    "attack",
    "access",
    "test",
    "queries",
    "n_students",
    "share_p001",
    "z_median",
    "z_least",
    "top1_agreement",
    "accuracy_change",
    "l1",
    "first_of_200",
)
INNOCENT = (
    "source",
    "n_unmarked",
    "share_false_05",
    "share_false_01",
    "accused_01",
    "worst_key_p01",
    "keys_p01",
    "worst_key_01",
    "keys_01",
    "ks",
    "ks_rejected",
)


def _marks(records: Path, as_json: bool) -> None:
    """The table of a plan of marked answers: what is left of the mark, and what innocents show."""
    from birthmark.bench.watermarks import rows

    found = rows(records)
    if as_json:
        typer.echo(json.dumps(found))
        return
    innocent = {row["source"]: row for row in found if row["n_unmarked"]}
    for title, columns, shown in (("marks", MARKS, found), ("unmarked models", INNOCENT, list(innocent.values()))):
        lines = [columns, *([_plain(row[column]) for column in columns] for row in shown)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        typer.echo(f"\n{title}")
        for line in lines:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _print(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Columns as wide as they need to be: figures are never squeezed."""
    if not rows:
        return
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    typer.echo(f"\n{title}; verdicts at alpha {rows[0]['alpha']:g}, TPR at FPR {rows[0]['tpr_fpr']:g}")
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: Mapping[str, Any]) -> list[str]:
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
        yield lambda state: typer.echo(
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
