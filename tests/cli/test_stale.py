"""Nothing stale is used again: other data or other code of a recipe make other twins and references."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from birthmark import data
from birthmark.claim import Claim
from birthmark.workshop.architectures import build
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.workshop.training import Training, fit
from cli.conftest import run

OPTIONS = ("--method", "akh", "--twins", 4, "--references", 4, "--surrogates", 0, "--workers", 1, "--json")
LOOP = Training(epochs=12, batch=32)


def samples() -> tuple[np.ndarray, np.ndarray]:
    parts = data.load("digits").parts.values()
    return np.concatenate([part.inputs for part in parts]), np.concatenate([part.targets for part in parts])


def built(folder: Path) -> int:
    return sum(
        json.loads(line)["event"] == "built" for line in (folder / "zoo" / "events.jsonl").read_text().splitlines()
    )


def enrolled(folder: Path, out: str, *more: object) -> Claim:
    code, _, err = run("enroll", "--source", folder / "s.safetensors", "--out", folder / out, *OPTIONS, *more)
    assert code == 0, err
    return Claim.load(folder / out)[0]


def test_corrected_labels_make_new_twins(here: Path) -> None:
    x, y = samples()
    wrong = y.copy()
    wrong[:80] = (wrong[:80] + 1) % 10
    claims, models = [], []
    for labels in (wrong, y, y):
        np.savez(here / "mine.npz", inputs=x, targets=labels)
        parts = data.load("mine.npz")
        source = fit(build("mlp", (1, 8, 8), 10, seed=7), parts["owner"], LOOP, seed=1)
        save_model(here / "s.safetensors", source, ModelHead("mlp", (1, 8, 8), 10))
        said = (
            "--data",
            "mine.npz",
            "--recipe",
            "mlp",
            "--start",
            7,
            "--training",
            "epochs=12",
            "--training",
            "batch=32",
        )
        claims.append(enrolled(here, f"claim{len(claims)}", *said))
        models.append(built(here))
    assert models == [8, 16, 16]
    assert not np.array_equal(claims[0].tensors["references"], claims[1].tensors["references"])
    first, again = (Claim.load(here / name)[1] for name in ("claim1", "claim2"))
    assert first == again


RECIPE = """
import torch
from torch import nn
from birthmark import data
from birthmark.workshop.training import Training, fit
from helper import WIDTH, EPOCHS
def network(shape=(1, 8, 8), outputs=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Tanh(), nn.Linear(WIDTH, outputs))
def train(seed, start):
    torch.manual_seed(start)
    return fit(network(), data.load('digits')['owner'], Training(epochs=EPOCHS, batch=32), seed=seed)
"""
SAVE = (
    "import mine_stale as m; from pathlib import Path; from birthmark.workshop.modelfile import *; "
    "save_model(Path('s.safetensors'), m.train(5, 3), ModelHead('', (1, 8, 8), 10))"
)


def test_changed_code_of_what_a_recipe_imports_makes_new_twins(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine_stale.py").write_text(RECIPE)
    made = []
    for epochs in (6, 9):
        (here / "helper.py").write_text(f"WIDTH = 40\nEPOCHS = {epochs}\n")
        subprocess.run([sys.executable, "-c", SAVE], check=True, cwd=here)
        for name in ("helper", "mine_stale"):
            sys.modules.pop(name, None)
        own = ("--recipe", "mine_stale:train", "--architecture", "mine_stale:network", "--start", 3)
        enrolled(here, f"claim{epochs}", *own)
        made.append(built(here))
    assert made[1] - made[0] >= 4


def test_a_file_may_say_where_a_recipe_of_ones_own_starts(here: Path) -> None:
    (here / "mine_start.py").write_text(
        RECIPE.replace("from helper import WIDTH, EPOCHS", "WIDTH, EPOCHS = 40, 6").replace(
            "    torch.manual_seed(start)\n    return fit(network()", "    return fit(start"
        )
    )
    save = (
        "import torch, mine_start as m; from pathlib import Path; from birthmark.workshop.modelfile import *\n"
        "torch.manual_seed(3); first = m.network(); head = ModelHead('', (1, 8, 8), 10)\n"
        "save_model(Path('start.safetensors'), first, head); save_model(Path('s.safetensors'), m.train(5, first), head)"
    )
    subprocess.run([sys.executable, "-c", save], check=True, cwd=here)
    own = ("--recipe", "mine_start:train", "--architecture", "mine_start:network", "--start", "start.safetensors")
    assert enrolled(here, "claim", *own).twins == "same-start"
    (here / "start.safetensors").write_bytes((here / "s.safetensors").read_bytes())
    code, _, err = run("enroll", "--source", here / "s.safetensors", "--out", here / "c", *OPTIONS, *own)
    assert (code, "no rerun of its twins' recipe" in err) == (2, True), err
