"""From weights to a verdict: do two files share an origin, and may it be called a derivation?

Both tests show a common origin: a copy, a common ancestor, or the same initial weights, which two strangers have who
call `manual_seed(0)` on one architecture. `supported` takes that the other two are excluded:

* twins, trained from the source's initial weights in another order, are placebos for both. A and they are compared with
  B alike; p is the rank of A among them;
* or the initial weights came from a secret seed of 128 bits, or are those of none of the usual seeds (`usual_seed`).

Otherwise a shared origin is `inconclusive`, with the list of what could explain it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from birthmark import stats
from birthmark.compare.match import Match, aligned, match
from birthmark.compare.order import Layer, combined, directions, layers, shared
from birthmark.compare.reading import Weights
from birthmark.errors import SettingError
from birthmark.evidence import Verdict

AGREED = 0.5  # of units: most that disjoint pairs of independent networks showed is far below (benchmarks/compare)
USUAL = (*range(10_001), 12345, 123456, 1234567, 31337, 65535, 20230, 20240, 20250, 2**31 - 1, 2**32 - 1)
FAR = 8.0  # standard deviations over seeds beyond which a start is recognised
STARTS = ("unknown", "secret", "unusual")
EXPLANATIONS = "a copy either way, a common ancestor, or the same initial weights (a public seed such as 0 or 42)"


@dataclass(frozen=True)
class Comparison:
    """What two files' weights say.

    Attributes:
        p_order: of the order-sensitive test, exact over the order of A's hidden units; 1 if nothing could be compared.
        p_twins: rank of A among its twins; None without any.
        matched: the matched test; None where the files are no chains of layers of the same shapes.
        layers: every compared tensor's own p.
        closeness: of A to B, -1 to 1; twins: of each twin to B.
    """

    verdict: Verdict
    reason: str
    p_order: float
    p_twins: float | None
    matched: Match | None
    closeness: float
    twins: tuple[float, ...] = ()
    layers: tuple[Layer, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Terms:
    """How two files are compared.

    Attributes:
        alpha: share of innocents that may be accused, 0 to 1.
        orders: random orders a tensor.
        start: where A's initial weights came from: "secret" (a 128-bit seed), "unusual" (no usual seed), "unknown".
    """

    alpha: float = 0.05
    orders: int = 9_999
    start: str = "unknown"
    seed: int = 0

    def __post_init__(self) -> None:
        stats.needed(self.alpha)
        if self.start not in STARTS or self.orders < 1:
            raise SettingError(
                f"expected a start of {', '.join(STARTS)} and orders >= 1, got {self.start!r}, {self.orders}"
            )


def compare(
    a: Weights, b: Weights, *, twins: Sequence[Weights] = (), ancestor: Weights | None = None, terms: Terms = Terms()
) -> Comparison:
    """Is B derived from A?

    Args:
        twins: models of A's recipe from A's own initial weights (or ancestor), in another order of the data.
        ancestor: a public model that both descend from; what A and B have of it is taken away. Then twins decide alone,
            since what is left of both depends on the ancestor's units.
    """
    if ancestor is not None:
        a, b, *twins = (_without(ancestor, one) for one in (a, b, *twins))
    found = tuple(layers(a, b, orders=terms.orders, seed=terms.seed))
    matched = match(a, b)
    mine, theirs = closeness(a, b), tuple(closeness(twin, b) for twin in twins)
    p_order, p_twins = combined(found), stats.rank_p(mine, theirs) if theirs else None
    origin = p_order <= terms.alpha or (matched is not None and matched.share >= AGREED)
    known = terms.start if ancestor is None else "ancestor"
    verdict, reason = _verdict(bool(found), origin, p_order, p_twins, len(twins), known, terms.alpha)
    return Comparison(verdict, reason, p_order, p_twins, matched, mine, theirs, found)


def _verdict(
    comparable: bool, origin: bool, p_order: float, p_twins: float | None, twins: int, start: str, alpha: float
) -> tuple[Verdict, str]:
    if not comparable:
        return Verdict.INCONCLUSIVE, "no tensors of the same name and shape hold hidden units, so nothing was compared"
    if not origin:
        return (
            Verdict.NOT_SUPPORTED,
            f"p = {p_order:.3g} over orders of the hidden units: their weights share no origin",
        )
    if p_twins is not None and stats.smallest_p(twins) <= alpha:
        ranked = f"p = {p_twins:.3g} among {twins} twins of the same initial weights"
        if p_twins <= alpha:
            return Verdict.SUPPORTED, ranked
        return (
            Verdict.INCONCLUSIVE,
            f"they share an origin, but {ranked}: the twins come as close, so it may be the start",
        )
    if start in ("secret", "unusual"):
        why = "came from a secret seed" if start == "secret" else "are those of no usual seed"
        return (
            Verdict.SUPPORTED,
            f"p = {p_order:.3g} over orders of the hidden units; the source's initial weights {why}",
        )
    return Verdict.INCONCLUSIVE, (
        f"they share an origin (p = {p_order:.3g}): {EXPLANATIONS}; give --twin files trained from the same initial "
        f"weights (at least {stats.needed(alpha)}), or show that the start was secret"
    )


def closeness(a: Weights, b: Weights) -> float:
    """Mean cosine of A's and B's units, in their order or as they match, whichever is larger; -1 to 1."""
    return max(_cosine(a, b), _cosine(a, aligned(a, b)))


def _cosine(a: Weights, b: Weights) -> float:
    cosines = [np.einsum("ij,ij->i", directions(a[name]), directions(b[name])) for name in shared(a, b)]
    return float(np.concatenate(cosines).mean()) if cosines else -1.0


def _without(ancestor: Weights, weights: Weights) -> Weights:
    return {
        name: value - ancestor[name] if name in ancestor and ancestor[name].shape == value.shape else value
        for name, value in weights.items()
    }


def usual_seed(a: Weights, start: Callable[[int], Weights], seeds: Iterable[int] = USUAL) -> int | None:
    """The usual seed whose initial weights A still resembles; None if there is none.

    Args:
        start: initial weights of A's architecture by seed.
    """
    seeds = tuple(seeds)
    alike = np.array([_cosine(a, start(seed)) for seed in seeds])
    best = int(alike.argmax())
    rest = np.delete(alike, best)
    return seeds[best] if alike[best] > rest.mean() + FAR * rest.std() else None
