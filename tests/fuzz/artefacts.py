"""What owners and gateways write: claims, keyrings, transcripts, query logs, records of the bench."""

import json
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.artifact import canonical
from birthmark.bench import tables
from birthmark.claim import Claim, Task
from birthmark.gateway import log, writer
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret
from birthmark.oracle import Function, Oracle
from birthmark.transcript import Recorded, Replay, Transcript
from birthmark.types import Answers
from birthmark.verify import Terms, verify
from fuzz import packing
from fuzz.harness import Reader, written
from fuzz.mutations import Files
from notary.cases import table_claim

ROWS, MASTER = Task((6,), 4), Secret(b"k" * 32)


def _claim(place: Path, seed: int = 0) -> None:
    table_claim(24, seed=seed).save(place / "claim")


def _claims() -> list[Files]:
    made = written(_claim, partial(_claim, seed=1))
    return [{name.partition("/")[2]: blob for name, blob in one.items()} for one in made]


def _claimed(claim: Claim) -> object:
    tensors = {name: (value.shape, value.tobytes()) for name, value in claim.tensors.items()}
    return claim.method, claim.settings, claim.task, claim.seed, claim.facts, claim.twins, tensors


def _read_claim(folder: Path) -> Claim:
    claim, _ = Claim.load(folder)
    repr(claim)
    return claim


def _nobody(task: Task) -> Oracle:
    def answer(inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        made = np.random.default_rng(len(inputs)).random((len(inputs), 4))
        return made / made.sum(axis=1, keepdims=True)

    return Function(answer, Answers.PROBABILITIES, "nobody")


def _judged(folder: Path) -> object:
    claim, digest = Claim.load(folder)
    return json.dumps(verify(claim, _nobody(claim.task), terms=Terms(repeats=0)).as_dict(), allow_nan=False), digest


def _keyrings() -> list[Files]:
    def made(place: Path, values: bool = False) -> None:
        random = np.random.default_rng(values)
        source, references = random.random((24, 3)), random.random((4, 24, 3))
        if not values:
            source, references = source / source.sum(1, keepdims=True), references / references.sum(2, keepdims=True)
        inputs = random.random((60, 6), dtype=np.float32)
        ring = Keyring.make(inputs, inputs[:24], source, references, seed=3, values=values, placebos=19)
        ring.save(place / "ring")

    return [{n.partition("/")[2]: b for n, b in one.items()} for one in written(made, partial(made, values=True))]


def _read_keyring(folder: Path) -> Keyring:
    ring = Keyring.load(folder)
    ring.client(MASTER, "alice").field(ring.queries[:2])
    return ring


def _ring(ring: Keyring) -> object:
    arrays = (ring.whitening.mean, ring.whitening.axes, ring.queries, ring.source, ring.references, ring.spread)
    said = (ring.task, ring.waves, ring.omega, ring.seed, ring.placebos, ring.near)
    return said, [(array.shape, array.tobytes()) for array in arrays]


def _asked(place: Path, n: int = 3) -> None:
    transcript = Transcript(place / "t.jsonl", _nobody(ROWS), {"shape": [6]})
    recorded = Recorded(_nobody(ROWS), transcript)
    recorded(np.arange(6.0 * n, dtype=np.float32).reshape(n, 6))
    recorded.again(np.zeros((1, 6), dtype=np.float32))
    transcript.close()


def _transcripts() -> list[Files]:
    return written(_asked, partial(_asked, n=1))


def _read_transcript(folder: Path) -> object:
    place = folder / "t.jsonl"
    if not place.is_file():
        return {}
    known = Replay(place).known
    Transcript(place, _nobody(ROWS), {"shape": [6]}).close()
    return known


@cache
def _all_asked(n: int) -> tuple[tuple[str, tuple[float, ...]], ...]:
    (files,) = written(partial(_asked, n=n))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "t.jsonl").write_bytes(files["t.jsonl"])
        return tuple((key, tuple(row)) for key, row in Replay(Path(place) / "t.jsonl").known.items())


def _prefix(known: Any) -> object:
    """What was asked, if it is the start of what a seed asked (a cut file holds less); else itself."""
    found = tuple((key, tuple(row)) for key, row in known.items())
    return "a start" if any(found == _all_asked(n)[: len(found)] for n in (1, 3)) else found


RECORDS = [(name, n) for n in range(3) for name in ("alice", "bob")]


def _logged(place: Path) -> None:
    kept = writer.QueryLog(writer.LogSettings(place, segment=1 << 12))
    for name, n in RECORDS:
        x = np.full((2, 2), n, dtype=np.float32)
        kept.append(writer.entry(name, "k", x, True, "", [0], np.array([[0.4, 0.6], [0.5, 0.5]]))).result(5)
    kept.close()
    for other in place.iterdir():
        if not other.name.endswith(".log"):
            other.unlink()


def _read_log(folder: Path) -> object:
    records = list(log.read(folder))
    log.head(folder)
    for path in log.segments(folder):
        log.checked(path)
    log.ties(iter(records), "alice")
    return [(r["client"], r["n"]) for r in records]


def _record_prefix(found: Any) -> object:
    whole = [(name, i + 1) for i, (name, _) in enumerate(RECORDS)]
    return "a start" if found == whole[: len(found)] else found


def _records(place: Path) -> None:
    common = {"format": tables.FORMAT, "plan": "p", "task": "t", "method": "m", "access": "probs", "queries": 20}
    common |= {"alpha": 0.05, "enrol_seconds": 1.5, "enrol_models": 3, "refused": ""}
    for i in range(2):
        cells = {"20": {"p": 0.05, "raw": 0.2 + i, "z": 3.0 - i, "verdict": "supported"}}
        stolen = {"name": "a", "role": "positive", "group": "g", "tier": "", "by_queries": cells}
        said = [stolen, {**stolen, "name": "b", "role": "negative", "group": "", "tier": "t"}]
        (place / f"{i}.json").write_bytes(canonical({**common, "source_seed": i, "suspects": said}))


READERS = (
    Reader("claim", _claims, _read_claim, packing.artefact_parts, packing.artefact, _claimed),
    Reader("verdict", _claims, _judged, packing.artefact_parts, packing.artefact),
    Reader("keyring", _keyrings, _read_keyring, packing.artefact_parts, packing.artefact, _ring),
    Reader("transcript", _transcripts, _read_transcript, packing.lines_of, packing.chained_lines, _prefix),
    Reader("log", lambda: written(_logged), _read_log, packing.log_parts, packing.log_of, _record_prefix),
    Reader("records", lambda: written(_records), lambda folder: tables.rows(tables.load(folder), rounds=10)),
)
