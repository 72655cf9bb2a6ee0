"""Where the bench keeps what it makes, by content, and what it says of suspects beside their scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.artifact import digest_of
from birthmark.types import Floats, Plain
from birthmark.workshop.card import Card, as_card
from birthmark.zoo.plan import Entry
from birthmark.zoo.store import Store


@dataclass(frozen=True)
class Place:
    """Where a job works: the store, its data set by digest, the source's card."""

    store: Store
    data: str
    owner: Card

    @classmethod
    def of(cls, at: Plain) -> "Place":
        return cls(Store(at["folder"]), at["data"], as_card(at["source"]))

    def claim(self, key: str) -> Path:
        return self.store.folder / "claims" / key

    def cost(self, key: str) -> Path:
        """What a claim took, in a file of its own: seconds differ from run to run, the claim's digest does not."""
        return self.store.folder / "costs" / f"{key}.json"

    def has_claim(self, key: str) -> bool:
        return (self.claim(key) / "manifest.json").is_file()

    def answers(self, entry: Entry, claim: str) -> Path:
        return self.store.folder / "answers" / claim / f"{_who(entry)}.npy"

    def grades(self, entry: Entry) -> Path:
        return self.store.folder / "answers" / f"{_who(entry)}-{self.owner.key}-{self.data}.json"

    def answered(self, entry: Entry, claim: str) -> Floats | None:
        """A suspect's answers to a claim's queries, if they are there."""
        try:
            rows: Floats = np.load(self.answers(entry, claim), allow_pickle=False)
        except (OSError, ValueError):
            return None
        return rows


def concerns(client: str, entry: Entry) -> bool:
    """Whether a suspect is held against a claim: a client's against its own, everybody else against all."""
    return not client or entry.client in ("", client)


def suspects(place: Place, entries: Sequence[Entry], facts: Plain) -> Plain:
    """What is known about the suspects beside their scores: how they were made, accuracy, agreement."""
    rows = [
        {
            "name": entry.name,
            "made": entry.card.title,
            "key": entry.card.key,
            "evasion": list(entry.evasion),
            **rounded(json.loads(place.grades(entry).read_bytes())),
        }
        for entry in entries
    ]
    return {"format": "birthmark/suspects/1", **facts, "source": place.owner.key, "suspects": rows}


def rounded(value: Any) -> Any:
    """Numbers to six digits, and null for those that are not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _who(entry: Entry) -> str:
    return entry.card.key if not entry.evasion else digest_of([entry.card.key, entry.evasion])[:16]
