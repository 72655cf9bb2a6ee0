"""The conformance suite catches those that break a promise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.attacks.distill import Distill
from birthmark.checks import conformance, small_owner
from birthmark.claim import Claim, Scores
from birthmark.method import Method
from birthmark.oracle import Oracle
from birthmark.theft.asking import labelled, new_student
from birthmark.types import Access, Answers, Floats, Samples
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import Training, fit, probabilities


def failures(subject: Attack | Method) -> dict[str, str]:
    found = {}
    for check in conformance(subject, small_owner()):
        try:
            check()
        except Exception as error:
            found[str(check)] = str(error)
    return found


@dataclass(frozen=True)
class Careless(Attack):
    """Breaks every promise an attack can break without lying."""

    name: ClassVar[str] = "careless"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"

    greed: int = 3

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        inner = getattr(target, "inner", target)
        x = np.concatenate([data.inputs] * self.greed)
        samples, _ = labelled(x, inner(x), Answers.LABELS)
        seed = int(np.random.randint(1000))
        model = new_student("mlp", samples.shape, samples.outputs, seed=seed)
        return fit(model, samples, Training(epochs=1), seed=seed).train()


def test_a_careless_attack_is_caught() -> None:
    found = failures(Careless())
    assert {"is described", "same seed, same bits", "answers like a model"} <= set(found)
    assert "does not explain greed" in found["is described"]
    assert "training mode" in found["answers like a model"]


@dataclass(frozen=True)
class Spoiler(Attack):
    """Trains the target itself."""

    name: ClassVar[str] = "spoiler"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "ours"

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        with_noise: nn.Module = getattr(target, "module", nn.Linear(2, 2))
        for parameter in with_noise.parameters():
            parameter.data.add_(0.01)
        return with_noise


def test_an_attack_on_the_owners_own_model_is_caught() -> None:
    source = small_owner().source
    kept = {key: value.clone() for key, value in source.state_dict().items()}
    try:
        found = failures(Spoiler())
    finally:
        source.load_state_dict(kept)
    assert "weights changed" in found["target untouched"]
    assert "WEIGHTS" in found["access kept"]


@dataclass(frozen=True)
class Fickle(Method):
    """A method that likes strangers best and forgets its seed."""

    name: ClassVar[str] = "fickle"
    needs: ClassVar[Access] = Access.PROBS
    source_paper: ClassVar[str] = "ours"

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        queries = owner.pool.inputs[np.random.permutation(40)]
        return Claim(
            self.name, {}, owner.task, seed, {"queries": queries, "said": probabilities(owner.source, queries)}
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        gap = float(np.abs(answers - claim.tensors["said"][: len(answers)]).mean())
        return Scores(gap, (0.1, 0.2), gap)


def test_a_fickle_method_is_caught() -> None:
    found = failures(Fickle())
    assert "other queries" in found["same seed, same claim"]
    assert "on a placebo" in found["source scores highest"]


def test_a_good_attack_has_nothing_to_fear() -> None:
    assert failures(Distill(epochs=1, least_steps=10)) == {}
