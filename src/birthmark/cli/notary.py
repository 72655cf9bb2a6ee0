"""The commands of the notary: commit, draw, sign, timestamp, judge."""

import os
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Alpha, Json, Settings, SuspectChoice, command, noun, settings_of
from birthmark.errors import BirthmarkError, SettingError
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.evidence import Evidence
    from birthmark.notary.cases import Case, Known
    from birthmark.notary.judging import Check, Judgement

top = typer.Typer()

Key = Annotated[Path, typer.Option("--key", help="Your private key (Ed25519 or ECDSA P-256, PEM).")]
Folder = Annotated[Path, typer.Argument(help="The commitment's folder, made by birthmark commit.")]
CommitmentFolder = Annotated[Path | None, typer.Option("--commitment", help="The commitment's folder.")]


@noun(
    {
        "owner": Annotated[str, typer.Option("--owner", help="Who commits, as you call yourself.")],
        "beacon": Annotated[
            str, typer.Option("--beacon", help="Who will publish the random value that decides the draws.")
        ],
        "round": Annotated[
            str, typer.Option("--round", help="Which of its values: a round or a date that is still to come.")
        ],
        "earlier": Annotated[
            list[str], typer.Option("--earlier", help="Digest of a commitment that you made before; give them all.")
        ],
    }
)
@dataclass(frozen=True)
class Promise:
    """Who commits, and what decides the draws."""

    owner: str
    beacon: str
    round: str
    earlier: tuple[str, ...] = ()


@noun(
    {
        "method": Annotated[str, typer.Option("--method", help="Fingerprint method (birthmark list methods).")],
        "settings": Settings,
        "alpha": Alpha,
        "answers": Annotated[str, typer.Option("--kind", help="Of the answers: probabilities or labels.")],
        "budget": Annotated[int, typer.Option("--budget", help="Queries to be asked; 0 for all of the claim's.")],
        "null": Annotated[str, typer.Option("--null", help="What the score is ranked among: placebos or references.")],
        "claim": Annotated[Path | None, typer.Option("--claim", help="A claim that is there already.")],
    }
)
@dataclass(frozen=True)
class Trial:
    """How suspects will be tested."""

    method: str = "kinship"
    settings: tuple[str, ...] = ()
    alpha: float = 0.05
    answers: str = "probabilities"
    budget: int = 0
    null: str = "placebos"
    claim: Path | None = None

    def fixed(self) -> dict[str, Any]:
        from birthmark import registry

        method = registry.make("methods", self.method, settings_of(list(self.settings)))
        terms = {name: getattr(self, name) for name in ("method", "alpha", "answers", "null")}
        return {**terms, "settings": asdict(method), "budget": self.budget or None}


