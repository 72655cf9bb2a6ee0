"""The commands of the notary: commit, draw, sign, timestamp, judge."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli import judge
from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Alpha, Json, Settings, command, noun, settings_of
from birthmark.errors import BirthmarkError, SettingError
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.evidence import Evidence

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
        "method": Annotated[str, typer.Option("--method", help="Fingerprint method, or watermark (birthmark list).")],
        "settings": Settings,
        "alpha": Alpha,
        "answers": Annotated[str, typer.Option("--kind", help="Of the answers: probabilities or labels.")],
        "budget": Annotated[int, typer.Option("--budget", help="Queries to be asked; 0 for all of the claim's.")],
        "null": Annotated[str, typer.Option("--null", help="What the score is ranked among: placebos or references.")],
        "client": Annotated[str, typer.Option("--client", help="Of a watermark: for whom its key will be.")],
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
    client: str = ""
    claim: Path | None = None

    def fixed(self) -> dict[str, Any]:
        from birthmark import registry

        said = settings_of(list(self.settings))
        marks = registry.found("watermarks")
        scorer = registry.make("watermarks" if self.method in marks else "methods", self.method, said)
        if (self.method in marks) != bool(self.client):
            raise SettingError("give --client for a watermark, whose key is one client's, and for nothing else")
        settings = {name: value for name, value in vars(scorer).items() if name != "key"}
        terms = {name: getattr(self, name) for name in ("method", "alpha", "answers", "null")}
        client = {"client": self.client} if self.client else {}
        return {**terms, **client, "settings": settings, "budget": self.budget or None}


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
    from birthmark.marks import keys
    from birthmark.notary import commitments
    from birthmark.notary.commitments import BEFORE_TRAINING, Commitment

    made = Commitment.read((folder / "commitment.json").read_bytes(), str(folder / "commitment.json"))
    drawn = commitments.draw(made, value, commitments.read_secret(folder / "secret"))
    write_atomically(folder / "drawn.json", drawn.blob)
    own = {}
    if made.fixed.get("client"):
        keys.write_secret(folder / "master.key", keys.Secret(drawn.key("master")))
        own["master"] = str(folder / "master.key")
    if made.stage == BEFORE_TRAINING:
        own |= {name: str(drawn.seed(name)) for name in ("start", "course")}
    if as_json:
        say_json({"drawn": str(folder / "drawn.json"), **own})
        return
    say(f"drawn: {folder / 'drawn.json'}")
    for name, value in own.items():
        say(f"make the watermark's keys with --secret {value}" if name == "master" else f"train with {name} {value}")
    say(f"then: birthmark enroll --drawn {folder / 'drawn.json'}")


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
    app.add_typer(judge.top)
