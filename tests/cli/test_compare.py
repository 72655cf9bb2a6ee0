"""`birthmark compare` from files to exit codes, evidence and the page."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from birthmark.cli.commands import app


def network(seed: int, noise: float = 0.0) -> dict[str, np.ndarray]:
    random, other = np.random.default_rng(seed), np.random.default_rng(99)
    return {
        f"{i}.weight": (random.normal(size=(b, a)) + noise * other.normal(size=(b, a))).astype(np.float32)
        for i, (a, b) in enumerate(itertools.pairwise((20, 48, 40, 10)))
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, one in (("a", network(1)), ("copy", network(1, 0.2)), ("stranger", network(2))):
        save_file(one, tmp_path / f"{name}.safetensors")
    return tmp_path


def run(*words: object):
    return CliRunner().invoke(app, ["compare", *map(str, words), "--orders", "1999"])


def test_verdicts_exit_codes_and_what_is_printed(files: Path) -> None:
    a, copy, stranger = (files / f"{name}.safetensors" for name in ("a", "copy", "stranger"))
    assert run(a, stranger).exit_code == 0
    open_ended = run(a, copy)
    assert open_ended.exit_code == 3
    assert "they share an origin" in open_ended.output
    assert "tensors that share an origin: 3 of 3" in open_ended.output
    supported = run(a, copy, "--start", "secret")
    assert supported.exit_code == 10
    assert "was derived from the claimed source" in supported.output


def test_evidence_has_the_keys_of_verify_and_the_files_digests(files: Path) -> None:
    said = json.loads(run(files / "a.safetensors", files / "copy.safetensors", "--json").output)
    keys = {"verdict", "grade", "method", "score", "p_value", "null", "n_placebos", "p_parametric", "alpha", "queries"}
    assert keys | {"reason", "format", "layers", "shared"} <= said.keys()
    assert (said["method"], said["verdict"], said["queries"]) == ("compare", "inconclusive", 0)
    assert len(said["source"]["sha256"]) == len(said["suspect"]["sha256"]) == 64


def test_the_page_names_files_tensors_and_verdict(files: Path) -> None:
    place = files / "page.html"
    assert run(files / "a.safetensors", files / "copy.safetensors", "--report", place).exit_code == 3
    page = place.read_text()
    for words in ("does not settle", "copy.safetensors", "0.weight", "3 of 3 compared tensors", "exact; 3 tensors"):
        assert words in page
    assert "<script" not in page


def test_bad_files_end_with_five_and_no_verdict(files: Path) -> None:
    (files / "b.safetensors").write_bytes(b"nothing")
    for wrong in (files / "b.safetensors", files / "missing.safetensors"):
        failed = run(files / "a.safetensors", wrong, "--json")
        assert failed.exit_code == 5
        assert "verdict" not in failed.output
