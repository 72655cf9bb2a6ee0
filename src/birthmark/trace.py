"""Tracing: which client's marked answers was a suspect trained on?

Every client's key is scored on the suspect's answers to one set of queries, beside a pool of placebo keys. A client is
named if its rank p among the placebos, times the number of clients (Bonferroni), is at most alpha, and its z reaches
the margin that keeps one unlucky key from accusing all innocents of a kind. If nobody is, pairs are looked at: clients
who mixed their answers leave half a mark each, and the sum of the two largest scores is ranked among the same sum over
groups of placebo keys as numerous as the clients. Both are exact over the keys.

Source: ours; the correction for colluding pairs ranks a maximum, so it holds however the keys overlap.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from birthmark import stats
from birthmark.artifact import file_digest
from birthmark.claim import Claim
from birthmark.errors import SettingError
from birthmark.evidence import Verdict, plain_data
from birthmark.marks.field import Ground, aligned
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret
from birthmark.oracle import Oracle, Probabilities
from birthmark.scoring.sanity import absurd
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Floats
from birthmark.verdict import Standing, verdict_of
from birthmark.verify import ask, fitting
from birthmark.watermarks.dynamarks import DynaMarks

FORMAT = "birthmark/trace/1"
MOST_PLACEBOS = 100_000


@dataclass(frozen=True)
class Suspicion:
    """One client: its score, z among placebo keys, rank p and the same corrected for the number of clients."""

    client: str
    score: float
    z: float
    p_value: float
    corrected: float
    named: bool


@dataclass(frozen=True)
class Trace:
    """Clients by suspicion, the most suspected first.

    Attributes:
        pair: two clients who together explain the suspect although neither does alone; or nothing.
        pair_p: rank p of the two largest scores' sum among groups of placebo keys.
        reach: why nobody could be named, if there were too few placebos for alpha.
        suspect, answers, sent, notes, transcript, authorisation: as in `birthmark.evidence.Evidence`.
        keyring, key: digest of the keyring, fingerprint of the master key.
    """

    clients: tuple[Suspicion, ...]
    pair: tuple[str, ...]
    pair_p: float
    alpha: float
    placebos: int
    queries: int
    reach: str = ""
    suspect: str = ""
    answers: str = ""
    sent: int = 0
    notes: tuple[str, ...] = ()
    transcript: str = ""
    keyring: str = ""
    key: str = ""
    authorisation: str = ""

    @property
    def verdict(self) -> Verdict:
        """`supported` if a client or a pair is named, `inconclusive` if nobody could have been."""
        if self.pair or any(suspicion.named for suspicion in self.clients):
            return Verdict.SUPPORTED
        return Verdict.INCONCLUSIVE if self.reach else Verdict.NOT_SUPPORTED

    @property
    def reason(self) -> str:
        """The verdict in words."""
        named = [suspicion.client for suspicion in self.clients if suspicion.named]
        if named:
            return f"trained on answers that {' and '.join(named)} got"
        if self.pair:
            return f"together: {' and '.join(self.pair)} (p = {self.pair_p:.3g}); neither is named alone"
        return f"no client is named{': ' if self.reach else ''}{self.reach}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, `evidence.json` of a trace."""
        return {"format": FORMAT, "verdict": self.verdict.value, "reason": self.reason, **plain_data(asdict(self))}


def trace(
    ring: Keyring,
    master: Secret,
    clients: Sequence[str],
    oracle: Oracle,
    *,
    alpha: float = 0.01,
    queries: int | None = None,
    transcript: Path | None = None,
) -> Trace:
    """Ask a suspect the keyring's queries and rank the clients.

    Args:
        queries: how many to ask; default all.
        transcript: file that every answer is appended to; an interrupted run continues from it.

    Raises:
        SettingError: no clients, one named twice, or an alpha that is no share.
        AccessError: the suspect shows labels only; use the query log and `dynamarks-ties` for each client instead.
    """
    claim = _claim(ring, queries)
    stats.needed(alpha)
    _each_once(clients)
    suspect = fitting(claim, oracle, DynaMarks.needs)
    log = Transcript(transcript, oracle, claim.task.plain())
    try:
        answers = ask(claim, Probabilities(Recorded(oracle, log)), len(claim.queries))
    finally:
        log.close()
    return replace(
        ranked(ring, master, clients, answers, alpha=alpha),
        suspect=oracle.name,
        answers=suspect.answers.value,
        sent=log.sent or len(answers),
        notes=oracle.remarks(),
        transcript=file_digest(transcript) if transcript else "",
        key=master.fingerprint,
    )


