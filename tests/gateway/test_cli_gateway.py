"""The commands, from a model file to a named client, through a real gateway process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import typer
import uvicorn
from typer.testing import CliRunner

from birthmark import data
from birthmark.artifact import file_digest
from birthmark.claim import Claim
from birthmark.cli import gateway
from birthmark.gateway.log import read
from birthmark.marks.keyring import Keyring
from birthmark.types import Answers
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.zoo.make import make
from cards import digits_card
from gateway.conftest import Upstream, predict

APP = typer.Typer()
gateway.mount(APP)
SERVE = "import typer; from birthmark.cli import gateway; a = typer.Typer(); gateway.mount(a); a()"


def run(*arguments: str) -> Any:
    found = CliRunner().invoke(APP, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait(url: str) -> None:
    for _ in range(300):
        try:
            if httpx2.get(url, timeout=1).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not come up")


def started(config: Path, port: int, out: Path) -> subprocess.Popen[bytes]:
    """A gateway process that answers; what it says is added to `out`."""
    with out.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "gateway", "--config", str(config), "--port", str(port)],
            stdout=file,
            stderr=file,
        )
    wait(f"http://127.0.0.1:{port}/healthz")
    return process


def test_key_new_claim_trace_and_utility(tmp_path: Path, digits: data.Data) -> None:
    model = make(digits_card(), {}, digits)
    file = tmp_path / "source.safetensors"
    save_model(file, model, ModelHead("mlp", digits.shape, 10, Answers.LOGITS), {"kind": "given"})
    key, ring = str(tmp_path / "k"), str(tmp_path / "ring")
    common = ["--keyring", ring, "--secret", key]
    made = run(
        "key",
        "new",
        *common,
        "--source",
        str(file),
        "--recipe",
        "mlp",
        "--references",
        "2",
        "--cache",
        str(tmp_path / "zoo"),
        "--workers",
        "1",
        "--placebos",
        "199",
    )
    assert made["references"] == 2
    assert Path(key).read_text().strip() not in json.dumps(made)
    claim = run("key", "claim", *common, "--client", "alice", "--out", str(tmp_path / "claim"))
    assert Claim.load(tmp_path / "claim")[1] == claim["digest"]
    asked = ["trace", *common, "--suspect", str(file), "--client", "alice", "--client", "bob", "--alpha", "0.002"]
    found = run(*asked, "--out", str(tmp_path / "t"), "--report", str(tmp_path / "t.html"))
    assert not any(
        s["named"] for s in found["clients"]
    )  # the key is a random one: two runs in a thousand would name somebody
    assert json.loads((tmp_path / "t" / "evidence.json").read_text()) == found
    assert (found["verdict"], found["keyring"]) == ("not supported", made["digest"])
    assert file_digest(tmp_path / "t" / "transcript.jsonl") == found["transcript"]
    assert "source.safetensors: not supported" in (tmp_path / "t.html").read_text()
    shown = run("utility", *common, "--source", str(file), "--clients", "2", "--plot", str(tmp_path / "u.png"))
    assert [row["strength"] for row in shown] == ["light", "default", "strong", "heavy"]
    assert Keyring.load(Path(ring)).placebos


def test_an_open_key_file_is_one_clear_line(tmp_path: Path) -> None:
    run("key", "new", "--secret", str(tmp_path / "k"))
    os.chmod(tmp_path / "k", 0o644)
    found = CliRunner().invoke(
        APP,
        [
            "key",
            "claim",
            "--client",
            "a",
            "--out",
            str(tmp_path / "c"),
            "--keyring",
            str(tmp_path / "none"),
            "--secret",
            str(tmp_path / "k"),
        ],
    )
    assert found.exit_code == 5
    assert "Traceback" not in found.output


@pytest.fixture
def server() -> Any:
    port = free_port()
    served = uvicorn.Server(uvicorn.Config(Upstream(), port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    while not served.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    served.should_exit = True
    thread.join(10)


def test_a_killed_gateway_comes_back_with_its_log(tmp_path: Path, server: str, ring: Keyring) -> None:
    ring.save(tmp_path / "ring")
    run("key", "new", "--secret", str(tmp_path / "k"))
    port = free_port()
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'upstream = "{server}"\nkeyring = "{tmp_path}/ring"\nsecret = "{tmp_path}/k"\nstrength = '
        f'"strong"\n[wire]\ndialect = "tfserving"\n[log]\nfolder = "{tmp_path}/log"\n'
    )
    url = f"http://127.0.0.1:{port}"
    x = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
    answered, first = 0, None
    for end in (signal.SIGKILL, signal.SIGTERM):
        process = started(config, port, tmp_path / "out")
        for _ in range(20):
            got = httpx2.post(
                f"{url}/v1/models/m:predict", json={"instances": x.tolist()}, headers={"X-Client-Id": "alice"}
            )
            assert got.status_code == 200
            rows = got.json()["predictions"]
            first = first or rows
            assert rows == first
            assert np.abs(np.array(rows) - predict(x)).sum() > 0.001
            answered += 1
        process.send_signal(end)
        assert process.wait(30) == -end  # uvicorn finishes, then ends by the signal it was sent
        assert len(list(read(tmp_path / "log"))) >= answered
    assert answered == 40
    assert (tmp_path / "k").read_text().strip() not in (tmp_path / "out").read_text()


def test_a_client_that_hangs_up_harms_nobody(tmp_path: Path, server: str, ring: Keyring) -> None:
    ring.save(tmp_path / "ring")
    run("key", "new", "--secret", str(tmp_path / "k"))
    port = free_port()
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'upstream = "{server}"\nkeyring = "{tmp_path}/ring"\nsecret = "{tmp_path}/k"\npolicy = '
        '"open"\n[wire]\ndialect = "tfserving"\n'
    )
    process = started(config, port, tmp_path / "out")
    for path in ("/elsewhere", "/v1/models/m:predict"):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Client-Id: a\r\nContent-Length: 100000\r\n\r\n".encode()
                + b"x" * 1000
            )
            time.sleep(0.2)
    answer = httpx2.get(f"http://127.0.0.1:{port}/v2/health/live")
    assert answer.status_code == 200
    assert len(answer.headers.get_list("date")) == 1
    process.terminate()
    process.wait(30)
    assert "Traceback" not in (tmp_path / "out").read_text()
