"""The command `doctor`: what a model is, what it answers, and what to type next."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import DECLARED, Json, SuspectChoice, command, noun
from birthmark.errors import SettingError
from birthmark.evidence import plain_data

if TYPE_CHECKING:
    from birthmark.claim import Task
    from birthmark.types import Floats

top = typer.Typer()
SHOWN = 3  # inputs whose answers are printed
MOST = 10  # numbers of an answer that are printed
GUESSED = 2  # classes, until it was asked
SEVERAL = "scores of each class for itself: sigmoid scores, or a multi-label classifier, which no claim can be about"


@noun(
    {
        "target": Annotated[
            str, typer.Argument(help="A model: a file, a folder, a URL, its TOML description, or module:function.")
        ],
        **DECLARED,
    }
)
@dataclass(frozen=True)
class PatientChoice(SuspectChoice):
    """A model of which little is known, and what is declared of it."""


@dataclass(frozen=True)
class Findings:
    """What was found out.

    Attributes:
        what: what it is, as far as it says.
        shape, outputs: of one input, and how many numbers it answers.
        declared, looks: the kind of its answers as they are read, and as they look.
        moves: how far answers to the same inputs differ when asked twice; 0 if it is deterministic.
        answers: to three inputs.
        say: what to declare, if what it answers is not what is declared.
        next: what to type next.
    """

    what: str
    shape: tuple[int, ...]
    outputs: int
    declared: str
    looks: str
    moves: float
    answers: list[list[float]]
    say: str
    next: tuple[str, ...]


@command(top, "doctor")
def doctor(patient: PatientChoice, as_json: Json = False) -> None:
    """Look at a model before it is enrolled or verified: what it is, what it answers, and what to type next."""
    what, task = _known(patient)
    if not as_json:
        say(f": {what}", lead=patient.target)
    if task is None:
        raise SettingError(
            f"{patient.target}: to ask it, the shape of one input must be known: give --shape (3x32x32, or 12 for "
            "twelve columns), and --classes"
        )
    found = _examined(patient, what, task)
    if as_json:
        say_json(plain_data(asdict(found)))
        return
    _print(found)


def _known(patient: PatientChoice) -> "tuple[str, Task | None]":
    """What it says of itself, and the task as far as it is known; None if nobody knows what to send."""
    from birthmark.claim import Task
    from birthmark.suspects.description import SuspectSpec
    from birthmark.types import Form

    about, said = _about(patient.target), SuspectSpec.read(patient.spec) if patient.spec else SuspectSpec()
    shape = next(filter(None, (patient.shape, said.transport.shape, _whole(about["shape"]))), ())
    classes = next(filter(None, (patient.classes, len(said.reading.labels), _whole([about["outputs"]])[0])), GUESSED)
    form = Form.TEXT if about["text"] and not shape else Form.NUMBERS
    task = Task(shape, classes, "values" in (patient.answers, said.reading.answers), form)
    return str(about["what"]), task if shape or about["text"] else None


def _about(target: str) -> Mapping[str, object]:
    """What it says of itself, as `birthmark.suspects.looking` tells."""
    from birthmark.suspects import CODE, sandbox

    path = Path(target)
    if "://" in target or path.suffix.lower() == ".toml":
        return {"what": "an API", "shape": [], "outputs": 0, "text": False}
    if CODE.fullmatch(target) and not path.exists():
        return {"what": "code of your own", "shape": [], "outputs": 0, "text": False}
    return sandbox.looked(_there(path))


def _there(path: Path) -> Path:
    from birthmark.errors import ArtifactError

    if not path.exists():
        raise ArtifactError(f"{path}: no such file or folder; an address starts with http:// or https://")
    return path


def _whole(said: object) -> tuple[int, ...]:
    return tuple(int(number) for number in said) if isinstance(said, list) else ()


def _examined(patient: PatientChoice, what: str, task: "Task") -> Findings:
    from birthmark.suspects.code import probe

    oracle, inputs = patient.open(task), probe(task)
    first, again = oracle(inputs), oracle(inputs)
    looks, kind, advice = _seen(first, task.values)
    differs = kind not in ("", oracle.answers.value)
    return Findings(
        what=what,
        shape=tuple(task.shape),
        outputs=first.shape[1],
        declared=oracle.answers.value,
        looks=looks,
        moves=float(np.abs(first - again).max()) if first.shape == again.shape else float("inf"),
        answers=first[:SHOWN].tolist(),
        say=advice if differs else "",
        next=_next(patient, kind if differs else patient.answers),
    )


def _seen(rows: "Floats", values: bool) -> tuple[str, str, str]:
    """What rows look like, the kind to declare ("" if they are no kind), and the words for that."""
    from birthmark.answers import is_labels, likeness

    if bad := int((~np.isfinite(rows)).any(axis=1).sum()):
        return f"not finite in {bad} of {len(rows)} answers", "", ""
    if values:
        return "values, as declared", "", ""
    if is_labels(rows) and rows.shape[1] > 1:
        return "labels", "labels", "these look like labels; declare answers labels"
    seems = likeness(rows)
    several = seems.kind == "sigmoid" and rows.shape[1] > 2
    return SEVERAL if several else seems.kind, seems.kind, str(seems)


def _next(patient: PatientChoice, answers: str) -> tuple[str, ...]:
    """The commands that take it as a suspect and as a source."""
    told = [f"--spec {patient.spec}"] if patient.spec else []
    told += [f"--answers {answers}"] if answers else []
    told += [f"--architecture {patient.architecture}"] if patient.architecture else []
    told += [f"--i-am-authorised '{patient.authorisation}'"] if patient.authorisation else []
    rest = " ".join(["", *told])
    return (
        f"birthmark verify CLAIM --suspect {patient.target}{rest}",
        f"birthmark enroll --source {patient.target}{rest} --twin 'TWINS/*' --reference 'OTHERS/*' --pool POOL "
        f"--same-start --out CLAIM",
    )


def _print(found: Findings) -> None:
    say(f"  it was asked {len(found.answers)} random inputs of shape {'x'.join(map(str, found.shape)) or 'one text'}:")
    for row in found.answers:
        say(f"    {_row(row)}")
    say(f"  answers: {found.outputs} numbers an input, read as {found.declared}; they look like {found.looks}")
    moves = f"answers differ by up to {found.moves:.2g}: not deterministic"
    twice = f"asked twice, {moves if found.moves else 'it answers the same: deterministic'}"
    for line in filter(None, (found.say, twice)):
        say(f"  {line}")
    say(f"  next, if it is a suspect:  {found.next[0]}")
    say(f"  next, if it is your own:   {found.next[1]}")


def _row(row: list[float]) -> str:
    shown = ", ".join(f"{value:.4g}" for value in row[:MOST])
    return shown if len(row) <= MOST else f"{shown}, ... ({len(row)} numbers)"


def mount(app: typer.Typer) -> None:
    """Add this command to the `birthmark` command."""
    app.add_typer(top)
