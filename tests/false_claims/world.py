"""Accusers who lie: what they do to source, twins, queries, claim and papers, and a judge who knows nothing of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from birthmark.answers import as_labels
from birthmark.artifact import plain
from birthmark.claim import Claim
from birthmark.data import Data
from birthmark.methods.kinship import Kinship
from birthmark.notary.workbench import Bench, judges, reason, trained
from birthmark.oracle import Function, Oracle, Probabilities
from birthmark.types import Answers, Array, Floats
from birthmark.workshop import architectures
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import treated_cards, twin_cards
from birthmark.workshop.owner import Owner, enrolling
from birthmark.workshop.training import Training, fit, outputs
from birthmark.zoo.build import workshop
from birthmark.zoo.executors import Executor
from birthmark.zoo.store import Store

TRAINING = {"epochs": 10, "batch": 32}
KNOWN: dict[tuple[str | int, ...], Any] = {}  # cards of twins and references, which many sources share
JUDGE = 2**100 + 7  # seed of the judge's twins and references


def shown(module: nn.Module) -> Oracle:
    """A model as a suspect that answers with probabilities."""
    return Probabilities(suspect(module))


def suspect(module: nn.Module) -> Oracle:
    return Function(lambda rows: outputs(module, rows), Answers.LOGITS, "suspect")


def labelled(module: nn.Module) -> Oracle:
    return Function(lambda rows: as_labels(outputs(module, rows)), Answers.LABELS, "suspect")


def answering(claim: Claim, rows: Floats) -> Oracle:
    """A recorded suspect that never was: an accuser's own transcript may say anything."""
    places = {query.tobytes(): i for i, query in enumerate(claim.queries)}

    def answer(inputs: Array) -> Floats:
        return rows[[places[one.astype(np.float32).tobytes()] for one in inputs]]

    return Function(answer, Answers.PROBABILITIES, "suspect")


@dataclass(frozen=True)
class Sharing(Owner):
    """An owner whose twins and references follow from one card, whatever the source: so that many sources share them.

    Attributes:
        base: that card.
    """

    base: Card = field(kw_only=True)

    def twin_cards(self, n: int) -> list[Card]:
        return self._known(("twins", self.secret, n), lambda: twin_cards(self.base, n, secret=self.secret))

    def reference_cards(self, n: int) -> list[Card]:
        made = replace(self._plain, guard=self.guard)
        return self._known(("references", self.guard, n), lambda: made.reference_cards(n))

    def treated(self, n: int, each: int) -> Any:
        cards = self._known(("treated", n, each), lambda: treated_cards(self.base, self.reference_cards(n), each))
        return [self.make(row) for row in cards]

    def _known(self, what: tuple[str | int, ...], cards: Callable[[], Any]) -> Any:
        key = (self.base.key, *what)
        if key not in KNOWN:
            KNOWN[key] = cards()
        return KNOWN[key]

    @property
    def _plain(self) -> Owner:
        return Owner(self.source, self.base, self.train, self.reserve, self.pool, self.make)


