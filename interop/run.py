"""The same suspects, here and behind real model servers: same verdict, same scores.

    python interop/run.py litserve mlserver mlflow [--speed]

Each server gets a virtual environment of its own under .interop/ (kept until its requirements change). A claim on
digits, a fine-tuned copy of its source and an independent model are made once, and verified here and through every
server.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import torch

from birthmark import data
from birthmark import suspects as door
from birthmark.claim import Claim
from birthmark.evidence import Evidence
from birthmark.methods.kinship import Kinship
from birthmark.oracle import Oracle, Probabilities, Rounded, TopK
from birthmark.suspects.description import SuspectSpec
from birthmark.transcript import Recorded, Transcript
from birthmark.verify import Terms, verify
from birthmark.workshop.card import Card
from birthmark.workshop.owner import Owner
from birthmark.workshop.whitebox import Open
from birthmark.zoo.build import workshop
from birthmark.zoo.catalogue import executor
from birthmark.zoo.make import make
from birthmark.zoo.store import Store

HERE = Path(__file__).parent
WORK = HERE.parent / ".interop"
TOLERANCE = 1e-5  # of scores: float32 products in another order
MINE = "our own server, for a test"


@dataclass(frozen=True)
class Way:
    """One way to ask a server: the path after its address and what is declared."""

    name: str
    path: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    like: Callable[[Oracle], Oracle] = lambda oracle: oracle  # what the server hides, done here as well


SERVERS = {
    "litserve": [
        Way("generic", "/classify", {"body": {"images": "$inputs"}, "rows": "results[*].scores", "dialect": "generic"}),
        Way("tfserving", "/v1/models/digits:predict"),
    ],
    "mlserver": [Way("oip", "/v2/models/digits"), Way("oip", "", {"model": "digits"})],
    "mlflow": [Way("mlflow"), Way("mlflow", "/invocations")],
    "kserve": [
        Way("tfserving", "", {"dialect": "tfserving"}),
        Way("oip", "/v2/models/digits", {"encoding": "json"}),
        Way("oip, binary", "/v2/models/digits", {"encoding": "binary"}),
    ],
    "triton": [
        Way("oip, binary by probe", "", {"model": "digits"}),
        Way("oip, json", "/v2/models/digits", {"encoding": "json"}),
        Way(
            "oip, Triton's top 3",
            "/v2/models/digits",
            {"encoding": "json", "top": 3, "answers": "topk"},
            lambda o: Rounded(TopK(o, 3), 6),
        ),
    ],
    "torchserve": [Way("torchserve", "", {"model": "digits"})],
}
READY = {
    "litserve": "/health",
    "mlserver": "/v2/models/digits/ready",
    "mlflow": "/ping",
    "kserve": "/v2/models/digits/ready",
    "triton": "/v2/models/digits/ready",
    "torchserve": "/models/digits",  # on the management port, the next one
}


def environment(name: str) -> Path:
    """The server's own virtual environment; made when missing or when its requirements changed."""
    wanted = HERE / "requirements" / f"{name}.txt"
    stamp = hashlib.sha256(wanted.read_bytes()).hexdigest()
    folder = WORK / name
    if not (folder / "stamp").is_file() or (folder / "stamp").read_text() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
        (folder / "stamp").write_text(stamp)
    return folder


def claim_and_suspects() -> tuple[Claim, dict[str, torch.nn.Module]]:
    """A kinship claim on an mlp of digits, a copy of it and an innocent; kept in .interop/models."""
    folder, parts = WORK / "models", data.load("digits")
    store = Store(folder / "zoo")
    training = {"epochs": 20, "batch": 32}
    cards = {
        seed: Card(
            kind="trained",
            data=parts.about(split),
            split=split,
            recipe="mlp",
            start=seed,
            course=seed,
            training=training,
        )
        for seed, split in ((0, "owner"), (77, "innocent"))
    }
    source = make(cards[0], {}, parts)
    owner = Owner(
        source,
        cards[0],
        parts["owner"],
        parts["reserve"],
        parts["queries"],
        workshop(source, cards[0], store, parts, executor("serial")),
    )
    copy = Card(
        kind="stolen",
        data=cards[0].data,
        split="attacker",
        recipe="",
        course=50,
        attack="ftal",
        parents=(cards[0].key,),
    )
    suspects = dict(zip(("copy", "innocent"), owner.make([copy, cards[77]]), strict=True))
    for name, module in suspects.items():
        layers = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
        arrays = {
            f"{kind}{i}": getattr(layer, kind).detach().numpy()
            for i, layer in enumerate(layers)
            for kind in ("weight", "bias")
        }
        np.savez(folder / f"{name}.npz", **arrays)
    return Kinship(queries=100, placebos=19, references=6).fit(owner, seed=0), suspects


