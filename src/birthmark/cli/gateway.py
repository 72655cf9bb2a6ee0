"""The commands `gateway`, `trace` and `utility`: who serves marks, whom they name, and what they cost."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birthmark.cli import keys
from birthmark.cli.edge import say, say_json, say_notes
from birthmark.cli.options import Alpha, Json, KeyFiles, LogFolder, Out, Report, SuspectChoice, command, noun
from birthmark.cli.tables import table
from birthmark.evidence import EXIT
from birthmark.secrets import Redacting
from birthmark.workshop.choices import DataChoice, ModelFile

if TYPE_CHECKING:
    from birthmark.trace import Trace

top = typer.Typer()


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
    files: KeyFiles = KeyFiles(),
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

    ring, master = Keyring.load(files.keyring), read_secret(files.secret)
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
        keyring=file_digest(files.keyring / "manifest.json"),
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
    say_notes(found.notes)


@command(top, "utility")
def utility(
    source: ModelFile,
    data: DataChoice = DataChoice(),
    split: Annotated[str, typer.Option("--split", help="Held-out part to measure on.")] = "test",
    files: KeyFiles = KeyFiles(),
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

    parts = datasets.chosen(data)
    samples = parts[split]
    module, _, _ = load_module(
        source.path,
        architecture=source.architecture,
        shape=source.shape or samples.shape,
        classes=source.classes or samples.classes,
    )
    ring, master = Keyring.load(files.keyring), read_secret(files.secret)
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
    say_notes(parts.notes)


def mount(app: typer.Typer) -> None:
    """Add these commands to the `birthmark` command."""
    app.add_typer(keys.key, name="key")
    app.add_typer(top)
