"""The commands `zoo` and `bench`: build a plan's models, run methods on them, print and compare tables."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.errors import BirthmarkError

if TYPE_CHECKING:
    from birthmark.zoo.build import Progress

zoo = typer.Typer(help="Build a plan's models, or list them.", no_args_is_help=True)
bench = typer.Typer(help="Run methods on a plan's models; tables, comparisons, a leaderboard.", no_args_is_help=True)

PlanName = Annotated[str, typer.Argument(help="A plan's name (birthmark list plans) or a .toml file.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of models; plans and owners may share one.")]
Sources = Annotated[list[int] | None, typer.Option("--source", help="Only this source's part of the plan, by seed; may be given again.")]
ExecutorName = Annotated[str, typer.Option("--executor", help="local: a pool of processes; ray: a cluster, address from RAY_ADDRESS.")]
Workers = Annotated[int, typer.Option("--workers", help="Processes of the local pool; 0 means one a core.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the data set's files are.")]
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


@zoo.command("build")
@ours
def zoo_build(
    plan: PlanName, store: StoreFolder = Path("zoo"), source: Sources = None, executor: ExecutorName = "local", workers: Workers = 0,
    data_dir: DataDir = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Make the plan's models that the store does not hold yet, parents first."""
    from birthmark.zoo.executors import executor as make_executor
    from birthmark.zoo.plan import read
    from birthmark.zoo.summary import build_plan

    with closing(make_executor(executor, workers or None)) as engine, _view(quiet=as_json) as progress:
        result = build_plan(read(plan), store, engine, sources=tuple(source or ()), data_dir=data_dir, progress=progress)
    typer.echo(json.dumps(result) if as_json else "{plan}: {models} models in {store}, {made} made now, {seconds:.0f} s".format(**result))


@zoo.command("list")
@ours
def zoo_list(plan: PlanName, store: StoreFolder = Path("zoo"), source: Sources = None, as_json: Json = False) -> None:
    """List the plan's models and which of them the store holds."""
    from birthmark.zoo.plan import read
    from birthmark.zoo.summary import listing

    rows = listing(read(plan), store, tuple(source or ()))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{'x' if row['there'] else '.'} {row['key']}  {row['role']:<9} {row['source'] if row['source'] is not None else '-':>2}  {row['name']}")
    typer.echo(f"{sum(row['there'] for row in rows)} of {len(rows)} are there")


@contextmanager
def _view(*, quiet: bool = False) -> "Iterator[Callable[[Progress], None] | None]":
    """A live line on a terminal; one line an event elsewhere; nothing if quiet."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield lambda state: typer.echo(f"{state.done}/{state.total} {state.per_minute:5.1f}/min {_minutes(state.eta)} left  {state.event}", err=True)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"), TextColumn("{task.description}", markup=False))
        with Bar(*columns, console=Console(stderr=True)) as bar:
            line = bar.add_task("", total=None, pace="")

            def show(state: "Progress") -> None:
                pace = f"{len(state.running)} running, {state.left} left, {state.per_minute:.1f}/min, {_minutes(state.eta)} to go"
                bar.update(line, total=state.total, completed=state.done, pace=pace, description=state.event)

            yield show


def _minutes(seconds: float) -> str:
    return "?" if seconds != seconds else f"{int(seconds // 60)}:{int(seconds % 60):02d}"
