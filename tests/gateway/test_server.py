"""A client cannot hold the gateway by doing nothing, slowly, or too much at once."""

import json
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from birthmark.errors import SettingError
from birthmark.gateway.config import Config, read_config
from birthmark.gateway.server import serve
from gateway.test_admission import BODY, PREDICT, behind, request, status, talk


def closed(sockets: list[socket.socket], seconds: float) -> list[float]:
    """When each of the connections was closed by the other side, in seconds from now."""
    began, found = time.monotonic(), []
    for s in sockets:
        s.settimeout(max(0.1, began + seconds - time.monotonic()))
        try:
            while s.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        found.append(time.monotonic() - began)
        s.close()
    return found


def test_slow_connections_end_and_others_are_served_meanwhile(config: Config) -> None:
    """Nothing sent; half a head; a head a byte at a time; half a body; a second request begun: 200 in all."""
    half = request("POST", PREDICT)
    starts = (b"", half[:40], half[:-20], request("GET", "/x", body=b"").replace(b"close", b"keep-alive") + half[:10])
    with behind(config, head_timeout=1.0, body_timeout=1.0, proxies=("127.0.0.1",)) as (port, _):
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(200)]
        for i, s in enumerate(held):
            s.sendall(starts[i % len(starts)])
        assert status(talk(port, request("POST", PREDICT))) == 200
        drip = held[1]

        def dripping() -> None:
            try:
                for byte in half[40:]:
                    drip.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass

        threading.Thread(target=dripping, daemon=True).start()
        assert max(closed(held, 8)) < 6


def test_connections_and_predictions_are_bounded(config: Config) -> None:
    with behind(config, per_address=5, proxies=()) as (port, _):
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(5)]
        time.sleep(0.2)
        assert status(talk(port, request("POST", PREDICT))) in (0, 503)
        for s in held:
            s.close()
        time.sleep(0.2)
        assert status(talk(port, request("POST", PREDICT))) == 200
    with behind(config, most_connections=5) as (port, _):
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(5)]
        time.sleep(0.2)
        assert status(talk(port, request("POST", PREDICT))) in (0, 503)
        for s in held:
            s.close()
    with behind(config, per_client=2) as (port, _):
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(2)]
        for s in held:
            s.sendall(request("POST", PREDICT)[:-5])
        time.sleep(0.2)
        assert status(talk(port, request("POST", PREDICT))) == 429
        other = request("POST", PREDICT).replace(b"alice", b"bob")
        assert status(talk(port, other)) == 200
        for s in held:
            s.sendall(BODY[-5:])
        time.sleep(0.5)
        assert status(talk(port, request("POST", PREDICT))) == 200
        for s in held:
            s.close()


@pytest.mark.parametrize("shape", ["one long", "many", "endless"])
def test_long_headers_are_refused(config: Config, shape: str) -> None:
    head = request("POST", PREDICT).partition(b"\r\n\r\n")[0]
    if shape == "one long":
        parts = [head + b"\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n" + BODY]
    elif shape == "many":
        parts = [head + b"".join(b"\r\nX-%d: a" % i for i in range(3000)) + b"\r\n\r\n" + BODY]
    else:
        parts = [head + b"\r\nX-A: ", *[b"a" * 4096] * 64]
    with behind(config) as (port, lax):
        try:
            said = status(talk(port, *parts))
        except (BrokenPipeError, ConnectionResetError):
            said = 0
        assert said in (0, 400, 431)
        assert not lax.seen
        assert status(talk(port, request("POST", PREDICT))) == 200


def test_large_bodies_are_refused_before_they_are_read_and_together(config: Config) -> None:
    with behind(config, most_body=1 << 20, most_memory=1 << 14) as (port, lax):
        head = request("POST", PREDICT).partition(b"\r\n\r\n")[0]
        assert status(talk(port, head.replace(b"%d" % len(BODY), b"99999999") + b"\r\n\r\n")) == 413
        assert status(talk(port, head.replace(b"%d" % len(BODY), b"9" * 400) + b"\r\n\r\n")) in (400, 413)
        assert status(talk(port, request("POST", PREDICT, body=b"[" * (1 << 15)))) == 503
        assert not lax.seen
        for _ in range(20):  # what was held is given back
            assert status(talk(port, request("POST", PREDICT))) == 200


def test_a_client_that_does_not_read_is_let_go(config: Config) -> None:
    rows = np.zeros((1, 10))

    class Endless:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(400):
                await send({"type": "http.response.body", "body": b"x" * (1 << 16), "more_body": True})
            await send({"type": "http.response.body", "body": json.dumps(rows.tolist()).encode()})

    with behind(config, timeout=1.0, head_timeout=1.0, pass_through=("/big",)) as (port, lax):
        lax.__class__.__call__, kept = Endless.__call__, lax.__class__.__call__  # type: ignore[method-assign]
        try:
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.connect(("127.0.0.1", port))
                s.sendall(request("GET", "/big", body=b""))
                time.sleep(4)
                got = 0
                s.settimeout(2)
                try:
                    while part := s.recv(1 << 16):
                        got += len(part)
                except (ConnectionResetError, TimeoutError):
                    pass
                assert got < 400 * (1 << 16)
        finally:
            lax.__class__.__call__ = kept  # type: ignore[method-assign]


def test_an_address_in_use_is_one_clear_line(config: Config) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with pytest.raises(SettingError, match="cannot listen on"):
            serve(config, host="127.0.0.1", port=s.getsockname()[1])


def test_limits_are_above_nothing(config: Config) -> None:
    for name in ("head_timeout", "body_timeout", "per_address", "per_client", "most_connections", "most_memory"):
        given = {"upstream": "http://a", "keyring": "r", "secret": "env:S", name: 0}
        with pytest.raises(SettingError, match=name):
            read_config(None, {}, **given)
