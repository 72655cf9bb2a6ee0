"""Keys that were ground against an innocent, and stamps of other commitments: what `verify` and a judge say of them.

    python benchmarks/notary/ground_keys.py [SUSPECTS] [OUT]

Digits, `dynamarks` (heavy marks, 199 placebo keys). An owner tries 10,000 keys on the suspect's answers and claims by
the one that fits best. The judge derives keys from a master that was drawn after the commitment, and tests with
placebo keys, references and a pool of the judge's own. Beside each innocent, a student of answers that were marked by
the drawn key: the honest claim. Prints counts; a row of the record is one suspect.
"""

import json
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from accusers import HERE, TASKS, Place
from torch import nn

from birthmark import data
from birthmark.errors import ArtifactError
from birthmark.evidence import Verdict
from birthmark.marks.field import aligned
from birthmark.marks.keyring import ClientKey, Keyring, lenient
from birthmark.marks.keys import Secret
from birthmark.notary import signing, stamps
from birthmark.notary.commitments import Drawn
from birthmark.notary.keyed import FIELDS, NUMBERS, claim_of, master_of, ring_of
from birthmark.notary.signing import new_key
from birthmark.stats import clopper_pearson
from birthmark.types import Floats
from birthmark.verdict import conclude
from birthmark.verify import verify
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.workshop import architectures
from birthmark.workshop.marking import make_keyring
from birthmark.workshop.training import Training, fit
from false_claims.world import shown, suspect
from notary.conftest import Authority

KEYS, PLACEBOS, HEAVY = 10_000, 199, "heavy"


def ground(ring: Keyring, answers: Floats) -> list[Secret]:
    """Of 10,000 keys that pass the screening, the one that fits each model's answers (s, q, k) best."""
    keys = [Secret(sha256(b"%d" % i).digest()) for i in range(KEYS)]
    fits = np.concatenate([_fits(ring, answers, keys[i : i + 500]) for i in range(0, KEYS, 500)], axis=1)
    return [keys[i] for i in fits.argmax(axis=1)]


def _fits(ring: Keyring, answers: Floats, keys: list[Secret]) -> Floats:
    compared = ring.ground(ring.queries, ring.source, ring.references)
    residuals = np.stack([compared.residual(rows) for rows in answers])
    found = aligned(compared, residuals, ring.expand(keys), ring.omega)
    return np.where(ring.lean(keys) <= lenient(len(ring.references)), found, -np.inf)


def student(place: Place, ring: Keyring, key: Secret, number: int) -> nn.Module:
    """A model trained on the source's marked answers."""
    mark, inputs = DynaMarks(HEAVY, placebos=PLACEBOS, key=ClientKey("c", key, ring)), place.world.parts["attacker"]
    soft = mark.mark(inputs.inputs, shown(place.world.owner.source)(inputs.inputs))
    network = architectures.build(place.task.recipe, inputs.shape, inputs.outputs, seed=50_000 + number)
    return fit(network, inputs, Training(epochs=40, batch=32), seed=number, soft=soft)


def judged(ring: Keyring, master: Secret, module: nn.Module) -> tuple[bool, float]:
    """Whether the judge's test supports it at .05, and the least p among the keys that a name can have."""
    claim = DynaMarks(HEAVY, placebos=PLACEBOS, key=ClientKey("c", master, ring)).claim()
    claims = [claim_of(claim, ring, master, "c", number) for number in range(NUMBERS)]
    rows = shown(module)(ring.queries)
    found = [conclude(one, rows, 0.05 / (NUMBERS * len(FIELDS)), "placebos") for one in claims]
    return any(one.verdict is Verdict.SUPPORTED for one in found), min(one.standing.p for one in found)


def rows_of(place: Place, numbers: range) -> list[dict[str, Any]]:
    """One start's suspects."""
    owner = place.world.owner
    ring = make_keyring(owner, references=6, seed=0, placebos=PLACEBOS)
    innocents = [place.innocent(number) for number in numbers]
    keys = ground(ring, np.stack([shown(module)(ring.queries) for module in innocents]))
    own = place.world.bench(owner).own
    first = DynaMarks(HEAVY, placebos=PLACEBOS, key=ClientKey("c", keys[0], ring))
    theirs = ring_of(first.claim(), own, first)
    found = []
    for number, module, key in zip(numbers, innocents, keys, strict=True):
        claim = DynaMarks(HEAVY, placebos=PLACEBOS, key=ClientKey("c", key, ring)).claim()
        master = master_of(Drawn("0" * 64, f"{number:032x}", sha256(b"s%d" % number).hexdigest()))
        row: dict[str, Any] = {"number": number, "ground": verify(claim, suspect(module), alpha=0.05).verdict.value}
        row["judged"], row["p"] = judged(theirs, master, module)
        drawn = ring.client(master, "c")
        derived = student(place, ring, drawn.secret, number)
        honest = DynaMarks(HEAVY, placebos=PLACEBOS, key=drawn).claim()
        row["honest"] = verify(honest, suspect(derived), alpha=0.05).verdict.value
        row["honest_judged"], row["honest_p"] = judged(theirs, master, derived)
        found.append(row)
    return found


def replayed(n: int) -> int:
    """How many of n new commitments an old stamp is accepted for."""
    with TemporaryDirectory() as folder:
        authority, key = Authority(Path(folder) / "tsa"), new_key(Path(folder) / "k")
        old = authority.stamp(signing.sign(signing.statement({"commitment.json": "0" * 64}, "urn:x:1", {}), key))
        taken = 0
        for i in range(n):
            new = signing.sign(signing.statement({"commitment.json": f"{i + 1:064x}"}, "urn:x:1", {}), key)
            try:
                stamps.stamped(old, new, stamps.roots(authority.roots), "stamp")
                taken += 1
            except ArtifactError:
                pass
        return taken


def run(n: int, out: Path) -> None:
    torch.set_num_threads(1)
    task, parts = replace(TASKS["digits"], twins=0), data.load("digits")
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    for start in range(len(rows) * task.starts // n, task.starts):
        numbers = range(start * n // task.starts, (start + 1) * n // task.starts)
        found = rows_of(Place(task, parts, start), numbers)
        rows += found
        with out.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in found))
    for name, hits in {
        "ground keys supported by verify": [row["ground"] == "supported" for row in rows],
        "drawn keys supported by the judge": [row["judged"] for row in rows],
        "honest, verify": [row["honest"] == "supported" for row in rows],
        "honest and upheld": [row["honest_judged"] for row in rows if row["honest"] == "supported"],
    }.items():
        print(name, sum(hits), len(hits), "[{:.3f}, {:.3f}]".format(*clopper_pearson(sum(hits), len(hits))))
    print("old stamps accepted", replayed(n), n)


if __name__ == "__main__":
    place_of_rows = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "ground_keys.jsonl"
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 240, place_of_rows)
