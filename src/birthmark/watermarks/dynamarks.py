"""DynaMarks: an API's answers are changed a little under a secret key, so that models trained on them carry the mark.

Source: Chakraborty, Xing, Liu & Srivastava, "DynaMarks", arXiv:2207.13321. Only the abstract was read: the rule and the
tests below are a reconstruction of ours, and no figure here is the paper's.

The mark, with t the top class and h the keyed field (`birthmark.marks.field`):

    u = softmax(beta h(x)) over the other classes
    e = min(epsilon, rho min_c (p_t - p_c) / (p_t - p_c + u_c))
    p' = (1 - e) p + e u

The top answer never changes. Where one class alone is open (two classes, or the two best shown), u is 1 there, and
epsilon is multiplied by sigmoid(beta h(x)). With ties (strong), near-ties are decided by the key first: if p_1 - p_2 <
delta and h_2(x) > h_1(x), the two largest probabilities change places; that reaches thieves who keep labels only. Real
values move by at most `tolerance` of their spread: y' = y + tolerance sd tanh(h(x)).

Two claims, both ranked among placebo keys: `dynamarks` reads what is left of a suspect's log-probabilities once the
source's unmarked ones and the owner's references' are regressed out, and correlates it with the field. `dynamarks-ties`
asks logged near-ties, those that unmarked models are most divided on, and counts on which side of the key the suspect
falls beyond what a logistic regression on those models foretells; labels do.

Marks are no use against whoever holds the weights, nor against thieves who drop uncertain answers and train on labels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.marks.field import Ground, Ties, Waves, aligned
from birthmark.marks.keyring import ClientKey, lenient
from birthmark.types import Access, Array, Floats, Labels
from birthmark.watermark import Watermark

STRENGTHS: Mapping[str, tuple[float, float]] = {  # epsilon: mass moved; delta: widest near-tie that the key decides
    "light": (0.02, 0.0),
    "default": (0.05, 0.0),
    "strong": (0.1, 0.5),
    "heavy": (0.2, 0.5),
}
ANSWERS = ("probabilities", "top-k", "labels")
LEAST = 20  # near-ties that a claim needs
SHRINKAGE = 30.0  # of the logistic regression on standardised leanings of unmarked models
FEW = 64  # probabilities up to which plain Python marks faster than NumPy


@dataclass(frozen=True)
class DynaMarks(Watermark):
    """The soft mark, its claim on suspects that show probabilities (or values).

    Attributes:
        strength: "light", "default", "strong" or "heavy": mass moved .02, .05, .1, .2; the last two decide near-ties.
        answers: what the API shows: "probabilities", "top-k" (zeros stay hidden) or "labels" (one-hot rows of marked
            probabilities; rows that are one-hot already hold no margin and pass unchanged).
        beta: how far the moved mass follows the field.
        rho: share of the way to a changed top answer that the mark may go, below 1.
        tolerance: largest change of a real value, in standard deviations of the source's values.
        placebos: keys to rank among.
        key: a client's key; needed for marks and claims, not for scoring.
    """

    name: ClassVar[str] = "dynamarks"
    needs: ClassVar[Access] = Access.PROBS
    source_paper: ClassVar[str] = "Chakraborty et al. 2022, arXiv:2207.13321; a reconstruction from the abstract"
    kin: ClassVar[float] = (
        0.45  # measured on Fashion-MNIST (docs/dynamarks.md); .06 for models that share neither data nor architecture
    )

    strength: str = "default"
    answers: str = "probabilities"
    beta: float = 5.0
    rho: float = 0.9
    tolerance: float = 0.05
    placebos: int = 999
    key: ClientKey | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.strength not in STRENGTHS:
            raise SettingError(f"expected a strength among {', '.join(STRENGTHS)}, got {self.strength!r}")
        if self.answers not in ANSWERS:
            raise SettingError(f"expected answers among {', '.join(ANSWERS)}, got {self.answers!r}")
        if not 0 <= self.rho < 1 or self.tolerance <= 0 or self.placebos < 1:
            raise SettingError(
                f"expected rho in [0, 1), tolerance > 0 and placebos >= 1, got {self.rho}, {self.tolerance}, "
                f"{self.placebos}"
            )
        if self.key is not None and self.placebos > len(self.key.ring.placebos):
            raise SettingError(
                f"the keyring holds {len(self.key.ring.placebos)} placebo keys, fewer than {self.placebos}; make it "
                "with more"
            )

    @property
    def epsilon(self) -> float:
        """Largest probability mass moved, 0 to 1."""
        return STRENGTHS[self.strength][0]

    @property
    def delta(self) -> float:
        """Near-ties with a smaller margin are decided by the key; 0 for none.

        With a key never more than the keyring's 5 % of answers: unsure sources have many near-ties, and each change may
        be a mistake.
        """
        widest = STRENGTHS[self.strength][1]
        return widest if self.key is None else min(widest, self.key.ring.near)

    def mark(self, inputs: Array, answers: Floats) -> Floats:
        """Marked answers (n, k): the same for the same input, alone or in a batch, to 1e-5.

        Raises:
            SettingError: no key.
            ShapeError: inputs or answers of another shape than the key was made for, or answers that are not finite.
        """
        key = self._key()
        rows = np.array(answers, dtype=np.float64)
        if rows.shape != (len(inputs), key.ring.task.outputs):
            raise ShapeError(
                f"expected answers of shape ({len(inputs)}, {key.ring.task.outputs}) as the key was made for, got "
                f"{rows.shape}"
            )
        if not math.isfinite(rows.sum()):
            raise ShapeError("expected finite answers to mark, got NaN or infinity")
        if not len(rows):
            return rows
        h = key.field(inputs)
        if key.ring.task.values:
            return rows + self.tolerance * key.ring.spread * np.tanh(h)
        how = (
            self.delta,
            0.0 if self.answers == "labels" else self.epsilon,
            self.beta,
            self.rho,
            self.answers == "top-k",
        )
        marked = alone(rows, h, *how) if rows.size <= FEW else together(rows, h, *how)
        return np.eye(rows.shape[1])[marked.argmax(axis=1)] if self.answers == "labels" else marked

    def claim(self) -> Claim:
        """The claim on all held-out inputs of the keyring.

        It holds the client's secret: keep it as you keep the key.
        """
        key = self._key()
        ring = key.ring
        return Claim(
            self.name,
            self._settings(),
            ring.task,
            ring.seed,
            {**self._secret_tensors(), "queries": ring.queries, "source": ring.source, "references": ring.references},
            self._facts(),
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Correlation of what is left of the suspect's answers with the key's field, and with every placebo key's."""
        n = len(answers)
        if n < 20:
            raise ShapeError(f"{self.name} needs answers to at least 20 queries, got {n}")
        if answers.shape[1] != claim.task.outputs:
            raise ShapeError(f"expected answers of width {claim.task.outputs}, got {answers.shape[1]}")
        ground = Ground(
            claim.tensors["coordinates"][:n], claim.tensors["source"][:n], claim.references[:, :n], claim.task.values
        )
        found = aligned(ground, ground.residual(answers)[None], _waves(claim), float(claim.tensors["omega"][0]))[0]
        return _scores(found)

    def _key(self) -> ClientKey:
        if self.key is None:
            raise SettingError(f"{self.name} needs a client's key to mark or to claim; see `birthmark key new`")
        return self.key

    def _settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "key"}

    def _secret_tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """The key's waves, then the placebos': whoever reads them can undo the mark."""
        key = self._key()
        waves = key.ring.expand([key.secret, *(key.ring.placebo(i) for i in key.ring.placebos[: self.placebos])])
        return {
            "directions": waves.directions,
            "phases": waves.phases,
            "codes": waves.codes.astype(np.int8),
            "coordinates": key.ring.whitening(key.ring.queries),
            "omega": np.array([key.ring.omega]),
        }

    def _facts(self) -> dict[str, Any]:
        key = self._key()
        return {
            "client": key.client,
            "key": key.secret.fingerprint,
            "screened_by": len(key.ring.references),
            "screened_at_z": round(lenient(len(key.ring.references)), 3),
            "secret": "this claim holds a client's secret key: publish its digest, not its content",
        }


