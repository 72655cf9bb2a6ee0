"""Cards -> models in a store: what is missing is made, parents first, on any executor.

A kill at any moment loses the models in flight and nothing else: the next build finds what is there, and makes the
rest with the same bits. Several builders may share a store: no model is made by two at a time.
"""

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from torch import nn

from birthmark.artifact import plain
from birthmark.data import Data
from birthmark.errors import BirthmarkError, SettingError
from birthmark.types import Plain
from birthmark.workshop.architectures import architecture_of
from birthmark.workshop.card import Card, as_card
from birthmark.workshop.code import code_digest
from birthmark.workshop.modelfile import tensors_digest
from birthmark.zoo.crew import Crew, Progress
from birthmark.zoo.executors import Executor, Job, Outcome
from birthmark.zoo.make import make
from birthmark.zoo.store import Store


def build(
    cards: Sequence[Card],
    store: Store,
    *,
    data: Data,
    executor: Executor,
    given: Mapping[str, nn.Module] | None = None,
    progress: Callable[[Progress], None] | None = None,
    gpus: Callable[[Card], float] = lambda card: 0.0,
) -> None:
    """Make every card's model that the store does not hold sound.

    Args:
        data: what `card.data` names; workers map it from the store.
        given: by key, the networks of "given" cards, and of any others that were made elsewhere.
        gpus: share of a GPU a card's training takes, on executors that have GPUs.

    Raises:
        SettingError: a parent that is neither among the cards, nor given, nor in the store; a cycle; another data set.
        BirthmarkError: some models could not be made (the others were), or the disk is full.
    """
    by_key = {card.key: card for card in cards}
    for card in by_key.values():
        _check(card, store, data)
    for key in by_key.keys() & (given or {}).keys():
        _keep_given(by_key[key], (given or {})[key], store, data)
    order, kept = _order(by_key, store), store.keep_data(data)
    done = {key for key in by_key if _there(key, store)}
    rank = {key: place for place, key in enumerate(by_key)}
    crew = Crew(executor, progress, len(by_key), len(done))

    def job(card: Card) -> Job:
        arguments = {
            "card": plain(asdict(card)),
            "folder": str(store.folder),
            "data": kept,
            "trusted": list(store.trusted),
        }
        return Job(card.key, "birthmark.zoo.build:make_card", arguments, 1.0, gpus(card), card.title, rank[card.key])

    def after(outcome: Outcome) -> list[Job]:
        if outcome.error:
            store.log("failed", outcome.name, error=outcome.error)
        order.done(outcome.name)
        return [job(by_key[key]) for key in _ready(order, by_key, done, crew.failures)]

    crew.report("started")
    failures = crew.run([job(by_key[key]) for key in _ready(order, by_key, done, crew.failures)], after)
    if failures:
        first = next(iter(failures))
        raise BirthmarkError(
            f"{len(failures)} of {len(by_key)} models could not be made; the first: {by_key[first].title}: "
            f"{failures[first]}; the others are there, a new build tries these again"
        )


def _check(card: Card, store: Store, data: Data) -> None:
    if dict(card.data) != data.about(card.split):
        raise SettingError(
            f"card {card.key} is about other data than {data.name!r} as it is now: expected "
            f"{data.about(card.split)}, the card says {dict(card.data)}; make the card with Data.about"
        )
    _check_code(card, store)


def _check_code(card: Card, store: Store) -> None:
    """Raise SettingError if the recipe's code here, on whichever machine, is not the card's."""
    if card.own_code and card.code != code_digest(card.recipe, *store.trusted):
        raise SettingError(f"card {card.key}: the code of {card.recipe} here is not what it was when the card was made")


def _ready(
    order: TopologicalSorter[str], by_key: Mapping[str, Card], done: set[str], failures: dict[str, str]
) -> list[str]:
    """Cards whose parents are there and that are not; those whose parents failed are added to the failures."""
    found = list[str]()
    while order.is_active() and (keys := order.get_ready()):
        for key in keys:
            lost = key in by_key and any(parent in failures for parent in by_key[key].parents)
            if key in by_key and key not in done and not lost:
                found.append(key)
                continue
            if lost and key not in done:
                failures[key] = "a parent could not be made"
            order.done(key)
    return found


