"""The ASGI application: mark predictions, log them, answer; pass on what is declared to be none.

Order of a prediction: know the client, read the request, ask the upstream, read its answer, mark, log, answer. A
failure of the upstream passes unchanged. A failure of ours is answered by the policy: "closed" says 503, "open" answers
unmarked and counts. Marks need only the keyring and the secret, so replicas agree without talking to each other.
"""

import asyncio
import logging
import re
import signal
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from birthmark.errors import BirthmarkError, OracleError
from birthmark.gateway.admission import check
from birthmark.gateway.asgi import Budget, Headers, Held, Receive, Refused, Request, Scope, Send, answer, say
from birthmark.gateway.config import ANONYMOUS, Config
from birthmark.gateway.keys import Keys
from birthmark.gateway.metrics import Metrics
from birthmark.gateway.upstream import Upstream
from birthmark.gateway.writer import QueryLog, entry
from birthmark.marks.rule import near_ties
from birthmark.suspects import oip
from birthmark.types import Array, Floats
from birthmark.watermarks.dynamarks import DynaMarks

READ = {b"content-length", b"content-encoding", oip.HEAD.encode()}
IN_THREAD = 128  # rows from which marking leaves the event loop
MOST_HEAD = 1 << 16  # bytes of a request's headers
LONGEST_NAME = 200  # characters of a client's name
WATCH = 2.0  # seconds between two looks at the key files
OWN = ("/metrics", "/healthz", "/readyz")
logger = logging.getLogger("birthmark.gateway")


@dataclass
class Said:
    """What headers (names in lower case) say of how a body is to be read, and why it cannot be."""

    fields: dict[str, str]
    length: int = 0
    unreadable: str = ""


@dataclass
class Prediction:
    """What is known of a prediction that is being marked."""

    client: str
    key: str  # fingerprint
    body: bytes  # of the answer
    inputs: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    plain: Floats | None = None
    delta: float = 0.0
    reason: str = ""  # why it could not be marked