def free_port() -> int:
    """A port with four free neighbours, as far as one can know."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 60_000:
            return port


@contextlib.contextmanager
def running(name: str, weights: Path) -> Iterator[str]:
    """The server with one model, once it says that it is ready; its address."""
    python, port, log = environment(name) / "bin" / "python", free_port(), WORK / f"{name}.log"
    env = {
        **os.environ,
        "PYTHONPATH": str(HERE / "servers"),
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    if name == "triton":
        env["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [python, HERE / "servers" / f"{name}_server.py", weights, str(port), WORK / "run" / name],
            env=env,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    answer = httpx2.get(f"http://127.0.0.1:{port + (name == 'torchserve')}{READY[name]}", timeout=2)
                    if answer.status_code == 200 and (name != "torchserve" or '"READY"' in answer.text):
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{name} did not start; see {log}:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.2)
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def compared(server: str, claim: Claim, suspects: dict[str, torch.nn.Module]) -> list[dict[str, Any]]:
    """One row for each way and suspect: what was found here and there."""
    rows = []
    for name, module in suspects.items():
        with running(server, WORK / "models" / f"{name}.npz") as url:
            for way in SERVERS[server]:
                here = verify(claim, way.like(Open(module)), alpha=0.05)
                started = time.monotonic()
                suspect = door.open(url + way.path, spec=SuspectSpec(**way.spec), task=claim.task, authorisation=MINE)
                there = verify(claim, suspect, alpha=0.05, terms=Terms(authorisation=MINE))
                rows.append(
                    {
                        "server": server,
                        "way": way.name,
                        "suspect": name,
                        "verdict": str(there.verdict),
                        "p_value": there.p_value,
                        "score": there.score,
                        "score_here": here.score,
                        "same": same(here, there),
                        "queries": there.queries,
                        "sent": there.sent,
                        "seconds": round(time.monotonic() - started, 2),
                    }
                )
    return rows


def same(here: Evidence, there: Evidence) -> bool:
    """Same verdict and p, and all scores within the tolerance."""
    near = np.allclose(
        [here.score, here.raw, *here.placebos], [there.score, there.raw, *there.placebos], atol=TOLERANCE
    )
    return bool(near) and (here.verdict, here.p_value) == (there.verdict, there.p_value)


def speed(claim: Claim, n: int = 1000, rounds: int = 9) -> dict[str, float]:
    """Seconds for n queries on LitServe.

    A bare batched loop with httpx2, and our oracle with its transcript on disk.
    """
    x = np.random.default_rng(0).random((n, *claim.task.shape), dtype=np.float32)
    bare, ours = [], []
    with running("litserve", WORK / "models" / "copy.npz") as url:
        path = "/v1/models/digits:predict"
        for i in range(rounds + 1):
            started = time.perf_counter()
            with httpx2.Client() as client:
                rows = [
                    client.post(url + path, json={"instances": x[j : j + 100].tolist()}).json()["predictions"]
                    for j in range(0, n, 100)
                ]
            middle = time.perf_counter()
            opened = door.open(url + path, task=claim.task, authorisation=MINE)
            log = Transcript(WORK / f"speed{i}.jsonl", opened, claim.task)
            suspect = Probabilities(Recorded(opened, log))
            answers = np.concatenate([suspect(x[j : j + suspect.batch]) for j in range(0, n, suspect.batch)])
            log.close()
            ended = time.perf_counter()
            assert np.array_equal(answers, np.concatenate(rows))
            if i:  # the first round warms up
                bare.append(middle - started)
                ours.append(ended - middle)
            (WORK / f"speed{i}.jsonl").unlink()
    ratios = np.array(ours) / np.array(bare)
    return {
        "queries": n,
        "rounds": rounds,
        "bare_s": float(np.median(bare)),
        "ours_s": float(np.median(ours)),
        "ratio_median": float(np.median(ratios)),
        "ratio_low": float(ratios.min()),
        "ratio_high": float(ratios.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="+", choices=SERVERS)
    parser.add_argument("--speed", action="store_true", help="also measure 1000 queries against a bare loop")
    parser.add_argument("--out", type=Path, help="write the record as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    started = time.monotonic()
    claim, suspects = claim_and_suspects()
    rows = []
    for server in options.servers:
        for row in compared(server, claim, suspects):
            rows.append(row)
            print(
                (
                    f"{row['server']:11} {row['way']:22} {row['suspect']:9} {row['verdict']:14} p "
                    f"{row['p_value']:.2f}  "
                    f"score {row['score']:+.6f}  here {row['score_here']:+.6f}  "
                    f"{'same' if row['same'] else 'DIFFERENT'}  "
                    f"{row['seconds']} s"
                ),
                flush=True,
            )
    record = {
        "tolerance": TOLERANCE,
        "rows": rows,
        "speed": speed(claim) if options.speed else None,
        "seconds": round(time.monotonic() - started, 1),
    }
    if options.speed:
        print(
            (
                "1000 queries: bare loop {bare_s:.3f} s, ours {ours_s:.3f} s, ratio {ratio_median:.2f} "
                "({ratio_low:.2f}-{ratio_high:.2f} in {rounds} rounds)"
            ).format(**record["speed"])
        )
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    if not all(row["same"] for row in rows):
        sys.exit("a verdict or a score differs from the one found here")
    if options.speed and record["speed"]["ratio_median"] > 1.3:
        sys.exit("asking costs more than 1.3 times a bare loop")


if __name__ == "__main__":
    main()
