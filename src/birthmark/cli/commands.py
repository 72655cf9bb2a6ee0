"""The command line: a command parses, makes one call, and prints. Heavy modules are imported inside commands.

Exit codes: 0 not supported (or done), 1 supported, 2 misuse, 3 inconclusive, 4 suspect failed or budget spent,
5 artefact invalid.
"""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli import bench, gateway
from birthmark.cli.bench import settings_of
from birthmark.errors import BirthmarkError, SettingError

if TYPE_CHECKING:
    from birthmark.claim import Task
    from birthmark.evidence import Evidence
    from birthmark.oracle import Oracle

app = typer.Typer(
    name="birthmark",
    help="Prove that a neural network was derived from yours, and never accuse one that was not.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Settings = Annotated[
    list[str], typer.Option("--set", help="A setting of the method or attack, NAME=VALUE; may be given again.")
]
DataName = Annotated[
    str,
    typer.Option(
        "--data", help="Data set: a name (birthmark list datasets), an .npz file, or a folder of images by class."
    ),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the data set's files are.")]
DataSeed = Annotated[int, typer.Option("--data-seed", help="Seed of the splits.")]
Cache = Annotated[Path, typer.Option("--cache", help="Folder of trained models; a rerun continues from it.")]
Workers = Annotated[int, typer.Option("--workers", help="Processes that train side by side; 0 means one a core.")]
Architecture = Annotated[
    str,
    typer.Option(
        "--architecture",
        help="Of a model file without a card: a built-in name or module:function ((shape, outputs) -> network).",
    ),
]
Shape = Annotated[str, typer.Option("--shape", help="One input's shape of a model file without a card, e.g. 1x28x28.")]
Classes = Annotated[
    int, typer.Option("--classes", help="Number of classes (or values) of a model file without a card.")
]


def command(name: str) -> Callable[[Callable[..., int | None]], Callable[..., None]]:
    """Register a command that returns its exit code; our errors become one line and their own exit code."""

    def register(function: Callable[..., int | None]) -> Callable[..., None]:
        @app.command(name)
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            raise typer.Exit(guarded(lambda: function(*args, **kwargs)))

        return run

    return register


def guarded(call: Callable[[], int | None]) -> int:
    """The call's exit code; an error of ours is one line on standard error."""
    try:
        return call() or 0
    except BirthmarkError as error:
        print(f"birthmark: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("birthmark: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"birthmark: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 2


def _shape(text: str) -> tuple[int, ...]:
    parts = [part for part in text.replace(",", "x").split("x") if part]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise SettingError(f"expected a shape like 1x28x28, got {text!r}")
    return tuple(int(part) for part in parts)


@command("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for models, claim, evidence and report.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
    workers: Workers = 0,
    as_json: Json = False,
) -> int:
    """Train a model on digits, steal it eleven ways, and verify the thefts beside ten innocents."""
    from birthmark.cli.demo import run

    found = run(out, seed=seed, workers=workers, quiet=as_json)
    if as_json:
        print(json.dumps(found))
    return 0


@command("enroll")
def enroll(
    source: Annotated[Path, typer.Option("--source", help="The model to protect: a safetensors file.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder that the claim is written to; with several methods one folder each inside it."
        ),
    ],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help=(
                "How to train a twin: a built-in architecture (res:width=24) or module:function (seed -> trained "
                "network); default the source file's own card."
            ),
        ),
    ] = "",
    data: DataName = "digits",
    split: Annotated[str, typer.Option("--split", help="Part of the data that the source was trained on.")] = "owner",
    methods: Annotated[
        list[str], typer.Option("--method", help="Fingerprint method (birthmark list methods); may be given again.")
    ] = ["kinship"],
    twins: Annotated[int, typer.Option("--twins", help="Placebos: 19 reach p = .05, 99 reach p = .01.")] = 19,
    references: Annotated[int, typer.Option("--references", help="Independent models that guard the verdict.")] = 8,
    surrogates: Annotated[
        int, typer.Option("--surrogates", help="Own thefts that the expected power is measured on.")
    ] = 3,
    training: Annotated[
        list[str], typer.Option("--training", help="A setting of the built-in training loop, NAME=VALUE.")
    ] = [],
    settings: Settings = [],
    seed: Annotated[int, typer.Option("--seed")] = 0,
    data_dir: DataDir = None,
    data_seed: DataSeed = 0,
    cache: Cache = Path("zoo"),
    workers: Workers = 0,
    architecture: Architecture = "",
    shape: Shape = "",
    classes: Classes = 0,
    as_json: Json = False,
) -> int:
    """Make a claim on a model: train its twins, choose the queries, check it on your own models."""
    import torch

    from birthmark import registry
    from birthmark.cli.progress import bar
    from birthmark.workshop.enroll import enroll as make_claim
    from birthmark.workshop.opening import open_owner
    from birthmark.zoo.catalogue import executor

    torch.set_num_threads(1)
    chosen = settings_of(settings)
    known = {"placebos": twins, "references": references}
    made = []
    for name in methods:
        fields = registry.make("methods", name).__dataclass_fields__
        made.append(
            registry.make("methods", name, {**{key: value for key, value in known.items() if key in fields}, **chosen})
        )
    with (
        closing(executor("local", workers or None)) as engine,
        bar(f"enrolling with {', '.join(methods)}", quiet=as_json) as progress,
    ):
        owner, test = open_owner(
            source,
            recipe=recipe,
            data=data,
            data_dir=data_dir,
            data_seed=data_seed,
            split=split,
            training=settings_of(training),
            cache=cache,
            engine=engine,
            architecture=architecture,
            shape=_shape(shape),
            classes=classes,
            twins=twins,
            references=references,
            progress=progress,
        )
        found = []
        for method in made:
            claim = make_claim(owner, method, seed=seed, test=test, surrogates=surrogates)
            place = out if len(made) == 1 else out / method.name
            found.append({"claim": str(place), "digest": claim.save(place), "method": method.name, **claim.facts})
    if as_json:
        print(json.dumps(found if len(found) > 1 else found[0]))
    else:
        from birthmark.cli.tables import print_claim

        for facts in found:
            print_claim(facts)
    return 0


