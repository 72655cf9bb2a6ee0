"""From weights to a verdict: do two files share an origin, and may it be called a derivation?

Both tests show a common origin: a copy, a common ancestor, or the same initial weights, which two strangers have who
call `manual_seed(0)` on one architecture. `supported` takes that the other two are excluded:

* twins, trained from the source's initial weights in another order, are placebos for both. A and they are compared with
  B alike; p is the rank of A among them;
* or the initial weights came from a secret seed of 128 bits, or are those of none of the usual seeds (`usual_seed`).

Otherwise a shared origin is `inconclusive`, with the list of what could explain it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from birthmark import stats
from birthmark.compare.match import Match, aligned, match
from birthmark.compare.order import Layer, combined, directions, layers, shared
from birthmark.compare.reading import Weights, weights
from birthmark.errors import BirthmarkError, SettingError
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
        orders: random orders a tensor that `p_order` rests on.
    """

    verdict: Verdict
    reason: str
    p_order: float
    p_twins: float | None
    matched: Match | None
    closeness: float
    twins: tuple[float, ...] = ()
    layers: tuple[Layer, ...] = field(default=(), repr=False)
    orders: int = 0

    @property
    def origin(self) -> bool:
        """Whether the verdict rests on a shared origin that was found."""
        return bool(self.layers) and self.verdict is not Verdict.NOT_SUPPORTED


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


def compared(a: Path, b: Path, *, twins: Sequence[Weights], ancestor: Weights | None, terms: Terms) -> Comparison:
    """`compare` for files; where a shared origin needs it, the usual seeds of A's architecture are tried."""
    ours, theirs = weights(a), weights(b)
    found = compare(ours, theirs, twins=twins, ancestor=ancestor, terms=terms)
    open_start = found.verdict is Verdict.INCONCLUSIVE and found.origin and not twins and ancestor is None
    if open_start and terms.start == "unknown" and (start := starts_of(a)) is not None:
        seed = usual_seed(ours, start)
        if seed is None:
            return compare(ours, theirs, terms=replace(terms, start="unusual"))
        return replace(found, reason=f"{found.reason}; the source's initial weights are those of the usual seed {seed}")
    return found


def starts_of(path: Path) -> Callable[[int], Weights] | None:
    """Initial weights by seed of the architecture that a file of ours names; None for other files."""
    from birthmark.workshop import architectures
    from birthmark.workshop.modelfile import read_tensors

    try:
        head, _ = read_tensors(path)
        name, shape, outputs = str(head["architecture"]), tuple(head["shape"]), int(head["outputs"])
        architectures.parse(name)
    except (BirthmarkError, KeyError, TypeError, ValueError):
        return None

    def start(seed: int) -> Weights:
        network = architectures.build(name, shape, outputs, seed=seed)
        return {key: value.numpy() for key, value in network.state_dict().items()}

    return start


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
    known = terms.start if ancestor is None else "ancestor"
    verdict, reason = _verdict(_Seen(bool(found), p_order, p_twins, matched), len(twins), known, terms.alpha)
    return Comparison(verdict, reason, p_order, p_twins, matched, mine, theirs, found, terms.orders)


def _verdict(seen: "_Seen", twins: int, start: str, alpha: float) -> tuple[Verdict, str]:
    if not seen.comparable:
        return Verdict.INCONCLUSIVE, "no tensors of the same name and shape hold hidden units, so nothing was compared"
    if not seen.by_order(alpha) and not seen.by_match:
        return (
            Verdict.NOT_SUPPORTED,
            f"p = {seen.p_order:.3g} over orders of the hidden units: their weights share no origin",
        )
    found = seen.said(alpha)
    if seen.p_twins is not None and stats.smallest_p(twins) <= alpha:
        ranked = f"p = {seen.p_twins:.3g} among {twins} twins of the same initial weights"
        if seen.p_twins <= alpha:
            return Verdict.SUPPORTED, f"{ranked}; {found}"
        return Verdict.INCONCLUSIVE, f"they share an origin ({found}), but {ranked}: so it may be the start"
    if start in ("secret", "unusual"):
        why = "came from a secret seed" if start == "secret" else "are those of no usual seed"
        return Verdict.SUPPORTED, f"{found}; the source's initial weights {why}"
    return Verdict.INCONCLUSIVE, (
        f"they share an origin ({found}): {EXPLANATIONS}; give --twin files trained from the same initial weights (at "
        f"least {stats.needed(alpha)}), or show that the start was secret"
    )


@dataclass(frozen=True)
class _Seen:
    """What the tests saw."""

    comparable: bool
    p_order: float
    p_twins: float | None
    matched: Match | None

    @property
    def by_match(self) -> bool:
        return self.matched is not None and self.matched.share >= AGREED

    def by_order(self, alpha: float) -> bool:
        return self.p_order <= alpha

    def said(self, alpha: float) -> str:
        if self.by_order(alpha) or self.matched is None:
            return f"p = {self.p_order:.3g} over orders of the hidden units"
        return (
            f"the order of the units says nothing, but seen from below and from above {self.matched.share:.0%} of them "
            "match alike; independent networks were measured to agree on a few per cent, and the null is not exact"
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
