"""The ASGI application: pass on what is no prediction, mark what is, log it, answer.

Order of a prediction: read the request, know the client, ask the upstream, read its answer, mark, log, answer. A
failure of the upstream passes unchanged. A failure of ours is answered by the policy: "closed" says 503, "open" answers
unmarked and counts. Marks need only the keyring and the secret, so replicas agree without talking to each other.
"""

import asyncio
import json
import logging
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np

from birthmark.errors import BirthmarkError, OracleError, SettingError
from birthmark.gateway.codec import Codec, codec
from birthmark.gateway.config import ANONYMOUS, Config
from birthmark.gateway.log import QueryLog, entry
from birthmark.gateway.metrics import Metrics
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret, read_secret
from birthmark.marks.rule import near_ties
from birthmark.suspects import oip
from birthmark.types import Array, Floats
from birthmark.watermarks.dynamarks import DynaMarks

try:
    import aiohttp
    from multidict import CIMultiDict
    from yarl import URL
except ImportError:
    raise SettingError("the gateway needs aiohttp; pip install 'birthmark[serve]'") from None

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
NOT_PASSED = HOP | {b"host", b"expect"}
NOT_ASKED = NOT_PASSED | {
    b"content-length",
    b"accept-encoding",
}  # of predictions: they are sent whole, and must be readable
READ = {b"content-encoding", oip.HEAD.encode()}
MOST_CLIENTS = 10_000  # keys held in memory; the oldest go first and are derived again when needed
IN_THREAD = 128  # rows from which marking leaves the event loop
MOST_HEADER = 1 << 16  # bytes of one header of an answer
LONGEST_NAME = 200  # characters of a client's name
WATCH = 2.0  # seconds between two looks at the key files
logger = logging.getLogger("birthmark.gateway")


class Refused(BirthmarkError):
    """A request that the gateway answers itself."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


async def upload(receive: Receive) -> AsyncIterator[bytes]:
    """The body that a client is sending, passed on as it comes."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(499, "client-gone", "the client hung up")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


