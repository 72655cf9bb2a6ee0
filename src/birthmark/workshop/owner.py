"""The workshop a claim is made in: the source, the owner's samples, and a way to make more models from cards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birthmark.artifact import digest_of
from birthmark.claim import Task
from birthmark.errors import BirthmarkError, DataError
from birthmark.parties import Parties
from birthmark.types import Array, Floats, Plain, Samples
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import OTHER_START, SAME_START, family, reference_cards, treated_cards, twin_cards
from birthmark.workshop.seeds import drawn, secret_start

if TYPE_CHECKING:
    from torch import nn

LEAST = 2  # models on each side of a cohort


@dataclass(frozen=True)
class Owner(Parties):
    """The source, the owner's samples, and a way to make more models from cards.

    Attributes:
        source: returns logits, or values for regressors and generators.
        card: of the source; twins are the same card with other seeds.
        train: what the source was trained on.
        reserve: the owner's second sample, never seen by the source: data of surrogates and of half the references.
        pool: held-out inputs that queries are chosen from.
        make: builds the models of cards, cached and resumable, in the cards' order.
        values: true for regressors and generators.
        secret: a number that draws the twins' courses; nobody else need know it.
        guard: a number that draws kinds and seeds of the references; 0 where the owner's card decides them.
        twin_kind: "same-start" (the default: twins start where the source does), or "other-start", which takes a source
            whose start was secret: a stranger who shares the start is closer to the source than such twins are.
        scratch: folder where long crafting keeps each owner's part, so that an interrupted enrolment continues; None
            keeps nothing.
        notes: what must be known of the data, for the claim's warnings.
        reused: seconds that parts read from `scratch` took when they were made, for honest costs.
    """

    source: "nn.Module"
    card: Card
    train: Samples
    reserve: Samples
    pool: Samples
    make: Callable[[Sequence[Card]], Sequence["nn.Module"]]
    values: bool = False
    secret: int = 0
    guard: int = 0
    twin_kind: str = SAME_START
    scratch: Path | None = None
    notes: tuple[str, ...] = ()
    reused: list[float] = field(default_factory=list, compare=False)

    @property
    def task(self) -> Task:
        return Task(self.train.shape, self.train.outputs, self.values, self.train.form, self.train.names)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the source's card and all the owner's samples."""
        return digest_of([self.card.key, *(part.digest for part in (self.train, self.reserve, self.pool))])

    @property
    def flat(self) -> bool:
        """Whether inputs are no images."""
        return len(self.train.shape) != 3

    def answers(self, model: "nn.Module", inputs: Array) -> Floats:
        """A model's answers (n, k) as methods compare them: probabilities, or values."""
        from birthmark.workshop.training import outputs, probabilities

        return outputs(model, inputs) if self.values else probabilities(model, inputs)

    def owners_say(self, inputs: Array, twins: int) -> Floats:
        """As `Parties.owners_say`."""
        return np.stack([self.answers(model, inputs) for model in self.owners(twins)])

    def references_say(self, inputs: Array, n: int) -> Floats:
        """As `Parties.references_say`."""
        empty = np.empty((0, len(inputs), self.task.outputs))
        return np.stack([self.answers(model, inputs) for model in self.references(n)]) if n else empty

    def treated_say(self, inputs: Array, references: int, each: int) -> Floats:
        """As `Parties.treated_say`."""
        return np.stack([[self.answers(one, inputs) for one in row] for row in self.treated(references, each)])

    def twin_cards(self, n: int) -> list[Card]:
        """The cards of `n` twins.

        Raises:
            SettingError: other-start twins of a source whose start anybody may share.
        """
        if self.twin_kind == OTHER_START:
            secret_start(self.card.start)
        return twin_cards(self.card, n, secret=self.secret, kind=self.twin_kind)

    def reference_cards(self, n: int) -> list[Card]:
        """The cards of `n` references; one that diverges or names a single class is left out, the next takes its place.

        Raises:
            DataError: so many do that too few are left.
        """
        return self._usable(
            reference_cards(self.card, 2 * n, drawn_by=self.guard, flat=self.flat), n, "independent models"
        )

    def treated_cards(self, n: int, each: int) -> list[list[Card]]:
        """The cards of `each` copies and students of every one of `n` references; replaced as references are.

        Raises:
            DataError: too few of a reference's are left.
        """
        rows = treated_cards(self.card, self.reference_cards(n), 2 * each, flat=self.flat)
        survivors(self, [card for row in rows for card in row[:each]])  # side by side
        return [self._usable(row, each, "copies and students of an independent model") for row in rows]

    def _usable(self, asked: Sequence[Card], n: int, what: str) -> list[Card]:
        """The first `n` cards whose models can be made and name more than one class."""
        made, lost = survivors(self, asked[:n])
        cards = [card for card in asked[:n] if card.key in made and self._alive(made[card.key])]
        for card in asked[n:]:
            if len(cards) < n:
                more, why = survivors(self, [card])
                lost += why
                cards += [card for model in more.values() if self._alive(model)]
        if len(cards) < n:
            raise DataError(
                f"only {len(cards)} of {len(asked)} {what} learnt more than one class on the owner's data; give more "
                f"samples, or train longer (--training epochs=N, --training batch=N){f' ({lost[0]})' if lost else ''}"
            )
        return cards

    def _alive(self, model: "nn.Module") -> bool:
        from birthmark.workshop.training import outputs

        return self.values or len(np.unique(outputs(model, self.reserve.inputs[:1000]).argmax(axis=1))) > 1

    def twins(self, n: int) -> Sequence["nn.Module"]:
        """`n` models of the source's recipe, data and start on other courses."""
        return self.make(self.twin_cards(n))

    def owners(self, n: int) -> list["nn.Module"]:
        """The source, then `n` twins."""
        return [self.source, *self.twins(n)]

    def references(self, n: int) -> Sequence["nn.Module"]:
        """`n` independent models, as `reference_cards` says."""
        return self.make(self.reference_cards(n))

    def treated(self, n: int, each: int) -> "Sequence[Sequence[nn.Module]]":
        """`each` copies and students of every one of the `n` references."""
        made = self.make([card for row in self.treated_cards(n, each) for card in row])
        return [made[i : i + each] for i in range(0, len(made), each)] if each else [[] for _ in range(n)]


