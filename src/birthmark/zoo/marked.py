"""A plan's source behind an API that marks its answers: what thieves learn from, and the watermark that claims them.

Every marked thief is a client with a key of its own, derived from a master key that is public: a benchmark hides
nothing. The keyring is the source's, over its held-out inputs, screened by the owner's references.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from hashlib import sha256
from typing import Generic, TypeVar

import numpy as np
from torch import nn

from birthmark import registry
from birthmark.attacks.evasion import evade
from birthmark.data import Data
from birthmark.errors import SettingError
from birthmark.imprint import ring as imprint_ring
from birthmark.imprint.smoothing import mixtures
from birthmark.marks.keyring import ClientKey, Keyring, logged
from birthmark.marks.keys import Secret
from birthmark.oracle import Oracle
from birthmark.types import Array, Floats, Plain, Settings
from birthmark.watermark import Marked, Watermark
from birthmark.workshop.architectures import architecture_of
from birthmark.workshop.modelfile import tensors_digest
from birthmark.workshop.training import outputs, probabilities

T = TypeVar("T")
MASTER = Secret(sha256(b"birthmark/bench/marks").digest())
FITTED, HELD = 5000, 1000  # inputs that the keyring is fitted to, and that its claims ask
MIXED = 4000  # mixtures that an imprint's claim on labels chooses among


@dataclass(frozen=True)
class _Known(Generic[T]):
    """A network or inputs, told from others by a digest of the content."""

    digest: str
    value: T = field(compare=False, repr=False)


def client_key(client: str, source: nn.Module, references: Sequence[nn.Module], data: Data) -> ClientKey:
    """A client's key on a keyring over the first held-out inputs."""
    models, values = tuple(map(_network, (source, *references))), not data.classes
    fitted, held = (_inputs(data[part].inputs[:n]) for part, n in (("owner", FITTED), ("queries", HELD)))
    return _ring(models, fitted, held, values).client(MASTER, client)


@lru_cache(maxsize=2)
def _ring(models: tuple[_Known[nn.Module], ...], fitted: _Known[Array], held: _Known[Array], values: bool) -> Keyring:
    rows = [_answered(model, held, values) for model in models]
    others = np.stack(rows)[1:]
    return Keyring.make(fitted.value, held.value, rows[0], others, seed=0, values=values)


def imprint_key(client: str, references: Sequence[nn.Module], data: Data) -> ClientKey:
    """A key of an imprint, on a keyring that unmarked models alone made."""
    fitted, held = (_inputs(data[part].inputs[:n]) for part, n in (("owner", FITTED), ("queries", HELD)))
    return _unmarked_ring(tuple(map(_network, references)), fitted, held, not data.classes).client(MASTER, client)


@lru_cache(maxsize=2)
def _unmarked_ring(
    models: tuple[_Known[nn.Module], ...], fitted: _Known[Array], held: _Known[Array], values: bool
) -> Keyring:
    rows = np.stack([_answered(model, held, values) for model in models])
    return imprint_ring.keyring(fitted.value, held.value, rows, seed=0, values=values)


@lru_cache(maxsize=64)
def _answered(model: _Known[nn.Module], inputs: _Known[Array], values: bool) -> Floats:
    """Unmarked answers (n, k), kept for the other clients that a worker meets."""
    return (outputs if values else probabilities)(model.value, inputs.value)


def _network(model: nn.Module) -> _Known[nn.Module]:
    return _Known(f"{architecture_of(model)} {tensors_digest(model.state_dict())}", model)


def _inputs(inputs: Array) -> _Known[Array]:
    return _Known(f"{inputs.shape} {sha256(np.ascontiguousarray(inputs).data).hexdigest()}", inputs)


def watermark(shown: Plain, models: Sequence[nn.Module], data: Data) -> Watermark:
    """The watermark that `Card.shown` holds, with the client's key.

    Args:
        models: the source, then the references that screen the keys.
    """
    said = dict(shown["watermark"])
    name, client = said.pop("name"), said.pop("client")
    source, *references = models
    imprinted = name == "imprint"
    key = imprint_key(client, references, data) if imprinted else client_key(client, source, references, data)
    return registry.make("watermarks", name, {**said, "key": key})


def seen(target: Oracle, shown: Plain, models: Sequence[nn.Module], data: Data, seed: int) -> Oracle:
    """The target as `Card.shown` says that the thief saw it: marked first, then behind evasions.

    Args:
        models: the target's network, then the references that screen the keys.
    """
    if "watermark" in shown:
        target = Marked(target, watermark(shown, models, data))
    return evade(target, shown.get("evasion", ""), seed=seed, data=data["attacker"].inputs)


def claimed(
    name: str, settings: Settings, shown: Plain, asked: Array, models: Sequence[nn.Module], data: Data
) -> Watermark:
    """The watermark `name` as it claims who learned from answers `shown` so, with settings of its own beside its:
    over the held-out inputs, or over those the client asked.
    """
    mark = watermark(shown, models, data)
    claiming = registry.make("watermarks", name, {**_settings(mark), **settings})
    if not claiming.logged:
        return claiming
    unsourced = name == "imprint-labels"
    if unsourced:  # its near-ties are mixtures, its ground are unmarked models alone
        asked, models = mixtures(data["queries"].inputs, MIXED, seed=0), models[1:]
    rows = np.stack([_answered(_network(model), _inputs(asked), not data.classes) for model in models])
    ground = (rows.mean(axis=0), rows) if unsourced else (rows[0], rows[1:])
    return replace(claiming, key=logged(claiming.key, asked, *ground))  # type: ignore[type-var, attr-defined]


def fits(name: str, shown: Plain) -> bool:
    """Whether the watermark `name` can claim who learned from these answers: the same rule at a strength it reads."""
    said, found = dict(shown.get("watermark", {})), registry.found("watermarks")
    if not said or not issubclass(found[name], found[said["name"]]):
        return False
    try:
        mark = registry.make("watermarks", said.pop("name"), {key: said[key] for key in said if key != "client"})
        registry.make("watermarks", name, _settings(mark))
    except SettingError:
        return False
    return True


def _settings(mark: Watermark) -> Settings:
    return {field.name: getattr(mark, field.name) for field in fields(mark)}  # type: ignore[arg-type]
