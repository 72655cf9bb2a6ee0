"""Documentation that would drift is compared with the code it describes; the example reader is run."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from birthmark import claim, errors, evidence, report, transcript
from birthmark.evidence import EXIT
from birthmark.oracle import Function
from birthmark.types import Answers
from birthmark.verify import Terms, verify
from birthmark.workshop import modelfile

DOCS = Path(__file__).parent.parent / "docs"
ROOT = DOCS.parent


def table(page: str, columns: int) -> list[list[str]]:
    """Cells of all table rows of that many columns."""
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in page.splitlines() if line.startswith("|")
    ]
    return [row for row in rows if len(row) == columns and not set(row[0]) <= {"-", " ", "|"}]


def test_every_error_is_documented_as_it_is() -> None:
    page = (DOCS / "errors.md").read_text()
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.BirthmarkError)]
    told = {row[0].strip("`"): (row[1], row[2]) for row in table(page, 4)[1:]}
    assert told == {c.__name__: (str(c.exit_code), (c.__doc__ or "").splitlines()[0]) for c in classes}


def test_exit_codes_are_documented_as_they_are() -> None:
    told = {row[0]: row[1] for row in table((DOCS / "errors.md").read_text(), 2)[1:]}
    assert all(f"`{verdict.value}`" in told[str(code)] for verdict, code in EXIT.items())
    concepts = {row[0].strip("`"): row[-1] for row in table((DOCS / "concepts.md").read_text(), 3)}
    assert all(concepts[verdict.value] == str(code) for verdict, code in EXIT.items())


def test_formats_and_their_fields_are_documented() -> None:
    page = (DOCS / "format.md").read_text()
    for module in (claim, evidence, report, modelfile):
        assert f"`{module.FORMAT}`" in page
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))

    def told(head: str) -> set[str]:
        section = next(text for title, text in sections.items() if title.startswith(head))
        return {name for row in table(section, 2) + table(section, 3) for name in re.findall(r"`(\w+)`", row[0])}

    assert told("Evidence") >= {"format", *(f.name for f in fields(evidence.Evidence))}
    assert told("Claim") >= {f.name for f in fields(claim.Claim)} - {"tensors"} | {"queries", "references"}
    assert told("Model") >= {"format", "about", *(f.name for f in fields(modelfile.ModelHead))}


@pytest.fixture
def case(tmp_path: Path, digits_claim: claim.Claim) -> tuple[Path, Path, Path]:
    """A saved claim, the evidence on its own source, and the transcript."""
    digest = digits_claim.save(tmp_path / "claim")
    answers = {
        transcript.query_digest(q): row
        for q, row in zip(digits_claim.queries, digits_claim.tensors["owners"][0], strict=True)
    }
    suspect = Function(lambda x: [answers[transcript.query_digest(row)] for row in x], Answers.PROBABILITIES, "copy")
    found = verify(digits_claim, suspect, alpha=0.05, transcript=tmp_path / "t.jsonl", terms=Terms(digest=digest))
    (tmp_path / "evidence.json").write_text(json.dumps(found.as_dict()))
    return tmp_path / "claim", tmp_path / "evidence.json", tmp_path / "t.jsonl"


def read(case: tuple[Path, Path, Path]) -> subprocess.CompletedProcess[str]:
    code = re.findall(r"```python\n(.*?)```", (DOCS / "format.md").read_text(), re.S)[-1]
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *map(str, case)], capture_output=True, text=True, check=False
    )


def test_the_reader_needs_python_alone_and_finds_the_evidence_sound(case: tuple[Path, Path, Path]) -> None:
    done = read(case)
    assert done.returncode == 0, done.stderr
    assert "copy: supported, p = 0.05 among 19 placebos, 60 queries: holds" in done.stdout


@pytest.mark.parametrize(
    ("which", "old", "new", "complaint"),
    [
        ("claim/data.json", b'"seed":0', b'"seed":1', "was changed"),
        ("claim/manifest.json", b'"bytes":', b' "bytes":', "another claim"),
        ("evidence.json", b'"p_value": 0.05', b'"p_value": 0.04', "not the rank"),
        ("evidence.json", b'"alpha": 0.05', b'"alpha": 0.01', "does not follow"),
        ("t.jsonl", b'"answer": [', b'"answer": [ ', "another transcript"),
    ],
)
def test_the_reader_notices_edits(
    case: tuple[Path, Path, Path], which: str, old: bytes, new: bytes, complaint: str
) -> None:
    path = case[1].parent / which
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    done = read(case)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_links_lead_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert not broken
