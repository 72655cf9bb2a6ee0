"""The main commands: a command parses, makes one call, and prints. Heavy modules are imported inside commands."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark import __version__
from birthmark.cli import bench, compare, gateway, imprint, notary
from birthmark.cli.edge import Commands, main, say, say_json, say_notes
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
    Workplace,
    command,
    noun,
    settings_of,
)
from birthmark.errors import BirthmarkError
from birthmark.types import Plain
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.method import Method
    from birthmark.zoo.executors import Executor

__all__ = ["app", "main"]

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
        "methods": Annotated[
            list[str], typer.Option("--method", help="Fingerprint method (birthmark list methods); may be given again.")
        ],
        "settings": Settings,
        "twins": Annotated[int, typer.Option("--twins", min=0, help="Placebos: 19 reach p = .05, 99 reach p = .01.")],
        "references": Annotated[
            int, typer.Option("--references", min=0, help="Independent models that guard the verdict.")
        ],
        "surrogates": Annotated[
            int, typer.Option("--surrogates", min=0, help="Own thefts that the expected power is measured on.")
        ],
        "seed": Seed,
        "drawn": Annotated[
            Path | None, typer.Option("--drawn", help="What birthmark draw wrote: decides twins and queries.")
        ],
    }
)
@dataclass(frozen=True)
class ClaimChoice:
    """What claims to make: methods and their settings, numbers of the owner's models."""

    methods: Sequence[str] = ("kinship",)
    settings: Sequence[str] = ()
    twins: int = 19
    references: int = 8
    surrogates: int = 3
    seed: int = 0
    drawn: Path | None = None

    def made(self) -> list["Method"]:
        """The methods, each with those of the settings that it has."""
        from birthmark import registry

        known = {"placebos": self.twins, "references": self.references}
        made = list[Any]()
        for name in self.methods:
            default = registry.make("methods", name)
            own = {key: value for key, value in known.items() if hasattr(default, key)}
            made.append(registry.make("methods", name, {**own, **settings_of(list(self.settings))}))
        return made


@command(app, "enroll")
def enroll(
    source: ModelFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder that the claim is written to; with several methods one folder each inside it."
        ),
    ],
    making: Making = Making(),
    data: DataChoice = DataChoice(),
    choice: ClaimChoice = ClaimChoice(),
    place: Workplace = Workplace(),
    as_json: Json = False,
) -> None:
    """Make a claim on a model: train its twins, choose the queries, check it on your own models.

    19 twins are 19 trainings. docs/placebos.md says which claims cost less: birthmark imprint (one fine-tune), compare
    (the suspect's file at hand), gateway (keys at an API).
    """
    import torch

    from birthmark.cli.progress import bar
    from birthmark.notary.commitments import Drawn
    from birthmark.notary.planning import drawn_owner, says_draw
    from birthmark.workshop.enroll import train_and_enroll
    from birthmark.workshop.opening import open_owner

    torch.set_num_threads(1)
    made, found = choice.made(), list[dict[str, Any]]()
    with closing(place.open()) as engine, bar(f"enrolling with {', '.join(choice.methods)}", quiet=as_json) as progress:
        owner, test = open_owner(source, making, data, cache=place.cache, engine=engine, progress=progress)
        drawn = Drawn.read(choice.drawn.read_bytes(), str(choice.drawn)) if choice.drawn else None
        owner, seed = (drawn_owner(owner, drawn), 0) if drawn else (owner, choice.seed)
        for method in made:
            claim = train_and_enroll(owner, method, seed=seed, test=test, surrogates=choice.surrogates)
            claim = says_draw(claim, drawn) if drawn else claim
            folder = out if len(made) == 1 else out / method.name
            found.append({"claim": str(folder), "digest": claim.save(folder), "method": method.name, **claim.facts})
    if as_json:
        say_json(found if len(found) > 1 else found[0])
        return
    from birthmark.cli.tables import print_claim

    for facts in found:
        print_claim(facts)


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
compare.mount(app)
imprint.mount(app)
