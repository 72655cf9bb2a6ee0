"""`birthmark doctor`: what a model is, what it answers and what to type next, and never a traceback."""

import json
from pathlib import Path

import pytest

from cli.conftest import run

graphs = pytest.importorskip("graphs")


def test_logits_and_probabilities_are_told_apart(tmp_path: Path) -> None:
    code, out, _ = run("doctor", graphs.write(tmp_path / "a.onnx", 1), "--json")
    found = json.loads(out)
    assert (code, found["declared"], found["looks"], found["say"]) == (0, "logits", "logits", "")
    assert (found["shape"], found["outputs"], found["moves"]) == ([12], 5, 0.0)
    assert len(found["answers"]) == 3
    code, out, _ = run("doctor", graphs.write(tmp_path / "b.onnx", 1, softmax=True), "--answers", "logits")
    assert code == 0
    assert "these look like probabilities; declare answers probabilities" in out
    assert f"birthmark verify CLAIM --suspect {tmp_path / 'b.onnx'} --answers probabilities" in out


def test_a_file_with_a_card_says_all_of_itself(files: Path) -> None:
    code, out, _ = run("doctor", files / "source.safetensors")
    assert code == 0
    assert "architecture mlp" in out
    assert "10 numbers an input, read as logits; they look like logits" in out
    assert "deterministic" in out


CODE = """
import numpy as np
random = np.random.default_rng(0)
def labels(x): return np.arange(len(x)) % 3
def moving(x): return random.dirichlet(np.ones(4), len(x))
def several(x): return (np.tanh(np.arange(len(x))[:, None] - np.arange(5) * 3) + 1) / 2
def nan(x): return np.full((len(x), 4), np.nan)
def fails(x): raise RuntimeError("no\\nlicence")
"""
SEEN = {
    "moving": (0, "not deterministic"),
    "nan": (0, "not finite in 16 of 16 answers"),
    "several": (0, "a multi-label classifier, which no claim can be about"),
    "fails": (4, "cannot be made or asked with inputs of shape (6,) (RuntimeError: no licence)"),
    "nothing": (2, "cannot import"),
}


@pytest.mark.parametrize("name", SEEN)
def test_code_of_all_kinds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "patients.py").write_text(CODE)
    code, out, err = run("doctor", f"patients:{name}", "--shape", 6, "--classes", 4)
    assert (code, SEEN[name][1] in out + err) == (SEEN[name][0], True), out + err


def test_labels_are_seen_as_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "patients.py").write_text(CODE)
    code, out, _ = run("doctor", "patients:labels", "--shape", 6, "--classes", 3)
    assert (code, "they look like labels" in out) == (0, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pkl", b"\x80\x04.", "a pickle, which can run code"),
        ("a.onnx", b"nothing", "not an ONNX file"),
        ("a.safetensors", b"nothing", "not a whole safetensors file"),
        ("a.gguf", b"GGUF", "a GGUF file"),
    ],
)
def test_odd_files_are_one_line(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    code, _, err = run("doctor", tmp_path / name)
    assert (code, words in err, err.count("\n")) == (5, True, 1)


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    assert "no such file or folder" in run("doctor", tmp_path / "none.onnx")[2]
    code, _, err = run("doctor", "http://127.0.0.1:9/x")
    assert (code, "give --shape" in err) == (2, True)
