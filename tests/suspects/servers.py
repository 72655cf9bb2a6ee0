"""A real HTTP server on loopback that speaks every dialect, and misbehaves as told."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Predict = Callable[[np.ndarray], np.ndarray]  # inputs (n, 1, 8, 8) -> rows (n, k)
HEAD = "Inference-Header-Content-Length"


@dataclass
class Reply:
    """What the server sends back; `raw` takes the connection over instead."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Callable[[socket.socket], None] | None = None

    @property
    def blob(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer = Callable[[str, str, Mapping[str, str], bytes], Reply]  # method, path, headers, body


@dataclass
class Server:
    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    busiest: int = 0

    @property
    def posts(self) -> int:
        return sum(method == "POST" for method, _ in self.requests)


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Run a server in threads until the block ends."""
    server = Server("")
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with lock:
                server.connections += 1

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with lock:
                server.requests.append((self.command, self.path))
                server.busy += 1
                server.busiest = max(server.busiest, server.busy)
            try:
                reply = answer(self.command, self.path, self.headers, body)
                if reply.raw is not None:
                    self.close_connection = True
                    reply.raw(self.connection)
                    return
                self.send_response(reply.status)
                for key, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(reply.blob)),
                    **reply.headers,
                }.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(reply.blob)
                self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with lock:
                    server.busy -= 1

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    http = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def speaks(dialect: str, predict: Predict) -> Answer:
    """A well-behaved server of one dialect, with model "toy"."""
    return {
        "oip": oip(predict),
        "oip-binary": oip(predict, binary=True),
        "tfserving": v1(predict),
        "mlflow": mlflow(predict),
        "hf": hf(predict),
        "torchserve": torchserve(predict),
        "generic": bento(predict),
    }[dialect]


def images(data: Any) -> np.ndarray:
    return np.asarray(data, dtype=np.float32).reshape(-1, 1, 8, 8)


def from_picture(blob: bytes) -> np.ndarray:
    return images(np.asarray(Image.open(io.BytesIO(blob)), dtype=np.float32) / 255)


def oip(predict: Predict, binary: bool = False) -> Answer:
    def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if path == "/v2":
            return Reply({"name": "fake", "version": "1", "extensions": ["binary_tensor_data"] if binary else []})
        if path == "/v2/models/toy":
            tensors = {
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
                "outputs": [{"name": "p", "datatype": "FP32", "shape": [-1, 10]}],
            }
            return Reply({"name": "toy", "versions": ["1"], "platform": "numpy", **tensors})
        if path == "/v2/models/toy/config" and binary:
            return Reply({"max_batch_size": 16})
        if path != "/v2/models/toy/infer":
            return Reply({"error": "unknown"}, 404)
        cut = int(headers.get(HEAD, len(body)))
        asked = json.loads(body[:cut])
        tensor = asked["inputs"][0]
        assert asked["id"]
        assert tensor["name"] == "x"
        x = images(np.frombuffer(body[cut:], "<f4") if binary else tensor["data"])
        assert tensor["shape"] == [len(x), 64]
        rows = np.asarray(predict(x), dtype=np.float32)
        described = {"name": "p", "datatype": "FP32", "shape": list(rows.shape)}
        if not binary:
            return Reply(
                {"model_name": "toy", "id": asked["id"], "outputs": [{**described, "data": rows.ravel().tolist()}]}
            )
        head = json.dumps(
            {"model_name": "toy", "outputs": [{**described, "parameters": {"binary_data_size": rows.nbytes}}]}
        ).encode()
        return Reply(head + rows.tobytes(), headers={HEAD: str(len(head)), "Content-Type": "application/octet-stream"})

    return answer


def v1(predict: Predict) -> Answer:
    def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if path == "/v1/models":
            return Reply({"models": ["toy"]})
        if path == "/v1/models/toy":
            return Reply({"name": "toy", "ready": True})
        if path != "/v1/models/toy:predict" or method != "POST":
            return Reply({"error": "unknown"}, 404)
        return Reply({"predictions": predict(images(json.loads(body)["instances"])).tolist()})

    return answer


def mlflow(predict: Predict) -> Answer:
    def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if path in ("/ping", "/version"):
            return Reply(b"3.17.2" if path == "/version" else b"\n", headers={"Content-Type": "text/plain"})
        if path != "/invocations":
            return Reply({"error_code": "NOT_FOUND", "message": "no"}, 404)
        return Reply({"predictions": predict(images(json.loads(body)["inputs"])).tolist()})

    return answer


def torchserve(predict: Predict) -> Answer:
    def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if path == "/ping":
            return Reply({"status": "Healthy"})
        if path != "/predictions/toy":
            return Reply({"code": 404, "type": "ModelNotFoundException", "message": "no"}, 404)
        return Reply(predict(images(json.loads(body)["instances"]))[0].tolist())

    return answer


def hf(predict: Predict) -> Answer:
    def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if method != "POST":
            return Reply({"error": "not found"}, 404)
        import base64

        asked = json.loads(body)
        row = predict(from_picture(base64.b64decode(asked["inputs"])))[0]
        best = np.argsort(-row)[: asked["parameters"]["top_k"]]
        return Reply([{"label": f"digit-{i}", "score": float(row[i])} for i in best])

    return answer


def bento(predict: Predict) -> Answer:
    def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if path == "/openapi.json":
            return Reply({"paths": {"/classify": {"post": {}}}})
        if headers.get("X-Api-Key") != "s3cret-value":
            return Reply({"detail": f"no such key {headers.get('X-Api-Key')}"}, 401)
        if path != "/classify":
            return Reply({"detail": "Not Found"}, 404)
        return Reply({"results": [{"scores": row} for row in predict(images(json.loads(body)["images"])).tolist()]})

    return answer


def sometimes(answer: Answer, share: float, faults: list[Reply], seed: int) -> Answer:
    """The same server, failing on a seeded share of POSTs, each kind of fault in turn."""
    random, lock, count = np.random.default_rng(seed), threading.Lock(), [0]

    def faulty(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        with lock:
            fails = method == "POST" and random.random() < share
            count[0] += fails
        return faults[count[0] % len(faults)] if fails else answer(method, path, headers, body)

    return faulty


def drip(data: bytes, pause: float) -> Reply:
    """Send one byte at a time, for ever."""

    def raw(connection: socket.socket) -> None:
        try:
            connection.sendall(data)
            while True:
                connection.sendall(b" ")
                time.sleep(pause)
        except OSError:
            pass

    return Reply(raw=raw)


def endless() -> Reply:
    """A chunked body without end."""

    def raw(connection: socket.socket) -> None:
        try:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            while True:
                connection.sendall(b"10000\r\n" + b"[" * 65536 + b"\r\n")
        except OSError:
            pass

    return Reply(raw=raw)


def hang_up() -> Reply:
    """Close without an answer."""
    return Reply(raw=lambda connection: connection.shutdown(socket.SHUT_RDWR))
