"""The server process of the web application."""

from birthmark.errors import SettingError
from birthmark.web.site import Site

try:
    import fastapi  # noqa: F401
    import sqlalchemy  # noqa: F401
    import uvicorn
except ImportError:
    raise SettingError(
        "the web application needs FastAPI, SQLAlchemy and uvicorn; pip install 'birthmark[web]'"
    ) from None


def serve(site: Site, *, host: str, port: int) -> None:
    """Serve until interrupted."""
    from birthmark.web.app import application

    config = uvicorn.Config(
        application(site), host=host, port=port, log_level="warning", proxy_headers=False, server_header=False
    )
    uvicorn.Server(config).run()
