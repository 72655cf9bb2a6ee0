"""Claims and runs as rows: what the pages list, what workers take, what survives a kill.

A run waits, is taken by a worker, and is done, failed or cancelled. A worker that runs keeps its run's `beat` fresh; a
run whose beat is old was left by a worker that died, and the next one continues it from its transcript.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CursorResult,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.engine.interfaces import DBAPIConnection

from birthmark.types import Plain

DEAD = 10.0  # seconds after which a worker that was not heard of is taken for dead
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
OPEN = (WAITING, RUNNING)

metadata = MetaData()
claims = Table(
    "claims",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("method", String(80), nullable=False),
    Column("queries", Integer, nullable=False),
    Column("about", Text, nullable=False),
)
runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("claim", String(200), nullable=False, index=True),
    Column("suspect", String(300), nullable=False),
    Column("asked", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("share", Float, nullable=False, default=0.0),
    Column("curve", Text, nullable=False, default="[]"),
    Column("verdict", String(20), nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("made", Float, nullable=False, index=True),
    Column("started", Float, nullable=False, default=0.0),
    Column("ended", Float, nullable=False, default=0.0),
    Column("worker", String(32), nullable=False, default=""),
    Column("beat", Float, nullable=False, default=0.0),
)


@dataclass(frozen=True)
class Run:
    """One run, as the database has it.

    Attributes:
        kind: "verify" or "story". asked: what it was asked to do, as plain data.
        share: done, 0 to 1. curve: what the evidence was after each batch of queries.
        verdict, reason: of the evidence, or why it failed.
        made, started, ended, beat: seconds since 1970; 0 for not yet.
    """

    id: str
    kind: str
    claim: str
    suspect: str
    asked: Plain
    state: str
    share: float = 0.0
    curve: Sequence[Plain] = ()
    verdict: str = ""
    reason: str = ""
    made: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    worker: str = ""
    beat: float = 0.0

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def left(self) -> float | None:
        """Seconds left at the pace so far; None if nobody can tell."""
        if self.state != RUNNING or self.share < 0.02:
            return None
        return (time.time() - self.started) * (1 - self.share) / self.share


class Database:
    """Rows of claims and runs behind an SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _patient)
        metadata.create_all(self.engine)

    def close(self) -> None:
        self.engine.dispose()

    def put_claims(self, rows: Sequence[Plain]) -> None:
        """Make the list of claims exactly this one."""
        with self.engine.begin() as connection:
            connection.execute(delete(claims))
            if rows:
                connection.execute(insert(claims), list(rows))

    def claims(self, offset: int = 0, limit: int = 100) -> list[Plain]:
        """Claims by name."""
        query = select(claims).order_by(claims.c.name).offset(offset).limit(limit)
        with self.engine.connect() as connection:
            return [_claim(dict(row)) for row in connection.execute(query).mappings()]

    def claim(self, name: str) -> Plain | None:
        """One claim, or None."""
        with self.engine.connect() as connection:
            row = connection.execute(select(claims).where(claims.c.name == name)).mappings().first()
        return _claim(dict(row)) if row else None

    def add(self, kind: str, claim: str, suspect: str, asked: Plain, name: str = "") -> str:
        """A run that waits; returns its id."""
        name = name or secrets.token_hex(8)
        row = {"id": name, "kind": kind, "claim": claim, "suspect": suspect, "asked": json.dumps(asked)}
        with self.engine.begin() as connection:
            connection.execute(insert(runs), {**row, "state": WAITING, "made": time.time()})
        return name

    def keep(self, rows: Sequence[Plain]) -> None:
        """Runs that were carried out elsewhere, as they are."""
        with self.engine.begin() as connection:
            for row in rows:
                connection.execute(delete(runs).where(runs.c.id == row["id"]))
                connection.execute(insert(runs), dict(row))

    def run(self, name: str) -> Run | None:
        """One run, or None."""
        found = self._runs(runs.c.id == name, 0, 1)
        return found[0] if found else None

    def runs(self, claim: str = "", offset: int = 0, limit: int = 50) -> list[Run]:
        """The newest runs, of one claim or of all."""
        return self._runs(runs.c.claim == claim if claim else true(), offset, limit)

    def _runs(self, where: ColumnElement[bool], offset: int, limit: int) -> list[Run]:
        query = select(runs).where(where).order_by(runs.c.made.desc(), runs.c.id).offset(offset).limit(limit)
        with self.engine.connect() as connection:
            return [_run(dict(row)) for row in connection.execute(query).mappings()]

    def take(self, worker: str) -> Run | None:
        """A run for a worker: the oldest that waits, or was left by a worker that died; None if there is none."""
        free = or_(runs.c.state == WAITING, (runs.c.state == RUNNING) & (runs.c.beat < time.time() - DEAD))
        with self.engine.connect() as connection:
            names = connection.execute(select(runs.c.id).where(free).order_by(runs.c.made).limit(8)).scalars().all()
        for name in names:
            now = {"state": RUNNING, "worker": worker, "beat": time.time(), "started": time.time()}
            if self._changed(name, free, now):
                return self.run(name)
        return None

    def beat(self, name: str, worker: str, **new: object) -> bool:
        """Say that a worker is at a run, and what is new; False if the run is no longer its own."""
        own = (runs.c.state == RUNNING) & (runs.c.worker == worker)
        return self._changed(name, own, {"beat": time.time(), **new})

    def end(self, name: str, worker: str, state: str, **new: object) -> bool:
        """A worker has ended its run; False if the run was no longer its own."""
        return self.beat(name, worker, state=state, ended=time.time(), **new)

    def cancel(self, name: str) -> bool:
        """Cancel a run that is open; False if it is not."""
        return self._changed(name, runs.c.state.in_(OPEN), {"state": CANCELLED, "ended": time.time()})

    def _changed(self, name: str, where: ColumnElement[bool], new: Mapping[str, object]) -> bool:
        with self.engine.begin() as connection:
            result: CursorResult[Any] = connection.execute(update(runs).where(runs.c.id == name, where).values(**new))
        return result.rowcount == 1


def _patient(connection: DBAPIConnection, _record: object) -> None:
    """Several processes share the file: readers do not wait for writers, and writers wait for each other."""
    cursor = connection.cursor()
    for rule in ("journal_mode=WAL", "busy_timeout=10000", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {rule}")
    cursor.close()


def _claim(row: Plain) -> Plain:
    return {**row, "about": json.loads(row["about"])}


def _run(row: Plain) -> Run:
    row = {**row, **{key: json.loads(row[key]) for key in ("asked", "curve")}}
    return Run(**{field.name: row[field.name] for field in fields(Run)})
