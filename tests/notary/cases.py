"""A small case without any training: owners and suspects are tables of answers."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.artifact import canonical, write_atomically
from birthmark.claim import Claim, Task
from birthmark.evidence import Evidence
from birthmark.notary import folders, signing
from birthmark.notary.commitments import BEFORE_DISPUTE, FIXED, Commitment, Drawn, commit, draw
from birthmark.notary.signing import Private
from birthmark.notary.trees import tree_of
from birthmark.oracle import Function, Oracle
from birthmark.types import Answers, Array, Floats
from birthmark.verify import Terms, verify

SECRET, VALUE, ROUND = b"s" * 32, "ab" * 32, ("a public beacon", "1234")
SETTINGS = {"queries": 40, "placebos": 19, "references": 4, "treated": 1}


def softmax(rows: Floats) -> Floats:
    return np.asarray(np.exp(rows) / np.exp(rows).sum(axis=-1, keepdims=True))


def table_claim(queries: int = 40, *, facts: dict[str, Any] | None = None, seed: int = 0) -> Claim:
    """A kinship claim on a source that answers at random, with 19 twins and 4 references."""
    random = np.random.default_rng(seed)
    family, shape = 2 * random.normal(size=(queries, 4)), (queries, 4)
    owners = softmax(family + random.normal(size=(20, *shape)))
    references = softmax(family + random.normal(size=(4, *shape)))
    treated = softmax(np.log(references)[:, None] + 0.5 * random.normal(size=(4, 1, *shape)))
    tensors = {"queries": random.random((queries, 6), dtype=np.float32), "owners": owners}
    tensors |= {"references": references, "treated": treated}
    return Claim("kinship", {**SETTINGS, "queries": queries}, Task((6,), 4), seed, tensors, facts or {})


def suspect(claim: Claim, kinship: float = 1.0, name: str = "suspect") -> Oracle:
    """A suspect that answers half like the source (1) or like nobody (0)."""
    random = np.random.default_rng(99)
    own = np.log(claim.tensors["owners"].mean(axis=0)) + random.normal(size=claim.tensors["owners"].shape[1:])
    rows = softmax(kinship * np.log(claim.tensors["owners"][0]) + (1 - kinship) * own)
    places = {query.tobytes(): i for i, query in enumerate(claim.queries)}

    def answer(inputs: Array) -> Floats:
        return np.array([rows[places[one.astype(np.float32).tobytes()]] for one in inputs])

    return Function(answer, Answers.PROBABILITIES, name)


def fixed(claim: Claim, **other: Any) -> dict[str, Any]:
    terms = {"method": claim.method, "settings": dict(claim.settings), "budget": len(claim.queries)}
    terms |= {"answers": "probabilities", "alpha": 0.05, "null": "placebos"}
    return {**dict.fromkeys(FIXED[BEFORE_DISPUTE], ""), **terms, **other}


class Accuser:
    """Who commits, enrols, verifies and seals."""

    def __init__(self, folder: Path, key: Private, claim: Claim | None = None, kinship: float = 1.0) -> None:
        self.folder, self.key, self.claim = folder, key, claim or table_claim()
        self.digest = self.claim.save(folder / "claim")
        transcript = folder / "tested" / "transcript.jsonl"
        who = suspect(self.claim, kinship)
        self.evidence = verify(self.claim, who, transcript=transcript, terms=Terms(digest=self.digest))
        self.state(self.evidence)

    def state(self, evidence: Evidence, **edits: Any) -> None:
        write_atomically(self.folder / "tested" / "evidence.json", canonical({**evidence.as_dict(), **edits}))

    def commit(self, commitment: Commitment, drawn: Drawn | None = None, stamp: Any = None) -> Path:
        place = self.folder / "committed"
        envelope = signing.sign(
            signing.statement({"commitment.json": sha256(commitment.blob).hexdigest()}, folders.OF_COMMITMENT, {}),
            self.key,
        )
        write_atomically(place / "commitment.json", commitment.blob)
        write_atomically(place / "commitment.dsse.json", envelope)
        if drawn:
            write_atomically(place / "drawn.json", drawn.blob)
        if stamp:
            write_atomically(place / "commitment.tsr", stamp(envelope))
        return place

    def sealed(self, committed: Path | None = None) -> dict[str, bytes]:
        return folders.seal(folders.gather(self.folder / "tested", self.folder / "claim", committed), self.key)

    def save(self, out: Path, committed: Path | None = None) -> Path:
        folders.save(self.sealed(committed), out)
        return out


def committed_claim(claim: Claim, **other: Any) -> tuple[Commitment, Drawn]:
    """A commitment to a claim that is there already."""
    made = commit(BEFORE_DISPUTE, "A. Owner", fixed(claim, **other), SECRET, round=ROUND, tree=tree_of(claim, SECRET))
    return made, draw(made, VALUE, SECRET)