@dataclass(frozen=True)
class DynaMarksTies(DynaMarks):
    """The claim on suspects that show labels, by near-ties that the key decided: for inputs a client really asked.

    Same mark. The inputs are those of a query log (`birthmark.marks.keyring.logged`), so the evidence is as good as the
    log: commit to it.

    Attributes:
        strength: one that decides near-ties.
        most: near-ties that are asked, those that the owner's unmarked models are most divided on.
        views: versions of each near-tie that are asked: itself, then shifts by a pixel and a flip (images only).
    """

    name: ClassVar[str] = "dynamarks-ties"
    needs: ClassVar[Access] = Access.LABELS

    strength: str = "strong"
    most: int = 400
    views: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not STRENGTHS[self.strength][1]:
            raise SettingError(
                f"strength {self.strength!r} leaves near-ties alone, so there is nothing to claim on; use strong or "
                "heavy"
            )
        if not 1 <= self.views <= len(VIEWS) or self.most < LEAST:
            raise SettingError(
                f"expected 1 to {len(VIEWS)} views and most >= {LEAST}, got {self.views} and {self.most}"
            )

    def claim(self) -> Claim:
        """The claim on the keyring's queries that are near-ties of the source; see `birthmark.marks.keyring.logged`.

        Raises:
            DataError: fewer than 20 of them.
        """
        key = self._key()
        ring = key.ring
        ties = Ties.of(ring.source, self.delta)
        if len(ties.rows) < LEAST:
            raise DataError(
                f"expected at least {LEAST} near-ties among the logged inputs, found {len(ties.rows)} in "
                f"{len(ring.queries)}; a client needs to have asked more"
            )
        if self.views > 1 and len(ring.task.shape) != 3:
            raise SettingError(f"views are shifted images; inputs of shape {ring.task.shape} have none, use views=1")
        chosen = ties.rows[divided(ties, ring.references[:, ties.rows])[: self.most]]
        asked = ring.queries[chosen]
        tensors = {
            **self._secret_tensors(),
            "queries": np.concatenate([viewed(asked, v) for v in range(self.views)]),
            "coordinates": ring.whitening(asked),
            "source": ring.source[chosen],
            "references": np.tile(ring.references[:, chosen], (1, self.views, 1)),
        }
        return Claim(
            self.name, self._settings(), ring.task, ring.seed, tensors, {**self._facts(), "near_ties": len(ties.rows)}
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Sum over near-ties of how far the suspect leans, beyond what unmarked models foretell, to the side that the
        key, or each placebo key, prefers.
        """
        n = min(len(answers), len(claim.tensors["source"]))
        if n < LEAST:
            raise ShapeError(f"{self.name} needs answers to at least {LEAST} near-ties, got {n}")
        source = claim.tensors["source"]
        ties = Ties.of(source, 2.0)
        seen, views = np.zeros(n), -(-len(answers) // len(source))
        for v in range(views):
            rows = answers[v * len(source) :][:n]
            part = Ties(ties.rows[: len(rows)], ties.first[: len(rows)], ties.second[: len(rows)])
            seen[: len(rows)] += part.leaning(rows) / views
        unmarked = np.stack(
            [ties.leaning(source), *(ties.leaning(rows) for rows in claim.references[:, : len(source)])]
        )[:, :n]
        ties = Ties(ties.rows[:n], ties.first[:n], ties.second[:n])
        sides = ties.sides(claim.tensors["coordinates"][:n], _waves(claim), float(claim.tensors["omega"][0]))
        return _scores(sides @ surprise(seen, unmarked) / np.sqrt(n))


def divided(ties: Ties, references: Floats) -> Labels:
    """Near-ties in order of how evenly unmarked models (r, s, k) vote on them: where honest models differ, a mark is
    most easily seen.

    The order knows no key, so a key and its placebos stay exchangeable.
    """
    votes = [ties.leaning(np.eye(rows.shape[1])[rows.argmax(axis=1)]) for rows in references]
    return np.argsort(np.abs(np.sum(votes, axis=0)), kind="stable") if votes else np.arange(len(ties.rows))


def surprise(seen: Floats, unmarked: Floats) -> Floats:
    """What a suspect's leanings (s,) hold beyond the ones that a logistic regression on unmarked models' (r, s)
    foretells, -1 to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = StandardScaler().fit_transform(unmarked.T)
    chance = 0.5 + 0.49 * seen  # a leaning is a label's probability: each near-tie is both labels, so weighted
    model = LogisticRegression(C=1 / SHRINKAGE, max_iter=1000)
    model.fit(np.concatenate([x, x]), np.repeat([1, 0], len(x)), sample_weight=np.concatenate([chance, 1 - chance]))
    return np.asarray(2 * (chance - model.predict_proba(x)[:, 1]))


def together(rows: Floats, h: Floats, delta: float, epsilon: float, beta: float, rho: float, hidden: bool) -> Floats:
    """The rule on rows (n, k) under the field h (n, k): near-ties by the key, then the soft mark."""
    return softly(swapped(rows, h, delta), h, epsilon, beta, rho, hidden)


def alone(rows: Floats, h: Floats, delta: float, epsilon: float, beta: float, rho: float, hidden: bool) -> Floats:
    """`together`, number by number: for a single short row a third of the time that thirty NumPy calls take."""
    return np.array(
        [
            _alone(row, lift, delta, epsilon, beta, rho, hidden)
            for row, lift in zip(rows.tolist(), h.tolist(), strict=True)
        ]
    )


def _alone(
    row: list[float], h: list[float], delta: float, epsilon: float, beta: float, rho: float, hidden: bool
) -> list[float]:
    best = max(row)
    top = row.index(best)
    if delta:
        below = row.copy()
        below[top] = -math.inf
        second = max(below)
        if best - second < delta:
            place = below.index(second)
            if h[place] > h[top]:
                row[top], row[place] = second, best
                top = row.index(best)
    lifts = [-math.inf if p == 0 else lift for p, lift in zip(row, h, strict=True)] if hidden else h.copy()
    lifts[top] = -math.inf
    highest = max(lifts)
    if highest == -math.inf:  # nothing is shown below the top
        return row
    if (hidden or len(row) == 2) and lifts.count(-math.inf) == len(lifts) - 1:
        epsilon *= 1 / (1 + math.exp(min(-beta * highest, 700.0)))
    u = [math.exp(beta * (lift - highest)) for lift in lifts]
    scale = sum(row) / sum(u)
    steepest = max([v / (best - p or 1e-300) for p, v in zip(row, u, strict=True)])
    e = min(epsilon, rho / (1 + scale * steepest))
    return [p + e * (scale * v - p) for p, v in zip(row, u, strict=True)]


def softly(rows: Floats, h: Floats, epsilon: float, beta: float, rho: float, hidden: bool) -> Floats:
    """Move up to `epsilon` of each row's mass to classes below the top one, by the field; the top class stays on top.

    Args:
        hidden: zeros are classes the API does not show, and stay zeros.
    """
    n, top = np.arange(len(rows)), rows.argmax(axis=1)
    u = beta * h
    if hidden:
        u[rows == 0] = -np.inf
    u[n, top] = -np.inf
    limit: Any = epsilon
    if hidden or rows.shape[1] == 2:
        free = np.isfinite(u).sum(axis=1)
        one = free == 1  # where the mass goes is given there, how much of it says the key
        limit = np.where(free == 0, 0.0, epsilon)
        limit[one] *= 1 / (1 + np.exp(-u[one].max(axis=1)))
        u[free == 0] = 0.0
    u = np.exp(u - u.max(axis=1, keepdims=True))
    u *= rows.sum(axis=1, keepdims=True) / u.sum(axis=1, keepdims=True)
    gap = rows[n, top][:, None] - rows
    # min (p_t - p_c) / (p_t - p_c + u_c) = 1 / (1 + max u_c / (p_t - p_c)); u is 0 where nothing may go
    e = np.minimum(limit, rho / (1 + (u / np.maximum(gap, 1e-300)).max(axis=1)))[:, None]
    return np.asarray(rows + e * (u - rows))


def swapped(rows: Floats, h: Floats, delta: float) -> Floats:
    """Near-ties decided by the key: the two largest of a row change places if the field prefers the second."""
    if not delta:
        return rows
    n, top = np.arange(len(rows)), rows.argmax(axis=1)
    below = rows.copy()
    below[n, top] = -np.inf
    second = below.argmax(axis=1)
    change = np.flatnonzero((rows[n, top] - rows[n, second] < delta) & (h[n, second] > h[n, top]))
    if not len(change):
        return rows
    first, second = top[change], second[change]
    changed = rows.copy()
    changed[change, first], changed[change, second] = rows[change, second], rows[change, first]
    return changed


def near_ties(rows: Floats, delta: float) -> list[int]:
    """Which rows (n, k) have their two largest numbers less than `delta` apart."""
    if rows.shape[1] < 2:
        return []
    if rows.size <= FEW:
        best = [sorted(row)[-2:] for row in rows.tolist()]
        return [i for i, (second, top) in enumerate(best) if top - second < delta]
    top = np.partition(rows, -2, axis=1)[:, -2:]
    return [int(i) for i in np.flatnonzero(top[:, 1] - top[:, 0] < delta)]


VIEWS = (
    (0, 0, False),
    (1, 0, False),
    (-1, 0, False),
    (0, 1, False),
    (0, -1, False),
    (0, 0, True),
    (1, 1, False),
    (-1, -1, False),
    (1, -1, False),
)


def viewed(images: Array, which: int) -> Array:
    """A version of images (n, c, h, w): shifted by a pixel with repeated edges, or flipped left to right."""
    down, right, flip = VIEWS[which]
    if flip:
        return images[..., ::-1].copy()
    if not (down or right):
        return images
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    return padded[:, :, 1 + down : 1 + down + images.shape[2], 1 + right : 1 + right + images.shape[3]].copy()


def _waves(claim: Claim) -> Waves:
    return Waves(claim.tensors["directions"], claim.tensors["phases"], claim.tensors["codes"].astype(np.float64))


def _scores(found: Floats) -> Scores:
    return Scores(float(found[0]), tuple(float(value) for value in found[1:]), float(found[0]))
