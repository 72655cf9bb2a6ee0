"""Tracing: which client's marked answers was a suspect trained on?

Every client's key is scored on the suspect's answers to one set of queries, beside a pool of placebo keys. A client is
named if its rank p among the placebos, times the number of clients (Bonferroni), is at most alpha. If nobody is, pairs
are looked at: clients who mixed their answers leave half a mark each, and the sum of the two largest scores is ranked
among the same sum over groups of placebo keys as numerous as the clients. Both are exact over the keys.

Source: ours; the correction for colluding pairs ranks a maximum, so it holds however the keys overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from birthmark import stats
from birthmark.claim import Claim
from birthmark.errors import SettingError
from birthmark.evidence import EXIT, Verdict
from birthmark.marks.field import Ground, aligned
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret
from birthmark.oracle import Oracle
from birthmark.types import Floats
from birthmark.verify import ask, fitting
from birthmark.watermarks.dynamarks import DynaMarks

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
    """

    clients: tuple[Suspicion, ...]
    pair: tuple[str, ...]
    pair_p: float
    alpha: float
    placebos: int
    queries: int
    reach: str = ""

    @property
    def exit_code(self) -> int:
        """10 if a client or a pair is named, 3 if nobody could have been, else 0."""
        named = bool(self.pair) or any(suspicion.named for suspicion in self.clients)
        return EXIT[Verdict.SUPPORTED if named else Verdict.INCONCLUSIVE if self.reach else Verdict.NOT_SUPPORTED]


def trace(
    ring: Keyring,
    master: Secret,
    clients: Sequence[str],
    oracle: Oracle,
    *,
    alpha: float = 0.01,
    queries: int | None = None,
    placebos: int | None = None,
) -> Trace:
    """Ask a suspect the keyring's queries and rank the clients.

    Args:
        queries: how many to ask; default all.
        placebos: keys in the pool; default as many as alpha takes with so many clients.

    Raises:
        SettingError: no clients, or one named twice.
        AccessError: the suspect shows labels only; use the query log and `dynamarks-ties` for each client instead.
    """
    task = ring.task
    claim = Claim(
        DynaMarks.name,
        {},
        task,
        ring.seed,
        {"queries": ring.queries[:queries], "references": ring.references[:, :queries]},
    )
    suspect = fitting(claim, oracle, DynaMarks.needs)
    return ranked(ring, master, clients, ask(claim, suspect, len(claim.queries)), alpha=alpha, placebos=placebos)


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
    if not clients or len(set(clients)) != len(clients):
        raise SettingError(
            f"expected clients' names, each once, got {len(clients)} names, {len(set(clients))} of them different"
        )
    wanted = ceil(len(clients) / alpha) if placebos is None else placebos
    n = min(wanted, MOST_PLACEBOS)
    q = len(answers)
    ground = ring.ground(ring.queries[:q], ring.source[:q], ring.references[:, :q])
    residual = ground.residual(answers)[None]
    mine = aligned(ground, residual, ring.expand([ring.client(master, name).secret for name in clients]), ring.omega)[0]
    null = _pool(ring, ground, residual, n)
    mean, sd = float(null.mean()), float(null.std(ddof=1))
    order = np.sort(null)
    p = (1 + n - np.searchsorted(order, mine, side="left")) / (1 + n)
    found = [
        Suspicion(
            name,
            float(t),
            float((t - mean) / sd),
            float(one),
            stats.bonferroni(float(one), len(clients)),
            bool(one * len(clients) <= alpha),
        )
        for name, t, one in zip(clients, mine, p, strict=True)
    ]
    found.sort(key=lambda s: -s.score)
    reach = (
        ""
        if len(clients) / (n + 1) <= alpha
        else (
            f"{n} placebo keys cannot name one of {len(clients)} clients at alpha {alpha:g}; it takes "
            f"{ceil(len(clients) / alpha)}"
        )
    )
    result = Trace(tuple(found), (), 1.0, alpha, n, q, reach)
    if len(clients) < 2 or found[0].named:
        return result
    pair_p = _pairs(mine, null, len(clients))
    return replace(result, pair_p=pair_p, pair=(found[0].client, found[1].client) if pair_p <= alpha else ())


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
    return float((1 + (np.sort(groups, axis=1)[:, -2:].sum(axis=1) >= best).sum()) / (1 + len(groups)))
