"""Running an attack under the budget contract, and what it cost and kept."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from birthmark.answers import accuracy_of
from birthmark.attack import Attack
from birthmark.oracle import Metered, Oracle
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Access, Samples
from birthmark.workshop.training import accuracy, outputs

RUINED = 0.10  # accuracy lost, from which on a theft has failed


@dataclass(frozen=True)
class Theft:
    """What a theft cost and what it kept.

    Attributes:
        attack, settings, seed: which theft it was.
        queries: inputs that were sent to the target; 0 where the thief holds the weights.
        data: samples the thief had.
        seconds: of one processor, queries included.
        accuracy, source_accuracy: of the stolen model and of the target on the same held-out samples, 0 to 1 (R^2 for
            real values).
        agreement: share of those samples on which both give the same top class; NaN for real values or other classes.
    """

    attack: str
    settings: Mapping[str, Any]
    seed: int
    queries: int
    data: int
    seconds: float
    accuracy: float
    source_accuracy: float
    agreement: float

    @property
    def cost(self) -> float:
        """Accuracy lost, in the units of accuracy; negative if the stolen model is better."""
        return self.source_accuracy - self.accuracy

    @property
    def failed(self) -> bool:
        """Whether the model was ruined: more than ten points of accuracy lost. Such a theft defeats no fingerprint."""
        return self.cost > RUINED


def carry_out(
    attack: Attack,
    target: Oracle,
    data: Samples,
    test: Samples,
    *,
    seed: int,
    budget: int | None = None,
    answers: Path | None = None,
) -> tuple[nn.Module, Theft]:
    """Run an attack within a budget and measure it.

    Args:
        target: as the thief may see it. An attack that needs no weights is given none, and every query is counted.
        test: held-out samples; the target's answers to them measure the theft and count as no query of the thief's.
        budget: most queries.
        answers: file that keeps every answer, so that an interrupted theft continues and asks nothing twice.

    Raises:
        AccessError: the target grants less than the attack needs.
        BudgetError: the budget allows no query.
        OracleError: the target failed; with `answers`, run again to go on.
    """
    attack.check(target)
    shown, meter, log = target, None, None
    if attack.needs is not Access.WEIGHTS:
        log = Transcript(answers, target)
        meter = Metered(target, None if budget is None else max(budget - log.sent, 0))
        shown = Recorded(meter, log)
    begun = time.process_time()
    try:
        stolen = attack.steal(shown, data, seed=seed)
    finally:
        if log is not None:
            log.close()
    seconds = time.process_time() - begun
    theirs, mine = target(test.inputs), outputs(stolen, test.inputs)
    labelled_test = attack.view(test)
    same = bool(test.classes) and theirs.shape == mine.shape and labelled_test is test
    return stolen, Theft(
        attack=attack.name,
        settings={field.name: getattr(attack, field.name) for field in fields(attack)},
        seed=seed,
        queries=log.sent if log is not None else 0,
        data=len(data),
        seconds=round(seconds, 3),
        accuracy=accuracy(stolen, labelled_test),
        source_accuracy=accuracy_of(theirs, test),
        agreement=float((theirs.argmax(axis=1) == mine.argmax(axis=1)).mean()) if same else float("nan"),
    )
