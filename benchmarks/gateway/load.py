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
        # a broken connection: promises more than it sends
        length = len(reply) + (10 if self.share / 2 <= luck < self.share else 0)
        headers = [(b"content-length", str(length).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
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


Sink = list[tuple[int, int, bytes, float]]


async def load(
    where: int, path: str, bodies: list[bytes], connections: int, sink: Sink, *, retry: bool = False
) -> float:
    """Send every body once over so many kept-alive connections.

    (index, status, body, seconds) of each to `sink`; returns seconds in all.
    """
    todo = iter(range(len(bodies)))

    async def worker() -> None:
        reader = writer = None
        for i in todo:
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Client-Id: alice\r\nContent-Type: application/json\r\n"
            request = f"{head}Content-Length: {len(bodies[i])}\r\n\r\n".encode() + bodies[i]
            while True:
                began = time.perf_counter()
                try:
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", where)
                    writer.write(request)
                    said = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                    length = next(int(line.split(b":")[1]) for line in said if line.startswith(b"content-length"))
                    status, body = int(said[0][9:12]), await reader.readexactly(length)
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
        f'local bodies = {{{quoted}}}; local n = 0; wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"; wrk.headers["X-Client-Id"] = "alice"\n'
        "request = function() n = n % #bodies + 1; return wrk.format(nil, nil, nil, bodies[n]) end\n"
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{where}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
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
    logged = f'[log]\nfolder = "{folder}/log-{name}"\n' if strength != "none" else ""
    config.write_text(
        f'upstream = "http://127.0.0.1:{upstream}"\nkeyring = "{folder}/ring"\nsecret = "{folder}/key"\n'
        f'strength = "{strength}"\n[wire]\n{wire}\n{logged}'
    )
    where = port()
    process = started(config, where, folder / f"{name}.err")
    up(where, "/healthz")
    return process, where


def started(config: Path, where: int, errors: Path) -> subprocess.Popen[bytes]:
    code = "import typer; from birthmark.cli import gateway; a = typer.Typer(); gateway.mount(a); a()"
    command = [sys.executable, "-c", code, "gateway", "--config", str(config), "--port", str(where)]
    return subprocess.Popen(command, stderr=errors.open("ab"))


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time so far."""
    parts = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def upstream_of(server: str, where: int, folder: Path) -> subprocess.Popen[bytes]:
    """The model server, with the linear model."""
    weights, env = folder / "weights.npz", ROOT / ".interop" / server / "bin" / "python"
    np.savez(weights, weight0=WEIGHTS[0].T.astype(np.float32), bias0=np.zeros(10, np.float32))
    command = [str(env), str(ROOT / "interop/servers" / f"{server}_server.py"), str(weights), str(where)]
    command += [str(folder / "server")] if server == "mlserver" else []
    if server == "toy":
        command = [sys.executable, "-c", ORACLE, str(Path(__file__).parent), str(where), "0"]
    out = (folder / "server.out").open("wb")
    return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)


def asked(server: str, x: Any, n: int) -> tuple[str, str, str, list[bytes]]:
    """Path, dialect, where the server says that it is ready, and n requests."""
    if server != "mlserver":
        bodies = [json.dumps({"instances": x[i % len(x)][None].tolist()}).encode() for i in range(n)]
        return "/v1/models/digits:predict", 'dialect = "tfserving"', "/health", bodies
    one = {"name": "images", "shape": [1, 1, 8, 8], "datatype": "FP32"}
    flat = [x[i % len(x)].ravel().tolist() for i in range(n)]
    bodies = [json.dumps({"id": "1", "inputs": [{**one, "data": row}]}).encode() for row in flat]
    return "/v2/models/digits/infer", 'dialect = "oip"', "/v2/health/ready", bodies


def speed(server: str, requests: int, connections: int, rounds: int) -> dict[str, Any]:
    folder, where, x = Path(tempfile.mkdtemp()), port(), data.load("digits")["queries"].inputs
    ring(folder, predict(x), x)
    upstream = upstream_of(server, where, folder)
    path, wire, ready, bodies = asked(server, x, requests)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        up(where, ready)
        time.sleep(2)
        ports = {"direct": where}
        for name, strength in (("proxy", "none"), ("marking", "strong")):
            processes[name], ports[name] = gateway(folder, where, wire, strength, name)
        asyncio.run(load(where, path, bodies[:50], connections, []))
        runs: dict[str, list[Any]] = {name: [] for name in ports}
        for name, width, n in [
            (n, w, q) for _ in range(rounds) for n in ports for w, q in ((connections, requests), (1, 300))
        ]:
            runs[name].append((width, *timed(ports[name], path, bodies[:n], width, processes.get(name))))
        result: dict[str, Any] = {"server": server, "requests": requests, "connections": connections, "rounds": rounds}
        result |= compared({name: told(found, connections) for name, found in runs.items()})
        if shutil.which("wrk"):
            turns = [
                {n: wrk(p, path, bodies[:200], connections, 5, folder) for n, p in ports.items()} for _ in range(rounds)
            ]
            result["wrk"] = by_wrk(turns)
        return result
    finally:
        for process in processes.values():
            process.terminate()
        os.killpg(upstream.pid, signal.SIGTERM)


def timed(
    where: int, path: str, bodies: list[bytes], width: int, process: subprocess.Popen[bytes] | None
) -> tuple[float, list[float], float]:
    """Requests a second, seconds of each, and the gateway's processor time a request."""
    sink: Sink = []
    spent = cpu(process) if process else 0.0
    seconds = asyncio.run(load(where, path, bodies, width, sink))
    if any(status != 200 for _, status, _, _ in sink):
        raise SystemExit(f"port {where}: {next(answer for answer in sink if answer[1] != 200)}")
    return len(sink) / seconds, [s for *_, s in sink], (cpu(process) - spent) / len(sink) if process else 0.0


def told(runs: list[Any], connections: int) -> dict[str, Any]:
    single = np.concatenate([times for width, _, times, _ in runs if width == 1]) * 1e3
    rates, spent = (np.median([run[i] for run in runs if run[0] == connections]) for i in (1, 3))
    latency = {name: round(float(np.quantile(single, q)), 2) for name, q in (("p50", 0.5), ("p99", 0.99))}
    return {
        "per_second": round(float(rates), 1),
        "cpu_ms_per_request": round(float(spent) * 1e3, 2),
        "one_connection_ms": latency,
    }


def compared(found: dict[str, Any]) -> dict[str, Any]:
    marking, proxy = found["marking"], found["proxy"]
    added = {
        f"added_{q}_ms": {
            base: round(marking["one_connection_ms"][q] - found[base]["one_connection_ms"][q], 2)
            for base in ("proxy", "direct")
        }
        for q in ("p50", "p99")
    }
    ratios = {
        "marking_over_proxy": round(marking["per_second"] / proxy["per_second"], 3),
        "marking_over_proxy_by_cpu": round(proxy["cpu_ms_per_request"] / marking["cpu_ms_per_request"], 3),
    }
    return {**found, **ratios, **added}


def by_wrk(turns: list[dict[str, float]]) -> dict[str, Any]:
    rates = {name: [turn[name] for turn in turns] for name in turns[0]}
    pairs = sorted(round(turn["marking"] / turn["proxy"], 3) for turn in turns)
    found: dict[str, Any] = {
        name: {"per_second": sorted(all_)[len(all_) // 2], "all": all_} for name, all_ in rates.items()
    }
    return {**found, "marking_over_proxy": {"median": pairs[len(pairs) // 2], "all": pairs}}


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
        running["process"] = started(folder / "faulty.toml", target, folder / "faulty.err")

    def watcher() -> None:
        while len(sink) < requests:
            with contextlib.suppress(OSError, IndexError, ValueError):
                pages = Path(f"/proc/{running['process'].pid}/statm").read_text().split()[1]
                memory.append(int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6)  # resident, MB
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
        from birthmark.inputs import query_digest

        logged = {digest for record in read(folder / "log-faulty") if record["marked"] for digest in record["inputs"]}
        lost = sum(query_digest(x[i]) not in logged for i in answered)
        half = len(memory) // 2
        statuses = {str(status): sum(e[1] == status for e in sink) for status in sorted({e[1] for e in sink})}
        found = {
            "requests": requests,
            "connections": connections,
            "seconds": round(seconds, 1),
            "answered": len(answered),
        }
        middle, end = (
            round(float(np.median(part)), 1) if part else None for part in (memory[half : half + 5], memory[-1:])
        )
        found |= {"statuses": statuses, "wrong_answers": wrong, "lost_records": lost}
        return {**found, "memory_mb": {"after_start": middle, "end": end}}
    finally:
        running["process"].kill()
        upstream.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "faults"))
    parser.add_argument("--server", default="litserve", choices=("litserve", "mlserver", "toy"))
    for name, number in (("requests", 3000), ("connections", 8), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=number)
    said = parser.parse_args()
    sizes = (said.requests, said.connections)
    result = speed(said.server, *sizes, said.rounds) if said.what == "speed" else faults(*sizes)
    print(json.dumps({**result, "cores": os.cpu_count(), "load": os.getloadavg()[0]}, indent=1))
