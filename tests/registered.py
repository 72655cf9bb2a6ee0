"""One small claim by every registered method and watermark: made once a test run."""

from functools import cache
from pathlib import Path

import numpy as np

from birthmark import registry
from birthmark.checks import small_owner
from birthmark.checks.common import shown
from birthmark.claim import Claim
from birthmark.data import Data
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.marks.keys import Secret
from birthmark.method import Method
from birthmark.types import Floats, Samples
from birthmark.watermark import Marked, Watermark
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import probabilities
from birthmark.workshop.whitebox import Open
from tasks_bench import Workshop, diabetes

COHORT = {"cohort": str(Path(__file__).parent / "methods" / "tiny.toml"), "queries": 12, "references": 4}
SAC = {"queries": 200, "placebos": 9, "references": 4}
METHODS: dict[str, dict[str, object]] = {
    "akh": {"placebos": 9, "references": 4},
    "kinship": {"queries": 60, "placebos": 9, "references": 4},
    "lineage": {"queries": 120, "placebos": 5, "references": 4},
    "moments": {"queries": 100, "placebos": 5, "references": 4, "samples": 1000, "components": 8},
    "random-queries": {"queries": 200, "placebos": 9, "references": 4},
    "tafa": {"queries": 90, "placebos": 5, "references": 4},
    "sac-jc": SAC,
    "sac-m": SAC,
    "sac-normal": SAC,
    "sac-source": SAC,
    "sac-w": {**SAC, "placebos": 4},
    "ipguard": {"queries": 12, "references": 4, "steps": 60},
    "cem": {**COHORT, "steps": 25, "confer": 0.0},
    "metav": {**COHORT, "queries": 40, "steps": 150, "rate": 0.1},
    "metafinger": {**COHORT, "steps": 25, "confer": 0.0},
    "liteguard": {**COHORT, "steps": 40},
    "naturalfinger": {**COHORT, "steps": 25, "space": "pixels", "pool": 200, "confer": 0.0},
}
WATERMARKS: dict[str, dict[str, object]] = {
    "dawn": {"rate": 0.2},
    "dynamarks": {},
    "dynamarks-ties": {"strength": "strong"},
    "imprint": {},
    "imprint-labels": {"tilt": 1.0},
}
NAMES = (*METHODS, *WATERMARKS)


@cache
def generators() -> Owner:
    """An owner of a small VAE of digits."""
    task = Workshop("digits", "vae:width=48", {"epochs": 12, "batch": 32, "rate": 4e-3})
    random = np.random.default_rng(0)
    parts = {
        name: Samples(random.standard_normal((len(part), 8)).astype(np.float32), part.inputs.reshape(len(part), -1), 0)
        for name, part in task.data.parts.items()
    }
    task.data = Data("digits", parts)
    return task.owner()


@cache
def key() -> ClientKey:
    """Of a client of the small owner's API."""
    owner = small_owner()
    x = np.concatenate([owner.pool.inputs, owner.reserve.inputs])
    source, *others = (probabilities(model, x) for model in (owner.source, *owner.references(4)))
    ring = Keyring.make(owner.train.inputs, x, source, np.stack(others), seed=0)
    return ring.client(Secret(b"m" * 32), "alice")


def subject(name: str) -> Method | Watermark:
    """The method or the watermark of that name, at its quickest settings."""
    if name in METHODS:
        return registry.make("methods", name, METHODS[name])
    return registry.make("watermarks", name, {**WATERMARKS[name], "key": key()})


def owner_of(name: str) -> Owner:
    return generators() if name == "moments" else small_owner()


@cache
def claimed(name: str, values: bool = False) -> tuple[Claim, Floats]:
    """A claim, and the source's answers to it; `values` for a regressor's."""
    made = subject(name)
    if isinstance(made, Watermark):
        claim = made.claim()
        return claim, Marked(Open(small_owner().source), made)(claim.queries)
    owner = diabetes().owner() if values else owner_of(name)
    claim = made.fit(owner, seed=0)
    return claim, shown(made, owner, owner.source, claim)
