"""What `enroll --twin` asks and refuses, in one line."""

from pathlib import Path

import numpy as np
import pytest

from cli.conftest import run
from families import pool

graphs = pytest.importorskip("graphs")


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graphs.write(Path("source.onnx"), 1)
    for i in range(4):
        graphs.write(Path(f"twins/{i}.onnx"), 100 + i)
        graphs.write(Path(f"others/{i}.onnx"), 200 + i, 0.8)
    samples = pool(300)
    np.savez("pool.npz", inputs=samples.inputs, targets=samples.targets)


GIVEN = (
    "enroll",
    "--source",
    "source.onnx",
    "--twin",
    "twins/*.onnx",
    "--reference",
    "others/*.onnx",
    "--out",
    "claim",
)
POOL, SAME = ("--pool", "pool.npz"), ("--same-start",)
REFUSED = {
    "nothing said of the start": (POOL, 2, "where do the twins start?"),
    "no pool": (SAME, 2, "expected inputs to choose queries from: --pool"),
    "both starts": ((*POOL, *SAME, "--other-start"), 2, "--same-start or --other-start"),
    "no secret": ((*POOL, "--other-start"), 2, "expected the source's own start with --other-start"),
    "a habit": ((*POOL, "--other-start", "--start", 42), 2, "a secret seed of 128 bits"),
    "recipe and twins": (
        (*POOL, *SAME, "--recipe", "a:b"),
        2,
        "--recipe trains twins and references, --twin and --reference give them",
    ),
    "a method of weights": ((*POOL, *SAME, "--method", "tafa"), 2, "tafa makes claims from weights"),
    "no such twin": ((*POOL, *SAME, "--twin", "none.onnx"), 5, "none.onnx: no such file"),
    "no fitting twin": ((*POOL, *SAME, "--twin", "none/*.onnx"), 2, "none/*.onnx: no file fits this pattern"),
    "the source as a twin": ((*POOL, *SAME, "--twin", "source.onnx"), 2, "not all different models"),
    "other kinds": ((*POOL, *SAME, "--answers", "probabilities"), 4, "declare answers logits"),
    "an API without ground": ((*POOL, *SAME, "--twin", "http://127.0.0.1:9/x"), 2, "--i-am-authorised"),
    "a pickle": ((*POOL, *SAME, "--twin", "twin.pkl"), 5, "a pickle, which can run code when opened"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str) -> None:
    Path("twin.pkl").write_bytes(b"\x80\x04.")
    options, exit_code, words = REFUSED[name]
    code, _, err = run(*GIVEN, *options)
    assert (code, words in err) == (exit_code, True), err
    assert err.count("\n") == 1
    assert not Path("claim").exists()


def test_a_claim_that_can_only_end_inconclusive_says_so_at_once() -> None:
    code, out, _ = run(*GIVEN, *POOL, *SAME)
    assert code == 0
    assert "warning: 4 twins: every verdict at alpha 0.05 is inconclusive; it takes 19" in out
    assert run("verify", "claim", "--suspect", "source.onnx")[0] == 3
