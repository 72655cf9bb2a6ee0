"""The HTTP client against a real server: patience, deadlines, bounds, secrets."""

import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from birthmark.errors import SettingError
from birthmark.suspects import client as module
from birthmark.suspects.address import secret
from birthmark.suspects.client import Client, Failed, Pace
from birthmark.suspects.description import SuspectSpec, Transport
from birthmark.suspects.dialect import Request
from suspects.servers import Answer, Reply, drip, endless, hang_up, serving

ASK = Request("POST", "/ask", b'{"x": 1}', {"Content-Type": "application/json"})
SECRET = "s3cret-value"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off without the waiting; what a server asks for is still waited."""
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 0.01)


def replies(*given: Reply) -> Answer:
    left: Iterator[Reply] = iter(given)
    return lambda method, path, headers, body: next(left)


def test_what_a_server_puts_off_is_sent_again_and_counted() -> None:
    with serving(
        replies(
            Reply("busy", 503),
            Reply("busy", 429, {"Retry-After": "1"}),
            hang_up(),
            Reply({"error": "oops"}, 500),
            Reply({"ok": 1}),
        )
    ) as server:
        started = time.monotonic()
        response = Client(server.url, Transport()).send(ASK)
    assert (response.json("t"), response.tries, server.posts) == ({"ok": 1}, 5, 5)
    assert 1.0 <= time.monotonic() - started < 3


def test_a_refusal_is_final_and_says_why() -> None:
    with (
        serving(replies(Reply({"detail": [{"msg": "bad \x1b[31mshape"}]}, 422))) as server,
        pytest.raises(Failed, match=r"HTTP 422: .*bad.*; check dialect, layout and input_name") as failed,
    ):
        Client(server.url, Transport()).send(ASK)
    assert "\x1b" not in str(failed.value)
    assert failed.value.tries == server.posts == 1


def test_errors_that_do_not_pass_end_it() -> None:
    with (
        serving(lambda *_: Reply({"error": "broken model"}, 500)) as server,
        pytest.raises(Failed, match="broken model, after 3 tries"),
    ):
        Client(server.url, Transport()).send(ASK)
    assert server.posts == 3
    with (
        serving(lambda *_: Reply(b"<html>gateway", 502)) as server,
        pytest.raises(Failed, match="HTTP 502: an HTML page, after 5 tries"),
    ):
        Client(server.url, Transport(retries=4)).send(ASK)
    with (
        serving(lambda *_: Reply({}, 429, {"Retry-After": "3600"})) as server,
        pytest.raises(Failed, match="asks to wait 3600 s; run again later"),
    ):
        Client(server.url, Transport()).send(ASK)
    assert server.posts == 1


def test_nobody_there_is_said() -> None:
    with serving(lambda *_: Reply({})) as server:
        pass
    with pytest.raises(Failed, match="no connection; is the server running"):
        Client(server.url, Transport()).get("/v2")


@pytest.mark.parametrize(
    "opening", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n["]
)
def test_a_slow_drip_ends_at_the_deadline(opening: bytes) -> None:
    with serving(lambda *_: drip(opening, 0.05)) as server:
        started = time.monotonic()
        with pytest.raises(Failed, match="no whole answer in time, after 3 tries"):
            Client(server.url, Transport(timeout=0.4)).send(ASK)
        assert time.monotonic() - started < 2.5


def test_bodies_are_bounded_before_they_are_read() -> None:
    bomb = zlib.compress(b"0" * 30_000_000)
    for reply, limit in (
        (Reply(b"x" * 5000), 4000),
        (endless(), 1 << 20),
        (Reply(bomb, headers={"Content-Encoding": "gzip"}), 1 << 20),
    ):
        with (
            serving(lambda *_, reply=reply: reply) as server,
            pytest.raises(Failed, match=f"larger than {limit} bytes"),
        ):
            Client(server.url, Transport(largest=limit)).send(ASK)
        assert server.posts == 1


def test_redirects_stay_on_the_server() -> None:
    with serving(lambda *_: Reply({"stolen": 1})) as other:
        away = Reply(status=307, headers={"Location": f"{other.url}/ask"})
        with (
            serving(lambda *_: away) as server,
            pytest.raises(Failed, match=r"redirects to http://127\.0\.0\.1, which was not authorised"),
        ):
            Client(server.url, Transport()).send(ASK)
        assert not other.requests
    with serving(replies(Reply(status=308, headers={"Location": "/there"}), Reply({"ok": 1}))) as server:
        assert Client(server.url, Transport()).send(ASK).json("t") == {"ok": 1}
        assert server.requests == [("POST", "/ask"), ("POST", "/there")]
    with (
        serving(lambda *_: Reply(status=302, headers={"Location": "/login"})) as server,
        pytest.raises(Failed, match="would drop the query"),
    ):
        Client(server.url, Transport()).send(ASK)
    with (
        serving(lambda *_: Reply(status=307, headers={"Location": "/ask"})) as server,
        pytest.raises(Failed, match="in a circle"),
    ):
        Client(server.url, Transport()).send(ASK)


def test_a_secret_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("SUSPECT_KEY", SECRET)
    seen = []

    def echo(method, path, headers, body) -> Reply:
        seen.append(headers["Authorization"])
        return Reply({"error": f"wrong key {headers['Authorization']}"}, 401)

    with serving(echo) as server:
        client = Client(server.url, Transport(auth="env:SUSPECT_KEY"))
        with pytest.raises(Failed) as failed:
            client.send(ASK)
        assert client.get("/v2") is None
    assert "HTTP 401: wrong key Bearer ***" in client.trouble
    assert seen == [f"Bearer {SECRET}"] * 2
    for text in (str(failed.value), client.trouble, repr(client), repr(client.spec)):
        assert SECRET not in text
    (tmp_path / "key").write_text(SECRET + "\n")
    assert secret(f"file:{tmp_path / 'key'}") == SECRET


def test_secrets_in_the_wrong_place_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUSPECT_KEY", SECRET)
    for url in ("https://me:s3cret-value@host/x", "https://host/x?key=s3cret-value"):
        with pytest.raises(SettingError, match="would be written into the evidence") as error:
            Client(url, Transport())
        assert SECRET not in str(error.value)
    with pytest.raises(SettingError, match="must not travel unencrypted"):
        Client("http://example.org", Transport(auth="env:SUSPECT_KEY"))
    with pytest.raises(SettingError, match="env:NOT_THERE is empty"):
        Client("https://example.org", Transport(auth="env:NOT_THERE"))
    with pytest.raises(SettingError, match="env:NAME or file:PATH"):
        SuspectSpec(auth=SECRET)
    with pytest.raises(SettingError, match="such as https://host"):
        Client("ftp://example.org", Transport())


def test_connections_are_reused_and_requests_are_paced() -> None:
    with serving(lambda *_: Reply({})) as server:
        client = Client(server.url, Transport())
        for _ in range(10):
            client.send(ASK)
        assert (server.connections, server.posts, client.requests) == (1, 10, 10)
        paced = Client(server.url, Transport(rate=20))
        started = time.monotonic()
        threads = [threading.Thread(target=lambda: [paced.send(ASK) for _ in range(4)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started >= 7 / 20


def test_other_machines_are_asked_gently_unless_declared() -> None:
    assert Client("https://example.org", Transport()).rate == 10
    assert Client("https://example.org", Transport(rate=0)).rate == 0
    assert Client("http://localhost:1", Transport()).rate == 0
    assert Pace.of("example.org:443") is Pace.of("example.org:443")