@command(top, "commit")
def commit(
    out: Annotated[Path, typer.Option("--out", help="New folder for commitment and secret.")],
    promise: Promise,
    source: ModelFile | None = None,
    making: Making = Making(),
    data: DataChoice = DataChoice(),
    trial: Trial = Trial(),
    as_json: Json = False,
) -> None:
    """Fix, before any dispute, what could be chosen to fit a suspect.

    Without --source before training: the source's own seed will be drawn, too. Publish the digest, sign, time-stamp.
    """
    from birthmark.artifact import disk_errors, write_atomically
    from birthmark.notary import commitments, planning

    if out.exists():
        raise BirthmarkError(f"{out} is there already, and a commitment is never overwritten; name a new folder")
    secret = commitments.new_secret()
    made = planning.planned(promise, trial.fixed(), source, making, data, trial.claim, secret)
    with disk_errors(out):
        out.mkdir(parents=True)
        with os.fdopen(os.open(out / "secret", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret.hex() + "\n")
    write_atomically(out / "commitment.json", made.blob)
    if as_json:
        say_json({"commitment": str(out), "digest": made.digest, "stage": made.stage})
        return
    say(f"committed {made.stage}: {out}  digest {made.digest}")
    say(f"next: birthmark sign {out}, birthmark timestamp {out}; then wait for round {made.round} of {made.beacon}")


@command(top, "draw")
def draw(
    folder: Folder,
    value: Annotated[str, typer.Option("--value", help="The round's public random value, in hexadecimal digits.")],
    as_json: Json = False,
) -> None:
    """Draw what the commitment left to its round: seeds of twins, part of the pool, the source's own seed."""
    from birthmark.artifact import write_atomically
    from birthmark.notary import commitments
    from birthmark.notary.commitments import BEFORE_TRAINING, Commitment

    made = Commitment.read((folder / "commitment.json").read_bytes(), str(folder / "commitment.json"))
    drawn = commitments.draw(made, value, commitments.read_secret(folder / "secret"))
    write_atomically(folder / "drawn.json", drawn.blob)
    own = {}
    if made.stage == BEFORE_TRAINING:
        own = {name: str(drawn.seed(name)) for name in ("start", "course")}
    if as_json:
        say_json({"drawn": str(folder / "drawn.json"), **own})
        return
    said = "".join(f"\ntrain the source with {name} {seed}" for name, seed in own.items())
    for line in f"drawn: {folder / 'drawn.json'}{said}\nthen: birthmark enroll --drawn {folder / 'drawn.json'}".split(
        "\n"
    ):
        say(line)


@command(top, "sign")
def sign(
    path: Annotated[
        Path, typer.Argument(help="A commitment's folder, a model file, or the folder that verify --out wrote.")
    ],
    key: Key,
    new_key: Annotated[str, typer.Option("--new-key", help="Make the key first: ed25519 or p256.")] = "",
    claim: Annotated[Path | None, typer.Option("--claim", help="The claim that the evidence is about.")] = None,
    commitment: CommitmentFolder = None,
    out: Annotated[Path | None, typer.Option("--out", help="New folder, or .zip, for sealed evidence.")] = None,
    as_json: Json = False,
) -> None:
    """Sign a commitment, a model file (OpenSSF Model Signing), or seal evidence so that a judge can read it."""
    from birthmark.notary import planning, signing

    private = signing.new_key(key, new_key) if new_key else signing.private_key(key)
    place = planning.signed(path, private, claim, commitment, out)
    found = {"signed": str(path), "signature": str(place), "key": signing.key_id(private.public_key())}
    if as_json:
        say_json(found)
    else:
        say("signed {signed}: {signature}  key {key}".format(**found))


@command(top, "timestamp")
def timestamp(
    folder: Folder,
    authority: Annotated[str, typer.Option("--authority", help="URL of a time-stamp authority (RFC 3161).")] = "",
    query: Annotated[Path | None, typer.Option("--query", help="Write what to send an authority.")] = None,
    reply: Annotated[Path | None, typer.Option("--reply", help="An authority's answer that you already have.")] = None,
    roots: Annotated[Path | None, typer.Option("--roots", help="Certificates (PEM) that it must lead to.")] = None,
    as_json: Json = False,
) -> None:
    """Have an authority say when the signed commitment existed."""
    from birthmark.notary import planning

    found = planning.stamped(folder, authority, query, reply, roots)
    if as_json:
        say_json(found)
    else:
        say("  ".join(f"{name} {value}" for name, value in found.items()))


@noun(
    {
        "signer": Annotated[Path | None, typer.Option("--signer", help="The accuser's public key (PEM).")],
        "roots": Annotated[
            Path | None, typer.Option("--roots", help="Certificates (PEM) of time-stamp authorities that you trust.")
        ],
        "value": Annotated[str, typer.Option("--value", help="The committed round's public value, looked up by you.")],
        "published": Annotated[str, typer.Option("--published", help="When it was published, 2026-01-31T12:00.")],
        "since": Annotated[str, typer.Option("--since", help="Day from which the suspect is known, 2026-01-31.")],
        "pool": Annotated[str, typer.Option("--pool", help="Data that the owner did not choose: name, file, folder.")],
        "cache": Annotated[Path, typer.Option("--cache", help="Folder of the models that you train.")],
    }
)
@dataclass(frozen=True)
class Knowledge:
    """What the judge knows without the accuser."""

    signer: Path | None = None
    roots: Path | None = None
    value: str = ""
    published: str = ""
    since: str = ""
    pool: str = ""
    cache: Path = Path("zoo")

    def read(self) -> "Known":
        from birthmark.notary import signing, stamps
        from birthmark.notary.cases import Known

        return Known(
            signing.read_public_key(self.signer) if self.signer else None,
            stamps.roots(self.roots) if self.roots else (),
            self.value,
            _moment(self.published),
            _moment(self.since),
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
    from birthmark.notary import folders
    from birthmark.notary.cases import read_case
    from birthmark.notary.judging import judge as judged

    facts = known.read()
    case = read_case(folders.load(evidence), facts)
    more = _with_models(case, known, suspect, source, making, data) if source else []
    found = judged(case, facts, more)
    if as_json:
        say_json(found.as_dict())
    else:
        _print(found)
    return found.exit_code


def _with_models(
    case: "Case", known: Knowledge, suspect: SuspectChoice | None, source: ModelFile, making: Making, data: DataChoice
) -> "list[Check]":
    from birthmark import data as datasets
    from birthmark.artifact import file_digest
    from birthmark.notary.workbench import model_checks, workplace
    from birthmark.workshop.opening import open_owner
    from birthmark.zoo.catalogue import executor
    from birthmark.zoo.store import Store

    with closing(executor("local", None)) as engine:
        owner, _ = open_owner(source, making, data, cache=known.cache, engine=engine)
        parts = datasets.load(data.name, seed=data.seed, directory=data.directory)
        own = datasets.load(known.pool, seed=data.seed, directory=data.directory)["test"] if known.pool else None
        oracle, digest = suspect.open(owner.task) if suspect else None, file_digest(source.path)
        owner = workplace(owner, digest, Store(known.cache), parts, engine)
        return model_checks(case, owner, parts, digest, oracle, own)


def _print(found: "Judgement") -> None:
    say(found.reason, lead=f"{found.finding}: ")
    for check in found.checks:
        say(f"  {check.name}: {check.outcome}: {check.words}")


def spent(claim: Path, queries: int, evidence: "Evidence") -> None:
    """Keep beside the claim how many of its queries a suspect has seen, where that can be written."""
    from birthmark.notary import inventory

    with suppress(BirthmarkError):
        inventory.note(claim, "spent", min(evidence.queries, queries), evidence.suspect)


def print_unjudged(claim: Path, queries: int, evidence: "Evidence") -> None:
    """What is left of the claim's queries, and what no judge has checked of a verdict that accuses."""
    from birthmark.notary.inventory import inventory

    say(inventory(claim, queries), lead="inventory: ")
    if evidence.verdict == "supported":
        say(
            "the owner's own word: no judge has rebuilt the source, made twins of their own, asked the suspect or seen "
            "a date (birthmark judge)",
            lead="unjudged: ",
        )


def mount(app: typer.Typer) -> None:
    """Add these commands to the `birthmark` command."""
    app.add_typer(top)