@dataclass
class Keys:
    """The secret and keyring in force, and the marks of the clients met so far."""

    secret: Secret
    ring: Keyring
    codec: Codec
    marks: dict[str, DynaMarks]

    @classmethod
    def load(cls, config: Config) -> "Keys":
        """Read key and keyring.

        Raises:
            ArtifactError: missing, damaged, or a key that others may read.
        """
        ring = Keyring.load(config.keyring)
        if config.strength != "none":
            DynaMarks(strength=config.strength, answers=config.answers)
        return cls(read_secret(config.secret), ring, codec(config.wire, ring.task), {})

    def mark(self, config: Config, client: str) -> DynaMarks:
        """The client's mark; its key is derived and checked when the client is first met."""
        if client not in self.marks:
            while len(self.marks) >= MOST_CLIENTS:
                del self.marks[next(iter(self.marks))]
            self.marks[client] = DynaMarks(
                strength=config.strength, answers=config.answers, placebos=1, key=self.ring.client(self.secret, client)
            )
        return self.marks[client]


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
        kind, _, header = config.client.partition(":")
        self.identity = kind, header.lower().encode()
        self.base = config.upstream.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self.pass_through = [re.compile(pattern) for pattern in config.pass_through]
        self._stamp = self._files()
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    def reload(self) -> bool:
        """Read key and keyring again; on failure the old ones stay in force."""
        try:
            fresh = Keys.load(self.config)
            self.keys = fresh
        except BirthmarkError as error:
            self.metrics.count("birthmark_key_reloads_total", result="failed")
            logger.error("keys were not reloaded, the old ones stay in force: %s", error)
            return False
        self.metrics.count("birthmark_key_reloads_total", result="done")
        logger.info("keys reloaded: %s", self.keys.secret.fingerprint)
        return True

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connections to the upstream; made where the event loop runs."""
        if self._session is None:
            seconds = self.config.timeout
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.config.connections, keepalive_timeout=20),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=seconds, sock_connect=min(5.0, seconds), sock_read=seconds
                ),
                cookie_jar=aiohttp.DummyCookieJar(),  # one caller's cookies must not go with the next one's requests
                auto_decompress=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
                max_line_size=MOST_HEADER,
                max_field_size=MOST_HEADER,
            )
        return self._session

    async def close(self) -> None:
        """Finish: close connections and the log."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._session is not None:
            await self._session.close()
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

    def _files(self) -> tuple[Any, ...]:
        paths = [self.config.keyring / "manifest.json"]
        if not self.config.secret.startswith("env:"):
            paths.append(type(self.config.keyring)(self.config.secret))
        found = []
        for path in paths:
            try:
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_ino, about.st_size))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            stamp = self._files()
            if stamp != self._stamp:
                self._stamp = stamp
                self.reload()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if (
            method == "GET"
            and path in ("/metrics", "/healthz", "/readyz")
            and (scope.get("client") or ("",))[0] in self.config.operators
        ):
            await self._own(path, send)
            return
        began = time.perf_counter()
        try:
            if self.keys.codec.predicts(method, path) and self.config.strength != "none":
                await self._predict(scope, receive, send)
            elif method in ("GET", "HEAD", "OPTIONS") or self.config.policy == "open" or self._passes(path):
                await self._stream(scope, receive, send)
                self.metrics.count("birthmark_requests_total", outcome="passed")
            else:
                raise Refused(
                    503,
                    "unknown-path",
                    f"{method} {path[:100]} is no prediction this gateway knows, and its policy is closed",
                )
        except Refused as refused:
            self.metrics.count("birthmark_requests_total", outcome="refused")
            self.metrics.count("birthmark_refused_total", reason=refused.reason)
            await _say(send, refused.status, str(refused))
        self.metrics.observe("birthmark_request_seconds", time.perf_counter() - began)

    def _passes(self, path: str) -> bool:
        return self.config.strength == "none" or any(pattern.fullmatch(path) for pattern in self.pass_through)

    async def _own(self, path: str, send: Send) -> None:
        if path == "/metrics":
            log = self.log
            gauges = {"birthmark_clients": len(self.keys.marks)}
            if log is not None:
                gauges |= {
                    "birthmark_log_bytes": log.size,
                    "birthmark_log_records": log.number,
                    "birthmark_log_clock_jumps": log.jumps,
                }
            text = self.metrics.text(gauges, key=self.keys.secret.fingerprint)
            await _answer(send, 200, [(b"content-type", b"text/plain; version=0.0.4")], text.encode())
            return
        if path == "/readyz":
            try:
                async with self.session.get(self.base + "/", allow_redirects=False, timeout=aiohttp.ClientTimeout(2.0)):
                    pass
            except (aiohttp.ClientError, TimeoutError):
                await _say(send, 503, "the upstream does not answer")
                return
        await _answer(send, 200, [(b"content-type", b"application/json")], b'{"status":"ok"}')

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive, self.config.most_body)
        client = self._client(scope)
        status, headers, answered = await self._ask(scope, body)
        if not 200 <= status < 300:
            self.metrics.count("birthmark_requests_total", outcome="upstream-error")
            await _answer(send, status, headers, answered)
            return
        keys = self.keys
        began = time.perf_counter()
        reason, inputs, plain, marked = "", np.zeros((0, 0), np.float32), None, answered
        fingerprint, delta = keys.secret.fingerprint, 0.0
        try:
            sent, got = _read(scope["headers"]), _read(headers)
            if (
                sent.get("content-encoding", "identity") != "identity"
                or got.get("content-encoding", "identity") != "identity"
            ):
                raise OracleError("compressed bodies are not read")
            inputs = keys.codec.queries(sent, body)
            answer = keys.codec.answer(got, answered, len(inputs))
            plain = answer.rows
            mark = keys.mark(self.config, client)
            delta, fingerprint = mark.delta, mark.key.secret.fingerprint if mark.key else fingerprint
            rows = await self._marked(mark, inputs, plain)
            marked = answer.write(rows)
        except BirthmarkError as error:
            reason = str(error)
        except Exception:
            logger.exception("marking failed")
            reason = "internal error"
        self.metrics.observe("birthmark_mark_seconds", time.perf_counter() - began)
        if reason:
            kind = "unreadable" if reason != "internal error" else "internal"
            self.metrics.count("birthmark_unmarked_total", reason=kind)
            logger.warning("an answer could not be marked (policy %s): %s", self.config.policy, reason[:300])
            if self.config.policy == "closed":
                raise Refused(503, kind, "this answer cannot be given now")
        await self._record(client, fingerprint, inputs, plain, delta, reason)
        self.metrics.count("birthmark_requests_total", outcome="unmarked" if reason else "marked")
        self.metrics.count("birthmark_rows_total", len(inputs), outcome="unmarked" if reason else "marked")
        await _answer(send, status, headers, marked)

    async def _marked(self, mark: DynaMarks, inputs: Array, plain: Floats) -> Floats:
        rows = (
            mark.mark(inputs, plain) if len(inputs) < IN_THREAD else await asyncio.to_thread(mark.mark, inputs, plain)
        )
        if self.config.digits < 0:
            return rows
        short = np.round(rows, self.config.digits)
        tied = short.argmax(axis=1) != rows.argmax(axis=1)  # rounding must not change an answer either
        short[tied] = plain[tied]
        return np.asarray(short)

    async def _record(
        self, client: str, key: str, inputs: Array, plain: Floats | None, delta: float, reason: str
    ) -> None:
        if self.log is None:
            return
        near = [] if plain is None or not delta else near_ties(plain, delta)
        try:
            done = self.log.append(entry(client, key, inputs, not reason, reason[:200], near, plain))
            if not done.done():
                await asyncio.wrap_future(done)
        except BirthmarkError as error:
            self.metrics.count("birthmark_unlogged_total")
            logger.error("an answer could not be logged (policy %s): %s", self.config.policy, error)
            if self.config.policy == "closed":
                raise Refused(503, "log", "this answer cannot be given now") from None

    def _client(self, scope: Scope) -> str:
        kind, wanted = self.identity
        text = next((value.decode("latin-1").strip() for name, value in scope["headers"] if name == wanted), "")
        if kind == "api-key" and text:
            text = "key-" + sha256(text.encode()).hexdigest()[:16]
        if (
            text
            and len(text) <= LONGEST_NAME
            and text.isprintable()
            and (not self.config.clients or text in self.config.clients)
        ):
            return text
        if self.config.unknown == "share":
            return ANONYMOUS
        raise Refused(401, "unknown-client", "this client is not known here")

    async def _ask(self, scope: Scope, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        headers = self._headers(scope, NOT_ASKED)
        headers["accept-encoding"] = "identity"
        answer = await self._send(scope, headers, body)
        try:
            found = bytearray()
            async for part in answer.content.iter_any():
                found += part
                if len(found) > self.config.most_body:
                    raise Refused(502, "upstream-too-large", "the model server's answer is too large")
        except (aiohttp.ClientError, TimeoutError):
            raise Refused(502, "upstream-broke", "the model server broke off its answer") from None
        finally:
            answer.release()
        return answer.status, _kept(answer.raw_headers), bytes(found)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._headers(scope, NOT_PASSED)
        headers.setdefault("accept-encoding", "identity")
        empty = not any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        answer = await self._send(scope, headers, None if empty else upload(receive))
        try:
            raw = [(n.lower(), v) for n, v in answer.raw_headers if n.lower() not in HOP]
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            async for part in answer.content.iter_any():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (
            aiohttp.ClientError,
            TimeoutError,
        ):  # the head is out: all that is left is to break off as the upstream did
            logger.warning("the model server broke off its answer")
        finally:
            answer.release()

    def _headers(self, scope: Scope, left_out: set[bytes]) -> CIMultiDict[str]:
        return CIMultiDict((_text(name), _text(value)) for name, value in scope["headers"] if name not in left_out)

    async def _send(
        self, scope: Scope, headers: CIMultiDict[str], body: bytes | AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        """The client's request, sent to the upstream; its answer, of which the head is there."""
        query = scope.get("query_string", b"").decode("latin-1")
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        if not path.startswith("/") or "#" in path:  # behind "@" would stand another server
            raise Refused(400, "bad-url", "this address cannot be passed on")
        try:
            url = _url(self.base + path + (f"?{query}" if query else ""))
            return await self.session.request(scope["method"], url, headers=headers, data=body, allow_redirects=False)
        except TimeoutError:
            raise Refused(504, "upstream-timeout", "the model server did not answer in time") from None
        except ValueError:  # before ClientError: aiohttp's InvalidURL is both
            raise Refused(400, "bad-url", "this request cannot be passed on") from None
        except aiohttp.ClientError:
            raise Refused(502, "upstream-down", "the model server cannot be reached") from None


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _body(receive: Receive, most: int) -> bytes:
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(499, "client-gone", "the client hung up")
        found += message.get("body", b"")
        if len(found) > most:
            raise Refused(413, "too-large", f"a request may have {most} bytes")
        if not message.get("more_body"):
            return bytes(found)


async def _say(send: Send, status: int, message: str) -> None:
    await _answer(send, status, [(b"content-type", b"application/json")], json.dumps({"error": message}).encode())


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _kept(raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(n.lower(), v) for n, v in raw if n.lower() not in HOP and n.lower() != b"content-length"]


def _read(headers: Any) -> dict[str, str]:
    """Those of the headers (lower case) that say how a body is to be read."""
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in READ}


def serve(config: Config, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished, the log is closed.

    Raises:
        SettingError: the extra `serve` is not installed.
        BirthmarkError: keys, settings or log are not in order.
    """
    try:
        import uvicorn
    except ImportError:
        raise SettingError("the gateway needs uvicorn; pip install 'birthmark[serve]'") from None
    uvicorn.run(
        Gateway(config),
        host=host,
        port=port,
        workers=1,
        log_level="warning",
        log_config=None,  # the handlers of the command, which redact
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=20,
        server_header=False,
        date_header=False,  # the model server sends its own
    )
