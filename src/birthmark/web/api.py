"""The same over HTTP for programs: claims and runs as resources, errors as problem+json."""

import json
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from birthmark.evidence import plain_data
from birthmark.types import Plain
from birthmark.web import asking
from birthmark.web.database import Run
from birthmark.web.pages import Here, Rows, found


class Problem(BaseModel):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class ClaimRow(BaseModel):
    """A claim: its name, its digest, what made it, and how many queries it holds."""

    name: str
    digest: str
    method: str
    queries: int
    about: dict[str, Any]


class RunRow(BaseModel):
    """A run: what was asked, how far it is, and what came of it."""

    id: str
    kind: str
    claim: str
    suspect: str
    state: str
    share: float
    curve: list[dict[str, float | None]]
    verdict: str
    reason: str
    made: float
    started: float
    ended: float


class NewRun(BaseModel, extra="forbid"):
    """A verification of a remote suspect. Files are uploaded on the page, or verified by the command line."""

    claim: str = Field(max_length=200)
    url: str = Field(max_length=2000)
    authorisation: str = Field(max_length=2000)
    answers: str = Field(default="", max_length=40)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    budget: int = Field(default=0, ge=0, le=10**9)


PROBLEM: dict[int | str, dict[str, Any]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {}}, "model": Problem}
    for status in (401, 404, 422)
}
router = APIRouter(prefix="/api", responses=PROBLEM)


def _row(run: Run) -> RunRow:
    return RunRow.model_validate(plain_data({name: getattr(run, name) for name in RunRow.model_fields}))


def _claim(row: Plain) -> ClaimRow:
    return ClaimRow.model_validate(row)


@router.get("/claims")
def claims(rows: Rows, page: int = 0) -> list[ClaimRow]:
    """Claims by name, a hundred a page."""
    return [_claim(row) for row in rows.claims(offset=_page(page) * 100)]


@router.get("/claims/{name}")
def claim(rows: Rows, name: str) -> ClaimRow:
    """One claim."""
    row = rows.claim(name)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no claim {name[:40]!r}")
    return _claim(row)


@router.get("/runs")
def runs(rows: Rows, page: int = 0) -> list[RunRow]:
    """The newest runs, fifty a page."""
    return [_row(run) for run in rows.runs(offset=_page(page) * 50)]


@router.post("/runs", status_code=HTTPStatus.CREATED)
def begin(here: Here, rows: Rows, new: NewRun) -> RunRow:
    """Ask a remote suspect a claim's queries; the answer is the run, which waits for a worker."""
    asked = asking.Asked(**new.model_dump())
    asking.checked(here, asked, "")
    return _row(found(rows, asking.made(rows, asked)))


@router.get("/runs/{name}")
def run(rows: Rows, name: str) -> RunRow:
    """One run."""
    return _row(found(rows, name))


@router.delete("/runs/{name}", status_code=HTTPStatus.NO_CONTENT)
def cancel(rows: Rows, name: str) -> Response:
    """Cancel a run; nothing happens to one that has ended."""
    rows.cancel(found(rows, name).id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/runs/{name}/evidence")
def evidence(here: Here, rows: Rows, name: str) -> Plain:
    """The evidence of a run that is done."""
    path = here.run(found(rows, name).id) / "evidence.json"
    if not path.is_file():
        raise HTTPException(HTTPStatus.NOT_FOUND, "this run has no evidence yet")
    data: Plain = json.loads(path.read_bytes())
    return data


def _page(page: int) -> int:
    return min(max(0, page), 10**9)
