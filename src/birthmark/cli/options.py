"""Options of the command line, each declared once, and the nouns that bundle them.

A command's parameter of a noun's type stands for one option a field. `command` adds these options, hands the command
the noun, and ends the process with what the command returns.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from birthmark.cli.apart import told_apart
from birthmark.cli.edge import outcome
from birthmark.errors import SettingError
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.claim import Task
    from birthmark.oracle import Oracle
    from birthmark.zoo.executors import Executor


def shape_of(text: str) -> tuple[int, ...]:
    """The shape that "1x28x28" or "1,28,28" means.

    Raises:
        SettingError: it means none.
    """
    parts = text.replace(",", "x").split("x") if text else []
    if not all(part.isascii() and part.isdigit() and len(part) < 10 and int(part) > 0 for part in parts):
        raise SettingError(f"expected a shape like 1x28x28, got {text[:100]!r}")
    return tuple(int(part) for part in parts)


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; values are read as JSON where they are, else kept as text.

    Raises:
        SettingError: no such pair.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SettingError(f"expected NAME=VALUE, got {pair!r}")
        try:
            found[key.replace("-", "_")] = json.loads(value)
        except (ValueError, RecursionError):
            found[key.replace("-", "_")] = value
    return found


@dataclass(frozen=True)
class SuspectChoice:
    """A suspect or target, and what is declared of it."""

    target: str
    spec: Path | None = None
    answers: str = ""
    authorisation: str = ""
    architecture: str = ""
    shape: tuple[int, ...] = ()
    classes: int = 0

    def open(self, task: "Task", *, weights: bool = False) -> "Oracle":
        """What the TOML file declares, overruled by the options; the task completes what a model file does not say."""
        from birthmark import suspects
        from birthmark.suspects.description import SuspectSpec

        said = SuspectSpec.read(self.spec) if self.spec else SuspectSpec()
        given = {key: getattr(self, key) for key in ("answers", "architecture", "shape", "classes")}
        spec = said.having(**{key: value for key, value in given.items() if value})
        return suspects.open(self.target, spec=spec, task=task, authorisation=self.authorisation, weights=weights)


@dataclass(frozen=True)
class TargetChoice(SuspectChoice):
    """The same, called a target."""


@dataclass(frozen=True)
class EngineChoice:
    """What carries out the jobs, where, and how many of them side by side."""

    executor: str = "local"
    workers: int = 0
    device: str = "auto"
    gpus: float = 0.0

    def open(self) -> "Executor":
        from birthmark.workshop.devices import use
        from birthmark.zoo.catalogue import executor

        use(self.device)
        return executor(self.executor, self.workers or None, self.gpus)


@dataclass(frozen=True)
class Workplace(EngineChoice):
    """The same, and where trained models are kept."""

    cache: Path = Path("zoo")


@dataclass(frozen=True)
class KeyFiles:
    """A keyring's folder and the master key's place."""

    keyring: Path = Path("keyring")
    secret: str = "birthmark.key"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else, errors too.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the evidence and the transcript; an interrupted run continues from it."),
]
Report = Annotated[Path | None, typer.Option("--report", help="Write one self-contained HTML page.")]
LogFolder = Annotated[Path | None, typer.Option("--log", help="The gateway's query log.")]
Alpha = Annotated[float, typer.Option("--alpha", help="Share of innocents that may be accused.")]
Settings = Annotated[
    list[str], typer.Option("--set", help="A setting of the method or attack, NAME=VALUE; may be given again.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")]
Workers = Annotated[int, typer.Option("--workers", help="Processes that train side by side; 0 means one a core.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the data set's files are.")]
Split = Annotated[str, typer.Option("--split", help="Part of the data.")]
Architecture = Annotated[
    str,
    typer.Option(
        "--architecture",
        help="Of a model file without a card: a built-in name or module:function ((shape, outputs) -> network).",
    ),
]
Shape = Annotated[
    str, typer.Option("--shape", help="One input's shape of a model file without a card, e.g. 1x28x28."), shape_of
]
Classes = Annotated[
    int, typer.Option("--classes", min=0, help="Number of classes (or values) of a model file without a card.")
]
DECLARED: Mapping[str, Any] = {
    "spec": Annotated[
        Path | None,
        typer.Option("--spec", help="TOML file that describes it: dialect, layout, range, classes, answers."),
    ],
    "answers": Annotated[
        str,
        typer.Option(
            "--answers",
            help=(
                "What it answers: labels, probabilities, logits, topk, sigmoid, log-odds (one number for two classes) "
                "or values; default its card's word, or logits for a file and probabilities for a server."
            ),
        ),
    ],
    "authorisation": Annotated[
        str, typer.Option("--i-am-authorised", help="On what ground you query a remote one; goes into the evidence.")
    ],
    "architecture": Architecture,
    "shape": Shape,
    "classes": Classes,
}

_ENGINE: Mapping[str, Any] = {
    "executor": Annotated[
        str,
        typer.Option(
            "--executor",
            help="local: a pool of processes; ray: a cluster, address from RAY_ADDRESS; serial: this process.",
        ),
    ],
    "workers": Workers,
    "device": Annotated[
        str, typer.Option("--device", help="Where networks are trained and asked: cpu, cuda, cuda:1, mps or auto.")
    ],
    "gpus": Annotated[
        float, typer.Option("--gpus", min=0, help="GPUs, or the share of one, that a job takes on a cluster.")
    ],
}

NOUNS: dict[type, Mapping[str, Any]] = {
    DataChoice: {
        "name": Annotated[
            str,
            typer.Option(
                "--data",
                help="One data set, cut into parts: a name (birthmark list datasets), or its place (docs/data.md).",
            ),
        ],
        "directory": DataDir,
        "seed": Annotated[int, typer.Option("--data-seed", help="Seed of the splits.")],
        "train": Annotated[str, typer.Option("--train", help="What the source was trained on, in place of --data.")],
        "pool": Annotated[str, typer.Option("--pool", help="Where queries are chosen from: inputs nobody trained on.")],
        "reserve": Annotated[str, typer.Option("--reserve", help="Inputs with targets that the source never saw.")],
        "test": Annotated[str, typer.Option("--test", help="What accuracy is measured on.")],
        "target": Annotated[str, typer.Option("--target-column", help="Column to predict, of tables and records.")],
    },
    ModelFile: {
        "path": Annotated[Path, typer.Option("--source", help="The model to protect: a safetensors file.")],
        "architecture": Architecture,
        "shape": Shape,
        "classes": Classes,
    },
    Making: {
        "recipe": Annotated[
            str,
            typer.Option(
                "--recipe",
                help=(
                    "How to train a twin: a built-in architecture (res:width=24) or module:function ((seed, start) -> "
                    "trained network); default the source file's own card."
                ),
            ),
        ],
        "start": Annotated[
            str,
            typer.Option("--start", help="Where the source started: seed of its initial weights, or a file with them."),
        ],
        "other_start": Annotated[
            bool, typer.Option("--other-start", help="Twins start elsewhere: for a source whose start was secret.")
        ],
        "same_start": Annotated[
            bool, typer.Option("--same-start", help="Twins start from the source's initial weights; asked of --twin.")
        ],
        "split": Annotated[str, typer.Option("--split", help="Part of the data that the source was trained on.")],
        "training": Annotated[
            list[str],
            typer.Option("--training", help="A setting of the built-in training loop, NAME=VALUE."),
            settings_of,
        ],
    },
    SuspectChoice: {
        "target": Annotated[
            str, typer.Option("--suspect", help="A file (safetensors, .onnx), a local Hugging Face folder, or a URL.")
        ],
        **DECLARED,
    },
    TargetChoice: {"target": Annotated[str, typer.Option("--target", help="A model file, or a URL.")], **DECLARED},
    EngineChoice: _ENGINE,
    Workplace: {
        **_ENGINE,
        "cache": Annotated[Path, typer.Option("--cache", help="Folder of trained models; a rerun continues from it.")],
    },
    KeyFiles: {
        "keyring": Annotated[Path, typer.Option("--keyring", help="The keyring's folder, made by birthmark key new.")],
        "secret": Annotated[
            str, typer.Option("--secret", help="The master key: a file that only you may read, or env:NAME.")
        ],
    },
}


def noun(options: Mapping[str, object]) -> Callable[[type], type]:
    """Make a dataclass a noun of the command line: `options` has the annotated type of each field."""

    def register(kind: type) -> type:
        NOUNS[kind] = options
        return kind

    return register


Command = Callable[..., int | None]


def command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register a command: nouns become options, what it returns (None for 0) or raises becomes the exit code."""

    def register(function: Command) -> Command:
        hints = get_type_hints(function, include_extras=True)
        given = signature(function).parameters.values()
        shown = told_apart([option for parameter in given for option in _options(parameter, hints[parameter.name])])

        def run(**typed: object) -> None:
            def call() -> int | None:
                return function(**{p.name: _gathered(p, hints[p.name], typed) for p in given})

            raise typer.Exit(outcome(call, bool(typed.get("as_json"))))

        run.__doc__, run.__name__ = function.__doc__, function.__name__
        run.__signature__ = Signature(shown)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in shown}
        app.command(name)(run)
        return function

    return register


