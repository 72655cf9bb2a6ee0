"""The commands `key`: keys of watermarks, the keyrings that marks need, and claims on whoever learned a mark."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli.edge import say, say_json, say_notes
from birthmark.cli.options import Json, KeyFiles, LogFolder, Seed, Workplace, command, noun
from birthmark.errors import SettingError
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import Secret

key = typer.Typer(help="Keys of watermarks: make them, make claims with them.", no_args_is_help=True)


@noun(
    {
        "secret": Annotated[
            Path, typer.Option("--secret", help="New file for the master key, mode 600; never overwritten.")
        ],
        "keyring": Annotated[
            Path | None,
            typer.Option(
                "--keyring", help="Folder for the keyring; needs --source. Without it only a master key is made."
            ),
        ],
    }
)
@dataclass(frozen=True)
class NewKeys:
    """Where a new master key and a new keyring go."""

    secret: Path = Path("birthmark.key")
    keyring: Path | None = None

    def master(self) -> "Secret":
        """The master key: a new one, or for a keyring the one that is there."""
        from birthmark.marks.keys import new_secret, read_secret, write_secret

        if self.secret.exists() and self.keyring is not None:
            return read_secret(self.secret)
        made = new_secret()
        write_secret(self.secret, made)
        return made


@noun(
    {
        "references": Annotated[
            int,
            typer.Option(
                "--references",
                min=0,
                help="Unmarked models that keys are checked against and answers are read against.",
            ),
        ],
        "queries": Annotated[int, typer.Option("--queries", min=1, help="Held-out inputs for claims.")],
        "placebos": Annotated[int, typer.Option("--placebos", min=1, help="Placebo keys; 999 reach p = .001.")],
        "seed": Seed,
    }
)
@dataclass(frozen=True)
class RingChoice:
    """What a keyring holds."""

    references: int = 6
    queries: int = 1000
    placebos: int = 999
    seed: int = 0


@command(key, "new")
def key_new(
    keys: NewKeys = NewKeys(),
    source: ModelFile | None = None,
    making: Making = Making(),
    data: DataChoice = DataChoice(),
    ring: RingChoice = RingChoice(),
    place: Workplace = Workplace(),
    as_json: Json = False,
) -> None:
    """Make a master key, and the keyring that marks and claims need."""
    if keys.keyring is not None and source is None:
        raise SettingError(
            "a keyring is made from the model behind the API: give --source, or leave --keyring out for a master key "
            "alone"
        )
    master = keys.master()
    result: dict[str, Any] = {"secret": str(keys.secret), "fingerprint": master.fingerprint}
    if keys.keyring is not None and source is not None:
        made, notes = _keyring(source, making, data, ring, place, quiet=as_json)
        result |= {
            "keyring": str(keys.keyring),
            "digest": made.save(keys.keyring),
            "queries": len(made.queries),
            "references": len(made.references),
            "placebos": len(made.placebos),
            "notes": list(notes),
        }
    if as_json:
        say_json(result)
        return
    say(f"master key {master.fingerprint} in {keys.secret}: keep it where only the gateway can read it")
    if "keyring" in result:
        say(
            "keyring in {keyring}: {queries} queries, {references} references, {placebos} placebo keys, digest "
            "{digest}".format(**result)
        )
        say_notes(result["notes"])


def _keyring(
    source: ModelFile, making: Making, data: DataChoice, ring: RingChoice, place: Workplace, *, quiet: bool
) -> "tuple[Keyring, tuple[str, ...]]":
    from birthmark.cli.progress import bar
    from birthmark.workshop.marking import make_keyring
    from birthmark.workshop.opening import open_owner

    with closing(place.open()) as engine, bar("training references", quiet=quiet) as share:
        known = replace(making, start=making.start or "0")  # placebos are keys here: where a model started is no matter
        owner, _ = open_owner(source, known, data, cache=place.cache, engine=engine, progress=share)
        made = make_keyring(
            owner, references=ring.references, seed=ring.seed, queries=ring.queries, placebos=ring.placebos
        )
        return made, owner.notes


@command(key, "claim")
def key_claim(
    client: Annotated[str, typer.Option("--client", help="Whose mark to claim.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for the claim. It holds the client's secret: publish its digest alone."),
    ],
    keys: KeyFiles = KeyFiles(),
    strength: Annotated[str, typer.Option("--strength", help="That the gateway marked with.")] = "default",
    log: LogFolder = None,
    as_json: Json = False,
) -> None:
    """Make the claim on whoever trained on a client's answers.

    With --log the one for suspects that show labels only.
    """
    from birthmark.gateway.log import read, ties
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import read_secret
    from birthmark.workshop.marking import make_claim

    claim = make_claim(
        Keyring.load(keys.keyring),
        read_secret(keys.secret),
        client,
        strength=strength,
        ties=ties(read(log), client) if log else None,
    )
    result = {
        "claim": str(out),
        "digest": claim.save(out),
        "method": claim.method,
        "queries": len(claim.queries),
        "client": client,
    }
    if as_json:
        say_json(result)
    else:
        say("{method} claim for client {client} in {claim}: {queries} queries, digest {digest}".format(**result))
