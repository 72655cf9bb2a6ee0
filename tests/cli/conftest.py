"""Files as an owner and a thief have them: models, a claim, keys; made once a test run, through the command line."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from birthmark.artifact import plain
from birthmark.claim import Claim
from birthmark.cli.commands import app
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.workshop.owner import Owner
from birthmark.zoo.store import Store
from cards import digits_card


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error; a traceback fails the test."""
    found = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(found.exception, SystemExit | None), found.exception
    assert found.exit_code != 70, found.stderr
    return found.exit_code, found.stdout, found.stderr


def write_model(path: Path, module: torch.nn.Module, architecture: str = "mlp", outputs: int = 10) -> Path:
    about = {"card": plain(asdict(digits_card()))}
    save_model(path, module, ModelHead(architecture, (1, 8, 8), outputs), about)
    return path


@pytest.fixture(scope="session")
def files(
    owner: Owner, stolen: torch.nn.Module, innocent: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, module in (("source", owner.source), ("stolen", stolen), ("innocent", innocent)):
        write_model(folder / f"{name}.safetensors", module)
    return folder


@pytest.fixture(scope="session")
def claim(files: Path, store: Store, digits_claim: Claim) -> Path:
    source, place = files / "source.safetensors", files / "claim"
    options = ("--cache", store.folder, "--workers", 1, "--set", "queries=100", "--json")
    code, out, err = run("enroll", "--source", source, "--out", place, *options)
    assert code == 0, err
    facts = json.loads(out)
    assert facts["reach"]["smallest_p"] == 1 / 20
    assert facts["reach"]["needed_for_.01"] == 99
    assert {row["theft"] for row in facts["power"]} == {"ftal", "distill", "retrain"}
    return place