@dataclass(frozen=True)
class Accusation:
    """What an accuser brings.

    Attributes:
        owner: with the source that is passed off as the recipe's.
        recorded: what answers in the transcript. edits: of the stated evidence.
    """

    owner: Owner
    claim: Claim
    recorded: Oracle
    edits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """One honest recipe, from which accusers start.

    Attributes:
        owner: with the honest source. method: that accusers and judge test with.
        seed: of what this accuser tries.
    """

    parts: Data
    owner: Owner
    method: Kinship
    seed: int = 0

    @classmethod
    def open(cls, parts: Data, store: Store, engine: Executor, method: Kinship) -> "World":
        card = Card("trained", parts.about("owner"), "owner", "mlp", start=0, course=1, training=TRAINING)
        source = trained(parts, card)
        build = workshop(source, card, store, parts, engine)
        return cls(parts, Owner(source, card, parts["owner"], parts["reserve"], parts["queries"], build), method)

    def bench(self, owner: Owner) -> Bench:
        """A judge's, with the held-out data as a pool that the owner did not choose."""
        own = judges(owner, self.parts, self.parts["test"], JUDGE)
        if isinstance(own, Sharing):
            own = replace(own, base=replace(own.base, course=JUDGE))
        return Bench(owner, own, "weights", True, partial(trained, self.parts), reason(owner.card))

    def innocent(self, seed: int) -> nn.Module:
        """An independent model on data of its own."""
        card = replace(self.owner.card, split="innocent", start=1000 + seed, course=2000 + seed)
        return self.owner.make([card])[0]

    def source(self, course: int) -> tuple[Card, nn.Module]:
        card = replace(self.owner.card, course=course)
        return card, self.owner.make([card])[0]

    def claim(self, owner: Owner) -> Claim:
        return self.method.fit(enrolling(owner, 0), seed=0)

    def accuses(self, owner: Owner, accused: nn.Module, claim: Claim | None = None, **edits: Any) -> Accusation:
        """A claim on this owner's source, and the suspect's true answers."""
        return Accusation(owner, claim or self.claim(owner), suspect(accused), edits)

    def fitted(self, accused: nn.Module, share: float) -> Owner:
        """A source that was trained on a share of the suspect's answers beside the truth, passed off as honest."""
        data, card = self.owner.train, self.owner.card
        network = architectures.build(card.recipe, data.shape, data.outputs, seed=card.start)
        how = Training(**{**card.training, "hard_share": 1 - share})
        return replace(self.owner, source=fit(network, data, how, seed=self.seed, soft=shown(accused)(data.inputs)))

    def tuned(self, accused: nn.Module) -> Owner:
        """The honest source, tuned for three epochs to the mean of its own and the suspect's answers."""
        data, card = self.owner.train, self.owner.card
        network = architectures.build(card.recipe, data.shape, data.outputs, seed=0)
        network.load_state_dict(self.owner.source.state_dict())
        answers = (shown(accused)(data.inputs) + shown(self.owner.source)(data.inputs)) / 2
        how = Training(**{**card.training, "epochs": 3, "rate": 2e-3})
        return replace(self.owner, source=fit(network, data, how, seed=self.seed, soft=answers))

    def nearest(self, accused: nn.Module, among: int = 20) -> Owner:
        """The one of many seeds whose source comes nearest to the suspect, by answers on the pool."""
        pool = self.owner.pool.inputs
        theirs = shown(accused)(pool)
        courses = range(100, 100 + among)
        apart = [np.abs(shown(self.source(course)[1])(pool) - theirs).mean() for course in courses]
        card, source = self.source(courses[int(np.argmin(apart))])
        return replace(self.owner, card=card, source=source)

    def trimmed(self, accused: nn.Module, share: float = 0.25) -> Owner:
        """The honest source on a pool without the inputs on which the suspect answers least like it."""
        pool = self.owner.pool
        apart = np.abs(shown(accused)(pool.inputs) - shown(self.owner.source)(pool.inputs)).sum(axis=1)
        return replace(self.owner, pool=pool[np.sort(np.argsort(apart)[: int((1 - share) * len(pool))])])

    def crafted(self, accused: nn.Module, steps: int = 20, epsilon: float = 0.2) -> Owner:
        """The honest source on a pool that was moved by gradient to where it and the suspect agree, twins do not."""
        pool, twins = self.owner.pool, enrolling(self.owner, 0).twins(4)
        x = start = torch.from_numpy(pool.inputs)
        aim = F.softmax(self.owner.source(x), 1).topk(2).indices[:, 1].detach()  # the source's second guess
        for _ in range(steps):
            x = x.detach().requires_grad_()
            near = F.cross_entropy(self.owner.source(x), aim) + F.cross_entropy(accused(x), aim)
            far = sum(F.cross_entropy(twin(x), aim) for twin in twins) / len(twins)
            (slope,) = torch.autograd.grad(near - far, x)
            x = torch.clamp(start + torch.clamp(x - 0.03 * slope.sign() - start, -epsilon, epsilon), 0, 1)
        return replace(self.owner, pool=replace(pool, inputs=x.detach().numpy().astype(np.float32)))

    def weak(self, split: str = "", **training: Any) -> Owner:
        """Twins (and references) of another recipe than the source's."""
        changed = {**self.owner.card.training, **training}
        if isinstance(self.owner, Sharing):
            base = replace(self.owner.base, training=changed, split=split or self.owner.base.split)
            return replace(self.owner, base=base)
        return replace(self.owner, card=replace(self.owner.card, training=changed))

    def edited(self, accused: nn.Module, share: float = 0.5) -> Claim:
        """The honest claim with the suspect's answers mixed into the source's."""
        claim = self.claim(self.owner)
        owners = claim.tensors["owners"].copy()
        owners[0] = (1 - share) * owners[0] + share * shown(accused)(claim.queries)
        return replace(claim, tensors={**claim.tensors, "owners": owners})

    def invented(self, accused: nn.Module) -> Accusation:
        """A transcript that was edited four fifths of the way to the source."""
        claim = self.claim(self.owner)
        rows = 0.8 * claim.tensors["owners"][0] + 0.2 * shown(accused)(claim.queries)
        return Accusation(self.owner, claim, answering(claim, rows))


