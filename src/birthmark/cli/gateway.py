"""The commands `key`, `gateway`, `trace` and `utility`: marks, who serves them, and whom they name."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Alpha, Json, KeyFiles, Out, Report, Seed, SuspectChoice, Workplace, command, noun
from birthmark.cli.tables import table
from birthmark.errors import SettingError
from birthmark.evidence import EXIT
from birthmark.secrets import Redacting
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import Secret
    from birthmark.trace import Trace

key = typer.Typer(help="Keys of watermarks: make them, make claims with them.", no_args_is_help=True)
top = typer.Typer()

LogFolder = Annotated[Path | None, typer.Option("--log", help="The gateway's query log.")]


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
        made = _keyring(source, making, data, ring, place, quiet=as_json)
        result |= {
            "keyring": str(keys.keyring),
            "digest": made.save(keys.keyring),
            "queries": len(made.queries),
            "references": len(made.references),
            "placebos": len(made.placebos),
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


def _keyring(
    source: ModelFile, making: Making, data: DataChoice, ring: RingChoice, place: Workplace, *, quiet: bool
) -> "Keyring":
    from birthmark.cli.progress import bar
    from birthmark.workshop.marking import make_keyring
    from birthmark.workshop.opening import open_owner
    from birthmark.zoo.catalogue import executor

    with closing(executor("local", place.workers or None)) as engine, bar("training references", quiet=quiet) as share:
        owner, _ = open_owner(
            source, making, data, cohort=(0, ring.references), cache=place.cache, engine=engine, progress=share
        )
        return make_keyring(
            owner, references=ring.references, seed=ring.seed, queries=ring.queries, placebos=ring.placebos
        )


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


@command(top, "gateway")
def gateway(
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file; BIRTHMARK_GATEWAY_... variables override it.")
    ] = None,
    upstream: Annotated[str | None, typer.Option("--upstream", help="Base URL of the model server.")] = None,
    secret: Annotated[
        str | None, typer.Option("--key", help="The master key: a file that only you may read, or env:NAME.")
    ] = None,
    keyring: Annotated[str | None, typer.Option("--keyring", help="The keyring's folder.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8900,
    check: Annotated[bool, typer.Option("--check", help="Read settings, key and keyring, and stop.")] = False,
) -> None:
    """Serve a prediction API with marked answers, in front of a model server."""
    from birthmark.gateway.config import read_config
    from birthmark.gateway.keys import Keys
    from birthmark.gateway.server import serve

    handler = logging.StreamHandler()
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    chosen = read_config(config, upstream=upstream, secret=secret, keyring=keyring)
    if not check:
        serve(chosen, host=host, port=port)
        return
    keys = Keys.load(chosen)
    say(
        f"in order: key {keys.secret.fingerprint}, strength {chosen.strength}, policy {chosen.policy}, dialect "
        f"{chosen.wire.dialect}"
    )


@noun(
    {
        "clients": Annotated[list[str], typer.Option("--client", help="A client's name; may be given again.")],
        "log": LogFolder,
        "alpha": Alpha,
        "queries": Annotated[
            int | None, typer.Option("--queries", min=1, help="Queries to ask; default all of the keyring's.")
        ],
    }
)
@dataclass(frozen=True)
class TraceChoice:
    """Whom to look for, and how."""

    clients: Sequence[str] = ()
    log: Path | None = None
    alpha: float = 0.01
    queries: int | None = None

    def names(self) -> list[str]:
        """The clients named and those in the log, each once."""
        from birthmark.gateway.log import read

        return list(
            dict.fromkeys([*self.clients, *(record["client"] for record in (read(self.log) if self.log else ()))])
        )


@command(top, "trace")
def trace(
    suspect: SuspectChoice,
    choice: TraceChoice = TraceChoice(),
    keys: KeyFiles = KeyFiles(),
    report: Report = None,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Rank clients by how much of their mark a suspect carries.

    Corrected for their number. Clients from --client, --log, or both.
    """
    from birthmark.artifact import canonical, file_digest, write_atomically
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import read_secret
    from birthmark.report.pages import tracing
    from birthmark.trace import trace as traced

    ring, master = Keyring.load(keys.keyring), read_secret(keys.secret)
    found = replace(
        traced(
            ring,
            master,
            choice.names(),
            suspect.open(ring.task),
            alpha=choice.alpha,
            queries=choice.queries,
            transcript=out / "transcript.jsonl" if out else None,
        ),
        authorisation=suspect.authorisation,
        keyring=file_digest(keys.keyring / "manifest.json"),
    )
    if out:
        write_atomically(out / "evidence.json", canonical(found.as_dict()))
    if report:
        write_atomically(report, tracing(found).encode())
    if as_json:
        say_json(found.as_dict())
    else:
        _print_trace(found)
    return EXIT[found.verdict]


def _print_trace(found: "Trace") -> None:
    rows = [
        [s.client, f"{s.z:.2f}", f"{s.p_value:.4g}", f"{s.corrected:.4g}", "named" if s.named else ""]
        for s in found.clients[:20]
    ]
    table(
        f"{found.queries} queries, {found.placebos} placebo keys, {len(found.clients)} clients",
        ["client", "z", "p", "p corrected", ""],
        rows,
    )
    say(found.reason)
    for note in found.notes:
        say(f"  note: {note}")


@command(top, "utility")
def utility(
    source: ModelFile,
    data: DataChoice = DataChoice(),
    split: Annotated[str, typer.Option("--split", help="Held-out part to measure on.")] = "test",
    keys: KeyFiles = KeyFiles(),
    clients: Annotated[int, typer.Option("--clients", min=1, help="Keys to average over.")] = 5,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture (.png or .svg).")] = None,
    as_json: Json = False,
) -> None:
    """What each strength would cost your users and buy you in evidence, on your own held-out data."""
    from birthmark import data as datasets
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import read_secret
    from birthmark.workshop import utility as measuring
    from birthmark.workshop.modelfile import load_module
    from birthmark.workshop.training import probabilities

    samples = datasets.load(data.name, seed=data.seed, directory=data.directory)[split]
    module, _, _ = load_module(
        source.path,
        architecture=source.architecture,
        shape=source.shape or samples.shape,
        classes=source.classes or samples.classes,
    )
    ring, master = Keyring.load(keys.keyring), read_secret(keys.secret)
    found = measuring.utility(
        [ring.client(master, f"utility-{i}") for i in range(clients)],
        samples.inputs,
        probabilities(module, samples.inputs),
        samples.targets.astype(int),
    )
    if plot is not None:
        measuring.plot(found, plot)
    if as_json:
        say_json(measuring.as_rows(found))
        return
    rows = [
        [
            u.strength,
            f"{u.top1_agreement:.4f}",
            f"{u.accuracy_change:+.4f}",
            f"{u.l1:.3f}",
            f"{u.kl:.3f}",
            f"{u.ece_before:.3f} -> {u.ece:.3f}",
            "  ".join(f"{q}: {z:.1f}" for q, z in u.evidence.items()),
        ]
        for u in found
    ]
    columns = ["strength", "top-1 kept", "accuracy", "L1", "KL", "ECE", "z of a perfect student by queries"]
    table(f"{len(samples)} held-out inputs, {clients} keys", columns, rows)


def mount(app: typer.Typer) -> None:
    """Add these commands to the `birthmark` command."""
    app.add_typer(key, name="key")
    app.add_typer(top)
