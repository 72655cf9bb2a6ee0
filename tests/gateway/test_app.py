"""What a gateway answers.

Marked predictions in every dialect, the policy when it cannot mark, everything else untouched.
"""

import asyncio
import gzip
import json
import logging
import os
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from birthmark.errors import ArtifactError, SettingError
from birthmark.gateway.app import Gateway
from birthmark.gateway.codec import Wire
from birthmark.gateway.config import Config
from birthmark.gateway.log import read, ties
from birthmark.marks.keyring import Keyring, logged
from birthmark.marks.keys import Secret, write_secret
from birthmark.watermarks.dynamarks import DynaMarks, DynaMarksTies
from gateway.conftest import SECRET, Upstream, on, predict, through, whole

X = np.random.default_rng(5).random((6, 1, 8, 8)).astype(np.float32)
ALICE = {"X-Client-Id": "alice"}


def expected(ring: Keyring, x: Any = X, client: str = "alice", secret: Secret = SECRET) -> Any:
    return DynaMarks(strength="strong", placebos=1, key=ring.client(secret, client)).mark(x, predict(x))


def binary(x: Any) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "shape": list(x.shape), "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
            ]
        }
    ).encode()
    return head + x.tobytes(), {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }


def test_marks_every_dialect_and_keeps_the_rest_of_the_answer(
    config: Config, upstream: Upstream, ring: Keyring
) -> None:
    want = expected(ring)
    oip = {"inputs": [{"name": "x", "shape": [6, 64], "datatype": "FP32", "data": X.ravel().tolist()}]}

    async def tfserving(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        np.testing.assert_allclose(got.json()["predictions"], want, atol=1e-5)
        assert got.headers["x-server"] == "toy"

    async def open_inference(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = (await client.post("/v2/models/m/infer", json=oip, headers=ALICE)).json()
        np.testing.assert_allclose(np.reshape(got["outputs"][0]["data"], (6, 10)), want, atol=1e-5)
        assert got["id"] == "7"
        body, headers = binary(X)
        raw = await client.post("/v2/models/m/infer", content=body, headers={**ALICE, **headers})
        cut = int(raw.headers["inference-header-content-length"])
        np.testing.assert_allclose(np.frombuffer(raw.content[cut:], "<f4").reshape(6, 10), want, atol=1e-5)

    async def mlflow(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = (await client.post("/invocations", json={"inputs": X.tolist()}, headers=ALICE)).json()
        np.testing.assert_allclose([list(row.values()) for row in got["predictions"]], want, atol=1e-5)

    async def generic(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = (await client.post("/classify", json={"data": {"images": X.tolist()}}, headers=ALICE)).json()
        np.testing.assert_allclose([row["scores"] for row in got["results"]], want, atol=1e-5)
        assert [row["id"] for row in got["results"]] == list(range(6))
        assert got["took"] == 3

    through(config, upstream, tfserving)
    through(on(config, wire=Wire("oip")), upstream, open_inference)
    through(on(config, wire=Wire("mlflow")), upstream, mlflow)
    through(
        on(config, wire=Wire("generic", path="/classify", inputs="data.images", rows="results[*].scores")),
        upstream,
        generic,
    )


def test_one_query_and_pixels_of_another_range_get_the_same_mark(
    config: Config, upstream: Upstream, ring: Keyring
) -> None:
    want = expected(ring)
    upstream.answer = lambda path, body: (
        200,
        "application/json",
        json.dumps({"predictions": predict(np.asarray(json.loads(body)["instances"]) / 255).tolist()}).encode(),
    )

    async def use(client: httpx2.AsyncClient, _: Gateway) -> None:
        pixels = (X[2:3] * 255).transpose(0, 2, 3, 1)
        got = await client.post("/v1/models/m:predict", json={"instances": pixels.tolist()}, headers=ALICE)
        np.testing.assert_allclose(got.json()["predictions"], want[2:3], atol=1e-4)

    through(on(config, wire=Wire("tfserving", layout="nhwc", high=255.0)), upstream, use)


def test_other_paths_stream_through_and_unknown_posts_are_refused_when_closed(
    config: Config, upstream: Upstream
) -> None:
    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        assert (await client.get("/v2/health/live")).content == b"{}"
        assert (await client.get("/v1/models/m")).status_code == 404  # the server's own answer
        refused = await client.post("/v2/models/m/infer", json={}, headers=ALICE)
        assert refused.status_code == 403
        assert upstream.asked == 2

    through(on(config, pass_through=("/v2/health/.*",)), upstream, use)

    async def opened(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        body, headers = binary(X)
        assert (await client.post("/v2/models/m/infer", content=body, headers=headers)).status_code == 200
        assert gateway.metrics.value("birthmark_requests_total", outcome="passed") == 1

    through(on(config, policy="open", log=None), upstream, opened)


BROKEN = {
    "labels only": {"predictions": [3] * 6},
    "nan": {"predictions": [[float("nan")] * 10] * 6},
    "logits": {"predictions": [[5.0] * 10] * 6},
    "too few": {"predictions": [[0.1] * 10] * 5},
    "not json": None,
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("policy", ["open", "closed"])
def test_answers_that_cannot_be_marked_follow_the_policy(
    config: Config, upstream: Upstream, kind: str, policy: str
) -> None:
    body = b"<html>" if BROKEN[kind] is None else json.dumps(BROKEN[kind]).encode()
    upstream.answer = lambda path, _: (200, "application/json", body)

    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        assert gateway.metrics.value("birthmark_unmarked_total", reason="unreadable") == 1
        assert gateway.metrics.value("birthmark_requests_total", outcome="marked") == 0
        if policy == "open":
            assert got.content == body
        else:
            assert got.status_code == 503
            assert b"mark" not in got.content

    through(on(config, policy=policy), upstream, use)
    records = list(read(config.log.folder))  # type: ignore[union-attr]
    assert [record["marked"] for record in records] == ([False] if policy == "open" else [])


def test_upstream_errors_pass_unchanged_and_a_dead_upstream_is_named(config: Config, upstream: Upstream) -> None:
    upstream.answer = lambda path, body: (429, "application/json", b'{"error": "slow down"}')

    async def use(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        assert (got.status_code, got.content) == (429, b'{"error": "slow down"}')

    through(config, upstream, use)

    async def dead(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        gateway.upstream.base = "http://127.0.0.1:9"  # where nobody listens
        got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        assert got.status_code == 502

    through(on(config, log=None), upstream, dead)


def test_clients_are_known_refused_or_share_a_key(config: Config, upstream: Upstream, ring: Keyring) -> None:
    async def strict(client: httpx2.AsyncClient, _: Gateway) -> None:
        for headers in ({}, {"X-Client-Id": "mallory"}, {"X-Client-Id": "a" * 500}):
            got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=headers)
            assert got.status_code == 401

    through(on(config, clients=("alice",)), upstream, strict)
    assert upstream.asked == 0

    async def shared(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()})
        np.testing.assert_allclose(got.json()["predictions"], expected(ring, client="anonymous"), atol=1e-5)

    through(on(config, unknown="share"), upstream, shared)

    async def api_key(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        got = await client.post(
            "/v1/models/m:predict", json={"instances": X.tolist()}, headers={"Authorization": "Bearer very-secret"}
        )
        assert got.status_code == 200

    through(on(config, client="api-key:Authorization"), upstream, api_key)
    # type: ignore[union-attr]
    assert "very-secret" not in "".join(path.read_text() for path in config.log.folder.glob("*.log"))


def test_one_callers_cookies_are_not_sent_with_anothers_requests(config: Config) -> None:
    seen: list[list[bytes]] = []

    async def upstream(scope: Any, receive: Any, send: Any) -> None:
        seen.append([value for name, value in scope["headers"] if name == b"cookie"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"session=alice")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        for name in ("alice", "bob"):
            client.cookies.clear()
            answer = await client.get("/v1/models/m", headers={"x-client-id": name})
            assert answer.headers["set-cookie"] == "session=alice"

    through(config, upstream, use)
    assert seen == [[], []]


def test_huge_bodies_are_refused(config: Config, upstream: Upstream) -> None:
    async def use(client: httpx2.AsyncClient, _: Gateway) -> None:
        got = await client.post("/v1/models/m:predict", content=b"x" * 5000, headers=ALICE)
        assert got.status_code == 413
        upstream.answer = lambda path, body: (200, "application/json", b"y" * 5000)
        got = await client.post("/v1/models/m:predict", json={"instances": []}, headers=ALICE)
        assert got.status_code == 502

    through(on(config, most_body=4096), upstream, use)


def test_keys_rotate_without_a_restart_and_a_bad_key_changes_nothing(
    config: Config, upstream: Upstream, ring: Keyring
) -> None:
    fresh = Secret(b"n" * 32)

    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        async def ask() -> Any:
            return (await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)).json()[
                "predictions"
            ]

        before = await ask()
        path = Path(config.secret)
        os.chmod(path, 0o644)
        assert not gateway.reload()
        assert await ask() == before
        path.unlink()
        write_secret(path, fresh)
        assert gateway.reload()
        np.testing.assert_allclose(await ask(), expected(ring, secret=fresh), atol=1e-5)

    gateway = through(config, upstream, use)
    assert len({record["key"] for record in read(gateway.config.log.folder)}) == 2  # type: ignore[union-attr]


def test_metrics_and_health_are_for_operators(config: Config, upstream: Upstream) -> None:
    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        text = (await client.get("/metrics")).text
        assert 'birthmark_requests_total{outcome="marked"} 1' in text
        assert "birthmark_mark_seconds_count 1" in text
        assert SECRET.value.hex() not in text
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        outside = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(gateway, client=("203.0.113.7", 1)), base_url="http://gateway"
        )
        assert (await outside.get("/metrics")).status_code == 403
        await outside.aclose()

    through(config, upstream, use)


def test_a_lost_log_disk_follows_the_policy(config: Config, upstream: Upstream) -> None:
    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        assert gateway.log is not None
        file, gateway.log._file = gateway.log._file, os.open("/dev/full", os.O_WRONLY)
        got = await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        assert got.status_code == (503 if gateway.config.policy == "closed" else 200)
        assert gateway.metrics.value("birthmark_unlogged_total") == 1
        os.close(gateway.log._file)
        gateway.log._file = file
        assert (
            await client.post("/v1/models/m:predict", json={"instances": X.tolist()}, headers=ALICE)
        ).status_code == 200

    for policy in ("closed", "open"):
        through(on(config, policy=policy), upstream, use)
    assert len(list(read(config.log.folder))) == 2  # type: ignore[union-attr]


def test_two_gateways_on_one_log_are_refused(config: Config, upstream: Upstream) -> None:
    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        with pytest.raises(SettingError, match="another gateway"):
            Gateway(config)

    through(config, upstream, use)


def test_logged_ties_make_the_label_only_claim(config: Config, upstream: Upstream, ring: Keyring) -> None:
    x = np.random.default_rng(9).random((1600, 1, 8, 8)).astype(np.float32)

    async def use(client: httpx2.AsyncClient, _: Gateway) -> None:
        answers = await asyncio.gather(
            *(
                client.post("/v1/models/m:predict", json={"instances": x[i : i + 50].tolist()}, headers=ALICE)
                for i in range(0, 1600, 50)
            )
        )
        assert all(answer.status_code == 200 for answer in answers)

    through(config, upstream, use)
    near, plain = ties(read(config.log.folder), "alice")  # type: ignore[union-attr]
    np.testing.assert_allclose(plain, predict(near), atol=1e-5)
    key = logged(ring.client(SECRET, "alice"), near, plain, np.zeros((0, *plain.shape)))
    claim = DynaMarksTies(placebos=99, key=key).claim()
    scores = DynaMarksTies().score(claim, expected(ring, near))
    assert scores.source > max(scores.placebos)
    with pytest.raises(ArtifactError, match="no near-ties of client"):
        ties(read(config.log.folder), "bob")  # type: ignore[union-attr]


def test_nothing_secret_is_logged(config: Config, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        upstream.answer = lambda path, body: (200, "application/json", b'{"predictions": [1]}')
        assert (await client.post("/v1/models/m:predict", content=b"no json", headers=ALICE)).status_code == 503
        gateway.reload()

    with caplog.at_level(logging.DEBUG):
        through(config, upstream, use)
    assert SECRET.value.hex() not in caplog.text
    assert repr(SECRET.value) not in caplog.text


def test_a_request_goes_on_as_it_came_and_so_does_its_answer(config: Config) -> None:
    packed = gzip.compress(b"x" * 300_000)
    seen: list[tuple[Any, bytes]] = []

    async def upstream(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await whole(receive)))
        headers = [(b"content-encoding", b"gzip"), (b"x-two", b"1"), (b"x-two", b"2"), (b"location", b"/elsewhere")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        for i in range(0, len(packed), 100):
            await send({"type": "http.response.body", "body": packed[i : i + 100], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def parts() -> Any:
        for _ in range(50):
            yield b"y" * 10_000

    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        path = "/v1/a%2Fb%20c/d?e=%26&f=1+2"
        got = await client.post(
            path, content=parts(), headers=[(b"X-Odd", "caf\xe9".encode()), (b"Authorization", b"Bearer t")]
        )
        assert got.status_code == 302  # not followed
        assert got.content == b"x" * 300_000
        assert got.headers.get_list("x-two") == ["1", "2"]
        assert (await client.get(path, headers={"User-Agent": ""})).status_code == 302

    through(on(config, policy="open"), upstream, use)
    (posted, body), (fetched, nothing) = seen
    for scope in (posted, fetched):
        assert (scope["raw_path"], scope["query_string"]) == (b"/v1/a%2Fb%20c/d", b"e=%26&f=1+2")
    headers = dict(posted["headers"])
    assert headers[b"x-odd"].decode() == "caf\xe9"
    assert headers[b"authorization"] == b"Bearer t"
    assert headers[b"host"].startswith(b"127.0.0.1:")
    assert (body, nothing) == (b"y" * 500_000, b"")
    assert b"content-type" not in headers


def test_an_address_cannot_name_another_server(config: Config, upstream: Upstream) -> None:
    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        for path in ("@127.0.0.1:9/x", "/a#b", "*"):
            scope = {
                "type": "http",
                "method": "GET",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": [],
            }
            await gateway(scope, receive, send)
        assert [message["status"] for message in said if "status" in message] == [400] * 3

    through(config, upstream, use)
    assert not upstream.asked


def test_an_upstream_that_breaks_off_or_is_slow_is_named(config: Config) -> None:
    async def upstream(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/slow"):
            await asyncio.sleep(2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half"})

    async def use(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        for path, status in (("/v1/models/m:predict", 502), ("/slow/m:predict", 504)):
            got = await client.post(path, json={"instances": X.tolist()}, headers=ALICE)
            assert got.status_code == status
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        await gateway(
            {"type": "http", "method": "GET", "path": "/v1/models/a", "query_string": b"", "headers": []}, receive, send
        )
        assert b"".join(message.get("body", b"") for message in said) == b"half"
        assert said[-1].get("more_body")  # a stream that is passed on breaks off as the upstream did

    through(on(config, timeout=0.5), upstream, use)
    assert not list(read(config.log.folder))  # type: ignore[union-attr]
