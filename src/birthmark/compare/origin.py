"""From weights to a verdict: do two files share an origin, and may it be called a derivation?

Both tests show a common origin: a copy, a common ancestor, or the same initial weights, which two strangers have who
call `manual_seed(0)` on one architecture. `supported` takes that the other two are excluded:

* twins, trained from the source's initial weights in another order, are placebos for both. A and they are compared with
  B alike; p is the rank of A among them;
* or the initial weights came from a secret seed of 128 bits, or are those of none of the usual seeds (`starts`).

Otherwise a shared origin is `inconclusive`, with the list of what could explain it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from birthmark import stats
from birthmark.compare.match import Match, match, measured
from birthmark.compare.order import Layer, combined, layers, ordered
from birthmark.compare.pairing import Pair, paired, realigned
from birthmark.compare.reading import Tensor, Weights, weights
from birthmark.compare.starts import shows_secret, start_of, usual_seed
from birthmark.errors import SettingError
from birthmark.evidence import Verdict

STARTS = ("unknown", "secret", "unusual")
EXPLANATIONS = "a copy either way, a common ancestor, or the same initial weights (a public seed such as 0 or 42)"
NOTHING = 1e-4  # share of an ancestor's energy below which nothing is left of what descends from it: rounding
EQUAL = 0.9999  # cosine from which a tensor is the same in both files, however it was stored


@dataclass(frozen=True)
class Comparison:
    """What two files' weights say.

    Attributes:
        p_order: of the order-sensitive test, exact over the order of A's hidden units; 1 if nothing could be compared.
        p_twins: rank of A among its twins; None without any.
        matched: the matched test; None where nothing could be compared.
        layers: every compared tensor's own p. shared: those that share an origin, corrected for all of them.
        closeness: of A to B, -1 to 1; twins: of each twin to B.
        orders: random orders a tensor that `p_order` rests on.
        notes: what a reader must know.
    """

    verdict: Verdict
    reason: str
    p_order: float = 1.0
    p_twins: float | None = None
    matched: Match | None = None
    closeness: float = -1.0
    twins: tuple[float, ...] = ()
    layers: tuple[Layer, ...] = field(default=(), repr=False)
    shared: tuple[str, ...] = ()
    orders: int = 0
    notes: tuple[str, ...] = ()

    @property
    def p_value(self) -> float:
        """Of the whole comparison: rank among the twins, or the smaller p of both tests, times two."""
        if self.p_twins is not None:
            return self.p_twins
        return min(1.0, 2 * min(self.p_order, self.matched.p if self.matched else 1.0))

    @property
    def null(self) -> tuple[str, int]:
        """What p_value rests on, and how many of these there are."""
        if self.p_twins is not None:
            return "twins", len(self.twins)
        by_order = self.matched is None or self.p_order <= self.matched.p
        return ("orders of units", self.orders) if by_order else ("measured pairs", len(measured()))


@dataclass(frozen=True)
class Terms:
    """How two files are compared.

    Attributes:
        alpha: share of innocents that may be accused, 0 to 1.
        orders: random orders an axis.
        start: where A's initial weights came from: "secret" (a 128-bit seed), "unusual" (no usual seed), "unknown".
    """

    alpha: float = 0.05
    orders: int = 19_999
    start: str = "unknown"
    seed: int = 0

    def __post_init__(self) -> None:
        stats.needed(self.alpha)
        if self.start not in STARTS or self.orders < 1:
            raise SettingError(
                f"expected a start of {', '.join(STARTS)} and orders >= 1, got {self.start!r}, {self.orders}"
            )


def compared(a: Path, b: Path, *, twins: Sequence[Weights], ancestor: Weights | None, terms: Terms) -> Comparison:
    """`compare` for files; where a shared origin needs it, A's start is looked for among the usual seeds."""
    ours, theirs = weights(a), weights(b)
    found = compare(ours, theirs, twins=twins, ancestor=ancestor, terms=terms)
    asked = found.verdict is Verdict.INCONCLUSIVE and bool(found.shared or _moved(found, terms.alpha))
    known = start_of(a) if asked and not twins and ancestor is None and terms.start == "unknown" else None
    if known is None:
        return found
    if shows_secret(ours, *known):
        return _judged(found, 0, "secret", terms.alpha)
    seed = usual_seed(ours, known[0])
    if seed is None:
        return _judged(found, 0, "unusual", terms.alpha)
    return replace(found, reason=f"{found.reason}; the source's initial weights are those of the usual seed {seed}")


def compare(
    a: Weights, b: Weights, *, twins: Sequence[Weights] = (), ancestor: Weights | None = None, terms: Terms = Terms()
) -> Comparison:
    """Is B derived from A?

    Args:
        twins: models of A's recipe from A's own initial weights (or ancestor), in another order of the data.
        ancestor: a public model that both descend from; what A and B have of it is regressed out. Then twins decide
            alone, since what is left of both still depends on the ancestor's units.
    """
    if ancestor is not None:
        for who, one in (("the source", a), ("the suspect", b)):
            if not _without(ancestor, one):
                return Comparison(
                    Verdict.INCONCLUSIVE, f"{who} is the ancestor itself, or shares no tensor with it: nothing is left"
                )
        a, b, *twins = (_without(ancestor, one) for one in (a, b, *twins))
    pairs, p_order, found = _by_order(a, b, terms)
    if not found:
        return Comparison(Verdict.INCONCLUSIVE, _nothing(a, b, pairs), notes=_left_out(pairs))
    matched = match(pairs)
    mine, theirs = closeness(pairs, matched), tuple(closeness(one, match(one)) for t in twins for one in [paired(t, b)])
    p_twins = stats.rank_p(mine, theirs) if theirs else None
    seen = Comparison(
        *(
            Verdict.INCONCLUSIVE,
            "",
            p_order,
            p_twins,
            matched,
            mine,
            theirs,
            tuple(found),
            _shared(found, terms.alpha),
            terms.orders,
        ),
        notes=_left_out(pairs),
    )
    return _judged(seen, len(twins), "ancestor" if ancestor is not None else terms.start, terms.alpha)


