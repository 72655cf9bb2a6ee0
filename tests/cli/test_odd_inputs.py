"""What people type by mistake: each ends with its exit code and one line that says what to do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from birthmark.marks.keys import new_secret, write_secret
from cli.conftest import run

CARD = {"format": "birthmark/model/1", "architecture": "mlp", "shape": [1, 8, 8], "outputs": 10, "answers": "logits"}


@pytest.fixture(scope="module")
def odd(files: Path, claim: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of everything that may be mistaken for something else."""
    root = tmp_path_factory.mktemp("odd")
    shutil.copytree(claim, root / "claim")
    shutil.copy(files / "source.safetensors", root / "s.safetensors")
    for name, text in (
        ("empty.safetensors", ""),
        ("text.safetensors", "hello"),
        ("empty.toml", ""),
        ("typo.toml", 'dialekt = "oip"\n'),
        ("broken.toml", "dialect = \n"),
        ("kind.toml", 'dialect = "oip"\ndatatype = "BF17"\n'),
        ("text.toml", 'low = "none"\n'),
        ("plan.toml", 'sources = "many"\n'),
        ("m.onnx", "not onnx"),
        ("k.txt", "not a key"),
        ("data.npz", "not an archive"),
    ):
        (root / name).write_text(text)
    cards = {"list": [], "number": 3, "null": None, "text": "x", "shape": {**CARD, "shape": 5}}
    cards |= {
        "negative": {**CARD, "shape": [-1, 8, 8]},
        "outputs": {**CARD, "outputs": -4},
        "wide": {**CARD, "shape": [1e9]},
    }
    cards |= {"architecture": {**CARD, "architecture": ["mlp"]}, "unknown": {**CARD, "architecture": "mpl"}}
    cards |= {"kind": {**CARD, "answers": "numbers"}, "newer": {**CARD, "format": "birthmark/model/9"}}
    for name, card in cards.items():
        save_file({"w": np.zeros(3, np.float32)}, root / f"card-{name}.safetensors", {"birthmark": json.dumps(card)})
    (root / "folder").mkdir()
    (root / "hf").mkdir()
    (root / "hf" / "config.json").write_text("{}")
    (root / "classes" / "a").mkdir(parents=True)
    (root / "\x1b]0;owned\x07\u202e.safetensors").write_text("hello")
    write_secret(root / "key", new_secret())
    return root


VERIFY = ("verify", "claim", "--suspect")
ENROLL = ("enroll", "--out", "new", "--cache", "zoo", "--workers", 1, "--source")
ATTACK = ("attack", "retrain", "--out", "t.safetensors", "--target", "s.safetensors")
TRACE = ("trace", "--suspect", "s.safetensors", "--secret", "key")