def _noun_of(hint: object) -> type | None:
    """The noun that a hint names, `Noun` or `Noun | None`."""
    return next((kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and kind in NOUNS), None)


def _options(parameter: Parameter, hint: object) -> Iterator[Parameter]:
    """The parameters that Typer sees for one of ours."""
    kind = _noun_of(hint)
    if kind is None:
        yield parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY)
        return
    for field in fields(kind):
        option = NOUNS[kind][field.name]
        default: Any = Parameter.empty if field.default is MISSING else field.default
        if parameter.default is None and default is Parameter.empty:
            option, default = Annotated[get_args(option)[0] | None, *get_args(option)[1:]], None
        elif isinstance(parameter.default, kind):
            default = getattr(parameter.default, field.name)
        if _reader(option):
            default = get_args(option)[0]()  # what is read from text is empty by default
        yield Parameter(f"{parameter.name}_{field.name}", Parameter.KEYWORD_ONLY, default=default, annotation=option)


def _reader(option: Any) -> Callable[[Any], Any] | None:
    return next((extra for extra in option.__metadata__ if callable(extra)), None)


def _gathered(parameter: Parameter, hint: object, typed: Mapping[str, object]) -> object:
    kind = _noun_of(hint)
    if kind is None:
        return typed[parameter.name]
    values = {}
    for field in fields(kind):
        read, value = _reader(NOUNS[kind][field.name]), typed[f"{parameter.name}_{field.name}"]
        values[field.name] = read(value) if read else value
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    return None if parameter.default is None and any(values[name] is None for name in needed) else kind(**values)