@command("verify")
def verify(
    claim: Annotated[Path, typer.Argument(help="The claim's folder.")],
    suspect: Annotated[
        str, typer.Option("--suspect", help="A file (.safetensors, .onnx), a local Hugging Face folder, or a URL.")
    ],
    alpha: Annotated[float, typer.Option("--alpha", help="Share of innocents that may be accused.")] = 0.01,
    budget: Annotated[int | None, typer.Option("--budget", help="Most queries to send.")] = None,
    null: Annotated[
        str, typer.Option("--null", help="What the score is ranked among: placebos or references.")
    ] = "placebos",
    spec: Annotated[
        Path | None,
        typer.Option("--spec", help="TOML file that describes the suspect: dialect, layout, range, classes, answers."),
    ] = None,
    answers: Annotated[
        str,
        typer.Option(
            "--answers",
            help=(
                "What the suspect answers: labels, probabilities, logits or values; default its card's word, or logits."
            ),
        ),
    ] = "",
    authorisation: Annotated[
        str,
        typer.Option("--i-am-authorised", help="On what ground you query a remote suspect; goes into the evidence."),
    ] = "",
    report: Annotated[Path | None, typer.Option("--report", help="Write one self-contained HTML page.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for evidence.json and the transcript; an interrupted run continues from it."
        ),
    ] = None,
    architecture: Architecture = "",
    shape: Shape = "",
    classes: Classes = 0,
    as_json: Json = False,
) -> int:
    """Test whether a suspect was derived from the claimed source."""
    from birthmark.artifact import canonical, write_atomically
    from birthmark.claim import Claim
    from birthmark.cli.progress import bar
    from birthmark.verify import Terms
    from birthmark.verify import verify as test

    made, digest = Claim.load(claim)
    oracle = open_suspect(
        suspect,
        made.task,
        answers=answers,
        spec=spec,
        authorisation=authorisation,
        architecture=architecture,
        shape=shape,
        classes=classes,
    )
    with bar(f"asking {oracle.name}", quiet=as_json) as progress:
        evidence = test(
            made,
            oracle,
            alpha=alpha,
            budget=budget,
            null=null,
            transcript=out / "transcript.jsonl" if out else None,
            terms=Terms(digest=digest, authorisation=authorisation, progress=progress),
        )
    if out:
        write_atomically(out / "evidence.json", canonical(evidence.as_dict()))
    if report:
        from birthmark.report import Row, write

        write([evidence], made, report, rows=[Row(transcript=out / "transcript.jsonl" if out else None)])
    show(evidence, as_json)
    return evidence.exit_code


