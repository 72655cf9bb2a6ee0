"""The main commands: a command parses, makes one call, and prints. Heavy modules are imported inside commands."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark import __version__
from birthmark.cli import bench, compare, doctor, enroll, gateway, imprint, notary, serve
from birthmark.cli.edge import Commands, say, say_json, say_notes
from birthmark.cli.options import (
    Alpha,
    EngineChoice,
    Json,
    Out,
    Report,
    Seed,
    Settings,
    SuspectChoice,
    TargetChoice,
    Workers,
    command,
    noun,
    settings_of,
)
from birthmark.errors import BirthmarkError
from birthmark.types import Plain
from birthmark.workshop.choices import DataChoice

if TYPE_CHECKING:
    from birthmark.zoo.executors import Executor

app = typer.Typer(
    name="birthmark",
    cls=Commands,
    help="Prove that a neural network was derived from yours, and never accuse one that was not.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"birthmark {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Prove that a neural network was derived from yours, and never accuse one that was not."""


@command(app, "demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for models, claim, evidence and report.")] = Path("demo"),
    seed: Seed = 0,
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Train a model on digits, steal it eleven ways, and verify the thefts beside ten innocents."""
    from birthmark.cli.demo import run

    found = run(out, seed=seed, workers=workers, quiet=as_json)
    if as_json:
        say_json(found)


@noun(
    {
        "alpha": Alpha,
        "budget": Annotated[int | None, typer.Option("--budget", help="Most queries to send.")],
        "null": Annotated[str, typer.Option("--null", help="What the score is ranked among: placebos or references.")],
    }
)
@dataclass(frozen=True)
class TestChoice:
    """How a suspect is tested."""

    alpha: float = 0.05
    budget: int | None = None
    null: str = "placebos"


@command(app, "verify")
def verify(
    claim: Annotated[Path, typer.Argument(help="The claim's folder.")],
    suspect: SuspectChoice,
    test: TestChoice = TestChoice(),
    report: Report = None,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Test whether a suspect was derived from the claimed source."""
    from birthmark.artifact import canonical, write_atomically
    from birthmark.claim import Claim
    from birthmark.cli.progress import bar
    from birthmark.cli.tables import print_evidence
    from birthmark.verify import Terms
    from birthmark.verify import verify as tested

    made, digest = Claim.load(claim)
    oracle, transcript = suspect.open(made.task), out / "transcript.jsonl" if out else None
    with bar(f"asking {oracle.name}", quiet=as_json) as progress:
        terms = Terms(digest=digest, authorisation=suspect.authorisation, progress=progress)
        evidence = tested(
            made, oracle, alpha=test.alpha, budget=test.budget, null=test.null, transcript=transcript, terms=terms
        )
    if out:
        write_atomically(out / "evidence.json", canonical(evidence.as_dict()))
    if report:
        from birthmark.report import Row, write

        write([evidence], made, report, rows=[Row(transcript=transcript)])
    notary.spent(claim, len(made.queries), evidence)
    if as_json:
        say_json(evidence.as_dict())
    else:
        print_evidence(evidence)
        notary.print_unjudged(claim, len(made.queries), evidence)
    return evidence.exit_code


@noun(
    {
        "split": Annotated[str, typer.Option("--split", help="Part of the data that the thief has.")],
        "budget": Annotated[int | None, typer.Option("--budget", help="Most queries to the target.")],
        "preset": Annotated[
            str, typer.Option("--preset", help="A paper's settings by name, see docs/attacks.md; --set overrules them.")
        ],
        "settings": Settings,
        "seed": Seed,
    }
)
@dataclass(frozen=True)
class TheftChoice:
    """What a thief has, spends and does."""

    split: str = "attacker"
    budget: int | None = None
    preset: str = ""
    settings: Sequence[str] = ()
    seed: int = 0


@command(app, "attack")
def attack(
    name: Annotated[str, typer.Argument(help="birthmark list attacks")],
    target: TargetChoice,
    out: Annotated[Path, typer.Option("--out", help="Safetensors file for the stolen model.")],
    data: DataChoice = DataChoice(),
    theft: TheftChoice = TheftChoice(),
    engine: EngineChoice = EngineChoice("serial"),
    as_json: Json = False,
) -> None:
    """Steal a model, to see whether your claim would notice."""
    from birthmark import registry

    settings = {
        **(registry.preset("attacks", name, theft.preset) if theft.preset else {}),
        **settings_of(list(theft.settings)),
    }
    registry.make("attacks", name, settings)
    plan = {"attack": name, "settings": settings, "split": theft.split, "budget": theft.budget, "seed": theft.seed}
    work: dict[str, Any] = {"target": asdict(target), "plan": plan, "out": out.absolute(), "data": asdict(data)}
    with closing(engine.open()) as crew:
        found = stolen(**work) if engine.executor == "serial" else _elsewhere(crew, work)
    if as_json:
        say_json(found)
        return
    failed = ", a failed theft: ten points or more lost" if found["failed"] else ""
    say(
        f"{name}: {out}  accuracy {found['accuracy']:.3f} (target {found['target_accuracy']:.3f}{failed})  agreement "
        f"{found['agreement']}  {found['queries']} queries  {found['seconds']} s"
    )
    say_notes(found["notes"])


def stolen(target: Plain, plan: Plain, out: Path | str, data: Plain) -> dict[str, Any]:
    """Carry out a theft, here or on a worker; raises as `birthmark.workshop.opening.steal`."""
    from birthmark import data as datasets
    from birthmark.claim import Task
    from birthmark.workshop.opening import Theft, steal

    parts = datasets.chosen(DataChoice(**{**data, "directory": data["directory"] and Path(data["directory"])}))
    said = {**target, "spec": target["spec"] and Path(target["spec"]), "shape": tuple(target["shape"])}
    oracle = TargetChoice(**said).open(Task(parts.shape, parts["test"].outputs, not parts.classes), weights=True)
    return steal(Theft(**plan), oracle, Path(out), parts)


def _elsewhere(crew: "Executor", work: Plain) -> dict[str, Any]:
    """A theft as a job. The worker must see the files that are named, and the folder that the model is written to."""
    from birthmark.zoo.executors import Job

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return str(value.absolute()) if isinstance(value, Path) else value

    target = work["target"]["target"]
    named = str(Path(target).absolute()) if Path(target).exists() else target
    arguments = {**work, "target": {**work["target"], "target": named}}
    crew.submit(Job("attack", "birthmark.cli.commands:stolen", {k: plain(v) for k, v in arguments.items()}))
    outcome = crew.wait()
    if outcome.error:
        raise BirthmarkError(outcome.error)
    return dict(outcome.result)


@command(app, "list")
def listing(
    kind: Annotated[
        str,
        typer.Argument(
            help="methods, attacks, watermarks, dialects, datasets, architectures or plans; default all of them."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """What there is, by name."""
    from birthmark.cli.tables import KINDS, names, table

    found = {one: names(one) for one in ([kind] if kind else KINDS)}
    if as_json:
        say_json(found[kind] if kind else found)
        return
    for title, rows in found.items():
        columns = [key for key in rows[0] if any(row[key] for row in rows)] if rows else ["name"]
        table(title, columns, [[row[key] for key in columns] for row in rows])


app.add_typer(bench.zoo, name="zoo")
app.add_typer(bench.bench, name="bench")
gateway.mount(app)
notary.mount(app)
enroll.mount(app)
doctor.mount(app)
compare.mount(app)
imprint.mount(app)
serve.mount(app)