def enrolling(owner: Owner, seed: int) -> Owner:
    """The owner in one enrolment, whose seed has its part in the twins' courses."""
    return replace(owner, secret=drawn("enrolment", owner.secret, seed))


@dataclass(frozen=True)
class Cohort:
    """An owner's cohort as networks. `derived` starts with the owner's model itself.

    Attributes:
        warnings: what could not be made.
    """

    derived: tuple["nn.Module", ...]
    independent: tuple["nn.Module", ...]
    warnings: tuple[str, ...] = ()


def gather(owner: Owner, plan: Plain, card: Card | None = None, *, twins: int = 0) -> Cohort:
    """Make the models of one owner's cohort; members that fail to train are left out, with a warning.

    Args:
        card: the twin whose cohort it is; default the source.
        twins: owners beside the source, if there are more than the plan's own twins.

    Raises:
        BirthmarkError: fewer than two models on one side are left.
    """
    mine = owner.card if card is None else card
    cards = family(plan, mine, owner.card, twins=owner.twin_cards(max(twins, int(plan.get("twins", 0)))))
    wanted = [one for one in (mine, *cards.independent, *cards.derived) if one.key != owner.card.key]
    made, lost = survivors(owner, wanted)
    made[owner.card.key] = owner.source
    derived = tuple(made[c.key] for c in (mine, *cards.derived) if c.key in made)
    independent = tuple(made[c.key] for c in cards.independent if c.key in made)
    if len(derived) < LEAST or len(independent) < LEAST:
        raise BirthmarkError(
            f"expected at least {LEAST} derived and {LEAST} independent models to craft with, got {len(derived)} and "
            f"{len(independent)}; "
            f"give a wider cohort recipe{'' if not lost else ': ' + lost[0]}"
        )
    return Cohort(derived, independent, tuple(lost))


def survivors(owner: Owner, cards: Sequence[Card]) -> "tuple[dict[str, nn.Module], list[str]]":
    """Models by their cards' keys, all that can be made; and for the others why not."""
    try:
        return dict(zip([card.key for card in cards], owner.make(cards), strict=True)), []
    except BirthmarkError:  # all others are there now; find out which are not
        made, lost = dict[str, Any](), list[str]()
        for card in cards:
            try:
                made[card.key] = owner.make([card])[0]
            except BirthmarkError as error:
                lost.append(f"cohort member {card.attack or card.recipe} on {card.split} could not be made: {error}")
        return made, lost
