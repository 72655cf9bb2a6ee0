"""The command `judge`: sealed evidence held against what a third party knows, trains and asks."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Json, Report, SuspectChoice, command, noun
from birthmark.errors import SettingError
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.notary.cases import Case
    from birthmark.notary.checks import Check, Known
    from birthmark.notary.judging import Judgement

top = typer.Typer()


@noun(
    {
        "signer": Annotated[Path | None, typer.Option("--signer", help="The accuser's public key (PEM).")],
        "roots": Annotated[
            Path | None, typer.Option("--roots", help="Certificates (PEM) of time-stamp authorities that you trust.")
        ],
        "value": Annotated[str, typer.Option("--value", help="The committed round's public value, looked up by you.")],
        "published": Annotated[str, typer.Option("--published", help="When it was published, 2026-01-31T12:00.")],
        "since": Annotated[str, typer.Option("--since", help="Day from which the suspect is known, 2026-01-31.")],
        "listed": Annotated[
            int, typer.Option("--listed", min=0, help="Earlier commitments by this owner, by somebody else's list.")
        ],
        "pool": Annotated[
            str, typer.Option("--own-pool", help="Data that the owner did not choose: name, file, folder.")
        ],
        "cache": Annotated[Path, typer.Option("--cache", help="Folder of the models that you train.")],
        "code": Annotated[Path, typer.Option("--code", help="Folder of the owner's own code, for --sandbox.")],
        "sandbox": Annotated[
            float,
            typer.Option(
                "--sandbox",
                min=0,
                help="Run the owner's own code, without network, at most so many seconds a training; 0: never.",
            ),
        ],
        "report": Report,
        "course": Annotated[int, typer.Option("--course", help="Seed that the source's own code was called with.")],
    }
)
@dataclass(frozen=True)
class Knowledge:
    """What the judge knows without the accuser, and where the judge works and writes."""

    signer: Path | None = None
    roots: Path | None = None
    value: str = ""
    published: str = ""
    since: str = ""
    listed: int = 0
    pool: str = ""
    cache: Path = Path("zoo")
    code: Path = Path()
    sandbox: float = 0.0
    course: int = 0
    report: Path | None = None

    def read(self) -> "Known":
        from birthmark.notary import signing, stamps
        from birthmark.notary.checks import Known

        return Known(
            signing.read_public_key(self.signer) if self.signer else None,
            stamps.roots(self.roots) if self.roots else (),
            self.value,
            _moment(self.published),
            _moment(self.since),
            self.listed,
        )


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise SettingError(f"expected a day or a time like 2026-01-31T12:00, got {text!r}") from None
    return found.replace(tzinfo=found.tzinfo or UTC) if found else None


@command(top, "judge")
def judge(
    evidence: Annotated[Path, typer.Argument(help="Sealed evidence: a folder, or a zip.")],
    known: Knowledge = Knowledge(),
    suspect: SuspectChoice | None = None,
    source: ModelFile | None = None,
    making: Making = Making(),
    data: DataChoice = DataChoice(),
    as_json: Json = False,
) -> int:
    """Judge sealed evidence: upheld (exit 10), rejected (11) or inconclusive (3), with every check in words.

    Without --source and --suspect only what the papers show is checked.
    """
    from birthmark.artifact import write_atomically
    from birthmark.notary import folders
    from birthmark.notary.cases import read_case
    from birthmark.notary.judging import judge as judged
    from birthmark.report.judgement import page

    facts = known.read()
    case = read_case(folders.load(evidence), facts)
    more = _with_models(case, facts, known, suspect, source, making, data) if source else []
    found = judged(case, facts, more)
    if known.report:
        write_atomically(known.report, page(found.as_dict(), case.claim.facts).encode())
    if as_json:
        say_json(found.as_dict())
    else:
        _print(found)
    return found.exit_code


def _with_models(
    case: "Case",
    facts: "Known",
    known: Knowledge,
    suspect: SuspectChoice | None,
    source: ModelFile,
    making: Making,
    data: DataChoice,
) -> "list[Check]":
    from birthmark import data as datasets
    from birthmark.artifact import file_digest
    from birthmark.claim import Task
    from birthmark.notary.sandboxed import Confinement, Workplace, stranger_bench
    from birthmark.notary.workbench import OWN_CODE, Bench, model_checks
    from birthmark.workshop.card import is_code
    from birthmark.workshop.opening import open_owner
    from birthmark.zoo.catalogue import executor
    from birthmark.zoo.store import Store

    parts = datasets.chosen(data, training=True)
    theirs = datasets.load(known.pool, seed=data.seed, directory=data.directory) if known.pool else None
    foreign = is_code(making.recipe) or is_code(source.architecture)
    if foreign and not known.sandbox:
        raise SettingError(f"the source is given, not rebuilt: {OWN_CODE}")
    with closing(executor("local", None)) as engine:
        place = Workplace(parts, theirs, Store(known.cache), engine)
        if foreign:
            code = Confinement(known.code, known.sandbox, known.course)
            bench = stranger_bench(case, source, making, code, place)
        else:
            owner, _ = open_owner(source, making, data, cache=known.cache, engine=engine)
            bench = Bench.set_up(owner, file_digest(source.path), parts, theirs, place.store, engine)
        task = Task(parts.shape, parts["test"].outputs, not parts.classes)
        return model_checks(case, bench, suspect.open(task) if suspect else None, facts)


def _print(found: "Judgement") -> None:
    say(found.reason, lead=f"{found.finding}: ")
    for check in found.checks:
        say(f"  {check.name}: {check.outcome}: {check.words}")
