"""Closed means closed: over raw sockets nothing reaches the model server that is neither marked nor declared."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import uvicorn

from birthmark.gateway.admission import PLAIN, overrides
from birthmark.gateway.config import Config
from birthmark.gateway.log import read
from birthmark.gateway.server import server
from gateway.conftest import predict, whole

X = np.random.default_rng(5).random((1, 1, 8, 8)).astype(np.float32)
BODY = json.dumps({"instances": X.tolist()}).encode()
PREDICT = "/v1/models/m:predict"


class Lax:
    """A model server that predicts whatever it is asked, and remembers what that was."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, list[Any], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await whole(receive)
        self.seen.append((scope["method"], scope["path"], scope["headers"], body))
        reply = json.dumps({"predictions": predict(X).tolist()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": reply})


@contextmanager
def running(serving: uvicorn.Server) -> Iterator[int]:
    """A server in a thread of its own; its port."""
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not serving.started:
        assert time.monotonic() < end
        time.sleep(0.01)
    yield serving.servers[0].sockets[0].getsockname()[1]
    serving.should_exit = True
    thread.join(25)
    assert not thread.is_alive()


Ask = Callable[..., bytes]


@contextmanager
def behind(config: Config, **changes: Any) -> Iterator[tuple[int, Lax]]:
    """Port of a gateway before a lax model server."""
    lax = Lax()
    upstream = uvicorn.Server(uvicorn.Config(lax, port=0, log_level="critical", lifespan="off", ws="none"))
    with running(upstream) as port:
        config = replace(config, upstream=f"http://127.0.0.1:{port}", **changes)
        with running(server(config, host="127.0.0.1", port=0)) as at:
            yield at, lax


def talk(port: int, *parts: bytes, seconds: float = 5.0) -> bytes:
    """Send bytes over one connection; everything that comes until it is closed, or silent for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        for part in parts:
            s.sendall(part)
        s.settimeout(1.0)
        found = b""
        try:
            while got := s.recv(1 << 16):
                found += got
        except (TimeoutError, ConnectionResetError):
            pass
        return found


def request(method: str, path: str, *headers: str, body: bytes = BODY, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: a", "X-Client-Id: alice", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "Connection: close", *headers, "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer[9:12]) if answer else 0


ODD = (
    "//v1/models/m:predict",
    "/v1//models/m:predict",
    "/health/../v1/models/m:predict",
    "/health/./../v1/models/m%3Apredict",
    "/v1/models/m%3apredict/",
    "/V1/Models/M:Predict",
    "/v1/models/m:predict/",
    "/v1/models/m:predict;a=1",
    "/health;/v1/models/m:predict",
    "/%2e%2e/v1/models/m:predict",
    "/health/%2e%2e/v1/models/m:predict",
    "/health\\..\\v1\\models\\m:predict",
    "/v1/models/m:predict%00",
    "/v1/models/m:predict%20",
    "/v1/models/m:predict.json",
    "http://a/v1/models/m:predict",
    "/health?_method=POST",
)
VERBS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY", "post")


@pytest.mark.parametrize("wide", [False, True])
def test_no_verb_and_no_spelling_gets_a_prediction_past_the_mark(config: Config, wide: bool) -> None:
    """`wide`: even where the operator declared everything below a folder and every .json."""
    declared = ("/health.*", r".*\.json", "/v1/.*") if wide else ("/health",)
    with behind(config, pass_through=declared) as (port, lax):
        for verb in VERBS:
            for body in (BODY, b""):
                assert status(talk(port, request(verb, PREDICT, body=body))) in (400, 403, 405), verb
        for path in ODD[:-1] if not wide else ODD:
            if wide and path == "/v1/models/m:predict.json":
                continue  # that one they declared
            for verb in ("GET", "PUT"):
                assert status(talk(port, request(verb, path))) in (400, 403), (verb, path)
        assert lax.seen == []


@pytest.mark.parametrize("path", ODD)
def test_a_post_in_another_spelling_is_marked_or_refused(config: Config, path: str) -> None:
    with behind(config, pass_through=("/health.*", "/V1/.*")) as (port, lax):
        said = talk(port, request("POST", path))
        if status(said) == 200:
            rows = json.loads(said.partition(b"\r\n\r\n")[2])["predictions"]
            assert np.abs(np.array(rows) - predict(X)).sum() > 1e-3
        else:
            assert lax.seen == []
    marked = [record["marked"] for record in read(config.log.folder)]  # type: ignore[union-attr]
    assert marked == [True] * len(lax.seen)


def test_headers_that_name_another_method_or_path_stay_here(config: Config) -> None:
    named = (
        "X-HTTP-Method-Override: POST",
        "X-HTTP-Method: POST",
        "X-Method-Override: POST",
        "X_HTTP_METHOD_OVERRIDE: POST",
        f"X-Original-URL: {PREDICT}",
        f"X-Rewrite-Url: {PREDICT}",
        "X-Fine: yes",
    )
    with behind(config, pass_through=("/other",)) as (port, lax):
        assert status(talk(port, request("GET", PREDICT, *named))) == 403
        assert status(talk(port, request("GET", "/other", *named))) == 200
        assert status(talk(port, request("POST", PREDICT, *named))) == 200
    for _, _, headers, _ in lax.seen:
        assert not [name for name, _ in headers if overrides(name)]
        assert (b"x-fine", b"yes") in headers
    assert len(lax.seen) == 2


@pytest.mark.parametrize(
    "sent",
    [
        [BODY, "Content-Encoding: gzip"],
        [b'{"instances": [[0]], ' + BODY[1:]],
        [b'{"inst\\u0061nces": [[0]], ' + BODY[1:]],
        [b'{"inputs": [[0]], ' + BODY[1:]],
        [BODY, "Content-Encoding: identity", "Content-Encoding: gzip"],
    ],
)
def test_a_body_with_two_readings_is_refused(config: Config, sent: list[Any]) -> None:
    """Else the model server answers one query, and the gateway marks and logs another."""
    body, *headers = sent
    with behind(config) as (port, _):
        assert status(talk(port, request("POST", PREDICT, *headers, body=body))) in (415, 503)


def test_two_names_are_no_name(config: Config) -> None:
    for unknown in ("refuse", "share"):
        with behind(config, unknown=unknown) as (port, lax):
            assert status(talk(port, request("POST", PREDICT, "X-Client-Id: bob"))) == 401
            assert not lax.seen


def test_framing_tricks_send_nothing_that_was_not_marked(config: Config) -> None:
    inner = request("GET", PREDICT)
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nX-Client-Id: alice\r\n"
    sent = (
        [head.encode() + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"\r\n" + inner],
        [head.encode() + b"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + inner],
        [head.encode() + b"Transfer-Encoding : chunked\r\n\r\n" + chunks + b"\r\n" + inner],
        [head.encode() + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY],
        [head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"X-Client-Id: bob\r\n\r\n"],
        [head.encode() + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + inner + inner],
        [head.encode() + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY), BODY],
        [request("POST", PREDICT, version="1.0")],
        [request("GET", PREDICT, version="1.0")],
        [b"GET " + PREDICT.encode() + b"\r\n\r\n"],
        [request("GET", PREDICT, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: eA==")],
        [request("GET", PREDICT, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AA")],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        [b"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: a\r\n\r\n"],
    )
    with behind(config) as (port, lax):
        for parts in sent:
            talk(port, *parts)
    assert {method for method, *_ in lax.seen} == {"POST"}
    assert all(not any(value == b"bob" for _, value in headers) for _, _, headers, _ in lax.seen)
    records = list(read(config.log.folder))  # type: ignore[union-attr]
    assert [record["marked"] for record in records] == [True] * len(lax.seen)
    assert len(records) >= 4
    assert {record["client"] for record in records} == {"alice"}


def test_what_the_dialect_says_of_its_models_can_be_read(config: Config) -> None:
    with behind(config) as (port, lax):
        assert status(talk(port, request("GET", "/v1/models/m/metadata", body=b""))) == 200
        assert status(talk(port, request("GET", "/v1/models/m/metadata"))) == 403  # with a body it is a question
        assert status(talk(port, request("GET", "/v1/models/m:classify", body=b""))) == 403
    assert len(lax.seen) == 1


def test_plain_paths() -> None:
    for path in ("/", "/a", "/a/b/", "/v2/models/m-1_x/versions/2", "/v1/models/m:predict", "/a/..b", "/.well-known"):
        assert PLAIN.fullmatch(path), path
    for path in ("", "a", "//", "/a//b", "/./a", "/a/..", "/a;b", "/a%41", "/a b", "/a\\b", "/\xe4", "/a#b", "/a?b"):
        assert not PLAIN.fullmatch(path), path
