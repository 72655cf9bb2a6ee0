"""A disk that is full at any write: one line, no verdict, nothing half written that counts, and the rerun goes on."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from birthmark.claim import Claim
from birthmark.errors import BirthmarkError
from birthmark.gateway.log import read
from birthmark.gateway.writer import LogSettings, QueryLog, entry
from birthmark.zoo.store import Store
from cli.conftest import run

FULL = (BirthmarkError, OSError)


@contextmanager
def full(most: int) -> Iterator[None]:
    """Files may grow to so many bytes, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(code: int, err: str) -> None:
    assert code in (2, 4, 5), err
    assert err.count("\n") == 1, err
    assert "free some space" in err or "File too large" in err


def test_a_claim_is_whole_or_not_there(files: Path, claim: Path, store: Store, tmp_path: Path) -> None:
    words = ("enroll", "--source", files / "source.safetensors", "--cache", store.folder, "--workers", 1)
    words = (*words, "--set", "queries=100", "--json", "--out", tmp_path / "c")
    with full(4096):
        code, out, err = run(*words)
    refused(code, err)
    assert not (tmp_path / "c").exists()
    code, out, err = run(*words)
    assert (code, json.loads(out)["digest"]) == (0, Claim.load(claim)[1])


@pytest.mark.parametrize("most", [1, 700, 3000])
def test_a_transcript_that_ends_early_is_continued(most: int, files: Path, claim: Path, tmp_path: Path) -> None:
    words = ("verify", claim, "--suspect", files / "stolen.safetensors", "--json")
    sent = json.loads(run(*words)[1])["sent"]
    words = (*words, "--out", tmp_path / "ev")
    with full(most):
        code, _, err = run(*words)
    refused(code, err)
    assert not (tmp_path / "ev" / "evidence.json").exists()
    code, out, _ = run(*words)
    assert (code, json.loads(out)["sent"]) == (10, sent)


def test_evidence_is_whole_or_not_there(files: Path, claim: Path, tmp_path: Path) -> None:
    words = ("verify", claim, "--suspect", files / "stolen.safetensors", "--out", tmp_path / "ev")
    assert run(*words)[0] == 10
    whole = (tmp_path / "ev" / "evidence.json").read_bytes()
    (tmp_path / "ev" / "evidence.json").unlink()
    with full(200):
        code, _, err = run(*words)
    refused(code, err)
    assert [path.name for path in (tmp_path / "ev").iterdir()] == ["transcript.jsonl"]
    assert run(*words)[0] == 10
    assert json.loads((tmp_path / "ev" / "evidence.json").read_bytes())["p_value"] == json.loads(whole)["p_value"]


def test_a_model_of_a_zoo_is_whole_or_not_there(tmp_path: Path) -> None:
    training = "training = {epochs = 1}"
    (tmp_path / "p.toml").write_text(
        f'title = "t"\ndata = "digits"\nsources = [0]\n[source]\nrecipe = "mlp"\nsplit = "owner"\n{training}\n'
    )
    words = ("zoo", "build", tmp_path / "p.toml", "--store", tmp_path / "zoo", "--workers", 1)
    with full(5000):
        code, _, err = run(*words)
    assert code in (2, 5), err
    assert "free some space" in err
    assert not list((tmp_path / "zoo").rglob("*.safetensors"))
    assert run(*words)[0] == 0
    assert list((tmp_path / "zoo").rglob("*.safetensors"))


def test_a_query_log_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    def record(n: int) -> dict[str, object]:
        return entry("a", "k", np.full((1, 2), n, np.float32), True, "", [0], np.array([[0.4, 0.6]]))

    log, acknowledged = QueryLog(LogSettings(tmp_path / "log", segment=1 << 20)), 0
    with full(4096), suppress(*FULL):
        while acknowledged < 1000:
            log.append(record(acknowledged)).result(5)
            acknowledged += 1
    with suppress(*FULL):
        log.close()
    assert 3 < acknowledged < 1000
    assert len(list(read(tmp_path / "log"))) == acknowledged
    again = QueryLog(LogSettings(tmp_path / "log", segment=1 << 20))
    again.append(record(0)).result(5)
    again.close()
    assert len(list(read(tmp_path / "log"))) == acknowledged + 1
