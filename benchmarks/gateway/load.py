"""The gateway under load before real model servers, and under kill -9.

    python benchmarks/gateway/load.py speed --server litserve --requests 3000 --connections 8
    python benchmarks/gateway/load.py faults --requests 10000 --connections 50

`speed` compares the server asked directly, through the gateway that only passes on (strength none), and through the
gateway that marks and logs, one query a request, in turns; once more with wrk where it is installed. `faults` puts 5 %
of 500s and cut connections between gateway and server, kills the gateway with SIGKILL halfway, starts it again, and
checks every answer and the log. `speed` needs the servers' environments that interop/run.py makes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from birthmark import data
from birthmark.answers import softmax
from birthmark.gateway.log import read
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret, write_secret
from birthmark.watermarks.dynamarks import DynaMarks

ROOT = Path(__file__).parents[2]
SECRET = Secret(b"l" * 32)
WEIGHTS = np.random.default_rng(0).normal(size=(2, 64, 10)) * 0.3
ORACLE = (
    "import sys; sys.path.insert(0, sys.argv[1]); import uvicorn, load; uvicorn.run(load.Toy(float(sys.argv[3])), "
    "port=int(sys.argv[2]), log_level='error', lifespan='off')"
)


def predict(x: Any) -> Any:
    """The model of `faults`: linear."""
    return softmax((np.asarray(x, dtype=np.float64).reshape(len(x), -1) * 2 - 1) @ WEIGHTS[0])


class Toy:
    """An ASGI model server that fails for a share of requests: half 500s, half cut connections."""

    def __init__(self, share: float) -> None:
        self.random, self.share = np.random.default_rng(1), share

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        luck = self.random.random()
        if luck < self.share / 2:
            status, reply = 500, b'{"error": "injected"}'
        else:
            status, reply = 200, json.dumps({"predictions": predict(json.loads(body)["instances"]).tolist()}).encode()
        length = len(reply) + (
            10 if self.share / 2 <= luck < self.share else 0
        )  # promises more than it sends: the connection breaks
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-length", str(length).encode()), (b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": reply})


def port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def up(where: int, path: str = "/", seconds: float = 120) -> None:
    import httpx2

    end = time.time() + seconds
    while time.time() < end:
        try:
            httpx2.get(f"http://127.0.0.1:{where}{path}", timeout=2)
            return
        except httpx2.HTTPError:
            time.sleep(0.1)
    raise SystemExit(f"port {where} did not come up")


async def load(
    where: int,
    path: str,
    bodies: list[bytes],
    connections: int,
    sink: list[tuple[int, int, bytes, float]],
    *,
    retry: bool = False,
) -> float:
    """Send every body once over so many kept-alive connections.

    (index, status, body, seconds) of each to `sink`; returns seconds in all.
    """
    todo = iter(range(len(bodies)))

    async def worker() -> None:
        reader = writer = None
        for i in todo:
            request = (
                f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Client-Id: alice\r\nContent-Type: "
                f"application/json\r\nContent-Length: {len(bodies[i])}\r\n\r\n"
            ).encode() + bodies[i]
            while True:
                began = time.perf_counter()
                try:
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", where)
                    writer.write(request)
                    head = await reader.readuntil(b"\r\n\r\n")
                    status = int(head[9:12])
                    length = next(
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length")
                    )
                    body = await reader.readexactly(length)
                    sink.append((i, status, body, time.perf_counter() - began))
                    break
                except (OSError, asyncio.IncompleteReadError):
                    writer = None
                    if not retry:
                        sink.append((i, 0, b"", time.perf_counter() - began))
                        break
                    await asyncio.sleep(0.2)
        if writer is not None:
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    return time.perf_counter() - began


def wrk(where: int, path: str, bodies: list[bytes], connections: int, seconds: int, folder: Path) -> float:
    """Requests a second as wrk (https://github.com/wg/wrk) counts them; every answer must be a 200."""
    script = folder / "post.lua"
    quoted = ",".join(f"[==[{body.decode()}]==]" for body in bodies)
    script.write_text(
        f'local bodies = {{{quoted}}}\nlocal n = 0\nwrk.method = "POST"\nwrk.headers["Content-Type"] = '
        '"application/json"\n'
        'wrk.headers["X-Client-Id"] = "alice"\nrequest = function()\n n = n % #bodies + 1\n return wrk.format(nil, '
        "nil, nil, bodies[n])\nend\n"
    )
    said = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{where}{path}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"wrk met errors:\n{said}")
    return float(next(line.split()[1] for line in said.splitlines() if line.startswith("Requests/sec")))


