"""The published schema is the code's, and real files keep to it."""

import json
from pathlib import Path

import jsonschema
import pytest

from birthmark.notary import schema
from birthmark.notary.signing import new_key
from birthmark.notary.trees import tree_of
from notary.cases import SECRET, Accuser, committed_claim

PUBLISHED = Path(__file__).parents[2] / "docs" / "evidence.schema.json"
KINDS = {
    "evidence.json": "evidence",
    "commitment.json": "commitment",
    "commitment.dsse.json": "envelope",
    "seal.dsse.json": "envelope",
    "drawn.json": "drawn",
    "environment.json": "environment",
}


def test_the_published_schema_is_the_code_s() -> None:
    assert json.loads(PUBLISHED.read_text()) == schema.schema()


def test_real_files_keep_to_it_and_others_do_not(tmp_path: Path) -> None:
    accuser = Accuser(tmp_path, new_key(tmp_path / "key.pem"))
    files = accuser.sealed(accuser.commit(*committed_claim(accuser.claim)))
    definitions = json.loads(PUBLISHED.read_text())["$defs"]
    for name, kind in KINDS.items():
        found = json.loads(files[name])
        jsonschema.validate(found, definitions[kind])
        for other in ({**found, "more": 1}, dict(list(found.items())[1:])):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(other, definitions[kind])
    opening = json.loads(tree_of(accuser.claim, SECRET).opening("query/0").blob)
    jsonschema.validate(opening, definitions["opening"])