def _weak(world: World, accused: nn.Module, split: str = "", **training: Any) -> Accusation:
    return world.accuses(world.owner, accused, world.claim(world.weak(split, **training)))


ATTACKS: dict[str, Callable[[World, nn.Module], Accusation]] = {
    "honest": lambda w, a: w.accuses(w.owner, a),
    "fitted at 10 %": lambda w, a: w.accuses(w.fitted(a, 0.1), a),
    "fitted at 30 %": lambda w, a: w.accuses(w.fitted(a, 0.3), a),
    "fitted at 50 %": lambda w, a: w.accuses(w.fitted(a, 0.5), a),
    "distilled from the suspect": lambda w, a: w.accuses(w.fitted(a, 1.0), a),
    "tuned to the suspect": lambda w, a: w.accuses(w.tuned(a), a),
    "weak twins: 3 epochs": lambda w, a: _weak(w, a, epochs=3),
    "weak twins: 40 % of the data": lambda w, a: _weak(w, a, f"owner[:{int(0.4 * len(w.owner.train))}]"),
    "weak twins: pictures shifted": lambda w, a: _weak(w, a, shift=1),
    "weak twins: labels smoothed": lambda w, a: _weak(w, a, smoothing=0.1),
    "nearest of 20 seeds": lambda w, a: w.accuses(w.nearest(a), a),
    "crafted pool": lambda w, a: w.accuses(w.crafted(a), a),
    "trimmed pool": lambda w, a: w.accuses(w.trimmed(a), a),
    "two references": lambda w, a: w.accuses(
        w.owner, a, replace(w, method=replace(w.method, references=2)).claim(w.owner)
    ),
    "edited answers": lambda w, a: w.accuses(w.owner, a, w.edited(a)),
    "edited facts": lambda w, a: w.accuses(w.owner, a, verdict="supported", p_value=0.05, reason="p = 0.05"),
    "edited transcript": lambda w, a: w.invented(a),
}


def fixed(world: World, owner: Owner, claim: Claim, **other: Any) -> dict[str, Any]:
    """What an accuser commits to: the honest recipe, whatever was done."""
    card = replace(owner.card, training=world.owner.card.training)
    terms = {"method": claim.method, "settings": dict(claim.settings), "budget": None, "answers": "probabilities"}
    made = {"source": "weights", "recipe": plain(asdict(card)), "environment": {}, "data": plain(card.data)}
    return {**made, **terms, "pool": owner.pool.digest, "alpha": 0.05, "null": "placebos", **other}