def show(evidence: "Evidence", as_json: bool) -> None:
    if as_json:
        print(json.dumps(evidence.as_dict()))
        return
    from birthmark.cli.tables import print_evidence

    print_evidence(evidence)


def open_suspect(
    target: str,
    task: "Task",
    *,
    answers: str,
    spec: Path | None,
    authorisation: str,
    architecture: str,
    shape: str,
    classes: int,
) -> "Oracle":
    """A suspect from a file, a folder or a URL: what the TOML file declares, overruled by the options."""
    from dataclasses import replace

    from birthmark import suspects
    from birthmark.suspects.description import SuspectSpec

    given: dict[str, Any] = {
        "answers": answers,
        "architecture": architecture,
        "shape": _shape(shape),
        "classes": classes,
    }
    said = SuspectSpec.read(spec) if spec else SuspectSpec()
    return suspects.open(
        target,
        spec=replace(said, **{key: value for key, value in given.items() if value}),
        task=task,
        authorisation=authorisation,
    )


@command("attack")
def attack(
    name: Annotated[str, typer.Argument(help="birthmark list attacks")],
    target: Annotated[str, typer.Option("--target", help="A model file, or a URL.")],
    out: Annotated[Path, typer.Option("--out", help="Safetensors file for the stolen model.")],
    data: DataName = "digits",
    split: Annotated[str, typer.Option("--split", help="Part of the data that the thief has.")] = "attacker",
    budget: Annotated[int | None, typer.Option("--budget", help="Most queries to the target.")] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="A paper's settings by name, see docs/attacks.md; --set overrules them.")
    ] = "",
    settings: Settings = [],
    seed: Annotated[int, typer.Option("--seed")] = 0,
    data_dir: DataDir = None,
    data_seed: DataSeed = 0,
    spec: Annotated[Path | None, typer.Option("--spec", help="TOML file that describes the target.")] = None,
    answers: Annotated[str, typer.Option("--answers", help="What the target answers.")] = "",
    authorisation: Annotated[
        str, typer.Option("--i-am-authorised", help="On what ground you query a remote target.")
    ] = "",
    architecture: Architecture = "",
    shape: Shape = "",
    classes: Classes = 0,
    as_json: Json = False,
) -> int:
    """Steal a model, to see whether your claim would notice."""
    from birthmark import data as datasets
    from birthmark import registry
    from birthmark.claim import Task
    from birthmark.workshop.opening import steal

    parts = datasets.load(data, seed=data_seed, directory=data_dir)
    task = Task(parts.shape, parts["test"].outputs, not parts.classes)
    oracle = open_suspect(
        target,
        task,
        answers=answers,
        spec=spec,
        authorisation=authorisation,
        architecture=architecture,
        shape=shape,
        classes=classes,
    )
    chosen = {**(registry.preset("attacks", name, preset) if preset else {}), **settings_of(settings)}
    found = steal(name, oracle, out, parts, split=split, budget=budget, settings=chosen, seed=seed)
    print(
        json.dumps(found)
        if as_json
        else (
            f"{name}: {out}  accuracy {found['accuracy']:.3f} (target "
            f"{found['target_accuracy']:.3f}{', a failed theft: ten points or more lost' if found['failed'] else ''}) "
            f" agreement {found['agreement']}  {found['queries']} queries  {found['seconds']} s"
        )
    )
    return 0


@command("list")
def listing(
    what: Annotated[
        str, typer.Argument(help="methods, attacks, watermarks, dialects, datasets, architectures or plans")
    ],
    as_json: Json = False,
) -> int:
    """What there is, by name."""
    from birthmark.cli.tables import names, print_names

    rows = names(what)
    if as_json:
        print(json.dumps(rows))
    else:
        print_names(what, rows)
    return 0


app.add_typer(bench.zoo, name="zoo")
app.add_typer(bench.bench, name="bench")
gateway.mount(app)


def main() -> None:
    """Entry point of the `birthmark` command."""
    app()
