"""Accusers who lie, on digits: what they do to source, twins and queries, and a judge who knows nothing of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import nn

from birthmark.artifact import plain
from birthmark.claim import Claim
from birthmark.data import Data
from birthmark.methods.kinship import Kinship
from birthmark.oracle import Function, Oracle, Probabilities
from birthmark.types import Answers, Array, Floats
from birthmark.workshop import architectures
from birthmark.workshop.card import Card
from birthmark.workshop.enroll import enrolling
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import Training, fit, outputs
from birthmark.zoo.build import workshop
from birthmark.zoo.executors import Executor
from birthmark.zoo.make import make
from birthmark.zoo.store import Store

TRAINING = {"epochs": 10, "batch": 32}
JUDGE = 2**100 + 7  # seed of the judge's twins and references


def shown(module: nn.Module) -> Oracle:
    """A model as a suspect that answers with probabilities."""
    return Probabilities(Function(lambda rows: outputs(module, rows), Answers.LOGITS, "suspect"))


def suspect(module: nn.Module) -> Oracle:
    return Function(lambda rows: outputs(module, rows), Answers.LOGITS, "suspect")


@dataclass(frozen=True)
class World:
    """One honest recipe on digits, from which accusers start.

    Attributes:
        owner: with the honest source. method: that accusers and judge test with.
    """

    parts: Data
    owner: Owner
    method: Kinship
    made: dict[str, nn.Module] = field(default_factory=dict)

    @classmethod
    def open(cls, parts: Data, store: Store, engine: Executor, method: Kinship) -> "World":
        card = Card("trained", parts.about("owner"), "owner", "mlp", start=0, course=1, training=TRAINING)
        source = make(card, {}, parts)
        build = workshop(source, card, store, parts, engine)
        return cls(parts, Owner(source, card, parts["owner"], parts["reserve"], parts["queries"], build), method)

    def innocent(self, seed: int) -> nn.Module:
        """An independent model on data of its own."""
        card = replace(self.owner.card, split="innocent", start=1000 + seed, course=2000 + seed)
        return self.owner.make([card])[0]

    def source(self, course: int) -> tuple[Card, nn.Module]:
        card = replace(self.owner.card, course=course)
        return card, self.owner.make([card])[0]

    def claim(self, owner: Owner) -> Claim:
        return self.method.fit(enrolling(owner, 0), seed=0)

    def fitted(self, accused: nn.Module, share: float, seed: int = 0) -> Owner:
        """A source that was trained on a share of the suspect's answers beside the truth, passed off as honest."""
        data = self.owner.train
        network = architectures.build("mlp", data.shape, data.outputs, seed=0)
        how = Training(**TRAINING, hard_share=1 - share)
        answers = shown(accused)(data.inputs)
        return replace(self.owner, source=fit(network, data, how, seed=seed, soft=answers))

    def tuned(self, accused: nn.Module, seed: int = 0) -> Owner:
        """The honest source, tuned for three epochs to the mean of its own and the suspect's answers."""
        data = self.owner.train
        network = architectures.build("mlp", data.shape, data.outputs, seed=0)
        network.load_state_dict(self.owner.source.state_dict())
        answers = (shown(accused)(data.inputs) + shown(self.owner.source)(data.inputs)) / 2
        return replace(
            self.owner, source=fit(network, data, Training(epochs=3, batch=32, rate=2e-3), seed=seed, soft=answers)
        )

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

    def weak(self, epochs: int = 3) -> Owner:
        """Twins (and references) of a recipe that trains for fewer epochs than the source did."""
        return replace(self.owner, card=replace(self.owner.card, training={**TRAINING, "epochs": epochs}))

    def edited(self, accused: nn.Module, share: float = 0.5) -> Claim:
        """The honest claim with the suspect's answers mixed into the source's."""
        claim = self.claim(self.owner)
        owners = claim.tensors["owners"].copy()
        owners[0] = (1 - share) * owners[0] + share * shown(accused)(claim.queries)
        return replace(claim, tensors={**claim.tensors, "owners": owners})


ATTACKS: dict[str, Callable[[World, nn.Module], Owner]] = {
    "honest": lambda world, _: world.owner,
    "fitted at 10 %": lambda world, accused: world.fitted(accused, 0.1),
    "fitted at 30 %": lambda world, accused: world.fitted(accused, 0.3),
    "fitted at 50 %": lambda world, accused: world.fitted(accused, 0.5),
    "distilled from the suspect": lambda world, accused: world.fitted(accused, 1.0),
    "tuned to the suspect": lambda world, accused: world.tuned(accused),
    "nearest of 20 seeds": lambda world, accused: world.nearest(accused),
    "trimmed pool": lambda world, accused: world.trimmed(accused),
    "weak twins": lambda world, _: world.weak(),
}


def fixed(world: World, owner: Owner, claim: Claim, **other: Any) -> dict[str, Any]:
    """What an accuser commits to: the honest recipe, whatever was done."""
    card = replace(owner.card, training=TRAINING)
    terms = {"method": claim.method, "settings": dict(claim.settings), "budget": None, "answers": "probabilities"}
    made = {"source": "weights", "recipe": plain(vars(card)), "environment": {}, "data": plain(card.data)}
    return {**made, **terms, "pool": owner.pool.digest, "alpha": 0.05, "null": "placebos", **other}


def answering(claim: Claim, rows: Floats) -> Oracle:
    """A recorded suspect that never was: an accuser's own transcript may say anything."""
    places = {query.tobytes(): i for i, query in enumerate(claim.queries)}

    def answer(inputs: Array) -> Floats:
        return rows[[places[one.astype(np.float32).tobytes()] for one in inputs]]

    return Function(answer, Answers.PROBABILITIES, "suspect")
