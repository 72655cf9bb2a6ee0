"""The notary's commands as owner and judge meet them, from a commitment to a judgement."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from birthmark.claim import Claim
from birthmark.notary.folders import SEAL, load
from birthmark.zoo.store import Store
from cli.conftest import run
from notary.conftest import Authority

VALUE = "5e" * 32
PROMISE = ("--owner", "A. Owner", "--beacon", "a public beacon", "--round", "1234")
SMALL = ("--set", "queries=60", "--set", "treated=1", "--set", "references=4")


@pytest.fixture(scope="module")
def made(files: Path, claim: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a commitment to the source, signed and dated, its draw, a claim, and sealed evidence."""
    place = tmp_path_factory.mktemp("notary")
    authority = Authority(place / "tsa")
    source = ("--source", files / "source.safetensors")
    assert run("commit", "--out", place / "c", *PROMISE, *source, *SMALL)[0] == 0
    key = ("--key", place / "key.pem")
    assert run("sign", place / "c", *key, "--new-key", "ed25519")[0] == 0
    assert run("timestamp", place / "c", "--query", place / "q.tsq")[0] == 0
    (place / "r.tsr").write_bytes(authority.stamp((place / "c" / "commitment.dsse.json").read_bytes()))
    assert run("timestamp", place / "c", "--reply", place / "r.tsr", "--roots", authority.roots)[0] == 0
    assert run("draw", place / "c", "--value", VALUE)[0] == 0
    where = ("--cache", store.folder, "--workers", 1)
    drawn = ("--drawn", place / "c" / "drawn.json")
    code, _, err = run("enroll", *source, "--out", place / "claim", *SMALL, *drawn, "--surrogates", 0, *where)
    assert code == 0, err
    code, _, err = run("verify", place / "claim", "--suspect", files / "stolen.safetensors", "--out", place / "tested")
    assert code == 10, err
    sealing = ("--claim", place / "claim", "--commitment", place / "c")
    for out in ("sealed", "sealed.zip"):
        assert run("sign", place / "tested", *key, *sealing, "--out", place / out)[0] == 0
    return place


def test_papers_alone_are_inconclusive(made: Path) -> None:
    folder, packed = ({**load(made / name).files, SEAL: b""} for name in ("sealed", "sealed.zip"))
    assert folder == packed
    code, out, _ = run("judge", made / "sealed.zip")
    assert code == 3
    assert out.startswith("inconclusive: related; which came first is not shown")
    assert "  numbers: held: every number follows" in out
    assert "stolen" not in out.replace("stolen.safetensors", "")


def test_a_judge_with_models_and_dates_upholds(made: Path, files: Path, store: Store) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    known = (
        "--value",
        VALUE,
        "--published",
        later,
        "--since",
        later,
        "--roots",
        made / "tsa" / "root.pem",
        "--own-pool",
        "digits",
    )
    models = ("--source", files / "source.safetensors", "--suspect", files / "stolen.safetensors")
    code, out, err = run("judge", made / "sealed", *known, *models, "--cache", store.folder, "--json")
    assert code == 10, out + err
    found = json.loads(out)
    held = {check["name"] for check in found["checks"] if check["outcome"] == "held"}
    assert held == {
        "numbers", "commitment", "draw", "direction", "source", "rebuilt", "regenerated", "innocents", "pool", "asked",
        "answers", "twins"
    }  # fmt: skip


def test_another_file_than_committed_is_rejected(made: Path, files: Path, store: Store) -> None:
    models = ("--source", files / "innocent.safetensors", "--cache", store.folder)
    code, out, _ = run("judge", made / "sealed", *models)
    assert code == 11
    assert out.startswith("rejected: the source has another weights than was committed to")


def test_a_claim_that_is_there_is_committed_whole(claim: Path, tmp_path: Path) -> None:
    code, out, _ = run("commit", "--out", tmp_path / "c", *PROMISE, "--claim", claim, "--json")
    assert code == 0
    assert json.loads(out)["stage"] == "before the dispute"
    assert json.loads((tmp_path / "c" / "commitment.json").read_bytes())["leaves"] > len(Claim.load(claim)[0].queries)
    assert (tmp_path / "c" / "secret").stat().st_mode & 0o777 == 0o600
    assert run("commit", "--out", tmp_path / "c", *PROMISE, "--claim", claim)[0] == 2


def test_before_training_the_source_s_own_seeds_are_drawn(tmp_path: Path) -> None:
    assert run("commit", "--out", tmp_path / "c", *PROMISE, "--recipe", "mlp")[0] == 0
    code, out, _ = run("draw", tmp_path / "c", "--value", VALUE)
    assert code == 0
    assert out.count("train with") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("commit", "--out", "c", *PROMISE), 2, "give --source"),
        (("sign", "nowhere", "--key", "k", "--new-key", "p256"), 2, "expected a commitment's folder"),
        (("sign", "nowhere", "--key", "none"), 5, "holds a key"),
        (("timestamp", "nowhere"), 5, "not signed yet"),
        (("judge", "nowhere"), 5, "expected a folder of evidence"),
        (("judge", "nowhere", "--since", "soon"), 2, "expected a day or a time"),
        (("draw", "nowhere", "--value", VALUE), 2, "No such file"),
    ],
)
def test_what_is_not_there(arguments: tuple[str, ...], code: int, said: str, here: Path) -> None:
    found = run(*arguments)
    assert found[0] == code
    assert said in found[2]
