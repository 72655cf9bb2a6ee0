"""The web application as a visitor, a program, a stranger and a kill -9 meet it."""

import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from torch import nn

from birthmark.claim import Claim
from web.conftest import TOKEN, Server

POSTS = ("/story", "/claims", "/verify", "/runs/x/cancel")


def form(client: httpx2.Client) -> str:
    """The word that the server's forms carry."""
    found = re.search(r'name="form" value="([0-9a-f]{64})"', client.get("/verify").text)
    assert found is not None
    return found[1]


def begun(client: httpx2.Client, **fields: Any) -> str:
    """The id of the run that the form on the page begins."""
    file = fields.pop("file", None)
    files = {"file": (file.name, file.read_bytes())} if file else {"file": ("", b"")}
    answer = client.post(
        "/verify", data={"form": form(client), "claim": "mine", "alpha": "0.05", **fields}, files=files
    )
    assert answer.status_code == 200, answer.text
    return str(answer.url).rsplit("/", 1)[1]


def ended(server: Server, name: str) -> dict[str, Any]:
    """The run's row when it has ended."""
    with server.program() as client:
        server.until(lambda: client.get(f"/api/runs/{name}").json()["state"] not in ("waiting", "running"))
        row: dict[str, Any] = client.get(f"/api/runs/{name}").json()
        return row