def ring(folder: Path, answers: Any, x: Any) -> Keyring:
    random = np.random.default_rng(3)
    others = np.stack([softmax(np.log(answers + 1e-6) + random.normal(size=answers.shape)) for _ in range(2)])
    made = Keyring.make(x, x, answers, others, seed=0, placebos=99)
    made.save(folder / "ring")
    write_secret(folder / "key", SECRET)
    return made


def gateway(folder: Path, upstream: int, wire: str, strength: str, name: str) -> tuple[subprocess.Popen[bytes], int]:
    config = folder / f"{name}.toml"
    config.write_text(
        (
            f'upstream = "http://127.0.0.1:{upstream}"\nkeyring = "{folder}/ring"\nsecret = "{folder}/key"\nstrength = '
            f'"{strength}"\n[wire]\n{wire}\n'
        )
        + (f'[log]\nfolder = "{folder}/log-{name}"\n' if strength != "none" else "")
    )
    where = port()
    code = "import typer; from birthmark.cli import gateway; a = typer.Typer(); gateway.mount(a); a()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "gateway", "--config", str(config), "--port", str(where)],
        stderr=(folder / f"{name}.err").open("ab"),
    )
    up(where, "/healthz")
    return process, where


def resident(process: subprocess.Popen[bytes]) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time so far."""
    parts = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def speed(server: str, requests: int, connections: int, rounds: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    env, where = ROOT / ".interop" / server / "bin" / "python", port()
    weights = folder / "weights.npz"
    np.savez(weights, weight0=WEIGHTS[0].T.astype(np.float32), bias0=np.zeros(10, np.float32))
    arguments = [
        str(env),
        str(ROOT / "interop/servers" / f"{server}_server.py"),
        str(weights),
        str(where),
        *([str(folder / "server")] if server == "mlserver" else []),
    ]
    if server == "toy":
        arguments = [sys.executable, "-c", ORACLE, str(Path(__file__).parent), str(where), "0"]
    upstream = subprocess.Popen(
        arguments, stdout=(folder / "server.out").open("wb"), stderr=subprocess.STDOUT, start_new_session=True
    )
    x = data.load("digits")["queries"].inputs
    ring(folder, predict(x), x)
    if server == "mlserver":
        path, wire = "/v2/models/digits/infer", 'dialect = "oip"'
        bodies = [
            json.dumps(
                {
                    "id": "1",
                    "inputs": [
                        {
                            "name": "images",
                            "shape": [1, 1, 8, 8],
                            "datatype": "FP32",
                            "data": x[i % len(x)].ravel().tolist(),
                        }
                    ],
                }
            ).encode()
            for i in range(requests)
        ]
        ready = "/v2/health/ready"
    else:
        path, wire = "/v1/models/digits:predict", 'dialect = "tfserving"'
        bodies = [json.dumps({"instances": x[i % len(x)][None].tolist()}).encode() for i in range(requests)]
        ready = "/health"
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        up(where, ready)
        time.sleep(2)
        ports = {"direct": where}
        for name, strength in (("proxy", "none"), ("marking", "strong")):
            processes[name], ports[name] = gateway(folder, where, wire, strength, name)
        found: dict[str, list[Any]] = {name: [] for name in ports}
        for turn in range(rounds + 1):
            for name, target in ports.items():
                for width, n in ((connections, requests), (1, min(300, requests))):
                    spent = cpu(processes[name]) if name in processes else 0.0
                    sink: list[tuple[int, int, bytes, float]] = []
                    seconds = asyncio.run(load(target, path, bodies[:n] if turn else bodies[:50], width, sink))
                    if any(status != 200 for _, status, _, _ in sink):
                        raise SystemExit(f"{name}: {next(s for s in sink if s[1] != 200)}")
                    if turn:
                        spent = (cpu(processes[name]) - spent) / len(sink) if name in processes else 0.0
                        found[name].append((width, len(sink) / seconds, [s for *_, s in sink], spent))
        result: dict[str, Any] = {"server": server, "requests": requests, "connections": connections, "rounds": rounds}
        for name, runs in found.items():
            single = np.concatenate([times for width, _, times, _ in runs if width == 1]) * 1e3
            result[name] = {
                "per_second": round(float(np.median([rate for width, rate, _, _ in runs if width == connections])), 1),
                "cpu_ms_per_request": round(
                    float(np.median([spent for width, _, _, spent in runs if width == connections])) * 1e3, 2
                ),
                "one_connection_ms": {
                    "p50": round(float(np.median(single)), 2),
                    "p99": round(float(np.quantile(single, 0.99)), 2),
                },
            }
        result["marking_over_proxy"] = round(result["marking"]["per_second"] / result["proxy"]["per_second"], 3)
        result["marking_over_proxy_by_cpu"] = round(
            result["proxy"]["cpu_ms_per_request"] / result["marking"]["cpu_ms_per_request"], 3
        )
        if shutil.which("wrk"):
            rates: dict[str, list[float]] = {name: [] for name in ports}
            for _ in range(rounds):
                for name, target in ports.items():
                    rates[name].append(wrk(target, path, bodies[:200], connections, 5, folder))
            result["wrk"] = {
                name: {"per_second": sorted(rate)[len(rate) // 2], "all": rate} for name, rate in rates.items()
            }
            pairs = sorted(m / p for m, p in zip(rates["marking"], rates["proxy"], strict=True))
            result["wrk"]["marking_over_proxy"] = {
                "median": round(pairs[len(pairs) // 2], 3),
                "all": [round(pair, 3) for pair in pairs],
            }
        for q in ("p50", "p99"):
            result[f"added_{q}_ms"] = {
                base: round(result["marking"]["one_connection_ms"][q] - result[base]["one_connection_ms"][q], 2)
                for base in ("proxy", "direct")
            }
        return result
    finally:
        for process in processes.values():
            process.terminate()
        os.killpg(upstream.pid, signal.SIGTERM)


def faults(requests: int, connections: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    x = np.random.default_rng(4).random((requests, 1, 8, 8)).astype(np.float32)
    made = ring(folder, predict(x[:300]), x[:300])
    want = DynaMarks(strength="strong", placebos=1, key=made.client(SECRET, "alice")).mark(x, predict(x))
    where = port()
    upstream = subprocess.Popen([sys.executable, "-c", ORACLE, str(Path(__file__).parent), str(where), "0.05"])
    up(where)
    bodies = [json.dumps({"instances": x[i : i + 1].tolist()}).encode() for i in range(requests)]
    sink: list[tuple[int, int, bytes, float]] = []
    process, target = gateway(folder, where, 'dialect = "tfserving"', "strong", "faulty")
    memory: list[float] = []
    running = {"process": process}

    def killer() -> None:
        while len(sink) < requests // 2:
            time.sleep(0.05)
        running["process"].kill()
        running["process"].wait()
        code = "import typer; from birthmark.cli import gateway; a = typer.Typer(); gateway.mount(a); a()"
        running["process"] = subprocess.Popen(
            [sys.executable, "-c", code, "gateway", "--config", str(folder / "faulty.toml"), "--port", str(target)]
        )

    def watcher() -> None:
        while len(sink) < requests:
            with contextlib.suppress(OSError, IndexError, ValueError):
                memory.append(resident(running["process"]))
            time.sleep(1)

    try:
        for work in (killer, watcher):
            threading.Thread(target=work, daemon=True).start()
        seconds = asyncio.run(load(target, "/v1/models/m:predict", bodies, connections, sink, retry=True))
        answered = {i: body for i, status, body, _ in sink if status == 200}
        wrong = sum(
            not np.allclose(json.loads(body)["predictions"][0], want[i], atol=1e-5) for i, body in answered.items()
        )
        running["process"].terminate()
        running["process"].wait(60)
        from birthmark.transcript import query_digest

        logged = {digest for record in read(folder / "log-faulty") if record["marked"] for digest in record["inputs"]}
        lost = sum(query_digest(x[i]) not in logged for i in answered)
        half = len(memory) // 2
        return {
            "requests": requests,
            "connections": connections,
            "seconds": round(seconds, 1),
            "answered": len(answered),
            "statuses": {str(s): sum(1 for e in sink if e[1] == s) for s in sorted({e[1] for e in sink})},
            "wrong_answers": wrong,
            "lost_records": lost,
            "memory_mb": {
                "after_start": round(float(np.median(memory[half : half + 5])), 1) if memory else None,
                "end": round(memory[-1], 1) if memory else None,
            },
        }
    finally:
        running["process"].kill()
        upstream.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "faults"))
    parser.add_argument("--server", default="litserve", choices=("litserve", "mlserver", "toy"))
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    result = (
        speed(chosen.server, chosen.requests, chosen.connections, chosen.rounds)
        if chosen.what == "speed"
        else faults(chosen.requests, chosen.connections)
    )
    print(json.dumps({**result, "cores": os.cpu_count(), "load": os.getloadavg()[0]}, indent=1))
