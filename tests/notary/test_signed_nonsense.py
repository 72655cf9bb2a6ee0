"""A signer can seal anything: what a folder says under a good seal is judged or refused, and nothing falls over."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from birthmark.artifact import canonical
from birthmark.errors import ArtifactError
from birthmark.notary.cases import read_case
from birthmark.notary.checks import Known
from birthmark.notary.folders import Sealed
from birthmark.notary.judging import Finding, judge
from birthmark.notary.signing import new_key
from birthmark.transcript import _link
from notary.cases import VALUE, Accuser, committed_claim, table_claim

ODD: tuple[Any, ...] = (None, 0, -1, 1e308, "x", [], {}, True, "0" * 64, [1], {"a": 1}, 2**50, "\u202e", 0.5)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be changed."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(value: Any, draws: random.Random) -> Any:
    """A document with one value dropped or replaced."""
    path = draws.choice(list(places(value)))
    if not path:
        return draws.choice(ODD)
    whole = inner = json.loads(json.dumps(value))
    for key in path[:-1]:
        inner = inner[key]
    if draws.random() < 0.3 and isinstance(inner, dict):
        inner.pop(path[-1])
    else:
        inner[path[-1]] = draws.choice(ODD)
    return whole


def chained(lines: list[Any]) -> bytes:
    """A transcript whose chain holds."""
    blob, chain = b"", ""
    for line in lines:
        body = json.dumps({k: v for k, v in line.items() if k != "chain"} if isinstance(line, dict) else {"x": line})
        chain = _link(chain, body.encode()[:-1])
        blob += body.encode()[:-1] + f', "chain": "{chain}"}}\n'.encode()
    return blob


@pytest.mark.parametrize(
    "name", ["evidence.json", "commitment.json", "drawn.json", "claim/data.json", "transcript.jsonl"]
)
def test_nonsense_under_a_good_seal(name: str, tmp_path: Path) -> None:
    accuser = Accuser(tmp_path, new_key(tmp_path / "key.pem"), table_claim(20))
    files, draws = accuser.sealed(accuser.commit(*committed_claim(accuser.claim))), random.Random(name)
    for _ in range(40):
        other = dict(files)
        if name == "transcript.jsonl":
            lines = [json.loads(line) for line in files[name].splitlines()]
            lines[draws.randrange(3)] = changed(lines[draws.randrange(3)], draws)
            other[name] = chained(lines)
        else:
            other[name] = canonical(changed(json.loads(files[name]), draws))
        if name == "claim/data.json":
            manifest = json.loads(files["claim/manifest.json"])
            manifest["files"]["data.json"] = {"sha256": sha256(other[name]).hexdigest(), "bytes": len(other[name])}
            other["claim/manifest.json"] = canonical(manifest)
        known = Known(value=draws.choice(["", VALUE]))
        with suppress(ArtifactError):
            assert judge(read_case(Sealed(other, "key", "now"), known), known).finding is not Finding.UPHELD