CASES: tuple[tuple[int, str, tuple[object, ...]], ...] = (
    # claims that are none
    (5, "nowhere", ("verify", "nowhere", "--suspect", "s.safetensors")),
    (5, "folder", ("verify", "folder", "--suspect", "s.safetensors")),
    (5, "s.safetensors", ("verify", "s.safetensors", "--suspect", "s.safetensors")),
    # suspects that are none
    (5, "claim", (*VERIFY, "claim")),
    (5, "folder", (*VERIFY, "folder")),
    (5, "hf", (*VERIFY, "hf")),
    (5, "no such file", (*VERIFY, "nowhere.safetensors")),
    (5, "empty.safetensors", (*VERIFY, "empty.safetensors")),
    (5, "text.safetensors", (*VERIFY, "text.safetensors")),
    (5, "ONNX", (*VERIFY, "m.onnx")),
    *((5, "neither a model file", (*VERIFY, name)) for name in ("", "..", "/", "/dev/null", "/dev/full")),
    *((5, "card", (*VERIFY, f"card-{name}.safetensors")) for name in ("list", "number", "null", "text")),
    *((5, "shape", (*VERIFY, f"card-{name}.safetensors")) for name in ("shape", "negative", "wide")),
    (5, "outputs", (*VERIFY, "card-outputs.safetensors")),
    (5, "architecture", (*VERIFY, "card-architecture.safetensors")),
    (5, "did you mean mlp", (*VERIFY, "card-unknown.safetensors")),
    (5, "answers", (*VERIFY, "card-kind.safetensors")),
    (5, "newer", (*VERIFY, "card-newer.safetensors")),
    (5, "not a whole safetensors", (*VERIFY, "\x1b]0;owned\x07\u202e.safetensors")),
    (2, "--i-am-authorised", (*VERIFY, "https://localhost:9/v1")),
    (2, "expected", (*VERIFY, "ftp://host/m", "--i-am-authorised", "own")),
    (2, "", (*VERIFY, "http://[::1", "--i-am-authorised", "own")),
    (2, "", (*VERIFY, "http://localhost:99999", "--i-am-authorised", "own")),
    (4, "server running", (*VERIFY, "http://127.0.0.1:9/v1", "--i-am-authorised", "own")),
    # declarations
    (2, "nowhere.toml", (*VERIFY, "s.safetensors", "--spec", "nowhere.toml")),
    (2, "dialekt", (*VERIFY, "s.safetensors", "--spec", "typo.toml")),
    (2, "broken.toml", (*VERIFY, "s.safetensors", "--spec", "broken.toml")),
    (2, "BF17", (*VERIFY, "s.safetensors", "--spec", "kind.toml")),
    (2, "low", (*VERIFY, "s.safetensors", "--spec", "text.toml")),
    (2, "not a text file", (*VERIFY, "s.safetensors", "--spec", "folder")),
    (2, "describes no suspect", (*VERIFY, "empty.toml")),
    (2, "answers", (*VERIFY, "s.safetensors", "--answers", "lables")),
    (2, "1x28x28", (*VERIFY, "s.safetensors", "--shape", "8 by 8")),
    (2, "1x28x28", (*VERIFY, "s.safetensors", "--shape", "1x0x8")),
    (5, "do not fit", (*VERIFY, "s.safetensors", "--classes", 9)),
    (2, "did you mean", (*VERIFY, "s.safetensors", "--architecture", "mlpp")),
    (2, "cannot import", (*VERIFY, "s.safetensors", "--architecture", "nowhere:network")),
    # numbers
    (2, "alpha", (*VERIFY, "s.safetensors", "--alpha", 0)),
    (2, "alpha", (*VERIFY, "s.safetensors", "--alpha", 5)),
    (2, "alpha", (*VERIFY, "s.safetensors", "--alpha", "nan")),
    (4, "budget", (*VERIFY, "s.safetensors", "--budget", 0)),
    (4, "budget", (*VERIFY, "s.safetensors", "--budget", -3)),
    (2, "placebos or references", (*VERIFY, "s.safetensors", "--null", "twins")),
    # places
    (2, "key", (*VERIFY, "s.safetensors", "--out", "key")),
    (2, "folder", (*VERIFY, "s.safetensors", "--report", "folder")),
    # enrolling
    (5, "no such file", (*ENROLL, "nowhere.safetensors")),
    (5, "claim", (*ENROLL, "claim")),
    (2, "did you mean digits", (*ENROLL, "s.safetensors", "--data", "digit")),
    (2, "data.npz", (*ENROLL, "s.safetensors", "--data", "data.npz")),
    (2, "classes", (*ENROLL, "s.safetensors", "--data", "classes")),
    (2, "did you mean owner", (*ENROLL, "s.safetensors", "--recipe", "mlp", "--start", 0, "--split", "ownr")),
    (2, "did you mean kinship", (*ENROLL, "s.safetensors", "--method", "kinsip")),
    (2, "has no setting querys", (*ENROLL, "s.safetensors", "--set", "querys=5")),
    (2, "NAME=VALUE", (*ENROLL, "s.safetensors", "--set", "queries")),
    (2, "queries", (*ENROLL, "s.safetensors", "--set", "queries=many")),
    (2, "quer", (*ENROLL, "s.safetensors", "--set", "queries=-5")),
    (2, "--twins", (*ENROLL, "s.safetensors", "--twins", -1)),
    (2, "--references", (*ENROLL, "s.safetensors", "--references", -1)),
    (2, "training", (*ENROLL, "s.safetensors", "--recipe", "mlp", "--start", 0, "--training", "epoch=5")),
    (2, "did you mean", (*ENROLL, "s.safetensors", "--recipe", "mpl", "--start", 0)),
    (2, "--architecture", (*ENROLL, "s.safetensors", "--recipe", "nowhere:train")),
    # stealing
    (2, "did you mean retrain", ("attack", "retrian", "--target", "s.safetensors", "--out", "t")),
    (2, "did you mean attacker", (*ATTACK, "--split", "atacker")),
    (2, "has no setting", (*ATTACK, "--set", "epoch=5")),
    (2, "did you mean", (*ATTACK, "--preset", "nothing")),
    (4, "budget", (*ATTACK, "--budget", 0)),
    (5, "no such file", ("attack", "retrain", "--out", "t", "--target", "nowhere.safetensors")),
    # marks
    (5, "exists", ("key", "new", "--secret", "key")),
    (2, "--source", ("key", "new", "--secret", "key", "--keyring", "ring")),
    (5, "keyring", ("key", "claim", "--client", "a", "--out", "c", "--secret", "key")),
    (5, "keyring", (*TRACE, "--client", "a")),
    (5, "claim", (*TRACE, "--client", "a", "--keyring", "claim")),
    (5, "keyring", ("utility", "--source", "s.safetensors", "--secret", "key")),
    (2, "keyring", ("gateway", "--check")),
    (2, "typo.toml", ("gateway", "--config", "typo.toml", "--check")),
    (2, "nowhere.toml", ("gateway", "--config", "nowhere.toml", "--check")),
    # plans and records
    (2, "did you mean", ("zoo", "list", "fingerbench-digit")),
    (2, "plan", ("zoo", "list", "plan.toml")),
    (2, "broken", ("zoo", "list", "broken.toml")),
    (2, "no such file", ("zoo", "list", "nowhere.toml")),
    (5, "nowhere", ("bench", "table", "nowhere")),
    (5, "folder", ("bench", "table", "folder")),
    (5, "folder", ("bench", "compare", "folder", "folder")),
    (2, "METHOD.NAME=VALUE", ("bench", "run", "fingerbench-digits", "--set", "queries=5")),
    (2, "did you mean", ("bench", "run", "fingerbench-digits", "--executor", "cloud")),
    (2, "did you mean", ("list", "method")),
)