class Gateway:
    """The application; make it with `Gateway(config)` and serve it with any ASGI server, one process a log folder.

    Raises:
        BirthmarkError: keys, settings or log are not in order; nothing is served then.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.keys = Keys.load(config)
        self.log = QueryLog(config.log) if config.log else None
        self.metrics = Metrics()
        self.upstream = Upstream(config)
        kind, _, header = config.client.partition(":")
        self.identity = kind, header.lower().encode()
        self.declared = [re.compile(pattern) for pattern in config.pass_through]
        self.budget, self.busy = Budget(config.most_body, config.most_memory), dict[str, int]()
        self._stamp = self._files()
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(Request.of(scope, receive), send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    def reload(self) -> bool:
        """Read key and keyring again; on failure the old ones stay in force."""
        try:
            self.keys = Keys.load(self.config)
        except BirthmarkError as error:
            self.metrics.count("birthmark_key_reloads_total", result="failed")
            logger.error("keys were not reloaded, the old ones stay in force: %s", error)
            return False
        self.metrics.count("birthmark_key_reloads_total", result="done")
        logger.info("keys reloaded: %s", self.keys.secret.fingerprint)
        return True

    async def close(self) -> None:
        """Finish: close connections and the log."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self.upstream.close()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._watcher = asyncio.create_task(self._watch())
                try:
                    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
                except (NotImplementedError, RuntimeError, ValueError):
                    logger.info("no SIGHUP here: keys are reloaded when their files change")
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _files(self) -> list[tuple[int, int, int]]:
        """What tells that a key file changed: time, inode and size of each."""
        paths = [self.config.keyring / "manifest.json"]
        if not self.config.secret.startswith("env:"):
            paths.append(Path(self.config.secret))
        found = []
        for path in paths:
            try:
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_ino, about.st_size))
            except OSError:
                found.append((0, 0, 0))
        return found

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            stamp = self._files()
            if stamp != self._stamp:
                self._stamp = stamp
                self.reload()

    async def _http(self, request: Request, send: Send) -> None:
        if request.method == "GET" and request.path in OWN and request.peer in self.config.operators:
            await self._own(request.path, send)
            return
        began = time.perf_counter()
        try:
            await self._served(request, send)
        except Refused as refused:
            self.metrics.count("birthmark_requests_total", outcome="refused")
            self.metrics.count("birthmark_refused_total", reason=refused.reason)
            await say(send, refused.status, str(refused))
        self.metrics.observe("birthmark_request_seconds", time.perf_counter() - began)

    async def _served(self, request: Request, send: Send) -> None:
        """Mark or pass on.

        Raises:
            Refused: neither.
        """
        if sum([len(name) + len(value) + 32 for name, value in request.headers]) > MOST_HEAD:
            raise Refused(431, "headers", f"a request's headers may have {MOST_HEAD} bytes")
        marking, codec = self.config.strength != "none", self.keys.codec
        if marking and codec.predicts(request.method, request.path):
            client = self._client(request)
            if (busy := self.busy.get(client, 0)) >= self.config.per_client:
                raise Refused(429, "client-busy", f"{busy} requests of yours are under way")
            self.busy[client] = busy + 1
            try:
                with Held(self.budget) as held:
                    await self._predict(request, client, held, send)
            finally:
                self.busy[client] -= 1
                if not self.busy[client]:
                    del self.busy[client]
            return
        if marking and self.config.policy == "closed":
            check(request, codec, self.declared)
        await self.upstream.stream(request, send)
        self.metrics.count("birthmark_requests_total", outcome="passed")

    async def _own(self, path: str, send: Send) -> None:
        if path == "/metrics":
            log = self.log
            gauges: dict[str, float] = {"birthmark_clients": len(self.keys.marks)}
            if log is not None:
                gauges |= {
                    "birthmark_log_bytes": log.size,
                    "birthmark_log_records": log.number,
                    "birthmark_log_clock_jumps": log.jumps,
                }
            text = self.metrics.text(gauges, key=self.keys.secret.fingerprint)
            await answer(send, 200, [(b"content-type", b"text/plain; version=0.0.4")], text.encode())
        elif path == "/readyz" and not await self.upstream.ready():
            await say(send, 503, "the upstream does not answer")
        else:
            await answer(send, 200, [(b"content-type", b"application/json")], b'{"status":"ok"}')

    def _client(self, request: Request) -> str:
        kind, wanted = self.identity
        texts = request.values(wanted)
        text = texts[0] if len(texts) == 1 else ""  # of two names one is the client's own invention
        if kind == "api-key" and text:
            text = "key-" + sha256(text.encode()).hexdigest()[:16]
        known = not self.config.clients or text in self.config.clients
        if text and len(text) <= LONGEST_NAME and text.isprintable() and known:
            return text
        if self.config.unknown == "share" and len(texts) < 2:
            return ANONYMOUS
        raise Refused(401, "unknown-client", "this client is not known here")

    async def _predict(self, request: Request, client: str, held: Held, send: Send) -> None:
        closed, said = self.config.policy == "closed", _read(request.headers)
        if closed and said.unreadable:  # such an answer could never be marked: do not ask
            raise Refused(415, "unreadable", said.unreadable)
        if said.length > self.config.most_body:
            raise Refused(413, "too-large", f"a request may have {self.config.most_body} bytes")
        body = await request.whole(held)
        status, headers, answered = await self.upstream.ask(request, body, held)
        if not 200 <= status < 300:
            self.metrics.count("birthmark_requests_total", outcome="upstream-error")
            await answer(send, status, headers, answered)
            return
        found = Prediction(client, self.keys.secret.fingerprint, answered)
        began = time.perf_counter()
        kind = await self._mark(found, said, body, _read(headers))
        self.metrics.observe("birthmark_mark_seconds", time.perf_counter() - began)
        if kind:
            self.metrics.count("birthmark_unmarked_total", reason=kind)
            logger.warning("an answer could not be marked (policy %s): %s", self.config.policy, found.reason[:300])
            if closed:
                raise Refused(503, kind, "this answer cannot be given now")
        await self._record(found)
        outcome = "unmarked" if kind else "marked"
        self.metrics.count("birthmark_requests_total", outcome=outcome)
        self.metrics.count("birthmark_rows_total", len(found.inputs), outcome=outcome)
        await answer(send, status, headers, found.body)

    async def _mark(self, found: Prediction, said: Said, body: bytes, answered: Said) -> str:
        """Mark the answer in place; the kind of failure, or nothing."""
        keys = self.keys
        try:
            if reason := said.unreadable or answered.unreadable:
                raise OracleError(reason)
            found.inputs = keys.codec.queries(said.fields, body)
            rows = keys.codec.answer(answered.fields, found.body, len(found.inputs))
            found.plain = rows.rows
            mark = keys.mark(self.config, found.client)
            found.delta = mark.delta
            if mark.key is not None:
                found.key = mark.key.secret.fingerprint
            found.body = rows.write(await self._marked(mark, found.inputs, rows.rows))
        except BirthmarkError as error:
            found.reason = str(error)
            return "unreadable"
        except Exception:
            logger.exception("marking failed")
            found.reason = "internal error"
            return "internal"
        return ""

    async def _marked(self, mark: DynaMarks, inputs: Array, plain: Floats) -> Floats:
        few = len(inputs) < IN_THREAD
        rows = mark.mark(inputs, plain) if few else await asyncio.to_thread(mark.mark, inputs, plain)
        if self.config.digits < 0:
            return rows
        short = np.round(rows, self.config.digits)
        tied = short.argmax(axis=1) != rows.argmax(axis=1)  # rounding must not change an answer either
        short[tied] = plain[tied]
        return np.asarray(short)

    async def _record(self, found: Prediction) -> None:
        if self.log is None:
            return
        near = [] if found.plain is None or not found.delta else near_ties(found.plain, found.delta)
        try:
            record = entry(
                found.client, found.key, found.inputs, not found.reason, found.reason[:200], near, found.plain
            )
            done = self.log.append(record)
            if not done.done():
                await asyncio.wrap_future(done)
        except BirthmarkError as error:
            self.metrics.count("birthmark_unlogged_total")
            logger.error("an answer could not be logged (policy %s): %s", self.config.policy, error)
            if self.config.policy == "closed":
                raise Refused(503, "log", "this answer cannot be given now") from None


def _read(headers: Headers) -> Said:
    fields: dict[str, str] = {}
    for name, value in headers:
        if name in READ:
            if (key := name.decode()) in fields:
                return Said({}, unreadable="a header that says how a body is to be read came twice")
            fields[key] = value.decode("latin-1")
    packed = fields.get("content-encoding", "identity").lower() != "identity"
    length = fields.get("content-length", "0")
    return Said(
        fields, int(length) if length.isdecimal() else 0, unreadable="compressed bodies are not read" if packed else ""
    )
