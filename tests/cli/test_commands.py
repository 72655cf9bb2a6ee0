"""The command line as a user meets it: files in, verdicts and clear errors out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from birthmark.claim import Claim
from birthmark.types import Answers
from birthmark.workshop.architectures import build
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.workshop.owner import Owner
from birthmark.zoo.store import Store
from cards import digits_card
from cli.conftest import run


def test_enroll_then_verify(claim: Path, files: Path, tmp_path: Path) -> None:
    code, out, _ = run(
        "verify",
        claim,
        "--suspect",
        files / "stolen.safetensors",
        "--alpha",
        0.05,
        "--json",
        "--out",
        tmp_path / "e",
        "--report",
        tmp_path / "r.html",
    )
    found = json.loads(out)
    assert (code, found["verdict"]) == (10, "supported"), found["reason"]
    assert set(found) >= {
        "verdict",
        "method",
        "score",
        "p_value",
        "null",
        "n_placebos",
        "p_parametric",
        "alpha",
        "queries",
        "reason",
    }
    assert json.loads((tmp_path / "e" / "evidence.json").read_text())["p_value"] == 0.05
    assert "<html" in (tmp_path / "r.html").read_text()[:200]
    code, out, _ = run("verify", claim, "--suspect", files / "innocent.safetensors", "--alpha", 0.05)
    assert code == 0
    assert out.startswith("not supported: nothing found that says innocent.safetensors was derived")
    code, out, _ = run("verify", claim, "--suspect", files / "stolen.safetensors", "--alpha", 0.01)
    assert code == 3
    assert out.startswith("inconclusive: whether")


def test_a_second_enrolment_gives_the_same_bits_from_the_cache(
    claim: Path, files: Path, store: Store, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"  # a copy: other tests train into the store meanwhile
    shutil.copytree(store.folder, cache)
    before = {path.name: path.stat().st_mtime_ns for path in (cache / "models").iterdir()}
    code, _, err = run(
        "enroll",
        "--source",
        files / "source.safetensors",
        "--out",
        tmp_path / "c",
        "--cache",
        cache,
        "--workers",
        1,
        "--set",
        "queries=100",
        "--json",
    )
    assert code == 0, err
    first, second = Claim.load(claim)[0], Claim.load(tmp_path / "c")[0]
    assert all(np.array_equal(first.tensors[key], second.tensors[key]) for key in first.tensors)
    assert {path.name: path.stat().st_mtime_ns for path in (cache / "models").iterdir()} == before


def test_a_recipe_and_a_network_of_the_users_own(files: Path, here: Path) -> None:
    (here / "mine.py").write_text(
        "import torch\nfrom torch import nn\nfrom birthmark import data\n"
        "from birthmark.workshop.training import Training, fit\n"
        "def network(shape=(1, 8, 8), outputs=10):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, outputs))\n"
        "def train(seed, start):\n"
        "    torch.manual_seed(start)\n    return fit(network(), data.load('digits')['owner'], Training(epochs=6, "
        "batch=32), seed=seed)\n"
    )
    code = (
        "import mine; from pathlib import Path; from birthmark.workshop.modelfile import *; "
        "save_model(Path('own.safetensors'), mine.train(5, 3), ModelHead('', (1, 8, 8), 10))"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, cwd=here)
    arguments = (
        "enroll",
        "--source",
        "own.safetensors",
        "--out",
        "claim",
        "--twins",
        3,
        "--references",
        4,
        "--surrogates",
        0,
        "--workers",
        1,
        "--json",
    )
    own = ("--recipe", "mine:train", "--architecture", "mine:network")
    code, _, err = run(*arguments, *own)
    assert (code, "give --start N" in err, "birthmark.seed()" in err) == (2, True, True)
    code, out, err = run(*arguments, *own, "--start", 3)
    assert code == 0, err
    assert json.loads(out)["twins"]["n"] == 3
    assert min(json.loads(out)["twins"]["accuracy"]) > 0.6
    code, out, _ = run(
        "verify", "claim", "--suspect", "own.safetensors", "--architecture", "mine:network", "--alpha", 0.25, "--json"
    )
    assert (code, json.loads(out)["verdict"]) == (10, "supported"), out
    code, _, err = run(*arguments, "--recipe", "mine:train")
    assert (code, "give --architecture module:function too" in err) == (2, True)


def test_bad_suspects_get_one_line(claim: Path, files: Path, owner: Owner, tmp_path: Path) -> None:
    def refused(path: object, *more: object) -> tuple[int, str]:
        code, _, err = run("verify", claim, "--suspect", path, *more)
        assert err.count("\n") == 1
        return code, err

    save_model(
        tmp_path / "nine.safetensors",
        owner.make([digits_card(seed=77, split="innocent")])[0],
        ModelHead("mlp", (1, 9, 9), 10),
    )
    code, err = refused(tmp_path / "nine.safetensors")
    assert (code, "do not fit" in err) == (5, True)
    wider = build("mlp:depth=0", (1, 8, 8), 9, seed=0)
    save_model(tmp_path / "classes.safetensors", wider, ModelHead("mlp:depth=0", (1, 8, 8), 9))
    code, err = refused(tmp_path / "classes.safetensors")
    assert (code, "answers 9 classes, the source has 10" in err) == (4, True)
    broken = {key: value * float("nan") for key, value in owner.source.state_dict().items()}
    from safetensors.torch import load_file, save_file

    save_file(broken, tmp_path / "nan.safetensors")
    code, err = refused(tmp_path / "nan.safetensors", "--architecture", "mlp", "--shape", "1x8x8", "--classes", 10)
    assert (code, "expected finite weights" in err) == (4, True)
    assert load_file(tmp_path / "nan.safetensors").keys() == owner.source.state_dict().keys()
    code, err = refused(files / "stolen.safetensors", "--answers", "probabilities")
    assert (code, "look like logits; declare" in err) == (4, True)
    torch.save(owner.source.state_dict(), tmp_path / "m.pt")
    code, err = refused(tmp_path / "m.pt")
    assert (code, "give --architecture" in err) == (5, True), err
    (tmp_path / "cut.safetensors").write_bytes((files / "stolen.safetensors").read_bytes()[:-100])
    code, err = refused(tmp_path / "cut.safetensors")
    assert (code, "not a whole safetensors file" in err) == (5, True)
    code, err = refused(tmp_path / "nowhere.safetensors")
    assert (code, "no such file" in err) == (5, True)
    save_file(owner.source.state_dict(), tmp_path / "bare.safetensors")
    code, err = refused(tmp_path / "bare.safetensors")
    assert (code, "give --architecture" in err) == (5, True)


def test_bad_claims_get_one_line(claim: Path, files: Path, tmp_path: Path) -> None:
    import shutil

    for edit, message in (
        (lambda b: b[:-1], "truncated or edited"),
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "edited or damaged"),
    ):
        shutil.copytree(claim, tmp_path / "c", dirs_exist_ok=True)
        path = tmp_path / "c" / "tensors.safetensors"
        path.write_bytes(edit(path.read_bytes()))
        code, _, err = run("verify", tmp_path / "c", "--suspect", files / "stolen.safetensors")
        assert (code, message in err) == (5, True)
    shutil.copytree(claim, tmp_path / "n")
    manifest = json.loads((tmp_path / "n" / "manifest.json").read_text())
    (tmp_path / "n" / "manifest.json").write_text(json.dumps({**manifest, "format": "birthmark/claim/99"}))
    code, _, err = run("verify", tmp_path / "n", "--suspect", files / "stolen.safetensors")
    assert (code, "made by a newer birthmark" in err) == (5, True)


def test_misuse_of_enroll_is_explained(files: Path, tmp_path: Path, owner: Owner) -> None:
    save_model(tmp_path / "s.safetensors", owner.source, ModelHead("mlp", (1, 8, 8), 10, Answers.LOGITS))
    for arguments, message in (
        (("--source", tmp_path / "s.safetensors"), "does not say how it was trained"),
        (("--source", files / "source.safetensors", "--data", "fashion"), "did you mean fashion-mnist"),
        (("--source", files / "source.safetensors", "--method", "kinsip"), "did you mean kinship"),
        (("--source", files / "source.safetensors", "--set", "querys=5"), "has no setting querys"),
        (("--source", files / "source.safetensors", "--twins", 0), "expected placebos in [2, inf)"),
    ):
        code, _, err = run("enroll", "--out", tmp_path / "c", "--cache", tmp_path / "z", "--workers", 1, *arguments)
        assert (code, message in err) == (2, True), err
    assert not (tmp_path / "c").exists()


def test_read_only_output_is_one_line(claim: Path, files: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = run("verify", claim, "--suspect", files / "stolen.safetensors", "--out", tmp_path / "file" / "x")
    assert code == 2
    assert err.count("\n") == 1
    assert "file" in err


def test_attack_on_files(files: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "attack",
        "quantise",
        "--target",
        files / "source.safetensors",
        "--out",
        tmp_path / "q.safetensors",
        "--set",
        "bits=4",
        "--json",
    )
    assert code == 0, err
    assert json.loads(out)["agreement"] > 0.8
    there = ("--target", files / "source.safetensors", "--out", tmp_path / "p.safetensors", "--set", "bits=4")
    code, found, err = run("attack", "quantise", *there, "--executor", "local", "--device", "cpu", "--json")
    assert code == 0, err
    assert {**json.loads(found), "model": "", "seconds": 0} == {**json.loads(out), "model": "", "seconds": 0}
    assert (tmp_path / "p.safetensors").read_bytes() == (tmp_path / "q.safetensors").read_bytes()
    code, _, err = run("attack", "quantise", *there, "--device", "cuda:77")
    assert code == 2
    assert "torch sees" in err
    code, out, err = run(
        "attack",
        "retrain",
        "--target",
        files / "source.safetensors",
        "--out",
        tmp_path / "r.safetensors",
        "--set",
        "student=mlp",
        "--budget",
        100,
        "--json",
    )
    assert code == 0, err
    assert json.loads(out)["queries"] == 100
    code, _, err = run(
        "attack",
        "distill",
        "--preset",
        "sca",
        "--target",
        files / "source.safetensors",
        "--out",
        tmp_path / "r.safetensors",
    )
    assert (code, "did you mean sac" in err) == (2, True)
    code, _, err = run(
        "attack", "retrian", "--target", files / "source.safetensors", "--out", tmp_path / "r.safetensors"
    )
    assert (code, "did you mean retrain" in err) == (2, True)


@pytest.mark.parametrize("what", ["methods", "attacks", "watermarks", "datasets", "architectures", "plans", "dialects"])
def test_lists_are_named_and_explained(what: str) -> None:
    code, out, _ = run("list", what, "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) >= 1
    assert all(row["name"] for row in rows)
    assert run("list", what)[0] == 0
