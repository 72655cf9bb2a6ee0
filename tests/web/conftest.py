"""A real server in a process of its own, with real workers, and suspects behind real addresses."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from torch import nn

from birthmark.claim import Claim
from birthmark.workshop.modelfile import ModelHead, save_model

TOKEN = "a token of enough letters"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Server:
    """The command `birthmark serve`, which can be killed and started again."""

    home: Path
    port: int = field(default_factory=free_port)
    workers: int = 1
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        options = ["--home", self.home, "--port", self.port, "--workers", self.workers, "--token", "env:WEB_TOKEN"]
        options += ["--host-allowed", "127.0.0.1"]
        command = [sys.executable, "-m", "birthmark", "serve", *map(str, options)]
        self.process = subprocess.Popen(command, env={**os.environ, "WEB_TOKEN": TOKEN})
        self.until(lambda: httpx2.get(f"{self.url}/entry").status_code == 200)
        return self

    def until(self, true: "object", seconds: float = 90) -> None:
        """Wait until a call gives something true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if true():  # type: ignore[operator]
                    return
            except httpx2.HTTPError:
                assert self.process is not None
                assert self.process.poll() is None, "the server ended"
            time.sleep(0.1)
        raise AssertionError("it did not come to pass in time")

    def end(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def visitor(self) -> httpx2.Client:
        """Somebody who knows the token and came in by the door."""
        cookies = httpx2.post(f"{self.url}/entry", data={"token": TOKEN}).cookies
        return httpx2.Client(base_url=self.url, cookies=cookies, follow_redirects=True, timeout=60)

    def program(self) -> httpx2.Client:
        """A program that knows the token."""
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)


@pytest.fixture(scope="session")
def home(digits_claim: Claim, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    digits_claim.save(folder / "claims" / "mine")
    return folder


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[Server]:
    server = Server(home).start()
    yield server
    server.end()


@pytest.fixture(scope="session")
def suspects(stolen: nn.Module, innocent: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suspects")
    for name, module in (("stolen", stolen), ("innocent", innocent)):
        save_model(folder / f"{name}.safetensors", module, ModelHead("mlp", (1, 8, 8), 10), {})
    return folder
