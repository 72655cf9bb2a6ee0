"""The command `serve`: the web application."""

from pathlib import Path
from typing import Annotated

import typer

from birthmark.cli.edge import say
from birthmark.cli.options import command

top = typer.Typer()


@command(top, "serve")
def serve(
    home: Annotated[
        Path, typer.Option("--home", help="Folder of claims, runs and, unless another is named, the database.")
    ] = Path("birthmark-server"),
    database: Annotated[str, typer.Option("--database", help="An SQLAlchemy URL; default SQLite in the folder.")] = "",
    token: Annotated[
        str, typer.Option("--token", help="Where the token is: env:NAME or file:PATH; default one that is made.")
    ] = "",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8800,
    allowed: Annotated[
        list[str],
        typer.Option("--host-allowed", help="A suspect's host that may be asked though private; may be given again."),
    ] = [],
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that ask suspects.")] = 2,
) -> None:
    """Serve the web application: claims, verification with live progress, evidence, and an HTTP API."""
    from birthmark.suspects.address import secret
    from birthmark.web.serving import serve as served
    from birthmark.web.site import Site, with_token

    given = secret(token) if token else ""
    site = with_token(Site(home, database, hosts=tuple(allowed), workers=workers), given)
    say(f"http://{host}:{port}/  the token is {'as given' if given else f'in {home}/token'}")
    served(site, host=host, port=port)


def mount(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(top)
