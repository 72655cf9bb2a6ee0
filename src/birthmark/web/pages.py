"""The pages: what a visitor sees and clicks."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from birthmark import __version__
from birthmark import report as reports
from birthmark.errors import SettingError
from birthmark.secrets import printable
from birthmark.types import Answers
from birthmark.web import asking, curve, entry, shelf, texts
from birthmark.web.database import DONE, Database, Run
from birthmark.web.site import Site

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
LOOK = 0.4  # seconds between two looks at a run that somebody watches
BLOCK = 1 << 20
STYLE = Path(reports.__file__).parent / "templates" / "style.css"

_environment = Environment(
    loader=PackageLoader("birthmark.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
)
_environment.filters.update(when=texts.when, span=texts.span, headline=texts.headline)
_environment.globals.update(version=__version__, states=texts.STATES, kinds=texts.KINDS)


def site_of(request: Request) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site


def database_of(request: Request) -> Database:
    """Its database."""
    database: Database = request.app.state.database
    return database


Here = Annotated[Site, Depends(site_of)]
Rows = Annotated[Database, Depends(database_of)]


def shown(request: Request, template: str, *, status: int = 200, **values: object) -> Response:
    """A page, with the word that its forms carry."""
    form = entry.word(site_of(request).token, "form")
    known = entry.known(request, site_of(request).token)
    text = _environment.get_template(template).render(
        form=form, known=known, status=status, here=request.url.path, **values
    )
    return HTMLResponse(text, status)


def from_our_form(here: Here, form: Annotated[str, Form()] = "") -> None:
    """Refuse what was not sent by a form of ours."""
    if not entry.same(form, entry.word(here.token, "form")):
        raise HTTPException(HTTPStatus.FORBIDDEN, "this form was not made by this server; open the page again")


Ours = Depends(from_our_form)


def found(rows: Database, name: str) -> Run:
    """A run, or 404."""
    run = rows.run(name)
    if run is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no run {name[:40]!r}")
    return run


@router.get("/static/report.css")
def look() -> Response:
    """The look of the reports, which is that of the pages."""
    return FileResponse(STYLE, media_type="text/css")


@router.get("/entry")
def entrance(request: Request) -> Response:
    return shown(request, "entry.html.jinja", wrong=False)


@router.post("/entry")
def enter(request: Request, here: Here, token: Annotated[str, Form()] = "") -> Response:
    if not entry.same(token.strip(), here.token):
        return shown(request, "entry.html.jinja", status=HTTPStatus.FORBIDDEN, wrong=True)
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    secure = request.url.scheme == "https"
    word = entry.word(here.token, "cookie")
    response.set_cookie(entry.COOKIE, word, max_age=7 * 86400, httponly=True, samesite="strict", secure=secure)
    return response


@router.get("/")
def start(request: Request, rows: Rows) -> Response:
    runs = rows.runs(limit=8)
    story = next((run for run in rows.runs(limit=200) if run.kind == "story"), None)
    return shown(request, "start.html.jinja", runs=runs, story=story, claims=rows.claims(limit=5))


@router.post("/story", dependencies=[Ours])
def tell(rows: Rows) -> Response:
    """Play the digits story; who clicks twice watches the same one."""
    told = next((run for run in rows.runs(limit=200) if run.kind == "story" and (run.open or run.state == DONE)), None)
    name = told.id if told else rows.add("story", "digits", "twenty-one models of digits", {})
    return RedirectResponse(f"/runs/{name}", HTTPStatus.SEE_OTHER)


@router.get("/claims")
def claims(request: Request, here: Here, rows: Rows, page: int = 0) -> Response:
    some = rows.claims(offset=max(0, page) * 100)
    return shown(request, "claims.html.jinja", claims=some, page=max(0, page), folder=here.claims)


@router.post("/claims", dependencies=[Ours])
def refresh(here: Here, rows: Rows) -> Response:
    shelf.refreshed(here, rows)
    return RedirectResponse("/claims", HTTPStatus.SEE_OTHER)


@router.get("/claims/{name}")
def claim(request: Request, here: Here, rows: Rows, name: str) -> Response:
    row = rows.claim(name)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no claim {name[:40]!r}")
    return shown(request, "claim.html.jinja", claim=row, left=shelf.left(here, row), runs=rows.runs(claim=name))


@router.get("/verify")
def verify(request: Request, rows: Rows, claim: str = "") -> Response:
    return shown(request, "verify.html.jinja", claims=rows.claims(limit=1000), chosen=claim, answers=list(Answers))


@router.post("/verify", dependencies=[Ours])
async def begin(request: Request, here: Here, rows: Rows) -> Response:
    async with request.form() as fields:
        asked, upload, name = asking.read(fields), fields.get("file"), token_hex(8)
        given = upload.filename if isinstance(upload, UploadFile) else ""
        file = asking.file_name(given) if given else ""
        await run_in_threadpool(asking.checked, here, asked, file)
        if file and isinstance(upload, UploadFile):
            await run_in_threadpool(_kept, here, name, file, upload)
        await run_in_threadpool(asking.made, rows, asked, file, name)
    return RedirectResponse(f"/runs/{name}", HTTPStatus.SEE_OTHER)


def _kept(here: Site, name: str, file: str, upload: UploadFile) -> None:
    size = 0
    with asking.stored(here.run(name), file).open("wb") as target:
        while block := upload.file.read(BLOCK):
            size += len(block)
            if size > here.largest:
                raise SettingError(f"at most {here.largest >> 20} MB can be uploaded")
            target.write(block)


@router.get("/runs")
def runs(request: Request, rows: Rows, page: int = 0) -> Response:
    some = rows.runs(offset=max(0, page) * 50)
    return shown(request, "runs.html.jinja", runs=some, page=max(0, page))


@router.get("/runs/{name}")
def run(request: Request, rows: Rows, name: str) -> Response:
    one = found(rows, name)
    return shown(request, "run.html.jinja", run=one, live=_live(rows, one))


@router.get("/runs/{name}/events")
async def events(request: Request, rows: Rows, name: str) -> Response:
    """Server-sent events: the run's state as a piece of a page, whenever it changes, until it ends."""
    await run_in_threadpool(found, rows, name)

    async def told() -> AsyncIterator[str]:
        before = ""
        while not await request.is_disconnected():
            one = await run_in_threadpool(found, rows, name)
            now = await run_in_threadpool(_live, rows, one)
            if now != before:
                yield "".join(f"data: {line}\n" for line in now.splitlines()) + "\n"
            if not one.open:
                yield "event: ended\ndata: ended\n\n"
                return
            before = now
            await asyncio.sleep(LOOK)

    return StreamingResponse(told(), media_type="text/event-stream")


def _live(rows: Database, run: Run) -> str:
    row = rows.claim(run.claim)
    plot = curve.drawn(run.curve, row["queries"] if row else 0)
    return _environment.get_template("live.html.jinja").render(run=run, plot=plot)


@router.post("/runs/{name}/cancel", dependencies=[Ours])
def cancel(rows: Rows, name: str) -> Response:
    found(rows, name)
    rows.cancel(name)
    return RedirectResponse(f"/runs/{name}", HTTPStatus.SEE_OTHER)


@router.get("/runs/{name}/report")
def report(here: Here, rows: Rows, name: str) -> Response:
    path = here.run(found(rows, name).id) / "report.html"
    if not path.is_file():
        raise HTTPException(HTTPStatus.NOT_FOUND, "this run has no report yet")
    return FileResponse(path, media_type="text/html")