def make_card(card: Plain, folder: str, data: str, trusted: Sequence[str]) -> dict[str, Any]:
    """Make one card's model in a store, its parents being there; what a pool's worker runs."""
    store, one = Store(folder, tuple(trusted)), as_card(card)
    _check_code(one, store)
    return _make(one, store, _mapped(folder, data), {})


def _make(card: Card, store: Store, data: Data, parents: Mapping[str, nn.Module]) -> dict[str, Any]:
    with store.alone(card.key):
        if store.sound(card.key):
            return {"event": "found"}
        started, busy = time.monotonic(), time.process_time()
        store.log("started", card.key, process=os.getpid())
        module = make(card, {**{key: store.load(key) for key in card.parents if key not in parents}, **parents}, data)
        digest = store.save(card, module, data.shape, values=not data.classes)
        took = {
            "seconds": round(time.monotonic() - started, 2),
            "cpu": round(time.process_time() - busy, 2),
            "peak_mb": peak_mb(),
        }
        store.log("built", card.key, process=os.getpid(), digest=digest, **took)
        return {"event": "built", **took}


def peak_mb() -> int:
    """The most memory this process has held so far, in MB; pages of mapped data, which processes share, count too."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@lru_cache(maxsize=2)
def _mapped(folder: str, data: str) -> Data:
    return Store(folder).data(data)


def _there(key: str, store: Store) -> bool:
    """Whether the store holds a sound model; a damaged one is thrown away, and said."""
    if key not in store:
        return False
    if store.sound(key):
        return True
    with store.alone(key):
        if not store.sound(key):
            store.log("damaged", key)
            store.discard(key)
    return False


def _keep_given(card: Card, model: nn.Module, store: Store, data: Data) -> None:
    with store.alone(card.key):
        if not store.sound(card.key):
            store.log("given", card.key, digest=store.save(card, model, data.shape, values=not data.classes))
        elif store.digest(card.key) != tensors_digest(model.state_dict()):
            raise SettingError(
                f"{store.folder} holds another model under the card {card.key}; choose another folder, or remove "
                f"{store.path(card.key)}"
            )


def _check_sources(card: Card, by_key: Mapping[str, Card], store: Store) -> None:
    """Raise SettingError unless what the card is made of is there, or among the cards."""
    missing = [key for key in card.parents if key not in by_key and not _there(key, store)]
    if missing:
        raise SettingError(
            f"card {card.key} ({card.title}) has the parent {missing[0]}, which is neither among the cards nor "
            f"in {store.folder}"
        )
    if card.kind == "given" and not _there(card.key, store):
        raise SettingError(
            f"card {card.key} is a given model, and neither its network nor a sound copy in {store.folder} is there"
        )


def _order(by_key: Mapping[str, Card], store: Store) -> TopologicalSorter[str]:
    for card in by_key.values():
        _check_sources(card, by_key, store)
    order = TopologicalSorter({key: [p for p in card.parents if p in by_key] for key, card in by_key.items()})
    try:
        order.prepare()
    except CycleError as error:
        raise SettingError(f"cards are each other's parents: {' -> '.join(error.args[1])}") from None
    return order


def workshop(
    source: nn.Module,
    card: Card,
    store: Store,
    data: Data,
    executor: Executor,
    progress: Callable[[Progress], None] | None = None,
    given: Sequence[tuple[Card, nn.Module]] = (),
) -> Callable[[Sequence[Card]], list[nn.Module]]:
    """What an `Owner` makes models with: builds cards' models, in parallel, cached and resumable, in the cards' order.

    Args:
        source: the source's network; given under its card's key.
        store: where models are kept between runs.
        given: other networks that were made elsewhere, such as the source's initial weights.

    Networks of the user's own, whose architecture has no name, are read back as copies of the source's network.
    """
    nameless = not architecture_of(source)
    there = [*given, (card, source)]
    known, networks = [one for one, _ in there], {one.key: network for one, network in there}

    def make_all(cards: Sequence[Card]) -> list[nn.Module]:
        theirs = [one for one in cards if nameless and card.key in one.parents]
        others = [one for one in cards if one not in theirs]
        build([*known, *others], store, data=data, executor=executor, given=networks, progress=progress)
        for one in theirs:
            if not _there(one.key, store):
                _make(one, store, data, {card.key: source})
        return [store.load(one.key, like=source) for one in cards]

    return make_all
