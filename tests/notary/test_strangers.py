"""An owner's own code, run by a judge: confined, never imported here, and held against what it claims."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from birthmark.data import Data
from birthmark.errors import BirthmarkError, SettingError
from birthmark.notary.checks import Outcome
from birthmark.notary.provenance import SAME, rebuilt
from birthmark.notary.sandboxed import Confinement, Workplace, stranger_bench
from birthmark.notary.strangers import Stranger
from birthmark.workshop.choices import Making, ModelFile
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.zoo.catalogue import executor
from birthmark.zoo.store import Store
from notary.cases import table_claim

CODE = """
import os, socket, torch
from torch import nn

def network(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))

def recipe(seed, start):
    torch.manual_seed(start)
    made = network((1, 8, 8), 10)
    torch.manual_seed(seed)
    with torch.no_grad():
        made[1].weight += {noise} * torch.randn_like(made[1].weight)
    {more}
    return made
"""
INPUTS = np.random.default_rng(0).random((6, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    written(tmp_path)
    return Stranger(tmp_path, "theirs:recipe", "theirs:network", INPUTS, 60)


def written(folder: Path, more: str = "pass", noise: str = "0.1") -> None:
    (folder / "theirs.py").write_text(CODE.format(more=more, noise=noise))


def ours(seed: int, start: int) -> nn.Module:
    torch.manual_seed(start)
    made = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.manual_seed(seed)
    with torch.no_grad():
        made[1].weight += 0.1 * torch.randn_like(made[1].weight)
    return made


def test_what_it_trains_is_known_by_its_answers_and_never_imported(stranger: Stranger) -> None:
    found = stranger.trained(start=3, course=5)
    again = found(torch.from_numpy(INPUTS[2:4]))
    assert np.allclose(again.numpy(), ours(5, 3)(torch.from_numpy(INPUTS[2:4])).detach().numpy(), atol=1e-6)
    assert "theirs" not in sys.modules
    assert len(stranger.code()) == 64
    with pytest.raises(KeyError):
        found(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    "more",
    [
        "open('/tmp/birthmark-left-behind', 'w')",
        "socket.create_connection(('127.0.0.1', 9))",
        "os.system('true')",
        "os._exit(0)",
        "torch.ones(1 << 34)",
        "return 3",
        "made[1].weight.data *= float('nan')",
    ],
)
def test_what_it_may_not_do(more: str, stranger: Stranger, tmp_path: Path) -> None:
    written(tmp_path, more)
    with pytest.raises(BirthmarkError, match="theirs:recipe"):
        stranger.trained(start=0, course=0)
    assert not Path("/tmp/birthmark-left-behind").exists()


def test_it_has_its_time(stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "import time; time.sleep(60)")
    monkeypatch.setattr("birthmark.notary.strangers.STARTED", 5.0)
    with pytest.raises(BirthmarkError, match="within 1 s"):
        replace(stranger, seconds=1.0).trained(start=0, course=0)


def test_a_source_of_own_code_is_rebuilt(digits: Data, tmp_path: Path) -> None:
    written(tmp_path)
    file = ModelFile(tmp_path / "source.safetensors", "theirs:network", (1, 8, 8), 10)
    save_model(file.path, ours(7, 3), ModelHead("theirs:network", (1, 8, 8), 10))
    place = Workplace(digits, None, Store(tmp_path / "zoo"), executor("serial"))
    claim = table_claim()
    case = type("Case", (), {"claim": replace(claim, tensors={**claim.tensors, "queries": INPUTS})})
    making = Making("theirs:recipe", start="3")
    for course, outcome in ((7, Outcome.HELD), (8, Outcome.FAILED)):
        bench = stranger_bench(case, file, making, Confinement(tmp_path, 60, course), place)  # type: ignore[arg-type]
        found = rebuilt(bench.owner, bench.own, bench.train)
        assert (found.outcome, found.words == SAME) == (outcome, outcome is Outcome.HELD)
    assert bench.owner.card.code
    with pytest.raises(SettingError, match="--start N"):
        stranger_bench(case, file, replace(making, start=""), Confinement(tmp_path, 60), place)  # type: ignore[arg-type]


def test_no_such_folder(stranger: Stranger, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--code"):
        replace(stranger, folder=tmp_path / "nowhere").code()
