"""Models of one small family on digits, made once a test run and kept between the run's workers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from birthmark import data, secrets
from birthmark.claim import Claim
from birthmark.methods.kinship import Kinship
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import OTHER_START, SAME_START
from birthmark.workshop.owner import Owner
from birthmark.zoo.build import workshop
from birthmark.zoo.catalogue import executor
from birthmark.zoo.make import make
from birthmark.zoo.store import Store
from cards import digits_card, theft_card


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_secrets() -> Iterator[None]:
    """What one test keeps secret is no secret in the next."""
    secrets._kept.clear()
    yield
    secrets._kept.clear()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all workers of a test run: what one has trained, the others read."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    return Store(shared / "zoo")


@pytest.fixture(scope="session")
def digits() -> data.Data:
    return data.load("digits")


def owner_of(card: Card, store: Store, digits: data.Data, twin_kind: str = SAME_START) -> Owner:
    """An owner of an mlp on digits, with a workshop that trains in this process."""
    source = make(card, {}, digits)
    work = workshop(source, card, store, digits, executor("serial"))
    return Owner(source, card, digits["owner"], digits["reserve"], digits["queries"], work, twin_kind=twin_kind)


@pytest.fixture(scope="session")
def owner(store: Store, digits: data.Data) -> Owner:
    return owner_of(digits_card(), store, digits)


@pytest.fixture(scope="session")
def secret_owner(store: Store, digits: data.Data) -> Owner:
    """The same with a secret start, and so with twins of other starts: for tests of power with few labels."""
    return owner_of(replace(digits_card(), start=2**127 + 9), store, digits, OTHER_START)


@pytest.fixture(scope="session")
def digits_claim(owner: Owner) -> Claim:
    """A kinship claim with 19 twins and 4 references, 60 queries."""
    return Kinship(queries=60, placebos=19, references=4).fit(owner, seed=0)


@pytest.fixture(scope="session")
def stolen(owner: Owner) -> nn.Module:
    """A pruned copy of the owner's source."""
    return owner.make([theft_card(owner.card, "prune", amount=0.5)])[0]


@pytest.fixture(scope="session")
def innocent(owner: Owner) -> nn.Module:
    """An independent model on other data."""
    return owner.make([digits_card(seed=77, split="innocent")])[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
