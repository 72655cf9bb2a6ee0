"""The small script agrees with the judge, needs neither birthmark nor torch, and is quick."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from birthmark.notary import folders
from birthmark.notary.cases import read_case
from birthmark.notary.judging import judge
from birthmark.notary.signing import Private, new_key, public_pem
from notary.cases import Accuser, committed_claim, table_claim

SCRIPT = Path(__file__).parents[2] / "tools" / "check_evidence.py"


def check(*arguments: object) -> tuple[int, str]:
    """Exit code and what was said, run where birthmark cannot be imported."""
    command = [
        sys.executable,
        "-c",
        f"import sys, runpy; sys.modules['birthmark'] = sys.modules['torch'] = None; "
        f"sys.argv = [{str(SCRIPT)!r}, *sys.argv[1:]]; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')",
    ]
    found = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, env={})
    return found.returncode, found.stdout + found.stderr


@pytest.mark.parametrize("kinship", [1.0, 0.0])
def test_folder_and_zip_hold(kinship: float, key: Private, tmp_path: Path) -> None:
    accuser = Accuser(tmp_path, key, kinship=kinship)
    place = accuser.commit(*committed_claim(accuser.claim))
    (tmp_path / "public.pem").write_bytes(public_pem(key.public_key()))
    for name in ("sealed", "sealed.zip"):
        code, said = check(accuser.save(tmp_path / name, place), "--key", tmp_path / "public.pem")
        assert code == 0, said
        assert ("supported, p = 0.05" in said) == bool(kinship)
    (tmp_path / "public.pem").write_bytes(public_pem(new_key(tmp_path / "other").public_key()))
    assert "another key" in check(tmp_path / "sealed", "--key", tmp_path / "public.pem")[1]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"p_value": 0.01}, "p is not the rank"),
        ({"z": 9.0}, "z does not follow"),
        ({"references_z": []}, "p_references is not the rank"),
        ({"alpha": 0.01}, "p is above alpha"),
        ({"claim": "0" * 64}, "another claim"),
        ({"transcript": "0" * 64}, "another transcript"),
        ({"queries": 41}, "more queries"),
        ({"settings": {}}, "other settings"),
        ({"placebos": None}, "cannot be read"),
    ],
)
def test_edited_evidence_does_not_hold(edit: dict[str, Any], said: str, tmp_path: Path) -> None:
    accuser = Accuser(tmp_path, new_key(tmp_path / "key.pem"))
    accuser.state(accuser.evidence, **edit)
    code, found = check(accuser.save(tmp_path / "sealed"))
    assert (code, said in found) == (5, True), found


def test_altered_files_are_named(tmp_path: Path) -> None:
    sealed = Accuser(tmp_path, new_key(tmp_path / "key.pem")).save(tmp_path / "sealed")
    for name in ("transcript.jsonl", "claim/data.json", "environment.json"):
        blob = (sealed / name).read_bytes()
        (sealed / name).write_bytes(blob.replace(b"1", b"2", 1))
        assert f"{name}: is not the file that was sealed" in check(sealed)[1]
        (sealed / name).write_bytes(blob)
    assert check(tmp_path / "nothing")[0] == 5
    assert check()[0] == 2


def test_a_thousand_queries_are_judged_again_in_two_seconds(tmp_path: Path) -> None:
    sealed = Accuser(tmp_path, new_key(tmp_path / "key.pem"), table_claim(1000)).save(tmp_path / "sealed")
    started = time.process_time()
    assert judge(read_case(folders.load(sealed))).numbers["queries"] == 1000
    assert time.process_time() - started < 2
    assert check(sealed)[0] == 0
