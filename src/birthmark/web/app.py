"""The application: its workers, its doors, what goes wrong, and the headers that every answer bears."""

import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from os import getpid
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from birthmark.cli.edge import fault
from birthmark.errors import BirthmarkError
from birthmark.secrets import printable
from birthmark.web import api, entry, pages, shelf
from birthmark.web.database import Database
from birthmark.web.site import Site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
AGAIN = 1.0  # seconds before a worker that died is replaced


class Workers:
    """Worker processes that are replaced when they die."""

    def __init__(self, site: Site) -> None:
        self._command = [sys.executable, "-m", "birthmark.web.worker", str(site.home), site.url, str(getpid())]
        self._command += site.hosts
        self._running = [self._start() for _ in range(site.workers)]
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def _watch(self) -> None:
        while not self._ended.wait(AGAIN):
            self._running = [one if one.poll() is None else self._start() for one in self._running]

    def end(self) -> None:
        """End them; what they were at is continued by the next server."""
        self._ended.set()
        for one in self._running:
            one.terminate()
        for one in self._running:
            one.wait()


def application(site: Site) -> FastAPI:
    """The pages and the API of a site."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        shelf.refreshed(site, app.state.database)
        workers = Workers(site)
        yield
        workers.end()
        app.state.database.close()

    app = FastAPI(title="birthmark", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.site, app.state.database = site, Database(site.url)
    app.include_router(pages.router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.middleware("http")(_guarded)
    app.exception_handler(BirthmarkError)(_refused)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(Exception)(_fault)
    return app


async def _guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    """Nobody comes in without the token, nothing too large does, and every answer bears the headers."""
    site, path = request.app.state.site, request.url.path
    length = request.headers.get("content-length", "0")
    if not path.startswith(entry.OPEN) and not entry.known(request, site.token):
        response = _locked(path)
    elif not re.fullmatch("[0-9]{1,18}", length) or int(length) > site.largest + (1 << 20):
        response = _said(
            request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {site.largest >> 20} MB can be uploaded"
        )
    else:
        response = await call(request)
    return _headed(response, path)


def _headed(response: Response, path: str) -> Response:
    """The answer with the headers that browsers keep their promises by."""
    policy = REPORT_POLICY if path.endswith("/report") else POLICY
    for name, value in {**HEADERS, "Content-Security-Policy": policy}.items():
        response.headers.setdefault(name, value)
    if path.startswith("/static/"):
        response.headers["Cache-Control"] = "max-age=3600"
    return response


def _locked(path: str) -> Response:
    if path.startswith("/api/"):
        return _problem(HTTPStatus.UNAUTHORIZED, "expected the header Authorization: Bearer TOKEN")
    return RedirectResponse("/entry", HTTPStatus.SEE_OTHER)


def _problem(status: int, detail: str) -> Response:
    """An error as RFC 9457 has it."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": int(status), "detail": printable(detail)}
    return JSONResponse(body, status, media_type="application/problem+json")


def _said(request: Request, status: int, detail: str) -> Response:
    if request.url.path.startswith("/api/"):
        return _problem(status, detail)
    return pages.shown(request, "error.html.jinja", status=int(status), detail=detail)


async def _refused(request: Request, error: Exception) -> Response:
    return _said(request, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _said(request, error.status_code, str(error.detail))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _said(request, HTTPStatus.UNPROCESSABLE_ENTITY, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


async def _fault(request: Request, error: Exception) -> Response:
    return _headed(_said(request, HTTPStatus.INTERNAL_SERVER_ERROR, fault(error)), request.url.path)