@pytest.fixture(scope="module")
def slow(stolen: nn.Module) -> Iterator[dict[str, Any]]:
    """A stolen model behind a slow address; it counts what it is asked."""
    told: dict[str, Any] = {"asked": [], "pause": 0.0}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
            told["asked"] += [json.dumps(row) for row in rows]
            time.sleep(told["pause"])
            with torch.no_grad():
                out = stolen(torch.tensor(rows).reshape(len(rows), 1, 8, 8).float()).softmax(1).tolist()
            body = json.dumps({"predictions": out}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    told["url"] = f"http://127.0.0.1:{httpd.server_port}/v1/models/m:predict"
    yield told
    httpd.shutdown()
    httpd.server_close()


def test_nobody_comes_in_without_the_token(server: Server) -> None:
    with httpx2.Client(base_url=server.url) as stranger:
        for path in ("/", "/claims", "/runs", "/verify", "/runs/x/events", "/runs/x/report"):
            assert stranger.get(path).headers["location"] == "/entry"
        for path in POSTS:
            assert stranger.post(path).headers["location"] == "/entry"
        answer = stranger.get("/api/claims")
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        wrong = stranger.post("/entry", data={"token": "no"})
        assert wrong.status_code == 403
        assert "set-cookie" not in wrong.headers


def test_a_form_of_another_site_does_nothing(server: Server) -> None:
    with server.visitor() as client:
        for path in POSTS:
            assert client.post(path, data={"claim": "mine"}).status_code == 403


def test_headers_allow_no_scripts_of_others(server: Server) -> None:
    with server.visitor() as client:
        for path in ("/", "/claims", "/verify", "/nowhere", "/static/htmx.min.js"):
            headers = client.get(path).headers
            assert "script-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
        cookie = httpx2.post(f"{server.url}/entry", data={"token": TOKEN}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie


def test_a_stolen_file_is_supported_and_an_innocent_is_not(server: Server, suspects: Path) -> None:
    with server.visitor() as client:
        names = [begun(client, file=suspects / f"{kind}.safetensors") for kind in ("stolen", "innocent")]
        rows = [ended(server, name) for name in names]
        assert [row["verdict"] for row in rows] == ["supported", "not supported"], rows
        page = client.get(f"/runs/{names[0]}").text
        assert "stolen.safetensors: supported" in page
        report = client.get(f"/runs/{names[0]}/report")
        assert "birthmark" in report.text
        assert "script-src" not in report.headers["content-security-policy"]
        events = client.get(f"/runs/{names[0]}/events").text
        assert "event: ended" in events
        assert client.get(f"/api/runs/{names[0]}/evidence").json()["p_value"] == 1 / 20


def test_a_killed_server_asks_nothing_twice(home: Path, slow: dict[str, Any], digits_claim: Claim) -> None:
    server = Server(home).start()
    slow |= {"asked": [], "pause": 0.3}
    new = {"claim": "mine", "url": slow["url"], "authorisation": "our own server", "answers": "probabilities"}
    with server.program() as client:
        name = client.post("/api/runs", json=new).json()["id"]
    server.until(lambda: len(slow["asked"]) >= 20)
    server.end(signal.SIGKILL)
    slow["pause"] = 0.0
    server.start()
    row = ended(server, name)
    server.end()
    assert row["verdict"] == "supported", row
    queries = {json.dumps(q.tolist()) for q in digits_claim.queries}
    seen = {one: slow["asked"].count(one) for one in set(slow["asked"])}
    assert len(queries) <= len(seen)
    assert sum(slow["asked"].count(one) > 3 for one in seen) == 0


def test_a_run_can_be_cancelled(server: Server, slow: dict[str, Any]) -> None:
    slow |= {"asked": [], "pause": 0.5}
    with server.visitor() as client:
        name = begun(client, url=slow["url"], authorisation="our own server", answers="probabilities")
        server.until(lambda: slow["asked"])
        client.post(f"/runs/{name}/cancel", data={"form": form(client)})
        slow["pause"] = 0.0
        assert ended(server, name)["state"] == "cancelled"
        assert "was cancelled" in client.get(f"/runs/{name}").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "either its address or its file"),
        ({"url": "http://169.254.169.254/latest", "authorisation": "x"}, "not a public address"),
        ({"url": "http://localhost:1/", "authorisation": "x"}, "not a public address"),
        ({"url": "http://[::ffff:10.0.0.1]/", "authorisation": "x"}, "not a public address"),
        ({"url": "file:///etc/passwd", "authorisation": "x"}, "expected a URL"),
        ({"url": "http://127.0.0.1:9/"}, "ground"),
        ({"claim": "../mine", "url": "http://127.0.0.1:9/", "authorisation": "x"}, "name of a claim"),
        ({"alpha": "2", "url": "http://127.0.0.1:9/", "authorisation": "x"}, "alpha"),
        ({"alpha": "nan", "url": "http://127.0.0.1:9/", "authorisation": "x"}, "alpha"),
        ({"architecture": "os:system('x')", "url": "http://127.0.0.1:9/", "authorisation": "x"}, "built-in"),
    ],
)
def test_what_cannot_end_well_is_refused_in_one_line(server: Server, fields: dict[str, str], words: str) -> None:
    with server.visitor() as client:
        given = {"form": form(client), "claim": "mine", "alpha": "0.05", **fields}
        answer = client.post("/verify", data=given, files={"file": ("", b"")})
        assert answer.status_code == 422, answer.text
        assert words in answer.text
        assert "Traceback" not in answer.text


def test_files_of_other_kinds_are_refused(server: Server) -> None:
    with server.visitor() as client:
        for name in ("x.pkl", "../../etc/passwd", "a.pt2", ".safetensors"):
            given = {"form": form(client), "claim": "mine", "alpha": "0.05"}
            answer = client.post("/verify", data=given, files={"file": (name, b"x")})
            assert answer.status_code == 422, name


def test_a_hostile_file_fails_without_a_verdict(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(np.random.default_rng(0).bytes(4000))
    with server.visitor() as client:
        row = ended(server, begun(client, file=path))
        assert (row["state"], row["verdict"]) == ("failed", "")
        assert "Traceback" not in row["reason"]


def test_errors_of_the_api_are_problems(server: Server) -> None:
    with server.program() as client:
        for answer in (client.get("/api/runs/none"), client.post("/api/runs", json={}), client.get("/api/claims/none")):
            assert answer.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "detail"} == answer.json().keys()
