"""The commands `key`, `gateway`, `trace` and `utility`: marks, who serves them, and whom they name."""

import json
import logging
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from birthmark.cli.bench import ours
from birthmark.errors import SettingError
from birthmark.secrets import Redacting

key = typer.Typer(help="Keys of watermarks: make them, make claims with them.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Ring = Annotated[Path, typer.Option("--keyring", help="The keyring's folder, made by birthmark key new.")]
SecretPlace = Annotated[
    str, typer.Option("--secret", help="The master key: a file that only you may read, or env:NAME.")
]
LogFolder = Annotated[Path | None, typer.Option("--log", help="The gateway's query log.")]


@key.command("new")
@ours
def key_new(
    secret: Annotated[
        Path, typer.Option("--secret", help="New file for the master key, mode 600; never overwritten.")
    ] = Path("birthmark.key"),
    out: Annotated[
        Path | None,
        typer.Option("--keyring", help="Folder for the keyring; needs --source. Without it only a master key is made."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", help="The model behind the API: a safetensors file.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="How the source was trained, if its file does not say.")] = "",
    data: Annotated[
        str, typer.Option("--data", help="Data set: a name, an .npz file, or a folder of images by class.")
    ] = "digits",
    split: Annotated[str, typer.Option("--split", help="Part of the data that the source was trained on.")] = "owner",
    references: Annotated[
        int,
        typer.Option(
            "--references", help="Unmarked models that keys are checked against and answers are read against."
        ),
    ] = 6,
    queries: Annotated[int, typer.Option("--queries", help="Held-out inputs for claims.")] = 1000,
    placebos: Annotated[int, typer.Option("--placebos", help="Placebo keys; 999 reach p = .001.")] = 999,
    seed: Annotated[int, typer.Option("--seed", help="Of the placebo keys.")] = 0,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Where the data set's files are.")] = None,
    data_seed: Annotated[int, typer.Option("--data-seed", help="Seed of the splits.")] = 0,
    cache: Annotated[Path, typer.Option("--cache", help="Folder of trained models; a rerun continues from it.")] = Path(
        "zoo"
    ),
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that train side by side; 0 means one a core.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Make a master key, and the keyring that marks and claims need."""
    from birthmark.marks.keys import new_secret, read_secret, write_secret

    if secret.exists() and out is not None:
        master = read_secret(secret)
    else:
        master = new_secret()
        write_secret(secret, master)
    result: dict[str, Any] = {"secret": str(secret), "fingerprint": master.fingerprint}
    if out is not None:
        if source is None:
            raise SettingError(
                "a keyring is made from the model behind the API: give --source, or leave --keyring out for a master "
                "key alone"
            )
        from birthmark.cli.progress import bar
        from birthmark.workshop.marking import make_keyring
        from birthmark.workshop.opening import open_owner
        from birthmark.zoo.catalogue import executor

        with (
            closing(executor("local", workers or None)) as engine,
            bar("training references", quiet=as_json) as progress,
        ):
            owner, _ = open_owner(
                source,
                recipe=recipe,
                data=data,
                data_dir=data_dir,
                data_seed=data_seed,
                split=split,
                training={},
                cache=cache,
                engine=engine,
                architecture="",
                shape=(),
                classes=0,
                twins=0,
                references=references,
                progress=progress,
            )
            ring = make_keyring(owner, references=references, seed=seed, queries=queries, placebos=placebos)
        result |= {
            "keyring": str(out),
            "digest": ring.save(out),
            "queries": len(ring.queries),
            "references": len(ring.references),
            "placebos": len(ring.placebos),
        }
    if as_json:
        typer.echo(json.dumps(result))
    else:
        typer.echo(f"master key {master.fingerprint} in {secret}: keep it where only the gateway can read it")
        if out is not None:
            typer.echo(
                f"keyring in {out}: {result['queries']} queries, {result['references']} references, "
                f"{result['placebos']} placebo keys, digest {result['digest']}"
            )


@key.command("claim")
@ours
def key_claim(
    client: Annotated[str, typer.Option("--client", help="Whose mark to claim.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for the claim. It holds the client's secret: publish its digest alone."),
    ],
    keyring: Ring = Path("keyring"),
    secret: SecretPlace = "birthmark.key",
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
        Keyring.load(keyring),
        read_secret(secret),
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
    typer.echo(
        json.dumps(result)
        if as_json
        else "{method} claim for client {client} in {claim}: {queries} queries, digest {digest}".format(**result)
    )


@ours
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
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8900,
    check: Annotated[bool, typer.Option("--check", help="Read settings, key and keyring, and stop.")] = False,
) -> None:
    """Serve a prediction API with marked answers, in front of a model server."""
    from birthmark.gateway.app import Keys, serve
    from birthmark.gateway.config import read_config

    handler = logging.StreamHandler()
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    chosen = read_config(config, upstream=upstream, secret=secret, keyring=keyring)
    if check:
        keys = Keys.load(chosen)
        typer.echo(
            f"in order: key {keys.secret.fingerprint}, strength {chosen.strength}, policy {chosen.policy}, dialect "
            f"{chosen.wire.dialect}"
        )
        return
    serve(chosen, host=host, port=port)


@ours
def trace(
    suspect: Annotated[str, typer.Option("--suspect", help="A model file, a local Hugging Face folder, or a URL.")],
    clients: Annotated[list[str] | None, typer.Option("--client", help="A client's name; may be given again.")] = None,
    log: LogFolder = None,
    keyring: Ring = Path("keyring"),
    secret: SecretPlace = "birthmark.key",
    alpha: Annotated[
        float, typer.Option("--alpha", help="Share of innocents for whom some client may be named.")
    ] = 0.01,
    queries: Annotated[
        int | None, typer.Option("--queries", help="Queries to ask; default all of the keyring's.")
    ] = None,
    spec: Annotated[Path | None, typer.Option("--spec", help="TOML file that describes the suspect.")] = None,
    authorisation: Annotated[
        str, typer.Option("--i-am-authorised", help="On what ground you query a remote suspect.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Rank clients by how much of their mark a suspect carries.

    Corrected for their number. Clients from --client, --log, or both.
    """
    from birthmark import suspects
    from birthmark.gateway.log import read
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import read_secret
    from birthmark.suspects.description import SuspectSpec
    from birthmark.trace import trace as ranked

    names = list(dict.fromkeys([*(clients or ()), *(record["client"] for record in (read(log) if log else ()))]))
    ring = Keyring.load(keyring)
    oracle = suspects.open(
        suspect, spec=SuspectSpec.read(spec) if spec else SuspectSpec(), task=ring.task, authorisation=authorisation
    )
    found = ranked(ring, read_secret(secret), names, oracle, alpha=alpha, queries=queries)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    from birthmark.cli.tables import table

    rows = [
        [s.client, f"{s.z:.2f}", f"{s.p_value:.4g}", f"{s.corrected:.4g}", "named" if s.named else ""]
        for s in found.clients[:20]
    ]
    table(
        f"{found.queries} queries, {found.placebos} placebo keys, {len(found.clients)} clients",
        ["client", "z", "p", "p corrected", ""],
        rows,
    )
    if found.pair:
        typer.echo(f"together: {' and '.join(found.pair)} (p = {found.pair_p:.3g}); neither is named alone")
    elif not any(s.named for s in found.clients):
        typer.echo("no client is named" + (f": {found.reach}" if found.reach else ""))


@ours
def utility(
    source: Annotated[Path, typer.Option("--source", help="The model behind the API: a safetensors file.")],
    data: Annotated[
        str, typer.Option("--data", help="Data set: a name, an .npz file, or a folder of images by class.")
    ] = "digits",
    split: Annotated[str, typer.Option("--split", help="Held-out part to measure on.")] = "test",
    keyring: Ring = Path("keyring"),
    secret: SecretPlace = "birthmark.key",
    clients: Annotated[int, typer.Option("--clients", help="Keys to average over.")] = 5,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture (.png or .svg).")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Where the data set's files are.")] = None,
    data_seed: Annotated[int, typer.Option("--data-seed", help="Seed of the splits.")] = 0,
    as_json: Json = False,
) -> None:
    """What each strength would cost your users and buy you in evidence, on your own held-out data."""
    from birthmark import data as datasets
    from birthmark.marks.keyring import Keyring
    from birthmark.marks.keys import read_secret
    from birthmark.workshop.modelfile import load_module
    from birthmark.workshop.training import probabilities
    from birthmark.workshop.utility import as_rows
    from birthmark.workshop.utility import plot as draw
    from birthmark.workshop.utility import utility as measure

    samples = datasets.load(data, seed=data_seed, directory=data_dir)[split]
    module, _, _ = load_module(source, architecture="", shape=samples.shape, classes=samples.classes)
    ring, master = Keyring.load(keyring), read_secret(secret)
    found = measure(
        [ring.client(master, f"utility-{i}") for i in range(clients)],
        samples.inputs,
        probabilities(module, samples.inputs),
        samples.targets.astype(int),
    )
    if plot is not None:
        draw(found, plot)
    if as_json:
        typer.echo(json.dumps(as_rows(found)))
        return
    from birthmark.cli.tables import table

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
    table(
        f"{len(samples)} held-out inputs, {clients} keys",
        ["strength", "top-1 kept", "accuracy", "L1", "KL", "ECE", "z of a perfect student by queries"],
        rows,
    )


def mount(app: typer.Typer) -> None:
    """Add these commands to the `birthmark` command."""
    app.add_typer(key, name="key")
    app.command("gateway")(gateway)
    app.command("trace")(trace)
    app.command("utility")(utility)