@pytest.mark.parametrize(
    ("code", "says", "arguments"), CASES, ids=lambda v: " ".join(map(str, v)) if isinstance(v, tuple) else None
)
def test_one_line_and_the_right_code(
    code: int, says: str, arguments: tuple[object, ...], odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(odd)
    found, _, err = run(*arguments)
    assert (found, err.count("\n")) == (code, 1), err
    assert says in err
    assert err.startswith("birthmark: ")
    assert err[:-1].isprintable()
    assert len(err) < 700


NAMES = (":", "::", "a:", ":b", "\0", "x:\0", "x" * 5000, "é:ü", "\udcff:x", ".:a", "sys:path", "a=b", "[1", "9" * 5000)
NAMED: tuple[tuple[object, ...], ...] = (
    ("utility", "--source", "s.safetensors", "--architecture"),
    *((*ENROLL, "s.safetensors", "--start", 0, option) for option in ("--recipe", "--data", "--method")),
    (*ENROLL, "s.safetensors", "--recipe", "mlp", "--start", 0, "--split"),
    ("attack", "--target", "s.safetensors", "--out", "t.safetensors"),
    (*ATTACK, "--preset"),
    *((*VERIFY, "s.safetensors", option) for option in ("--answers", "--shape", "--spec", "--null")),
    ("verify", "claim", "--suspect"),
    ("zoo", "list"),
    ("list",),
    ("key", "claim", "--out", "c", "--secret", "key", "--client", "a", "--keyring"),
    *(("gateway", "--check", option) for option in ("--upstream", "--key", "--keyring", "--config")),
)


@pytest.mark.parametrize("command", NAMED, ids=lambda v: f"{v[0]} {v[-1]}")
def test_no_name_is_a_fault_of_ours(command: tuple[object, ...], odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(odd)
    for name in NAMES:
        code, _, err = run(*command, name)  # 70 fails there
        assert code in (2, 4, 5), (name, err)
        assert err.count("\n") == 1, (name, err)
        assert err[:-1].isprintable()
