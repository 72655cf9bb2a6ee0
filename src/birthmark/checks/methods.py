"""What every fingerprint method must satisfy."""

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from birthmark import registry
from birthmark.checks.common import accused_by_strange_answers, equal, near, shown, suspect
from birthmark.claim import Candidate, Claim
from birthmark.method import Method
from birthmark.transcript import Replay
from birthmark.verdict import LEAST_OWNERS, conclude
from birthmark.verify import verify
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs, probabilities


def same_claim(method: Method, owner: Owner, claim: Claim) -> None:
    """The same seed gives the same claim, and the source is left as it was."""
    before = copy.deepcopy(owner.source)
    again = method.fit(owner, seed=0)
    assert set(again.tensors) == set(claim.tensors), f"{method.name}: the same seed gave other tensors"
    other = [key for key, value in claim.tensors.items() if not np.array_equal(value, again.tensors[key])]
    assert not other, f"{method.name}: the same seed gave other {', '.join(other)}"
    assert equal(before, owner.source), f"{method.name}: the source's weights changed"
    assert not any(m.training for m in owner.source.modules()), f"{method.name}: the source was left in training mode"


def saved_and_loaded(method: Method, owner: Owner, claim: Claim) -> None:
    """A claim read back scores alike, under the settings that it brings."""
    rows = shown(method, owner, owner.source, claim)
    with TemporaryDirectory() as folder:
        claim.save(Path(folder) / "claim")
        loaded, _ = Claim.load(Path(folder) / "claim")
    scorer = registry.scorer(loaded) if method.name in registry.found("methods") else method
    assert near(scorer.score(loaded, rows), method.score(claim, rows)), (
        f"{method.name}: scores otherwise after saving and loading"
    )


def source_scores_highest(method: Method, owner: Owner, claim: Claim) -> None:
    """The source itself is closer to its own claim than to any placebo, and than an innocent model is."""
    rows = shown(method, owner, owner.source, claim)
    scores = method.score(claim, rows)
    assert np.isfinite([scores.source, scores.raw, *scores.placebos]).all(), (
        f"{method.name}: scores that are not finite"
    )
    beaten = [s for s in scores.placebos if s >= scores.source]
    assert not beaten, (
        f"{method.name}: the source scores {scores.source:.4g} on its own claim, and up to "
        f"{max(beaten, default=0):.4g} on a placebo"
    )
    innocent = method.score(claim, shown(method, owner, owner.references(1)[0], claim))
    assert scores.raw > innocent.raw, (
        f"{method.name}: an independent model scores {innocent.raw:.4g}, the source itself {scores.raw:.4g}"
    )


def prefixes_score(method: Method, owner: Owner, claim: Claim) -> None:
    """The first half of the answers can be scored alone, claim and answers are left as they were."""
    rows = shown(method, owner, owner.source, claim)
    tensors = {key: value.copy() for key, value in claim.tensors.items()}
    given = rows.copy()
    half = method.score(claim, rows[: -(-len(rows) // 2)])
    full = method.score(claim, rows)
    assert len(half.placebos) == len(full.placebos), (
        f"{method.name}: {len(half.placebos)} placebos with half of the answers, {len(full.placebos)} with all"
    )
    assert np.isfinite([half.source, *half.placebos]).all(), (
        f"{method.name}: half of the answers give scores that are not finite"
    )
    assert np.array_equal(given, rows), f"{method.name}: changed the answers it was given"
    assert all(np.array_equal(value, claim.tensors[key]) for key, value in tensors.items()), (
        f"{method.name}: changed its claim"
    )


def replay_agrees(method: Method, owner: Owner, claim: Claim) -> None:
    """A verification from the transcript alone reaches the same evidence."""
    if method.name not in registry.found("methods"):
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "transcript.jsonl"
        oracle = suspect(method, owner, owner.source, claim)
        null = conclude(claim, oracle(claim.queries), 0.5).standing.null
        live = verify(claim, oracle, alpha=0.5, null=null, transcript=path)
        again = verify(claim, Replay(path), alpha=0.5, null=null)
    assert (live.score, live.p_value, live.verdict) == (again.score, again.p_value, again.verdict), (
        f"{method.name}: the replay found {again.score}, p {again.p_value}; live {live.score}, p {live.p_value}"
    )


def left_out_twins_score(method: Method, owner: Owner, claim: Claim) -> None:
    """A twin that the claim can do without answers as that twin does, and is scored among one placebo fewer.

    For prefixes, too.
    """
    n = len(method.score(claim, shown(method, owner, owner.source, claim)).placebos)
    if not method.reruns or len(claim.tensors["owners"]) < LEAST_OWNERS:
        return
    twin, answer = owner.twins(n)[0], outputs if owner.values else probabilities
    for q in (len(claim.queries), -(-len(claim.queries) // 2)):
        rows = claim.tensors["owners"][1, :q]
        assert np.allclose(rows, answer(twin, claim.queries[:q]), atol=1e-4), f"{method.name}: not the twin's answers"
        scores = method.scores(claim, [Candidate(rows, twin=1, row=1)])[0]
        assert len(scores.placebos) == n - 1, (
            f"{method.name}: expected {n - 1} placebos without one twin, got {len(scores.placebos)}"
        )
        assert np.isfinite([scores.source, *scores.placebos]).all(), (
            f"{method.name}: a left-out twin has scores that are not finite"
        )


def strange_answers_accuse_nobody(method: Method, owner: Owner, claim: Claim) -> None:
    """Answers that are not finite, absurd, or the same for every query end in no accusation."""
    if method.name in registry.found("methods"):
        accused = accused_by_strange_answers(claim, shown(method, owner, owner.source, claim))
        assert not accused, f"{method.name}: {', '.join(accused)} ended supported"


METHOD: dict[str, Callable[[Method, Owner, Claim], None]] = {
    "same seed, same claim": same_claim,
    "saved and loaded": saved_and_loaded,
    "source scores highest": source_scores_highest,
    "prefixes score": prefixes_score,
    "replay agrees": replay_agrees,
    "left-out twins score": left_out_twins_score,
    "strange answers accuse nobody": strange_answers_accuse_nobody,
}