def closeness(pairs: Sequence[Pair], matched: Match | None) -> float:
    """Mean cosine of A's and B's units, in their order or as they match, whichever is larger; -1 to 1."""
    cosines = [layer.cosine for layer in layers(pairs, orders=1, seed=0)]
    return max(float(np.mean(cosines)) if cosines else -1.0, matched.cosine if matched else -1.0)


def _by_order(a: Weights, b: Weights, terms: Terms) -> tuple[list[Pair], float, list[Layer]]:
    """Pairs, p and layers of the order-sensitive test: by name, and where layers were dropped or renamed by likeness.

    Two ways to pair are two looks: the smaller p counts twice.
    """
    named, moved = paired(a, b), realigned(a, b)
    found = layers(named, orders=terms.orders, seed=terms.seed)
    same = {(one.name, one.other) for one in named} >= {(one.name, one.other) for one in moved}
    if same:
        return named, combined(found), found
    again = layers(moved, orders=terms.orders, seed=terms.seed)
    p = min(1.0, 2 * min(combined(found), combined(again)))
    better = len(_shared(again, terms.alpha)) > len(_shared(found, terms.alpha))
    return (moved, p, again) if better else (named, p, found)


def _shared(found: Sequence[Layer], alpha: float) -> tuple[str, ...]:
    """Tensors that share an origin, by Bonferroni's rule over all."""
    return tuple(layer.name for layer in found if layer.p * len(found) <= alpha)


def _nothing(a: Weights, b: Weights, pairs: Sequence[Pair]) -> str:
    if pairs:
        return "the tensors that both files hold have units with an order of their own, so nothing was compared"
    return (
        f"of {len(a)} and {len(b)} tensors none that holds hidden units has the same shape in both files, so nothing "
        "was compared: other architectures, or a format that packs its weights"
    )


def _left_out(pairs: Sequence[Pair]) -> tuple[str, ...]:
    why = [(pair.name, ordered(pair.a, pair.b)) for pair in pairs]
    return tuple(f"{name}: left out, {reason}" for name, reason in why if reason)


def _moved(seen: Comparison, alpha: float) -> bool:
    return seen.matched is not None and 2 * seen.matched.p <= alpha


def _judged(seen: Comparison, twins: int, start: str, alpha: float) -> Comparison:
    verdict, reason = _verdict(seen, twins, start, alpha)
    return replace(seen, verdict=verdict, reason=reason)


def _verdict(seen: Comparison, twins: int, start: str, alpha: float) -> tuple[Verdict, str]:
    if 2 * seen.p_order > alpha and not _moved(seen, alpha):
        return (
            Verdict.NOT_SUPPORTED,
            f"p = {seen.p_order:.3g} over orders of the hidden units: their weights share no origin",
        )
    if (tables := _tables(seen, alpha)) is not None:
        return Verdict.INCONCLUSIVE, tables
    found = _said(seen, alpha)
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


def _tables(seen: Comparison, alpha: float) -> str | None:
    """The reason, if all evidence lies in a minority of tensors that are equal in both files: fixed tables are, too."""
    equal = [layer.name for layer in seen.layers if layer.cosine > EQUAL]
    rest = [layer for layer in seen.layers if layer.cosine <= EQUAL]
    if len(equal) >= len(rest) or 2 * combined(rest) <= alpha or _moved(seen, alpha):
        return None
    return (
        f"only tensors that are equal in both files are alike ({', '.join(equal)[:200]}); they may be tables that "
        "everybody has, and the others share no origin"
    )


def _said(seen: Comparison, alpha: float) -> str:
    if 2 * seen.p_order <= alpha or seen.matched is None:
        return f"p = {seen.p_order:.3g} over orders of the hidden units"
    return (
        f"the order of the units says nothing (p = {seen.p_order:.3g}), but of {seen.matched.units} units that changed "
        f"places both views agree on {seen.matched.agreed}, p = {seen.matched.p:.3g} among {len(measured())} measured "
        "pairs of independent networks; that null is measured, not exact"
    )


def _without(ancestor: Weights, found: Weights) -> Weights:
    """What is left of a model's tensors when the ancestor's are regressed out; empty if that is rounding alone."""
    left, energy, rest = dict[str, Tensor](), 0.0, 0.0
    for pair in paired(found, ancestor):
        x, base = np.asarray(pair.a, np.float32), np.asarray(pair.b, np.float32)
        x = x - base * (np.vdot(base, x) / max(float(np.vdot(base, base)), 1e-12))
        left[pair.name] = x
        energy, rest = energy + float(np.vdot(base, base)), rest + float(np.vdot(x, x))
    return left if rest > NOTHING * energy else {}
