"""A model server that speaks every dialect, in process, and a gateway in front of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn

from birthmark.answers import softmax
from birthmark.gateway.app import Gateway
from birthmark.gateway.codec import Wire
from birthmark.gateway.config import Config
from birthmark.gateway.writer import LogSettings
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret, write_secret

SECRET = Secret(b"s" * 32)
WEIGHTS = np.random.default_rng(0).normal(size=(64, 10))


def predict(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The model behind the server: linear, unsure of itself."""
    return softmax((np.asarray(x, dtype=np.float64).reshape(len(x), -1) - 0.3) @ WEIGHTS * 0.5)


async def whole(receive: Any) -> bytes:
    """A request's body."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


class Upstream:
    """An ASGI model server; `answer` may be replaced to misbehave."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[str, bytes], tuple[int, str, bytes]] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await whole(receive)
        self.asked += 1
        status, kind, reply = (self.answer or self.reply)(scope["path"], body)
        headers = [(b"content-type", kind.encode()), (b"x-server", b"toy")]
        if kind == "application/octet-stream":
            headers.append((b"inference-header-content-length", str(reply.index(b"\0\0END")).encode()))
            reply = reply.replace(b"\0\0END", b"", 1)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    def reply(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if path.endswith("/infer"):
            cut = body.find(b"]}") if b"binary_data_size" in body[:300] else -1
            if b"binary_data_size" in body[:300]:
                head, end = json.JSONDecoder().raw_decode(body[:400].decode("latin-1"))
                rows = predict(np.frombuffer(body[end:], "<f4").reshape(head["inputs"][0]["shape"])).astype("<f4")
                out = {
                    "model_name": "m",
                    "outputs": [
                        {
                            "name": "p",
                            "shape": list(rows.shape),
                            "datatype": "FP32",
                            "parameters": {"binary_data_size": rows.nbytes},
                        }
                    ],
                }
                return 200, "application/octet-stream", json.dumps(out).encode() + b"\0\0END" + rows.tobytes()
            assert cut == -1
            tensor = json.loads(body)["inputs"][0]
            rows = predict(np.asarray(tensor["data"]).reshape(tensor["shape"]))
            out = {
                "model_name": "m",
                "id": "7",
                "outputs": [
                    {"name": "p", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
                ],
            }
            return 200, "application/json", json.dumps(out).encode()
        if path.endswith(":predict"):
            return (
                200,
                "application/json",
                json.dumps({"predictions": predict(np.asarray(json.loads(body)["instances"])).tolist()}).encode(),
            )
        if path == "/invocations":
            rows = predict(np.asarray(json.loads(body)["inputs"]))
            return (
                200,
                "application/json",
                json.dumps(
                    {"predictions": [dict(zip(map(str, range(10)), row, strict=True)) for row in rows.tolist()]}
                ).encode(),
            )
        if path == "/classify":
            rows = predict(np.asarray(json.loads(body)["data"]["images"]))
            return (
                200,
                "application/json",
                json.dumps(
                    {"took": 3, "results": [{"id": i, "scores": row} for i, row in enumerate(rows.tolist())]}
                ).encode(),
            )
        if path == "/v2/health/live":
            return 200, "application/json", b"{}"
        return 404, "application/json", b'{"error": "no such path"}'


@pytest.fixture(scope="session")
def ring() -> Keyring:
    random = np.random.default_rng(1)
    x = random.random((300, 1, 8, 8)).astype(np.float32)
    others = np.stack(
        [
            softmax((x.reshape(300, -1) - 0.3) @ (WEIGHTS + random.normal(scale=0.5, size=WEIGHTS.shape)))
            for _ in range(2)
        ]
    )
    return Keyring.make(x, x[:200], predict(x[:200]), others[:, :200], seed=0, placebos=99)


@pytest.fixture
def config(tmp_path: Path, ring: Keyring) -> Config:
    ring.save(tmp_path / "ring")
    write_secret(tmp_path / "secret", SECRET)
    return Config(
        upstream="http://upstream",
        keyring=tmp_path / "ring",
        secret=str(tmp_path / "secret"),
        strength="strong",
        wire=Wire(dialect="tfserving"),
        log=LogSettings(tmp_path / "log", fsync="always"),
    )


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


def through(config: Config, upstream: Any, use: Callable[[httpx2.AsyncClient, Gateway], Awaitable[None]]) -> Gateway:
    """Run `use` with a client of a fresh gateway in front of the upstream, which listens on a port of its own."""

    async def run() -> Gateway:
        server = uvicorn.Server(uvicorn.Config(upstream, port=0, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        gateway = Gateway(replace(config, upstream=f"http://127.0.0.1:{port}"))
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(gateway, client=("127.0.0.1", 1)), base_url="http://gateway"
        ) as client:
            try:
                await use(client, gateway)
            finally:
                await gateway.close()
                server.should_exit = True
                await serving
        return gateway

    return asyncio.run(run())


def on(config: Config, **changes: Any) -> Config:
    """The config with changes."""
    return replace(config, **changes)
