"""Commitments fix, draws follow, single queries open, bundles verify."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_signing import verifying

from birthmark.claim import Claim, Task
from birthmark.errors import ArtifactError, SettingError
from birthmark.notary import commitments
from birthmark.notary.bundles import model_bundle
from birthmark.notary.commitments import BEFORE_DISPUTE, Commitment, Drawn, commit, draw
from birthmark.notary.signing import new_key, public_pem
from birthmark.notary.trees import Opening, Tree, array_digest, tree_of

SECRET, VALUE = b"s" * 32, "ab" * 32
FIXED = dict.fromkeys(commitments.FIXED[BEFORE_DISPUTE], "") | {"alpha": 0.05, "settings": {}}


def made(**more: object) -> Commitment:
    return replace(commit(BEFORE_DISPUTE, "A. Owner", FIXED, SECRET, round=("beacon", "7")), **more)


def claim() -> Claim:
    random = np.random.default_rng(0)
    tensors = {"queries": random.random((5, 3), dtype=np.float32), "owners": random.random((4, 5, 2))}
    return Claim("kinship", {"queries": 5}, Task((3,), 2), 0, {**tensors, "references": random.random((4, 5, 2))})


def test_a_commitment_reads_as_written() -> None:
    assert Commitment.read(made().blob, "c") == made()
    assert made(owner="B").digest != made().digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.replace(b"commitment/1", b"commitment/2"), "expected birthmark/commitment/1"),
        (lambda b: b.replace(b'"beacon":', b'"beacon":"x","beacon":'), "a key twice"),
        (lambda b: b.replace(b'"leaves":0', b'"leaves":"0"'), "leaves: Input should be"),
        (lambda b: b.replace(b'"leaves":0', b'"leaves":NaN'), "NaN"),
        (lambda b: b.replace(b'"leaves":0,', b'"leaves":0, '), "one spelling"),
        (lambda b: b.replace(b'"leaves":0,', b'"leaves":0,"more":1,'), "more: "),
        (lambda b: b[:-1], "not JSON"),
        (lambda b: b"[" * 100000, "deeper"),
        (lambda b: b"\xff" + b, "not JSON"),
        (lambda b: b" " * (17 << 20), "bytes of JSON"),
        (lambda b: b.replace(b'"before the dispute"', b'"after it"'), "expected a commitment before"),
        (lambda b: b.replace(b'"pool":"",', b""), "fixes pool, too"),
        (lambda b: b.replace(b"0.05", b"1.05"), "between 0 and 1"),
        (
            lambda b: b.replace(b"before the dispute", b"before training").replace(b'"root":""', b'"root":"00"'),
            "no claim",
        ),
        (lambda b: b.replace(b'"time":"2', b'"time":"3'), "future"),
    ],
)
def test_anything_else_is_refused(change: Callable[[bytes], bytes], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        Commitment.read(change(made().blob), "c")


def test_draws_follow_from_commitment_value_and_secret() -> None:
    first = draw(made(), VALUE, SECRET)
    assert first == Drawn.read(first.blob, "d")
    seeds = {first.seed("twins"), first.seed("start"), replace(first, value="cd" * 32).seed("twins")}
    assert len(seeds | {draw(made(owner="B"), VALUE, SECRET).seed("twins")}) == 4
    assert all(2**64 < seed < 2**128 for seed in seeds)
    part = first.part(100, 0.5)
    assert len(part) == 50
    assert not np.array_equal(part, replace(first, value="cd" * 32).part(100, 0.5))
    with pytest.raises(ArtifactError, match="not the one that the commitment fixed"):
        draw(made(), VALUE, b"t" * 32)
    with pytest.raises(SettingError, match="public random value"):
        draw(made(), "7", SECRET)


def test_single_queries_open_and_nothing_else_does() -> None:
    tree = tree_of(claim(), SECRET)
    committed = commit(BEFORE_DISPUTE, "A", FIXED, SECRET, round=("beacon", "7"), tree=tree)
    opening = tree.opening("query/3")
    assert opening.sha256 == array_digest(claim().queries[3])
    assert Opening.read(opening.blob, "o") == opening
    assert opening.fits(committed.root, committed.leaves)
    for other in (
        replace(opening, name="query/2"),
        replace(opening, sha256="0" * 64),
        replace(opening, place=2),
        replace(opening, path=opening.path[1:]),
        replace(opening, path=(*opening.path, "00" * 32)),
        replace(opening, salt="zz"),
        replace(opening, leaves=4),
    ):
        assert not other.fits(committed.root, committed.leaves)
    assert not opening.fits(made().root, made().leaves)
    with pytest.raises(SettingError, match="query/9"):
        tree.opening("query/9")
    assert tree_of(claim(), b"t" * 32).root != tree.root


@given(st.integers(1, 40), st.data())
def test_trees_of_every_size_open(n: int, data: st.DataObject) -> None:
    tree = Tree(tuple((str(i), "0" * 64) for i in range(n)), SECRET)
    committed = made(root=tree.root.hex(), leaves=n)
    assert tree.opening(str(data.draw(st.integers(0, n - 1)))).fits(committed.root, committed.leaves)


def test_secrets_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(SECRET.hex() + "\n")
    assert commitments.read_secret(tmp_path / "s") == SECRET
    for text in ("hello", "ab"):
        (tmp_path / "s").write_text(text)
        with pytest.raises(ArtifactError, match=r"expected .*secret"):
            commitments.read_secret(tmp_path / "s")


def test_model_signing_verifies_our_bundles(tmp_path: Path) -> None:
    model, key = tmp_path / "m.safetensors", new_key(tmp_path / "k", "p256")
    model.write_bytes(b"weights")
    (tmp_path / "p.pem").write_bytes(public_pem(key.public_key()))
    (tmp_path / "m.sig").write_bytes(model_bundle(model, key))
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "p.pem")
    verifier.verify(model, tmp_path / "m.sig")
    model.write_bytes(b"others")
    with pytest.raises(ValueError, match="mismatch"):
        verifier.verify(model, tmp_path / "m.sig")
    with pytest.raises(ArtifactError, match="P-256"):
        model_bundle(model, new_key(tmp_path / "e"))
