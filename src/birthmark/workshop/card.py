"""A card says how one model is made; its key is the hash of what it says.

The same card always makes the same bits, so a model is built once and shared by every plan, cohort and
benchmark that names it. What a model is *for* (positive, reference, twin...) is the plan's business, not the card's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from birthmark.artifact import digest_of
from birthmark.errors import SettingError

VERSION = 1  # of training and attack code: raise it when the same card would make other bits


@dataclass(frozen=True)
class Card:
    """How one model is made.

    Attributes:
        kind: "given" (a model file of the user's, `recipe` is its digest), "trained" (by `recipe`) or "stolen" (by
            `attack` from `parents`).
        data: data set by name, with its settings: {"name": "fashion-mnist", "seed": 0}.
        split: which part it is trained on, e.g. "owner", "attacker[:5000]", "reserve[1/3]".
        recipe: an architecture's name (trained by the standard loop) or "module:function".
        training: settings of the standard loop that differ from its defaults.
        attack, settings: name and settings of the attack, for stolen models.
        parents: keys of the models it is made from; the first is the one it is derived from.
        seed: of initialisation, order of data and everything else random.
        shown: how the first parent's answers reach the thief (`birthmark.zoo.marked`): "watermark" with its name, the
            client and settings, keys screened by the other parents; "evasion", wrappers around it. Empty: as they are.
    """

    kind: str
    data: Mapping[str, Any]
    split: str
    recipe: str
    seed: int
    training: Mapping[str, Any] = field(default_factory=dict)
    attack: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    version: int = VERSION
    shown: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("given", "trained", "stolen"):
            raise SettingError(f"expected a card of kind given, trained or stolen, got {self.kind!r}")
        if (self.kind == "stolen") != bool(self.attack) or (self.kind == "stolen" and not self.parents):
            raise SettingError(
                f"a card is 'stolen' when it names an attack and a parent; got kind {self.kind!r}, attack "
                f"{self.attack!r}, {len(self.parents)} parents"
            )

    @property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of the card's canonical JSON."""
        return digest_of({name: value for name, value in asdict(self).items() if value or name != "shown"})[:16]