def ranked(
    ring: Keyring,
    master: Secret,
    clients: Sequence[str],
    answers: Floats,
    *,
    alpha: float = 0.01,
    placebos: int | None = None,
) -> Trace:
    """Rank clients by a suspect's answers (q', k) to the keyring's first q' queries."""
    _each_once(clients)
    wanted = ceil(len(clients) / alpha) if placebos is None else placebos
    n = min(wanted, MOST_PLACEBOS)
    q = len(answers)
    ground = ring.ground(ring.queries[:q], ring.source[:q], ring.references[:, :q])
    residual = ground.residual(answers)[None]
    mine = aligned(ground, residual, ring.expand([ring.client(master, name).secret for name in clients]), ring.omega)[0]
    null = _pool(ring, ground, residual, n)
    mean, sd = float(null.mean()), float(null.std(ddof=1))
    p = (1 + n - np.searchsorted(np.sort(null), np.where(np.isnan(mine), -np.inf, mine), side="left")) / (1 + n)
    share, why = alpha / len(clients), absurd(_claim(ring, q), answers)
    margin = stats.margin(share, DynaMarks.key_correlation)
    found = []
    for name, t, one in zip(clients, mine, p, strict=True):
        standing = Standing(float(one), float((t - mean) / sd), placebos=n, margin=margin, unsound=why)
        named = verdict_of(standing, share)[0] is Verdict.SUPPORTED
        corrected = stats.bonferroni(standing.p, len(clients))
        found.append(Suspicion(name, float(t), standing.z, standing.p, corrected, named))
    found.sort(key=lambda s: -s.score)
    reach = why
    if not why and len(clients) / (n + 1) > alpha:
        reach = (
            f"{n} placebo keys cannot name one of {len(clients)} clients at alpha {alpha:g}; it takes "
            f"{ceil(len(clients) / alpha)}"
        )
    result = Trace(tuple(found), (), 1.0, alpha, n, q, reach)
    if len(clients) < 2 or found[0].named or why:
        return result
    pair_p = _pairs(mine, null, len(clients))
    return replace(result, pair_p=pair_p, pair=(found[0].client, found[1].client) if pair_p <= alpha else ())


def _claim(ring: Keyring, queries: int | None) -> Claim:
    """What all clients' claims have in common."""
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "queries": ring.queries[:queries],
        "references": ring.references[:, :queries],
    }
    return Claim(DynaMarks.name, {}, ring.task, ring.seed, tensors)


def _each_once(clients: Sequence[str]) -> None:
    if not clients or len(set(clients)) != len(clients):
        raise SettingError(
            f"expected clients' names (--client, or --log), each once, got {len(clients)} names, {len(set(clients))} "
            "of them different"
        )


def _pool(ring: Keyring, ground: Ground, residual: Floats, n: int) -> Floats:
    """Scores (n,) of fresh placebo keys; unscreened, which can only make the test milder."""
    parts = []
    for start in range(0, n, 500):
        keys = [ring.placebo(1_000_000 + i) for i in range(start, min(start + 500, n))]
        parts.append(aligned(ground, residual, ring.expand(keys), ring.omega)[0])
    return np.concatenate(parts)


def _pairs(mine: Floats, null: Floats, clients: int) -> float:
    """Rank p of the sum of the two largest scores among disjoint groups of as many placebo keys."""
    groups = null[: len(null) // clients * clients].reshape(-1, clients)
    best = float(np.sort(mine)[-2:].sum())
    return stats.rank_p(best, np.sort(groups, axis=1)[:, -2:].sum(axis=1).tolist())
