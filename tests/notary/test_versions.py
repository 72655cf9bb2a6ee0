"""Evidence of every version since the first keeps verifying: a file of each stays here, and is never made anew."""

import subprocess
import sys
from pathlib import Path

import pytest

from birthmark.notary.cases import read_case
from birthmark.notary.folders import load
from birthmark.notary.judging import judge

FILES = sorted((Path(__file__).parent / "files").glob("evidence-*.zip"))
SCRIPT = Path(__file__).parents[2] / "tools" / "check_evidence.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_evidence_of_every_version_holds(path: Path) -> None:
    outcomes = {check.name: check.outcome.value for check in judge(read_case(load(path))).checks}
    assert {outcomes[name] for name in ("numbers", "commitment", "claim")} == {"held"}
    assert subprocess.run([sys.executable, SCRIPT, path], capture_output=True, check=False).returncode == 0


def test_there_is_one_of_each_version() -> None:
    assert [path.stem for path in FILES] == ["evidence-1"]
