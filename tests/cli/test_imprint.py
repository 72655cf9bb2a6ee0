"""`birthmark imprint`: a finished model learns a key and is found by its claim; what cannot be is said in one line."""

import json
from pathlib import Path

import pytest

from birthmark.notary.commitments import Drawn
from cli.conftest import run

HOW = ("--eps", "0.2", "--epochs", "60", "--agreement", "0.85", "--rate", "5e-3")


@pytest.fixture(scope="module")
def keys(files: Path, store: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("imprint-keys")
    options = ("--references", 4, "--placebos", 99, "--cache", folder / "zoo", "--workers", 1)
    source = files / "source.safetensors"
    code, _, err = run(
        "key", "new", "--secret", folder / "key", "--keyring", folder / "ring", "--source", source, *options
    )
    assert code == 0, err
    return ("--keyring", folder / "ring", "--secret", folder / "key")


def test_an_imprinted_model_is_found_and_its_source_is_not(
    files: Path, keys: tuple[object, ...], tmp_path: Path
) -> None:
    drawn = tmp_path / "drawn.json"
    drawn.write_bytes(Drawn("c" * 64, "ab" * 16, "d" * 64).blob)
    source, out, claim = files / "source.safetensors", tmp_path / "m2.safetensors", tmp_path / "claim"
    code, said, err = run(
        "imprint", "--source", source, *keys, "--drawn", drawn, "--out", out, "--claim", claim, *HOW, "--json"
    )
    assert code == 0, err
    found = json.loads(said)
    assert found["date"]
    assert found["agreement"] > 0.85
    assert {"accuracy", "accuracy_before", "accuracy_even", "ece", "l1", "curve"} <= found.keys()
    code, said, err = run("verify", claim, "--suspect", out, "--alpha", 0.01, "--json")
    assert code == 10, (said, err)
    assert not any("no date" in note for note in json.loads(said)["notes"])
    assert run("verify", claim, "--suspect", source, "--alpha", 0.01)[0] != 10


def test_what_is_refused(files: Path, keys: tuple[object, ...], tmp_path: Path) -> None:
    source, rest = files / "source.safetensors", ("--out", tmp_path / "m", "--claim", tmp_path / "c")
    code, _, err = run("imprint", "--source", source, *keys, *rest)
    assert code == 2
    assert "--drawn; or say --undated" in err
    code, _, err = run("imprint", "--source", files / "innocent.safetensors", *keys, *rest, "--undated")
    assert code == 2
    assert "made of another model" in err
    for eps in ("0", "1", "nan"):
        code, _, err = run("imprint", "--source", source, *keys, *rest, "--undated", "--eps", eps)
        assert code == 2
        assert "eps in (0, 1)" in err
    code, _, err = run("imprint", "--source", source, *keys, *rest, "--undated", "--drawn", tmp_path / "none")
    assert code in (2, 5)
    assert "Traceback" not in err
    assert not (tmp_path / "m").exists()
